"""A SQLite connection with durable transactions and errors that users can understand."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from node.home.faults import DAMAGED_HINT, BusyStoreError, DamagedStoreError, explaining_faults
from node.store import schema

_PATIENCE_S: Final = 600.0  # enough for a backup, or for a user who inspects the file
_log = logging.getLogger(__name__)


class Database:
    """A connection to the file `path`. `is_writer`: True in the node's only writing process."""

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
        """Open a file for writing. Create the tables if the file is new."""
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
        """Open a file for reading, while others may write. A missing file counts as empty."""
        with explaining_faults(path):
            if not path.exists():
                return cls.in_memory(path)
            connection = schema.connect(path, writing=False)
            try:
                if schema.is_empty(connection):  # another process is creating it right now
                    connection.close()
                    return cls.in_memory(path)
                schema.require_format(connection, path)
            except BaseException:
                connection.close()
                raise
        return cls(connection, path)

    @classmethod
    def in_memory(cls, path: Path) -> "Database":
        """Open an empty database in memory. Its errors name `path`."""
        connection = schema.connect(":memory:", writing=True)
        schema.create(connection, path)
        return cls(connection, path)

    def close(self) -> None:
        """Close the connection and roll back an open transaction."""
        self._connection.close()

    def rows(
        self, statement: str, values: Sequence[object] | Mapping[str, object] = ()
    ) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows."""
        try:  # a context manager here would take as long as many statements
            return self._connection.execute(statement, values).fetchall()
        except (sqlite3.Error, OSError):
            with explaining_faults(self.path):
                raise

    def stream(self, statement: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of one statement one by one, for results too large for memory."""
        with explaining_faults(self.path):
            yield from self._connection.execute(statement, values)

    def insert(self, statement: str, values: Sequence[object]) -> int:
        """Run one INSERT and return the row's number; 0 if it was ignored."""
        try:
            cursor = self._connection.execute(statement, values)
        except (sqlite3.Error, OSError):
            with explaining_faults(self.path):
                raise
        return cursor.lastrowid or 0 if cursor.rowcount > 0 else 0

    def follow(
        self, *, rolled_back: Callable[[], None], committed: Callable[[], None] = lambda: None
    ) -> None:
        """Register callbacks that run after every transaction, to keep caches consistent."""
        self._committed.append(committed)
        self._rolled_back.append(rolled_back)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the body in a transaction: all that it writes reaches the disk, or nothing does."""
        self._begin()
        try:
            yield
            self.rows("COMMIT")
        except BaseException:
            for forget in self._rolled_back:
                forget()
            # On a full disk SQLite has already rolled back.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        for keep in self._committed:
            keep()

    def _begin(self) -> None:
        """Begin a transaction. A writer waits up to `_PATIENCE_S` while another program writes.

        Raises BusyStoreError after that, or at once if this is not the writer.
        """
        ends_s, is_reported = time.monotonic() + _PATIENCE_S, False
        while True:
            try:
                self.rows("BEGIN IMMEDIATE")
                break
            except BusyStoreError:
                if not self.is_writer or time.monotonic() > ends_s:
                    raise
            if not is_reported:
                is_reported = True
                message = "another program is writing to the store %s: waiting up to %g min"
                _log.warning(message, self.path, _PATIENCE_S / 60)
        if is_reported:
            _log.warning("the store is free again, the node continues")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Join the open transaction, or open one if there is none."""
        if self.is_writing:
            yield
        else:
            with self.transaction():
                yield

    @contextmanager
    def loose_transaction(self) -> Iterator[None]:
        """Run the body like `transaction`, but without waiting for the disk.

        A killed process loses nothing. A power cut may undo this transaction and all later loose
        ones, so use it only for data that can be obtained again.
        """
        self.rows("PRAGMA synchronous = NORMAL")
        try:
            with self.transaction():
                yield
        finally:
            self.rows("PRAGMA synchronous = FULL")

    @property
    def is_writing(self) -> bool:
        """True if a transaction is open."""
        return self._connection.in_transaction

    def require_whole(self) -> None:
        """Read all pages of the file. Raises DamagedStoreError if one is damaged."""
        if faults := self.faults():
            raise DamagedStoreError(f"the store {self.path} is damaged: {faults[0]}", DAMAGED_HINT)

    def faults(self) -> list[str]:
        """Return the faults that SQLite finds in the file's pages and indexes, at most 20."""
        with explaining_faults(self.path):
            lines = [row[0] for row in self._connection.execute("PRAGMA quick_check(20)")]
        return [] if lines == ["ok"] else lines
