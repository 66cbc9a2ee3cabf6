"""Counts a coding agent's visits: what they cost nobody says, but how many there are is known."""

from agent.completion import Fault
from agent.proposal import Context, Proposal, Silence, SlowProposer
from agent.worker.prices import Usage
from node.proposing.budget import Budget

_LATER_S = 3600.0
_UNTOLD = Usage(tokens_in=0, tokens_out=0)


class CountedVisits:
    """A proposer each of whose proposals is one question of the day, whatever comes of it."""

    def __init__(self, proposer: SlowProposer, budget: Budget) -> None:
        self._proposer = proposer
        self._budget = budget

    @property
    def name(self) -> str:
        """Who proposes."""
        return self._proposer.name

    async def propose(self, context: Context) -> Proposal | Silence:
        """Ask it, unless the day has no room for another question."""
        reservation = self._budget.reserve_visit()
        if isinstance(reservation, Fault):
            reason = f"over budget: {reservation.detail}"
            return Silence(reason=reason, retry_s=reservation.retry_s or _LATER_S)
        try:
            return await self._proposer.propose(context)
        finally:
            self._budget.settle(reservation, _UNTOLD)
