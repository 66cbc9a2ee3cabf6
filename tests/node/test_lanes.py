"""Several devices of one class: the placement and overlap of runs."""

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from node.home.home import Home
from node.loop.devices import Lanes
from node.loop.session_plan import Goal
from node.store.store import Store
from protocol.source import Source
from tests.node.examples import BASELINE
from tests.node.line_writers import proposal_of
from tests.node.scripted import Bench, ScriptedRunner, better, until
from trainer.measuring.outcome import RunOutcome
from trainer.measuring.training import PutOff
from trainer.runner import Runner

CANDIDATE = proposal_of(BASELINE, "0.5").source


def settled(work: Coroutine[Any, Any, None]) -> None:
    """Run it to its end."""
    asyncio.run(asyncio.wait_for(work, 60))


@pytest.fixture
def bench(home: Home, store: Store) -> Bench:
    return Bench(home=home, store=store, others=[ScriptedRunner(), ScriptedRunner()])


def runners(bench: Bench) -> list[ScriptedRunner]:
    return [bench.runner, *bench.others]


def test_each_device_trains_at_the_same_time(bench: Bench) -> None:
    bench.goal = Goal(max_experiments=6)
    settled(bench.research().run())  # a baseline and reference runs first
    for runner in runners(bench):
        runner.started.clear()
        runner.training = asyncio.Event()
    # Without one measurement of the working line there is nothing to screen against.
    bench.runner.training = None

    def hold_up(count: int) -> None:
        if count == 2:
            bench.runner.training = asyncio.Event()

    bench.runner.on_start = hold_up
    bench.goal = Goal(max_experiments=3)
    research = bench.research()

    async def work() -> None:
        loop = asyncio.create_task(research.run())
        await until(lambda: [len(one.started) for one in runners(bench)] == [2, 1, 1])
        trees = [one.started[-1] for one in runners(bench)]
        assert len(set(trees)) == 3
        for runner in runners(bench):
            assert runner.training is not None
            runner.training.set()
        await loop

    settled(work())
    assert bench.decisions().count("discarded") == 9


def test_the_runs_of_a_confirmation_stay_on_one_device(bench: Bench) -> None:
    for runner in runners(bench):
        runner.outcomes = dict([better("0.200")])
    bench.ideas = 1
    settled(bench.research().run())
    assert bench.decisions() == ["baseline", "kept", "adopted"]
    pairs = [[tree == BASELINE.tree for tree in one.started] for one in runners(bench)]
    # The confirmation alternates base and candidate; whatever else ran, all of it is in one place.
    confirming = [one for one in pairs if one.count(True) > 2 and one.count(False) > 2]
    assert len(confirming) == 1


def test_every_device_is_calibrated(bench: Bench) -> None:
    bench.goal = Goal(max_experiments=1)
    settled(bench.research().run())
    settled(bench.research().run())
    assert [one.calibrations for one in runners(bench)] == [1, 1, 1]


def test_a_device_measures_the_baseline_before_anything_else() -> None:
    class Fresh(ScriptedRunner):
        async def calibrate(self, seed: int) -> RunOutcome:
            self.baseline_cost = "measured"
            return await super().calibrate(seed)

    class Task:
        source = BASELINE

    runner = Fresh(baseline_cost=None)  # type: ignore[arg-type]
    runner.task = Task()  # type: ignore[attr-defined]
    lanes = Lanes([cast("Runner", runner)])
    lane = lanes.of(1)

    async def prepare() -> None:
        await lanes.get_ready(lane, BASELINE)
        assert runner.calibrations == 0
        await lanes.get_ready(lane, CANDIDATE)
        await lanes.get_ready(lane, CANDIDATE)

    asyncio.run(prepare())
    assert runner.calibrations == 1


def test_a_job_keeps_its_lane_and_a_new_one_takes_a_free_one() -> None:
    lanes = Lanes([cast("Runner", ScriptedRunner()) for _ in range(2)])
    first = lanes.of(1)
    first.begin()
    second = lanes.of(2)
    assert second is not first
    assert lanes.of(1) is first
    second.begin()
    assert lanes.of(3) in (first, second)

    async def wait() -> None:
        waiting = asyncio.create_task(lanes.one_free())
        await asyncio.sleep(0)
        assert not waiting.done()
        second.end()
        await waiting

    asyncio.run(wait())


class Elsewhere(ScriptedRunner):
    """A lane of another machine: what runs there when it goes away is put off."""

    async def run(self, source: Source, seed: int, **how: Any) -> RunOutcome:
        self.gone = asyncio.Event()
        running = asyncio.create_task(super().run(source, seed, **how))
        leaving = asyncio.create_task(self.gone.wait())
        await asyncio.wait({running, leaving}, return_when="FIRST_COMPLETED")
        if self.gone.is_set():
            running.cancel()
            raise PutOff
        return running.result()


def test_a_run_of_a_lane_that_went_away_is_made_again_with_its_seed_on_another(
    bench: Bench,
) -> None:
    bench.others = [Elsewhere(), ScriptedRunner()]
    first, second, third = runners(bench)
    third.is_there = False

    async def work() -> None:
        bench.goal = Goal(max_experiments=1)
        await bench.research().run()
        assert third.started == []
        assert third.calibrations == 0
        for runner in (first, second):
            runner.started.clear()
            runner.seeds.clear()
        second.training = asyncio.Event()

        def hold_up(count: int) -> None:
            if count == 2:  # the first measures the working line, to screen against
                first.training = asyncio.Event()

        first.on_start = hold_up
        bench.goal = Goal(max_experiments=2)
        research = bench.research()
        loop = asyncio.create_task(research.run())
        await until(lambda: len(second.started) == 1)
        lost = (second.started[0], second.seeds[0])
        second.go(is_there=False)
        cast("Elsewhere", second).gone.set()
        third.go(is_there=True)
        await until(lambda: bool(third.started))
        assert (third.started[0], third.seeds[0]) == lost
        assert first.training is not None
        first.training.set()
        await loop
        assert len(second.started) == 1

    settled(work())


def test_a_session_whose_lanes_have_all_gone_waits_for_one(bench: Bench) -> None:
    bench.goal = Goal(max_experiments=1)
    bench.others = []

    async def work() -> None:
        bench.runner.go(is_there=False)
        loop = asyncio.create_task(bench.research().run())
        for _ in range(200):
            await asyncio.sleep(0)
        assert bench.runner.started == []
        assert not loop.done()
        bench.runner.go(is_there=True)
        await loop
        assert bench.runner.started

    settled(work())
