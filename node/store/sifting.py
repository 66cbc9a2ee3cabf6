"""Finds the records among bytes that anybody sent: not known yet, well formed, truly signed.

An id says nothing of the signature: a bad copy must not hide the good one behind it. So every
copy of a record that is not known yet is read, and only its signatures tell which one it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from node.store.database import Database
from protocol.errors import Rejected
from protocol.keys import Signature
from protocol.records import Record, Unproven, payload_id, read_payload

BATCH: Final = 500  # at most so many ids are asked for by one statement


@dataclass(kw_only=True)
class Sifted:
    """What some wires are: records if their signatures hold; copies of known ones; nothing."""

    unproven: list[Unproven] = field(default_factory=list)
    duplicates: int = 0
    rejected: list[str] = field(default_factory=list)

    def add(self, other: "Sifted") -> None:
        """Let this be both."""
        self.unproven += other.unproven
        self.duplicates += other.duplicates
        self.rejected += other.rejected

    @property
    def signatures(self) -> list[Signature]:
        """What is to be verified."""
        return [signature for one in self.unproven for signature in one.signatures]

    def proven(self, verdicts: Iterable[bool]) -> list[Record]:
        """Return the records, each once, when it is told of each signature whether it holds.

        Copies and those that are none are counted here.
        """
        records: dict[bytes, Record] = {}
        told = iter(verdicts)
        for unproven in self.unproven:
            record = unproven.proven(list(islice(told, len(unproven.signatures))))
            if isinstance(record, Rejected):
                self.rejected.append(record.reason)
            elif record.id in records:
                self.duplicates += 1
            else:
                records[record.id] = record
        return [*records.values()]


def sift(database: Database, wires: Sequence[bytes], *, net: str) -> Sifted:
    """Read what of these wires, at most BATCH, is not known; another network's are rejected."""
    different = dict.fromkeys(wires)
    sifted = Sifted(duplicates=len(wires) - len(different))
    heads = []
    for wire in different:
        head = payload_id(wire)
        if isinstance(head, Rejected):
            sifted.rejected.append(head.reason)
        else:
            heads.append(head)
    seen = known(database, [*{head[0] for head in heads}])
    for head in heads:
        if head[0] in seen:
            sifted.duplicates += 1
            continue
        unproven = read_payload(*head)
        if isinstance(unproven, Rejected):
            sifted.rejected.append(unproven.reason)
        elif unproven.net != net:
            sifted.rejected.append(f"of the network {unproven.net}, not {net}")
        else:
            sifted.unproven.append(unproven)
    return sifted


def known(database: Database, ids: Sequence[bytes]) -> set[bytes]:
    """Return which of at most BATCH ids are here, refused or in quarantine."""
    found: set[bytes] = set()
    for table in ("record", "refused", "quarantine"):
        missing = [one for one in ids if one not in found]
        if missing:
            places = ",".join("?" * len(missing))
            statement = f"SELECT id FROM {table} WHERE id IN ({places})"  # noqa: S608 (names from above)
            found.update(row[0] for row in database.rows(statement, missing))
    return found


def batches(wires: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield them in lists of BATCH."""
    rest = iter(wires)
    while batch := list(islice(rest, BATCH)):
        yield batch
