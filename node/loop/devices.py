"""The lanes of a loop: which lane a run uses, when it may train there, and how many there are.

All runs of one job use the same lane, one after the other. So runs of a pair differ by their
sources alone, and a secret split is never known to processes on two lanes at once. A job whose lane
is lost continues on another lane.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from node.line.splits import random_seed
from protocol.source import Source
from trainer.measuring.lane import LaneRunner
from trainer.measuring.training import PutOff


class Lane:
    """A lane with its runner. `free` is set while a run may train; `in_flight` counts its runs."""

    def __init__(self, runner: LaneRunner) -> None:
        self.runner = runner
        self.in_flight = 0
        self.free = asyncio.Event()
        self._is_training = False
        self.look()

    @property
    def is_timed(self) -> bool:
        """True if the cost of the baseline on this lane is known in this session."""
        return self.runner.is_timed

    def is_baseline(self, source: Source) -> bool:
        """Return True if a source is the task's baseline."""
        return source.tree == self.runner.task.source.tree

    def begin(self) -> None:
        """Record that a run begins to train."""
        self.in_flight += 1
        self._is_training = True
        self.look()

    def trained(self) -> None:
        """Record that the current run has finished training."""
        self._is_training = False
        self.look()

    def end(self) -> None:
        """Record that a run has ended."""
        self.in_flight -= 1
        self.trained()

    def look(self) -> None:
        """Check again whether a run may train here, and set `free` accordingly."""
        if self._is_training or not self.runner.is_there:
            self.free.clear()
        else:
            self.free.set()


class Lanes:
    """All lanes of a session. `share_processor`: the lanes share one processor.

    `on_change` is called whenever a lane is lost or returns.
    """

    def __init__(
        self,
        runners: Sequence[LaneRunner],
        *,
        share_processor: bool = False,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._lanes = [Lane(runner) for runner in runners]
        for lane in self._lanes:
            lane.runner.notify_presence(partial(self._look, lane, on_change))
        self._share_processor = share_processor and len(self._lanes) > 1
        self._of_job: dict[int, Lane] = {}
        self._calibrating = asyncio.Lock()

    @property
    def count(self) -> int:
        """The number of lanes, and of runs that may train at once."""
        return len(self._lanes)

    @property
    def most_alongside(self) -> int:
        """The number of other runs that may be in progress when a run begins.

        A lane scores one run while it trains the next one. It queues no further runs: until they
        began, the working line might change, and their base would be outdated. Lanes that share the
        processor already have a run on each core. One more run would use memory, and more CPU
        seconds than the baseline, which was timed while all lanes were busy. So such a lane scores
        and trains at once only while another lane is unused, for example in a trial without
        experiments. Runs that wait for an idle machine do not count.
        """
        return self.count - self._share_processor + len(self.waits_s)

    @property
    def waits_s(self) -> tuple[float, ...]:
        """The longest remaining wait, in seconds, of each run that waits for an idle machine."""
        return tuple(left_s for lane in self._lanes for left_s in lane.runner.waits_s)

    @staticmethod
    def _look(lane: Lane, on_change: Callable[[], None]) -> None:
        lane.look()
        on_change()

    async def calibrate(self) -> None:
        """Measure the cost of the baseline in this session, on all available lanes at once.

        If a lane is lost meanwhile, each lane is calibrated before its first run instead.
        """
        there = [lane.runner for lane in self._lanes if lane.runner.is_there]
        try:
            await _together(there)
        except PutOff:
            if all(runner.is_there for runner in there):
                raise

    async def get_ready(self, lane: Lane, source: Source) -> None:
        """Measure the cost of the baseline on a lane before the first other run there.

        Lanes that share the processor are calibrated at once, so that the baseline is timed under
        the load of later runs.
        """
        if not self._share_processor:
            if not (lane.is_timed or lane.is_baseline(source)):
                await _together([lane.runner])
            return
        async with self._calibrating:
            timed = [one.is_timed for one in self._lanes]
            # The first run of a new line is the baseline, which measures that cost itself.
            if not (all(timed) or (not any(timed) and lane.is_baseline(source))):
                await self.calibrate()

    def of(self, job: int) -> Lane:
        """Return the lane of a job. A new job gets the least busy of the free lanes.

        A job whose lane is lost gets a new lane in the same way.
        """
        lane = self._of_job.get(job)
        if lane is None or not lane.runner.is_there:
            self._of_job[job] = min(
                self._lanes,
                key=lambda one: (not one.runner.is_there, not one.free.is_set(), one.in_flight),
            )
        return self._of_job[job]

    def is_free(self, job: int) -> bool:
        """Return True if a run of this job may train now."""
        return self.of(job).free.is_set()

    @property
    def has_free(self) -> bool:
        """True if any run may train now."""
        return any(lane.free.is_set() for lane in self._lanes)

    def forget(self, job: int) -> None:
        """Forget the lane of a job without further runs."""
        self._of_job.pop(job, None)

    async def one_free(self) -> None:
        """Wait until a lane is free."""
        waits = [asyncio.create_task(lane.free.wait()) for lane in self._lanes]
        try:
            await asyncio.wait(waits, return_when="FIRST_COMPLETED")
        finally:
            for wait in waits:
                wait.cancel()


async def _together(runners: Sequence[LaneRunner]) -> None:
    """Calibrate all runners at once; if one fails, cancel the others."""
    calibrations = [asyncio.create_task(runner.calibrate(random_seed())) for runner in runners]
    try:
        await asyncio.gather(*calibrations)
    finally:
        for calibration in calibrations:
            calibration.cancel()
        await asyncio.gather(*calibrations, return_exceptions=True)
