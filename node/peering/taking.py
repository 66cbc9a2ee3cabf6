"""Takes peers' records into the store, some at a time, so that nothing else waits for long."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from node.network.limits import PeerId
from node.peering.verifying import Verifier
from node.store.sifting import Sifted
from node.store.store import Store

# Between two reads of so many, in 6 ms of the event loop, whatever else waits has its turn.
_READ_AT_ONCE = 64
# In 100 ms: half as many take nearly as many writes to the disk.
_STORED_AT_ONCE = 512

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
        verifier: Verifier,
        *,
        net: str,
        now_ms: Callable[[], int],
        on_new: OnNew,
        authors: frozenset[bytes] = frozenset(),
    ) -> None:
        self._store = store
        self._verifier = verifier
        self._net = net
        self._authors = authors
        self._now_ms = now_ms
        self._on_new = on_new

    async def take(self, peer: PeerId, wires: Sequence[bytes]) -> Taken:
        """Take in what a peer sent; whether that is to its credit is for the caller to say."""
        taken = Taken()
        for start in range(0, len(wires), _STORED_AT_ONCE):
            sifted, verdicts = await self._sift(wires[start : start + _STORED_AT_ONCE])
            report = self._store.take(sifted, verdicts, now_ms=self._now_ms())
            taken.new += len(report.new)
            taken.rejected += report.rejected
            if report.new:
                self._on_new(peer, report.new)
            await asyncio.sleep(0)
        return taken

    async def _sift(self, wires: Sequence[bytes]) -> tuple[Sifted, list[bool]]:
        """Read wires, and verify the signatures of the first while the next are read."""
        sifted = Sifted()
        verifying: list[asyncio.Task[list[bool]]] = []
        try:
            for start in range(0, len(wires), _READ_AT_ONCE):
                some = self._store.sift(wires[start : start + _READ_AT_ONCE], net=self._net)
                if self._authors:  # others' records do not count here
                    some.unproven = [one for one in some.unproven if one.author in self._authors]
                verifying.append(asyncio.create_task(self._verifier.verdicts(some.signatures)))
                sifted.add(some)
                await asyncio.sleep(0)
            return sifted, [holds for some in await asyncio.gather(*verifying) for holds in some]
        finally:
            for one in verifying:
                one.cancel()
