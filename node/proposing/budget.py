"""The daily limits on a model's costs. A question is only sent if its largest cost fits.

First the largest possible cost of a question is reserved. A prompt cannot have more tokens than
UTF-8 bytes, apart from the chat template, and the length of the answer is limited. The server's
reported usage then replaces the reservation, but only up to what the sent and received bytes allow.
If a question ends without a report, the whole reservation counts.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from agent.completion import NO_COST, CompletionFault, CompletionRequest
from agent.worker.prices import Price, Usage, nano_of
from node.home.config import Config
from node.home.home import Home
from node.store import model_calls
from node.store.database import Database
from node.store.model_calls import Charge, LimitName, ModelCostLimits, ModelCostTotals
from node.store.store import Store
from protocol.units import NANO

# Tokens that a chat template adds around each message, and before them all (its own system prompt).
MESSAGE_TOKENS: Final = 16
QUESTION_TOKENS: Final = 256
_MINE: Final = {
    "usd_per_day": "{usd:g} USD",
    "tokens_per_day": "{tokens} tokens",
    "calls_per_day": "{calls} questions",
    "visits_per_day": "{visits} visits of coding agents",
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A question whose largest cost is reserved."""

    number: int
    most: Charge


@dataclass(frozen=True, slots=True)
class ModelCostBudget:
    """The budget of one home for one model. All processes of the home share the daily limits.

    `model` is the name under which questions are recorded. It includes the name of the owner's file
    of instructions, if the proposer uses one.
    """

    database: Database
    _: KW_ONLY
    limits: ModelCostLimits
    model: str
    price: Price
    clock_ms: Callable[[], int]

    def reserve(self, question: CompletionRequest) -> Reservation | CompletionFault:
        """Reserve the largest cost of a question; return a fault if it could exceed a limit."""
        return self._reserve(self._charge(most_of(question)))

    def reserve_visit(self, most: Charge) -> Reservation | CompletionFault:
        """Reserve the largest cost of one call of a coding agent (a visit)."""
        return self._reserve(most, is_visit=True)

    def settle(
        self, reservation: Reservation, usage: Usage | None, *, answer_bytes: int = 0
    ) -> Charge:
        """Charge the usage that a server reports, and return the charge.

        If the usage is None, the whole reservation is charged.
        More answer tokens than reserved are charged only if the answer has as many bytes. A second
        call for the same reservation changes nothing.
        """
        if usage is None:
            return self.settle_charge(reservation, None)
        most = reservation.most
        possible = Usage(
            tokens_in=min(usage.tokens_in, most.tokens_in),
            tokens_out=min(usage.tokens_out, max(most.tokens_out, answer_bytes)),
        )
        if possible != usage:
            _log.warning(
                "%s reports %d input and %d output tokens, which is impossible: "
                "%d and %d are counted",
                self.model,
                usage.tokens_in,
                usage.tokens_out,
                possible.tokens_in,
                possible.tokens_out,
            )
        return self.settle_charge(reservation, self._charge(possible))

    def settle_charge(self, reservation: Reservation, actual: Charge | None) -> Charge:
        """Charge what a model's answer or an agent's visit cost, and return it.

        If the cost is None (unknown), charge the reserved amount."""
        if not model_calls.settle(self.database, reservation.number, actual):
            _log.warning("question %d was settled already", reservation.number)
            return Charge(tokens_in=0, tokens_out=0, usd_nano=0)
        return reservation.most if actual is None else actual

    def spent(self) -> ModelCostTotals:
        """Return today's costs so far."""
        return model_calls.costs_on_day(self.database, model_calls.day_of(self.clock_ms()))

    def _reserve(self, most: Charge, *, is_visit: bool = False) -> Reservation | CompletionFault:
        now_ms = self.clock_ms()
        number = model_calls.reserve(
            self.database,
            limits=self.limits,
            model=self.model,
            most=most,
            now_ms=now_ms,
            is_visit=is_visit,
        )
        if isinstance(number, int):
            return Reservation(number=number, most=most)
        return self._over(number, now_ms)

    def _charge(self, usage: Usage) -> Charge:
        return Charge(
            tokens_in=usage.tokens_in,
            tokens_out=usage.tokens_out,
            usd_nano=self.price.cost_nano(usage),
        )

    def _over(self, limit: LimitName, now_ms: int) -> CompletionFault:
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        spent = self.spent()
        so_far = _MINE[limit].format(
            usd=spent.usd_nano / NANO,
            tokens=spent.tokens,
            calls=spent.calls,
            visits=spent.visits,
        )
        return CompletionFault(
            kind="over_budget",
            detail=f"today's use is {so_far}, and another question could exceed `{limit}`;"
            f" the day ends at {midnight:%Y-%m-%d %H:%M} UTC",
            retry_s=(midnight - now).total_seconds(),
            cost=NO_COST,
        )


def most_of(question: CompletionRequest) -> Usage:
    """Return the largest number of tokens that a question can use.

    No tokenizer makes more tokens than a text has bytes, since the smallest token is one byte
    (Sennrich et al. 2016 with bytes as symbols; SentencePiece falls back to bytes).
    """
    text_bytes = sum(
        len(message.content.encode("utf-8", "replace")) + MESSAGE_TOKENS
        for message in question.messages
    )
    return Usage(tokens_in=text_bytes + QUESTION_TOKENS, tokens_out=question.max_tokens)


def limits_of(config: Config) -> ModelCostLimits:
    """Return the limits in the settings."""
    return ModelCostLimits(
        calls=config.calls_per_day,
        visits=config.visits_per_day,
        tokens=config.tokens_per_day,
        usd_nano=nano_of(config.usd_per_day),
    )


def spent_today(store: Store, now_ms: int) -> ModelCostTotals:
    """Return the models' costs on the day (UTC) that contains `now_ms`, as `status` shows them."""
    return model_calls.costs_on_day(store.database, model_calls.day_of(now_ms))


def limit_reached(store: Store, limits: ModelCostLimits, now_ms: int) -> LimitName | None:
    """Return the name of the daily limit that the next question would exceed; None if it fits.

    The next question is assumed to use as much as the largest question on the day of `now_ms`.
    """
    calls = model_calls.calls_on(store.database, model_calls.day_of(now_ms))
    spent = spent_today(store, now_ms)
    return limits.passed_by(
        ModelCostTotals(
            calls=spent.calls + 1,
            visits=spent.visits + any(call.is_visit for call in calls),
            tokens=spent.tokens + max((call.charge.tokens for call in calls), default=1),
            usd_nano=spent.usd_nano + max((call.charge.usd_nano for call in calls), default=0),
        )
    )


def usd_left_today(store: Store, config: Config, now_ms: int) -> float | None:
    """Return the USD left for models on the day of `now_ms`; None if they have cost nothing."""
    spent = spent_today(store, now_ms)
    left_nano = nano_of(config.usd_per_day) - spent.usd_nano
    return max(0, left_nano) / NANO if spent.usd_nano else None


@contextmanager
def open_cost_database(home: Home) -> Iterator[Database]:
    """Yield a separate connection to the database of a home's model costs.

    It is separate so that a reservation is written to disk independently of the node's other
    transactions.
    """
    home.prepare()
    with closing(Database.open(home.store)) as database:
        yield database


@contextmanager
def temporary_cost_database() -> Iterator[Database]:
    """Yield a temporary database of model costs, for use without a home."""
    with closing(Database.in_memory(Path(":memory:"))) as database:
        yield database
