"""A coding agent's visits: what they may cost is reserved, what they say that they took booked."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from agent.command import Assignment, Ran
from agent.completion import ModelCost
from agent.proposal import NoProposal
from agent.reported_usage import ReportedUsage
from agent.worker.prices import FREE, Price
from node.home.config import Config
from node.home.home import Home
from node.proposing.budget import ModelCostBudget, open_cost_database
from node.proposing.visits import VISIT_TOKENS, Visit, VisitTerms, counted
from node.store.database import Database
from node.store.model_calls import ModelCostLimits, ModelCostTotals
from protocol.errors import Rejected
from protocol.source import Source
from tests.node.test_budget import Clock

NANO = 10**9
JOB = Assignment(
    source=Source.of({"train.py": b"x = 1\n"}), extra_files=(), prompt="", argv=("claude",)
)
TERMS = VisitTerms(usd=1.0, price=Price(usd_nano_in=5_000, usd_nano_out=30_000), is_paid=True)
SUBSCRIBED = VisitTerms(usd=1.0, price=TERMS.price, is_paid=False)
USAGE = ReportedUsage(tokens_in=3_000, tokens_out=150, usd_nano=15_000_000)


class Agent:
    """Says each time that it took this, or breaks."""

    def __init__(self, reported: ReportedUsage | None) -> None:
        self.usage = reported
        self.visits = 0
        self.breaks = False

    async def go(self, job: Assignment) -> Visit:
        self.visits += 1
        if self.breaks:
            raise OSError("gone")
        return Visit(result=Rejected("nothing"), reported=self.usage, seconds=10.0)


@pytest.fixture
def cost_database(home: Home) -> Iterator[Database]:
    with open_cost_database(home) as database:
        yield database


def budget_of(cost_database: Database, **limits: int) -> ModelCostBudget:
    return ModelCostBudget(
        cost_database,
        limits=ModelCostLimits(**limits),
        model="claude",
        price=FREE,
        clock_ms=Clock(),
    )


def visit(agent: Agent, budget: ModelCostBudget, terms: VisitTerms = TERMS) -> Ran:
    return asyncio.run(counted(agent.go, budget, terms)(JOB))


def test_what_the_program_says_is_booked_and_passed_on(cost_database: Database) -> None:
    budget = budget_of(cost_database)
    ran = visit(Agent(USAGE), budget)
    assert ran.cost == ModelCost(calls=1, tokens_in=3_000, tokens_out=150, usd_nano=15_000_000)
    assert budget.spent() == ModelCostTotals(calls=1, visits=1, tokens=3_150, usd_nano=15_000_000)


def test_tokens_alone_are_charged_at_their_price(cost_database: Database) -> None:
    budget = budget_of(cost_database)
    visit(Agent(ReportedUsage(tokens_in=1_000, tokens_out=100)), budget)
    assert budget.spent().usd_nano == 1_000 * 5_000 + 100 * 30_000


def test_without_a_word_all_that_was_reserved_is_booked(cost_database: Database) -> None:
    budget = budget_of(cost_database)
    visit(Agent(None), budget)
    assert budget.spent() == ModelCostTotals(calls=1, visits=1, tokens=VISIT_TOKENS, usd_nano=NANO)


def test_a_word_that_cannot_be_true_is_none(
    cost_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    budget = budget_of(cost_database)
    visit(Agent(ReportedUsage(tokens_in=900_000_000, usd_nano=4_500 * NANO)), budget)
    assert budget.spent().usd_nano == NANO
    assert "cannot have used" in caplog.text


def test_a_turn_that_went_beyond_is_booked_and_said(
    cost_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    budget = budget_of(cost_database)
    visit(Agent(ReportedUsage(tokens_in=300_000, usd_nano=1_500_000_000)), budget)
    assert budget.spent().usd_nano == 1_500_000_000
    assert "cost 1.5000 USD, but 1.0000 were allowed" in caplog.text


@pytest.mark.parametrize(
    ("limits", "visits", "words"),
    [
        ({"usd_nano": 3 * NANO - 1}, 2, "`usd_per_day`"),
        ({"visits": 2}, 2, "2 visits of coding agents, and another question could exceed"),
        ({"calls": 2}, 2, "`calls_per_day`"),
        ({"tokens": 2 * VISIT_TOKENS}, 2, "`tokens_per_day`"),
    ],
)
def test_none_begins_that_could_pass_a_limit_of_the_day(
    cost_database: Database, limits: dict[str, int], visits: int, words: str
) -> None:
    agent = Agent(None)  # each takes all that it may, as far as anybody knows
    budget = budget_of(cost_database, **limits)
    ran = [visit(agent, budget) for _ in range(4)]
    refused = ran[-1].result
    assert isinstance(refused, NoProposal)
    assert words in refused.reason
    assert refused.retry_s == 12 * 3600  # the clock stands at noon
    assert ran[-1].cost == ModelCost()
    assert agent.visits == visits


def test_one_that_breaks_counts_in_full(cost_database: Database) -> None:
    agent = Agent(USAGE)
    agent.breaks = True
    budget = budget_of(cost_database)
    with pytest.raises(OSError, match="gone"):
        visit(agent, budget)
    assert budget.spent() == ModelCostTotals(calls=1, visits=1, tokens=VISIT_TOKENS, usd_nano=NANO)


def test_a_subscription_takes_tokens_and_no_usd(cost_database: Database) -> None:
    budget = budget_of(cost_database, usd_nano=0, visits=2)
    for reported in (USAGE, None, None):
        visit(Agent(reported), budget, SUBSCRIBED)
    assert budget.spent() == ModelCostTotals(
        calls=2, visits=2, tokens=3_150 + VISIT_TOKENS, usd_nano=0
    )


def test_a_models_questions_are_not_held_up_by_visits(cost_database: Database) -> None:
    from tests.node.test_budget import reserved

    budget = budget_of(cost_database, visits=1)
    visit(Agent(USAGE), budget)
    reserved(budget)
    assert budget.spent().calls == 2


def test_the_program_is_asked_to_stop_at_half_as_its_last_turn_is_still_paid() -> None:
    assert (TERMS.stop_usd, TERMS.stop_tokens, TERMS.answer_weight) == (0.5, 100_000, 6.0)


def test_what_bounds_the_visits_is_said_in_words() -> None:
    assert TERMS.words(Config()) == (
        "a visit may cost 1 USD (`agent_usd`), a day 5 USD (`usd_per_day`);"
        " at most 50 visits a day (`visits_per_day`)"
    )
    assert "count as 0 USD" in SUBSCRIBED.words(Config())
