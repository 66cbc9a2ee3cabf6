"""The costs of a coding agent's visits. A visit is one call of the agent, for one proposal.

The largest cost of a visit is reserved before the visit begins. Afterwards the program's report
gives the true cost. The program must stop at half of the reserved cost, since it checks its cost
only between its turns, and the current turn adds to it. If a visit ends without a report, or with
an impossible report, the whole reservation counts. A visit on a subscription costs no USD and is
limited by `visits_per_day`.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Final, TypeAlias

from agent.command import Assignment, Edited, Ran, Run
from agent.completion import CompletionFault, ModelCost
from agent.proposal import NoProposal
from agent.reported_usage import ReportedUsage
from agent.visit.trace import TraceStep
from agent.worker.prices import Price, Usage, nano_of
from node.home.config import Config
from node.proposing.budget import ModelCostBudget, Reservation
from node.store.model_calls import Charge
from protocol.errors import Rejected
from protocol.units import NANO

# Tokens of `tokens_per_day` reserved for a visit; most of its prompt tokens are repeated text.
VISIT_TOKENS: Final = 1_000_000
_STOPS_AT: Final = 0.5
_LATER_S = 3600.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """The result of a visit, the usage and steps that the agent reported, and the seconds."""

    result: Edited | Rejected
    reported: ReportedUsage | None
    seconds: float
    remark: str = ""
    steps: tuple[TraceStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitTerms:
    """The cost of a visit: at most `usd`. `price` applies if the program reports only its tokens.

    Without `is_paid` the tokens are free, and `usd` only limits the length of a visit.
    """

    usd: float
    price: Price
    is_paid: bool

    @property
    def stop_usd(self) -> float:
        """The cost in USD at which the program must stop."""
        return self.usd * _STOPS_AT

    def words(self, config: Config) -> str:
        """Return the limits on visits in words, for the user."""
        visits = f"at most {config.visits_per_day} visits a day (`visits_per_day`)"
        if not self.is_paid:
            return f"its visits count as 0 USD, as they are not paid by the token; {visits}"
        return (
            f"a visit may cost {self.usd:g} USD (`agent_usd`), a day {config.usd_per_day:g} USD"
            f" (`usd_per_day`); {visits}"
        )

    @property
    def stop_tokens(self) -> int:
        """The number of prompt tokens that cost `stop_usd`, at which the program must stop."""
        return max(1, nano_of(self.stop_usd) // max(1, self.price.usd_nano_in))

    @property
    def answer_weight(self) -> float:
        """The number of prompt tokens that cost as much as one answer token."""
        return round(self.price.usd_nano_out / max(1, self.price.usd_nano_in), 3)

    @property
    def most(self) -> Charge:
        """The largest cost of a visit, which is reserved before the visit begins."""
        return self._charge(Usage(tokens_in=VISIT_TOKENS, tokens_out=0), nano_of(self.usd))

    def charge(self, reported: ReportedUsage) -> Charge:
        """Return the cost of a visit according to the program's report."""
        usage = Usage(tokens_in=reported.tokens_in, tokens_out=reported.tokens_out)
        cost_nano = self.price.cost_nano(usage) if reported.usd_nano is None else reported.usd_nano
        return self._charge(usage, cost_nano)

    def _charge(self, usage: Usage, usd_nano: int) -> Charge:
        return Charge(
            tokens_in=usage.tokens_in,
            tokens_out=usage.tokens_out,
            usd_nano=usd_nano if self.is_paid else 0,
        )


Go: TypeAlias = Callable[[Assignment], Awaitable[Visit]]


def counted(go: Go, budget: ModelCostBudget, terms: VisitTerms) -> Run:
    """Return a run function that records the cost of each visit, even of failed visits."""

    async def run(job: Assignment) -> Ran:
        reservation = budget.reserve_visit(terms.most)
        if isinstance(reservation, CompletionFault):
            reason = f"over budget: {reservation.detail}"
            later_s = reservation.retry_s or _LATER_S
            return Ran(result=NoProposal(reason=reason, retry_s=later_s), cost=ModelCost())
        try:
            visit = await go(job)
        except BaseException:  # the program may have worked, and its report is lost
            budget.settle_charge(reservation, None)
            raise
        charge = budget.settle_charge(reservation, _believed(visit, reservation, terms))
        cost = ModelCost(calls=1, **asdict(charge))
        return Ran(result=visit.result, cost=cost, remark=visit.remark, steps=visit.steps)

    return run


def _believed(visit: Visit, reservation: Reservation, terms: VisitTerms) -> Charge | None:
    reported = visit.reported
    if reported is None:
        return None
    if not reported.can_be(visit.seconds):
        _log.warning(
            "a visit of %.0f s cannot have used %d input and %d output tokens; "
            "the reserved amount is counted",
            visit.seconds,
            reported.tokens_in,
            reported.tokens_out,
        )
        return None
    charge = terms.charge(reported)
    if charge.usd_nano > reservation.most.usd_nano:
        _log.warning(
            "a visit cost %.4f USD, but %.4f were allowed; the cost is counted",
            charge.usd_nano / NANO,
            reservation.most.usd_nano / NANO,
        )
    return charge
