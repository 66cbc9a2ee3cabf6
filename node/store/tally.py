"""How many records of each sort an author has here, by which quotas bound them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from node.store.database import Database
from node.store.extracts import Sort


class Tally:
    """The counts that a block within a transaction changes, written when it ends."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[tuple[bytes, str], int] = {}

    def count(self, author: bytes, sort: Sort) -> int:
        """Count a record, and return how many of its sort its author has now."""
        return self._add(author, sort, 1)

    def uncount(self, author: bytes, sort: Sort) -> None:
        """Count a record no longer."""
        self._add(author, sort, -1)

    @classmethod
    @contextmanager
    def of(cls, database: Database) -> Iterator[Self]:
        """Yield a tally that is written when the block has ended, unless it failed."""
        tally = cls(database)
        yield tally
        for (author, sort), count in tally._counts.items():
            database.rows(
                "INSERT OR REPLACE INTO tally (author, sort, count) VALUES (?,?,?)",
                (author, sort, count),
            )

    def _add(self, author: bytes, sort: Sort, number: int) -> int:
        count = self._counts.get((author, sort))
        if count is None:
            rows = self._database.rows(
                "SELECT count FROM tally WHERE author = ? AND sort = ?", (author, sort)
            )
            count = rows[0][0] if rows else 0
        self._counts[author, sort] = count + number
        return count + number
