"""Limits per author: counts of records by category (`Sort`), and the quarantine of early records.

A record with a time in the future waits in quarantine, which has a limit per author and a total
limit. If a limit is exceeded, the record furthest in the future is dropped: it would wait longest,
and peers offer it again once its time has come. So an attacker who signs records for next year with
many keys takes no room from a node whose clock is an hour fast.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self

from node.store.database import Database
from node.store.extracts import Extract
from protocol.body import Sort


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A limit on stored records, in number and total size."""

    records: int
    size_bytes: int


EARLY_OF_AUTHOR: Final = Share(records=32, size_bytes=64 << 10)
EARLY_IN_ALL: Final = Share(records=10_000, size_bytes=32 << 20)


def keep_early(
    database: Database,
    early: Sequence[Extract],
    *,
    introducer: str | None,
    of_author: Share,
    in_all: Share,
) -> int:
    """Quarantine records with a time in the future; return how many of them were kept.

    `introducer`: the neighbour that sent them.
    """
    for one in early:
        database.rows(
            "INSERT INTO quarantine (id, ts_ms, wire, author, introducer) VALUES (?,?,?,?,?)",
            (one.id, one.ts_ms, one.wire, one.author, introducer),
        )
    kept = {one.id for one in early}
    for author in {one.author for one in early}:
        kept -= _trim(database, of_author, "author = ?", (author,))
    if early:
        kept -= _trim(database, in_all, "TRUE", ())
    return len(kept)


def _trim(database: Database, share: Share, where: str, given: tuple[bytes, ...]) -> set[bytes]:
    """Drop the records furthest in the future until the limit holds; return the dropped ids."""
    counted = f"SELECT count(*), coalesce(sum(length(wire)), 0) FROM quarantine WHERE {where}"  # noqa: S608 (constants)
    ((records, size_bytes),) = database.rows(counted, given)
    dropped = set[bytes]()
    while records > share.records or size_bytes > share.size_bytes:
        furthest = (
            f"SELECT id, length(wire) FROM quarantine WHERE {where}"  # noqa: S608 (constants)
            " ORDER BY ts_ms DESC, id DESC LIMIT 1"
        )
        ((record_id, length),) = database.rows(furthest, given)
        database.rows("DELETE FROM quarantine WHERE id = ?", (record_id,))
        dropped.add(record_id)
        records, size_bytes = records - 1, size_bytes - length
    return dropped


class RecordCounts:
    """Counts of records by author and category, kept in memory while the block of `of` runs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[tuple[bytes, str], int] = {}

    def count(self, author: bytes, sort: Sort) -> int:
        """Count a record; return how many records of its category its author has now."""
        return self._add(author, sort, 1)

    def uncount(self, author: bytes, sort: Sort) -> None:
        """Remove a record from the count."""
        self._add(author, sort, -1)

    @classmethod
    @contextmanager
    def of(cls, database: Database) -> Iterator[Self]:
        """Yield the counts. Write them to the database when the block ends without an exception."""
        counts = cls(database)
        yield counts
        for (author, sort), count in counts._counts.items():
            database.rows(
                "INSERT OR REPLACE INTO record_counts (author, sort, count) VALUES (?,?,?)",
                (author, sort, count),
            )

    def _add(self, author: bytes, sort: Sort, number: int) -> int:
        count = self._counts.get((author, sort))
        if count is None:
            rows = self._database.rows(
                "SELECT count FROM record_counts WHERE author = ? AND sort = ?", (author, sort)
            )
            count = rows[0][0] if rows else 0
        self._counts[author, sort] = count + number
        return count + number
