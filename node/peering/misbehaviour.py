"""Faults and excess of peers, counted until a peer is dropped for them."""

import logging
from collections.abc import Callable

from node.home.addresses import PeerId
from node.network.peer_budgets import BudgetVerdict, CostKind, PeerLimits
from node.peering.carrier import Carrier
from node.peering.messages import M, RefusedError
from protocol.errors import Rejected

_log = logging.getLogger("node.peering")


class Misbehaviour:
    """What peers did here that they should not have. It outlives their connections.

    A few faults are forgiven, one a minute (`limits.ALLOWANCES`): versions differ. Of more than
    `PEERS_TRACKED` peers the longest unseen are forgotten. `clock` is in seconds.
    """

    def __init__(self, carrier: Carrier, clock: Callable[[], float]) -> None:
        self._carrier = carrier
        # Of what peers ask and answer, which only this process reads; the network process has
        # limits of its own for what they send, which ends there (`NetworkHost._sent_limits`).
        self._asked_limits = PeerLimits(clock)

    async def blame(self, peer: PeerId, why: str, *, times: int = 1) -> None:
        """Count so many faults against a peer; drop it if that is too many."""
        _log.info("peer %s: %s", peer, why)
        if self._asked_limits.spend(peer, CostKind.FAULTS, times) is BudgetVerdict.DROP:
            await self._carrier.drop(peer, why)

    async def checked(self, peer: PeerId, what: str, question: M | Rejected) -> M:
        """Return a peer's question if it reads; else blame the peer, and raise RefusedError."""
        if isinstance(question, Rejected):
            await self.blame(peer, f"{what} that is none: {question.reason}")
            raise RefusedError(f"{what} that is none: {question.reason}")
        return question

    async def allows(self, peer: PeerId, kind: CostKind, amount: float) -> bool:
        """Take `amount` from a peer's budget of a kind; tell whether it may have more.

        A peer far beyond its budget is dropped.
        """
        verdict = self._asked_limits.spend(peer, kind, amount)
        if verdict is BudgetVerdict.DROP:
            await self._carrier.drop(peer, f"it takes too much: {kind.name.lower()}")
        return verdict is BudgetVerdict.ALLOWED
