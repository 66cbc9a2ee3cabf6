"""What peers did here: faults that they are dropped for, and how long to leave each alone.

Both outlive a connection, so that dialling again forgives nothing; of more than a thousand peers
the longest unseen are forgotten. The clock is passed in, in seconds.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from node.network.limits import PEERS_TRACKED, Kind, PeerId, PeerLimits, Verdict
from node.network.recent import Recent
from node.processes.carrier import Carrier

SHORTEST_WAIT_S = 10.0
LONGEST_WAIT_S = 30 * 60.0
RECONNECTED_WAIT_S = 60.0  # else who has waited longest would after a partition, too
_log = logging.getLogger("node.peering")


class Conduct:
    """Counts faults, and drops who makes too many.

    A few are forgiven, one a minute (`limits.ALLOWANCES`): versions differ.
    """

    def __init__(self, carrier: Carrier, clock: Callable[[], float]) -> None:
        self._carrier = carrier
        self._limits = PeerLimits(clock)

    async def blame(self, peer: PeerId, why: str, *, times: int = 1) -> None:
        """Count faults against a peer."""
        _log.info("peer %s: %s", peer, why)
        if self._limits.spend(peer, Kind.FAULTS, times) is Verdict.DROP:
            await self._carrier.drop(peer, why)

    async def allows(self, peer: PeerId, kind: Kind, amount: float) -> bool:
        """Take from a peer's budget; tell whether it may have more, and drop it far beyond that."""
        verdict = self._limits.spend(peer, kind, amount)
        if verdict is Verdict.DROP:
            await self._carrier.drop(peer, f"it takes too much: {kind.name.lower()}")
        return verdict is Verdict.ALLOWED


@dataclass(kw_only=True)
class Pace:
    """When a peer may next be synced with. A wait doubles each time that it brought nothing new.

    `settled` is, for each topic, by how much the two sets differed after a round that brought
    nothing: while they differ by the same, asking again brings nothing either.
    """

    not_before_s: float = 0.0
    ended_s: float = 0.0
    wait_s: float = SHORTEST_WAIT_S
    full_at_s: float = 0.0
    settled: dict[str, tuple[int, int]] = field(default_factory=dict)

    def ended(self, now_s: float, *, brought: int) -> None:
        """Note that a round is over, and how many new records it brought."""
        self.wait_s = SHORTEST_WAIT_S if brought else min(2 * self.wait_s, LONGEST_WAIT_S)
        self.ended_s = now_s
        self.not_before_s = now_s + self.wait_s

    def reconnected(self) -> None:
        """Look again soon: much may have happened while the peer was away."""
        self.not_before_s = min(self.not_before_s, self.ended_s + RECONNECTED_WAIT_S)


class Paces:
    """The pace of each peer that was lately seen."""

    def __init__(self, *, peers: int = PEERS_TRACKED) -> None:
        self._paces: Recent[PeerId, Pace] = Recent(peers)

    def of(self, peer: PeerId) -> Pace:
        """Return a peer's pace, to be changed in place."""
        pace = self._paces[peer] = self._paces.get(peer) or Pace()
        return pace

    def __len__(self) -> int:
        return len(self._paces)
