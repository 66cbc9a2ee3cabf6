"""Takes peers' records into the store, a few at a time, so that nothing else waits for long."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from node.network.limits import PeerId
from node.store.store import Store
from protocol.errors import Rejected
from protocol.records import parse_record

_AT_ONCE = 64  # about 20 ms of the event loop

# Told which records are new here, and from whom.
OnNew = Callable[[PeerId, Sequence[bytes]], None]


@dataclass(kw_only=True)
class Taken:
    """What became of some records: how many were new, and what was wrong with those rejected."""

    new: int = 0
    rejected: list[str] = field(default_factory=list)


class Taking:
    """`now_ms` is since 1970; `authors` are those whose records count in this network, none for
    everybody's.
    """

    def __init__(
        self,
        store: Store,
        *,
        net: str,
        now_ms: Callable[[], int],
        on_new: OnNew,
        authors: frozenset[bytes] = frozenset(),
    ) -> None:
        self._store = store
        self._net = net
        self._authors = authors
        self._now_ms = now_ms
        self._on_new = on_new

    async def take(self, peer: PeerId, wires: Sequence[bytes]) -> Taken:
        """Take in what a peer sent; whether that is to its credit is for the caller to say."""
        taken = Taken()
        wires = self._counted(wires)
        for start in range(0, len(wires), _AT_ONCE):
            report = self._store.ingest(
                wires[start : start + _AT_ONCE], now_ms=self._now_ms(), net=self._net
            )
            taken.new += len(report.new)
            taken.rejected += report.rejected
            if report.new:
                self._on_new(peer, report.new)
            await asyncio.sleep(0)
        return taken

    def _counted(self, wires: Sequence[bytes]) -> Sequence[bytes]:
        """Leave out whose records do not count here; what is no record is for the store to say."""
        if not self._authors:
            return wires
        parsed = ((wire, parse_record(wire)) for wire in wires)
        return [
            wire
            for wire, record in parsed
            if isinstance(record, Rejected) or record.author in self._authors
        ]
