"""Removal of known records from untrusted bytes, before they are parsed.

The id of a record does not cover its signature, so an invalid copy must not hide a valid one. Every
different copy of an unknown record is therefore parsed, and the signature decides which is valid.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from node.store.database import Database
from protocol.errors import Rejected
from protocol.records import payload_id

BATCH: Final = 500  # the most ids in one SQL statement


@dataclass(kw_only=True)
class Deduped:
    """The encoded records to parse, the number of duplicates, and the reasons for rejections."""

    unread: list[bytes] = field(default_factory=list)
    duplicates: int = 0
    rejected: list[str] = field(default_factory=list)


def dedupe(database: Database, wires: Sequence[bytes]) -> Deduped:
    """Return which of these encoded records must be parsed."""
    different = dict.fromkeys(wires)
    deduped = Deduped(duplicates=len(wires) - len(different))
    ids: dict[bytes, bytes] = {}
    for wire in different:
        head = payload_id(wire)
        if isinstance(head, Rejected):
            deduped.rejected.append(head.reason)
        else:
            ids[wire] = head[0]
    seen = known(database, [*set(ids.values())])
    for wire, record_id in ids.items():
        if record_id in seen:
            deduped.duplicates += 1
        else:
            deduped.unread.append(wire)
    return deduped


def known(database: Database, ids: Sequence[bytes]) -> set[bytes]:
    """Return the ids that are stored, refused or in quarantine."""
    found: set[bytes] = set()
    for some in batches(ids):
        for table in ("record", "refused", "quarantine"):
            missing = [one for one in some if one not in found]
            # The last two tables are mostly empty.
            if missing and database.rows(f"SELECT 1 FROM {table} LIMIT 1"):  # noqa: S608 (names from above)
                places = ",".join("?" * len(missing))
                statement = f"SELECT id FROM {table} WHERE id IN ({places})"  # noqa: S608 (names from above)
                found.update(row[0] for row in database.rows(statement, missing))
    return found


def batches(wanted: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield encoded records or ids in lists of at most BATCH."""
    rest = iter(wanted)
    while batch := list(islice(rest, BATCH)):
        yield batch
