"""One SQLite connection with transactions that hold, and faults that explain themselves."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from node.home.faults import DAMAGED_HINT, BusyStoreError, DamagedStoreError, explaining_faults
from node.store import schema

_PATIENCE_S: Final = 600.0  # a backup, or somebody who looks into it with another program
_log = logging.getLogger(__name__)


class Database:
    """A connection; `path` is what its errors name. `is_writer`: nobody else writes meanwhile."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, *, is_writer: bool = False
    ) -> None:
        self._connection = connection
        self.path = path
        self.is_writer = is_writer
        self._committed: list[Callable[[], None]] = []
        self._rolled_back: list[Callable[[], None]] = []

    @classmethod
    def open(cls, path: Path) -> "Database":
        """Open for writing; make the tables of a new file."""
        with explaining_faults(path):
            connection = schema.connect(path, writing=True)
            try:
                schema.create(connection, path)
            except BaseException:
                connection.close()
                raise
        return cls(connection, path, is_writer=True)

    @classmethod
    def open_read_only(cls, path: Path) -> "Database":
        """Open for reading beside a writer; a file that is not there reads as an empty one."""
        with explaining_faults(path):
            if not path.exists():
                return cls.in_memory(path)
            connection = schema.connect(path, writing=False)
            try:
                if schema.is_empty(connection):  # it is being made at this moment
                    connection.close()
                    return cls.in_memory(path)
                schema.require_format(connection, path)
            except BaseException:
                connection.close()
                raise
        return cls(connection, path)

    @classmethod
    def in_memory(cls, path: Path) -> "Database":
        """Open an empty one that is gone when it is closed; its errors name `path`."""
        connection = schema.connect(":memory:", writing=True)
        schema.create(connection, path)
        return cls(connection, path)

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        self._connection.close()

    def rows(
        self, statement: str, values: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows."""
        try:  # a block around each statement would cost as much as many of them do
            return self._connection.execute(statement, values).fetchall()
        except (sqlite3.Error, OSError):
            with explaining_faults(self.path):
                raise

    def stream(self, statement: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of one statement as they are read: for more than should be in memory."""
        with explaining_faults(self.path):
            yield from self._connection.execute(statement, values)

    def insert(self, statement: str, values: Sequence[object]) -> int:
        """Run one INSERT and return the row's number, 0 if it was ignored."""
        try:
            cursor = self._connection.execute(statement, values)
        except (sqlite3.Error, OSError):
            with explaining_faults(self.path):
                raise
        return cursor.lastrowid or 0 if cursor.rowcount > 0 else 0

    def follow(
        self, *, rolled_back: Callable[[], None], committed: Callable[[], None] = lambda: None
    ) -> None:
        """Call one of these after every transaction, for what is kept beside the file."""
        self._committed.append(committed)
        self._rolled_back.append(rolled_back)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that the body writes happens, and is on the disk, or none of it."""
        self._begin()
        try:
            yield
            self.rows("COMMIT")
        except BaseException:
            for forget in self._rolled_back:
                forget()
            # A full disk makes SQLite roll back by itself.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        for keep in self._committed:
            keep()

    def _begin(self) -> None:
        """Begin a transaction. A node waits up to `_PATIENCE_S` while another program writes."""
        ends_s, is_told = time.monotonic() + _PATIENCE_S, False
        while True:
            try:
                self.rows("BEGIN IMMEDIATE")
                break
            except BusyStoreError:
                if not self.is_writer or time.monotonic() > ends_s:
                    raise
            if not is_told:
                is_told = True
                said = "another program writes to the store %s: waiting for it, %g min at most"
                _log.warning(said, self.path, _PATIENCE_S / 60)
        if is_told:
            _log.warning("the store is free again, work goes on")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Join the transaction that is open, else be one."""
        if self.is_writing:
            yield
        else:
            with self.transaction():
                yield

    @contextmanager
    def loose_transaction(self) -> Iterator[None]:
        """As `transaction`, but a power cut may undo it, with all loose ones after it.

        For what can be had again: it waits for no disk, and no kill undoes it.
        """
        self.rows("PRAGMA synchronous = NORMAL")
        try:
            with self.transaction():
                yield
        finally:
            self.rows("PRAGMA synchronous = FULL")

    @property
    def is_writing(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    def require_whole(self) -> None:
        """Raise DamagedStoreError if a page of the file is damaged: it reads all of them."""
        if faults := self.faults():
            raise DamagedStoreError(f"the store {self.path} is damaged: {faults[0]}", DAMAGED_HINT)

    def faults(self) -> list[str]:
        """Return what SQLite finds wrong with the file's pages and indexes."""
        with explaining_faults(self.path):
            lines = [row[0] for row in self._connection.execute("PRAGMA quick_check(20)")]
        return [] if lines == ["ok"] else lines
