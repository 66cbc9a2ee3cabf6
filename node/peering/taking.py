"""Takes peers' records into the store, a few at a time, so that nothing else waits for long."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from node.network.limits import PeerId
from node.peering.verifying import Verifier
from node.store.sifting import Sifted
from node.store.store import Store

_AT_ONCE = 256  # read, or stored, in about 20 ms of the event loop

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
        # While the signatures of some are verified, the next are read, then the first stored.
        under_way = deque[tuple[Sifted, asyncio.Task[list[bool]]]]()
        try:
            for start in range(0, len(wires), _AT_ONCE):
                batch = wires[start : start + _AT_ONCE]
                sifted = self._counted(self._store.sift(batch, net=self._net))
                verdicts = self._verifier.verdicts(sifted.signatures)
                under_way.append((sifted, asyncio.create_task(verdicts)))
                await asyncio.sleep(0)
            while under_way:
                sifted, verified = under_way[0]
                report = self._store.take(sifted, await verified, now_ms=self._now_ms())
                under_way.popleft()
                taken.new += len(report.new)
                taken.rejected += report.rejected
                if report.new:
                    self._on_new(peer, report.new)
                await asyncio.sleep(0)
        finally:
            for _, verified in under_way:
                verified.cancel()
        return taken

    def _counted(self, sifted: Sifted) -> Sifted:
        """Leave out whose records do not count here."""
        if self._authors:
            sifted.unproven = [one for one in sifted.unproven if one.author in self._authors]
        return sifted
