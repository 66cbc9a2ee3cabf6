"""A coding agent's visits in the day's ledger: reserved before, settled by what the program says.

A visit is one question. The most that it may cost is reserved first; the program is told to stop at
half of it, since it looks between its turns only, and the turn at hand is still paid. Of a visit
that ended without a word, or with one that cannot be true, all that was reserved stays. What comes
with a subscription costs no USD, and is bounded by `visits_per_day`.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Final, TypeAlias

from agent.command import Assignment, Edited, Ran, Run
from agent.completion import CompletionFault, ModelCost
from agent.proposal import Silence
from agent.told import ToldUsage
from agent.worker.prices import Price, Usage, nano_of
from node.home.config import Config
from node.proposing.budget import Reservation, SpendingBudget
from node.store.model_calls import Charge
from protocol.errors import Rejected
from protocol.units import NANO

# What a visit reserves of `tokens_per_day`; most of what it reads is the same text again.
VISIT_TOKENS: Final = 1_000_000
_STOPS_AT: Final = 0.5
_LATER_S = 3600.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What came of a program, what it said that it took, and for how many seconds it was there."""

    result: Edited | Rejected
    told: ToldUsage | None
    seconds: float
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitTerms:
    """What a visit costs: at most `usd`, and `price` where the program tells its tokens alone.

    Without `is_paid` it costs nothing by the token, and `usd` bounds its length alone.
    """

    usd: float
    price: Price
    is_paid: bool

    @property
    def stop_usd(self) -> float:
        """What the program is told to stop at."""
        return self.usd * _STOPS_AT

    def words(self, config: Config) -> str:
        """Return what bounds the visits, for people."""
        visits = f"at most {config.visits_per_day} visits a day (`visits_per_day`)"
        if not self.is_paid:
            return f"its visits count as 0 USD, as they are not paid by the token; {visits}"
        return (
            f"a visit may cost {self.usd:g} USD (`agent_usd`), a day {config.usd_per_day:g} USD"
            f" (`usd_per_day`); {visits}"
        )

    @property
    def stop_tokens(self) -> int:
        """The same in tokens of a prompt."""
        return max(1, nano_of(self.stop_usd) // max(1, self.price.usd_nano_in))

    @property
    def answer_weight(self) -> float:
        """How many tokens of a prompt a token of an answer is worth."""
        return round(self.price.usd_nano_out / max(1, self.price.usd_nano_in), 3)

    @property
    def most(self) -> Charge:
        """What is reserved."""
        return self._charge(Usage(tokens_in=VISIT_TOKENS, tokens_out=0), nano_of(self.usd))

    def charge(self, told: ToldUsage) -> Charge:
        """Return what a visit took by the program's own word."""
        usage = Usage(tokens_in=told.tokens_in, tokens_out=told.tokens_out)
        reckoned = self.price.cost_nano(usage) if told.usd_nano is None else told.usd_nano
        return self._charge(usage, reckoned)

    def _charge(self, usage: Usage, usd_nano: int) -> Charge:
        return Charge(
            tokens_in=usage.tokens_in,
            tokens_out=usage.tokens_out,
            usd_nano=usd_nano if self.is_paid else 0,
        )


Go: TypeAlias = Callable[[Assignment], Awaitable[Visit]]


def counted(go: Go, budget: SpendingBudget, terms: VisitTerms) -> Run:
    """Return a run each of which is one question of the day, whatever comes of it."""

    async def run(job: Assignment) -> Ran:
        reservation = budget.reserve_visit(terms.most)
        if isinstance(reservation, CompletionFault):
            reason = f"over budget: {reservation.detail}"
            later_s = reservation.retry_s or _LATER_S
            return Ran(result=Silence(reason=reason, retry_s=later_s), cost=ModelCost())
        try:
            visit = await go(job)
        except BaseException:  # it may have been at work, and nobody hears of it any more
            budget.settle_charge(reservation, None)
            raise
        charge = budget.settle_charge(reservation, _believed(visit, reservation, terms))
        cost = ModelCost(calls=1, **asdict(charge))
        return Ran(result=visit.result, cost=cost, remark=visit.remark)

    return run


def _believed(visit: Visit, reservation: Reservation, terms: VisitTerms) -> Charge | None:
    told = visit.told
    if told is None:
        return None
    if not told.can_be(visit.seconds):
        _log.warning(
            "a visit of %.0f s cannot have taken %d and %d tokens; what was reserved is counted",
            visit.seconds,
            told.tokens_in,
            told.tokens_out,
        )
        return None
    charge = terms.charge(told)
    if charge.usd_nano > reservation.most.usd_nano:
        _log.warning(
            "a visit took %.4f USD where %.4f were allowed; that is counted",
            charge.usd_nano / NANO,
            reservation.most.usd_nano / NANO,
        )
    return charge
