"""Several tasks on one node: what the flags mean, and that turns change between trials."""

import asyncio
from dataclasses import replace

import pytest

from node.home.home import Home
from node.line.checkpoint import CheckpointStep
from node.line.job_kinds import KINDS
from node.running.turns import Share, for_a_turn, shares_of
from node.store.store import Store
from protocol.errors import UsageError
from protocol.rule import DEFAULT
from tests.node.books import ledger_of
from tests.node.scripted import Bench, ScriptedRunner, better, until


@pytest.fixture
def bench(home: Home, store: Store) -> Bench:
    return Bench(home=home, store=store)


def test_a_task_has_the_parts_of_the_time_that_its_flag_names() -> None:
    shares = shares_of(["tiny", "sql:2", "./a:b/tour:3"])
    assert shares == (
        Share(task="tiny", parts=1),
        Share(task="sql", parts=2),
        Share(task="./a:b/tour", parts=3),
    )


@pytest.mark.parametrize(
    ("flags", "told"),
    [(["tiny:0"], "no part of the time"), (["tiny", "tiny:2"], "is there twice")],
)
def test_shares_that_are_none_are_refused(flags: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        shares_of(flags)


def test_a_turn_that_is_over_ends_the_session_once_what_is_open_is_decided(bench: Bench) -> None:
    research = bench.research()
    bench.runner.on_start = lambda count: research.make_way("next") if count == 6 else None
    asyncio.run(asyncio.wait_for(research.run(), 20))
    assert research.has_given_way
    assert not research.is_stopped
    line = ledger_of(bench.home, bench.store).key
    assert bench.store.jobs.open_jobs(line, *KINDS) == []
    assert "next" in bench.said


def test_a_trial_of_pairs_is_decided_before_another_task_has_its_turn(bench: Bench) -> None:
    bench.rates = ["0.3"]
    bench.runner = ScriptedRunner(outcomes=dict([better("0.3")]))
    bench.policy = replace(DEFAULT, keeps_per_checkpoint=1)
    research = bench.research()
    line = ledger_of(bench.home, bench.store).key

    def give_way_in_a_trial(_count: int) -> None:
        if bench.store.jobs.open_jobs(line, CheckpointStep):
            research.make_way("next")

    bench.runner.on_start = give_way_in_a_trial
    asyncio.run(asyncio.wait_for(research.run(), 60))
    assert research.has_given_way
    assert bench.store.jobs.open_jobs(line, *KINDS) == []
    (trial,) = bench.store.jobs.closed_jobs(line, CheckpointStep)
    assert trial.step.measured is not None


def test_what_a_user_stops_is_no_turn(bench: Bench) -> None:
    research = bench.research()
    bench.runner.on_start = lambda count: research.stop() if count == 4 else None
    asyncio.run(asyncio.wait_for(research.run(), 20))
    research.make_way("too late")
    assert research.is_stopped
    assert not research.has_given_way


def test_the_clock_ends_a_turn(bench: Bench) -> None:
    research = bench.research()

    async def work() -> None:
        async with for_a_turn(research, 0.0, "sql"):
            running = asyncio.create_task(research.run())
            await until(lambda: research.has_given_way)
            await running

    asyncio.run(asyncio.wait_for(work(), 20))
    assert any("sql is next" in line for line in bench.said)
