"""A lane elsewhere measures what a runner here does, bit by bit, whatever ends its program."""

import asyncio
import os
import signal
from contextlib import suppress

import pytest

from protocol.errors import ConfigurationError
from protocol.source import Source
from tests.remote.programs import LaneHome
from tests.trainer.audits import audited
from tests.trainer.runners import SPLIT, runner_of
from tests.trainer.test_runner import figures
from trainer.language_model.data import TaskData
from trainer.measuring.loss_curve import LossCurve
from trainer.measuring.training import PutOff

READ = "batches = make_dataloader("
SLOW = f"print('step 1/10 loss 9.0', flush=True)\nimport time\ntime.sleep(60)\n{READ}"
SUM = "return sum("
SLEEP = "time.sleep(20)\n    "


def edited(lane_home: LaneHome, first: str) -> Source:
    """Return the baseline with lines before it adds up."""
    text = lane_home.task.source["solve.py"].decode()
    assert SUM in text
    return lane_home.task.source.replacing("solve.py", text.replace(SUM, first + SUM).encode())


async def _back(lane: object) -> None:
    while not lane.is_there:  # type: ignore[attr-defined]  # noqa: ASYNC110 (nothing signals it)
        await asyncio.sleep(0.05)


@pytest.mark.soak
def test_a_lane_measures_and_stops_what_a_runner_here_does(
    training_home: LaneHome, short_data: TaskData
) -> None:
    # It prints its loss, then takes its time.
    text = training_home.task.source["train.py"].decode()
    assert READ in text
    slow = training_home.task.source.replacing("train.py", text.replace(READ, SLOW).encode())

    async def measure() -> None:
        products: list[bytes] = []
        products_there: list[bytes] = []
        curves: list[LossCurve] = []
        async with training_home.lanes() as lanes:
            source, (lane,) = training_home.task.source, lanes.runners
            await lane.calibrate(1)
            assert lane.is_timed
            runner = runner_of(training_home.task, short_data)
            try:
                here = await runner.run(source, 5, split=SPLIT, on_product=products.append)
            finally:
                await runner.close()
            there = await lane.run(
                source,
                5,
                split=SPLIT,
                incumbent=here.answers,
                on_training=curves.append,
                on_product=products_there.append,
            )
            assert figures(there) == figures(here)
            assert products_there == products
            assert there.curve == here.curve
            assert there.audit is not None
            assert {one.part for one in there.stages} == {one.part for one in here.stages}
            assert lane.machine
            (curve,) = curves
            assert len(curve.points) <= len(here.curve)
            unaudited = await lane.run(source, 5, split=SPLIT, needs_audit=audited(False))
            assert unaudited.audit is None
            assert figures(unaudited)[:2] == figures(here)[:2]
            outcome = await lane.run(
                slow, 5, is_hopeless=lambda curve: "no hope" if curve.points else None
            )
            assert (outcome.status, outcome.reason) == ("stopped", "no hope")

    asyncio.run(measure())


@pytest.mark.soak
def test_what_a_killed_lane_ran_is_put_off_and_the_lane_comes_back(
    lane_home: LaneHome,
) -> None:
    async def measure() -> None:
        async with lane_home.lanes() as lanes:
            (lane,) = lanes.runners
            changed = asyncio.Event()
            lane.notify_presence(changed.set)
            await lane.calibrate(1)
            running = asyncio.create_task(lane.run(edited(lane_home, SLEEP), 5))
            await asyncio.sleep(0.5)
            (program,) = lane_home.programs()
            os.kill(program, signal.SIGKILL)
            with pytest.raises(PutOff):
                await running
            assert changed.is_set()
            assert not lane.is_there
            with pytest.raises(PutOff):
                await lane.run(lane.task.source, 5)
            await _back(lane)
            assert not lane.is_timed
            await lane.calibrate(1)
            assert (await lane.run(lane.task.source, 5)).status == "ok"
            assert lanes.states[0].times_lost == 1
            assert [text for text in lane_home.said if "was lost" in text]

    asyncio.run(measure())


def test_nothing_of_a_lane_is_left_once_its_node_has_gone(
    lane_home: LaneHome,
) -> None:
    async def measure() -> None:
        async with lane_home.lanes(2) as lanes:
            await lanes.runners[0].calibrate(1)
            running = asyncio.create_task(lanes.runners[0].run(edited(lane_home, SLEEP), 5))
            await asyncio.sleep(0.5)
            assert len(list(lane_home.programs())) == 2
        with suppress(asyncio.CancelledError):
            running.cancel()
            await running
        assert list(lane_home.programs()) == []

    asyncio.run(measure())


def test_a_run_that_is_given_up_leaves_its_lane_to_the_next(
    lane_home: LaneHome,
) -> None:
    async def measure() -> None:
        async with lane_home.lanes() as lanes:
            (lane,) = lanes.runners
            await lane.calibrate(1)
            running = asyncio.create_task(lane.run(edited(lane_home, SLEEP), 5))
            await asyncio.sleep(0.5)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            async with asyncio.timeout(30):
                assert (await lane.run(lane.task.source, 6)).status == "ok"

    asyncio.run(measure())


def test_a_lane_that_has_another_task_says_so(lane_home: LaneHome) -> None:
    async def open_it() -> None:
        async with lane_home.lanes(id=bytes(32)):
            pass

    with pytest.raises(ConfigurationError, match="differs between the lane") as fault:
        asyncio.run(open_it())
    assert "same version" in fault.value.hint


def test_a_lane_that_lacks_the_task_says_so(lane_home: LaneHome) -> None:
    async def open_it() -> None:
        async with lane_home.lanes(task="no-such-task"):
            pass

    with pytest.raises(ConfigurationError, match="no-such-task"):
        asyncio.run(open_it())
