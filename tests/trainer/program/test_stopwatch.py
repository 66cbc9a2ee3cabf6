"""The clock of a candidate: its limit, and the time that other load takes from it."""

import asyncio

import pytest

from trainer.measuring.metering import RunFailed
from trainer.program.stopwatch import Stopwatch


def run_for(seconds: float, *, share: float, limit_s: float = 0.1) -> float:
    async def work() -> float:
        watch = Stopwatch(limit_s, "an instance", outside_share=lambda: share)
        async with watch.running():
            await asyncio.sleep(seconds)
        return watch.used_s

    return asyncio.run(work())


def test_it_ends_what_takes_longer_than_the_limit() -> None:
    with pytest.raises(RunFailed, match=r"an instance took more than 0\.1 s"):
        run_for(5.0, share=0.0)


def test_where_other_programs_have_most_of_the_processors_the_limit_is_as_many_times_as_long() -> (
    None
):
    assert run_for(0.2, share=0.8) >= 0.2


def test_there_is_an_end_also_where_other_programs_have_all() -> None:
    with pytest.raises(RunFailed, match="took more than"):
        run_for(5.0, share=1.0)


def test_a_block_that_begins_after_the_limit_is_put_off_as_well() -> None:
    async def work() -> float:
        watch = Stopwatch(0.2, "an instance", outside_share=lambda: 0.8)
        for _ in range(3):
            async with watch.running():
                await asyncio.sleep(0.15)
        return watch.used_s

    assert asyncio.run(work()) > 0.4


def test_several_blocks_share_a_limit_that_was_put_off() -> None:
    async def work() -> None:
        watch = Stopwatch(0.1, "an instance", outside_share=lambda: 0.5)
        for _ in range(100):
            async with watch.running():
                await asyncio.sleep(0.02)

    with pytest.raises(RunFailed):
        asyncio.run(work())


@pytest.mark.parametrize(("share", "times"), [(0.0, 1.0), (0.5, 2.0), (0.8, 5.0), (1.0, 8.0)])
def test_the_limit_is_reached_as_many_times_as_late_as_other_programs_slow_it(
    share: float, times: float
) -> None:
    watch = Stopwatch(0.2, "an instance", outside_share=lambda: share)
    assert watch._end(100.0) == pytest.approx(100.0 + 0.2 * (times - 1))
