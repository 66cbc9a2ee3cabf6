"""A coding agent's proposals count as questions of the day, whatever comes of them."""

import asyncio
from collections.abc import Iterator

import pytest

from agent.proposal import Context, Proposal, Silence
from agent.worker.prices import FREE
from node.home import Home
from node.proposing.budget import Budget, ledger_of
from node.proposing.visits import CountedVisits
from node.store.database import Database
from node.store.model_calls import Limits, Spending
from tests.agent.contexts import context
from tests.node.test_budget import Clock

NOTHING = Silence(reason="it changed nothing", retry_s=1.0)


class Agent:
    """Answers in vain, or breaks."""

    name = "claude"

    def __init__(self) -> None:
        self.visits = 0
        self.breaks = False

    async def propose(self, context: Context) -> Proposal | Silence:
        self.visits += 1
        if self.breaks:
            raise OSError("gone")
        return NOTHING


@pytest.fixture
def ledger(home: Home) -> Iterator[Database]:
    with ledger_of(home) as database:
        yield database


def counted(agent: Agent, ledger: Database, *, calls: int) -> tuple[CountedVisits, Budget]:
    budget = Budget(
        ledger, limits=Limits(calls=calls), model="claude", price=FREE, clock_ms=Clock()
    )
    return CountedVisits(agent, budget), budget


def test_it_is_asked_as_often_as_the_day_allows_and_then_not_before_the_next(
    ledger: Database,
) -> None:
    agent = Agent()
    visits, budget = counted(agent, ledger, calls=2)
    said = [asyncio.run(visits.propose(context())) for _ in range(3)]
    assert said[:2] == [NOTHING, NOTHING]
    assert isinstance(said[2], Silence)
    assert "2 questions, and another question could pass `calls_per_day`" in said[2].reason
    assert said[2].retry_s == 12 * 3600  # the clock stands at noon
    assert agent.visits == 2
    assert budget.spent() == Spending(calls=2)
    assert visits.name == "claude"


def test_one_that_breaks_counts_too(ledger: Database) -> None:
    agent = Agent()
    agent.breaks = True
    visits, budget = counted(agent, ledger, calls=1)
    with pytest.raises(OSError, match="gone"):
        asyncio.run(visits.propose(context()))
    assert budget.spent() == Spending(calls=1)
