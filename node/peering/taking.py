"""Takes peers' records into the store, some at a time, so that nothing else waits for long."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from node.network.limits import PeerId
from node.peering.reading import Read, Reader
from node.store.intake import Report
from node.store.store import Store
from protocol.errors import Rejected

# Between so many, in 2 ms of the event loop, and the next, whatever else waits has its turn.
_SIFTED_AT_ONCE = 128
# In 150 to 250 ms: half as many take nearly as many writes to the disk.
_STORED_AT_ONCE = 1_024
_MOST_TASKS = 256  # that whoever reads is told of

# Told from whom records came of which some are new here.
OnNew = Callable[[PeerId, Report], None]


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
        reader: Reader,
        *,
        net: str,
        now_ms: Callable[[], int],
        on_new: OnNew,
        authors: frozenset[bytes] = frozenset(),
    ) -> None:
        self._store = store
        self._reader = reader
        self._net = net
        self._authors = authors
        self._now_ms = now_ms
        self._on_new = on_new

    async def take(self, peer: PeerId, wires: Sequence[bytes]) -> Taken:
        """Take in what a peer sent; whether that is to its credit is for the caller to say."""
        taken = Taken()
        read = await self._read(wires)
        for start in range(0, len(read), _STORED_AT_ONCE):
            some = read[start : start + _STORED_AT_ONCE]
            report = self._store.take(some, now_ms=self._now_ms(), net=self._net)
            taken.new += len(report.new)
            taken.rejected += report.rejected
            if report.new:
                self._on_new(peer, report)
            await asyncio.sleep(0)
        return taken

    async def _read(self, wires: Sequence[bytes]) -> Read:
        """Read what of some wires is new; others' records do not count in a network of authors."""
        read: Read = []
        unread: list[bytes] = []
        for start in range(0, len(wires), _SIFTED_AT_ONCE):
            sifted = self._store.sift(wires[start : start + _SIFTED_AT_ONCE])
            read += map(Rejected, sifted.rejected)
            unread += sifted.unread
            await asyncio.sleep(0)
        read += await self._reader.read(unread, self._store.manifests(_MOST_TASKS))
        if not self._authors:
            return read
        return [one for one in read if isinstance(one, Rejected) or one.author in self._authors]
