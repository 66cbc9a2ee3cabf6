"""The lanes of a loop: which one a run goes to, when it may train there, and how many there are.

A lane is a device of one class, or a share of the processor, here or on another machine. Runs of
one job stay on one lane: on one device, so that pairs differ by their sources alone, and one after
the other, so that no two processes that know a secret split live on two lanes at once. A job whose
lane went away goes on at another.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from node.line.splits import random_seed
from protocol.source import Source
from trainer.measuring.lane import LaneRunner
from trainer.measuring.training import PutOff


class Lane:
    """One runner. `free`: the next run may train there; `in_flight`: so many runs are there."""

    def __init__(self, runner: LaneRunner) -> None:
        self.runner = runner
        self.in_flight = 0
        self.free = asyncio.Event()
        self._is_training = False
        self.look()

    @property
    def is_timed(self) -> bool:
        """Whether it is known what the baseline costs there in this session."""
        return self.runner.is_timed

    def is_baseline(self, source: Source) -> bool:
        """Whether a source is the task's own."""
        return source.tree == self.runner.task.source.tree

    def begin(self) -> None:
        """Take note of a run that begins to train."""
        self.in_flight += 1
        self._is_training = True
        self.look()

    def trained(self) -> None:
        """Take note that the run that began has trained."""
        self._is_training = False
        self.look()

    def end(self) -> None:
        """Take note of a run that has ended."""
        self.in_flight -= 1
        self.trained()

    def look(self) -> None:
        """See anew whether a run may train there."""
        if self._is_training or not self.runner.is_there:
            self.free.clear()
        else:
            self.free.set()


class Lanes:
    """All lanes of a session. `share_processor`: they are no devices of their own.

    `on_change` is called whenever a lane went away or came back.
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
            lane.runner.tell_presence(partial(self._look, lane, on_change))
        self._share_processor = share_processor and len(self._lanes) > 1
        self._of_job: dict[int, Lane] = {}
        self._calibrating = asyncio.Lock()

    @property
    def count(self) -> int:
        """How many runs may train at once."""
        return len(self._lanes)

    @property
    def most_beside(self) -> int:
        """How many runs may be in flight when another one begins.

        One run is scored while the next trains on its device: a second one waiting would only make
        bases stale. Where lanes share the processor each core has a run already, and the sandboxes
        that are started ahead fill its pauses: one more would cost memory and stretch CPU seconds
        beyond those of a baseline timed on all lanes. So a lane overlaps its runs only while
        another has none, as in a trial that nothing goes on beside. What waits for a quiet minute
        keeps nobody waiting.
        """
        return self.count - self._share_processor + len(self.waits_s)

    @property
    def waits_s(self) -> tuple[float, ...]:
        """For how many seconds at most each run that waits for a quiet minute goes on waiting."""
        return tuple(left_s for lane in self._lanes for left_s in lane.runner.waits_s)

    @staticmethod
    def _look(lane: Lane, on_change: Callable[[], None]) -> None:
        lane.look()
        on_change()

    async def calibrate(self) -> None:
        """Measure what the baseline costs in this session, on all that are there at once.

        If one goes away meanwhile, it is measured on each before its first run.
        """
        there = [lane.runner for lane in self._lanes if lane.runner.is_there]
        try:
            await _together(there)
        except PutOff:
            if all(runner.is_there for runner in there):
                raise

    async def get_ready(self, lane: Lane, source: Source) -> None:
        """Measure what the baseline costs on a lane before anything else is measured there.

        Of lanes that share the processor it is measured on all at once, so that each is timed as
        busy as they are from then on.
        """
        if not self._share_processor:
            if not (lane.is_timed or lane.is_baseline(source)):
                await _together([lane.runner])
            return
        async with self._calibrating:
            timed = [one.is_timed for one in self._lanes]
            # A new line's baseline comes first, and says what it costs itself.
            if not (all(timed) or (not any(timed) and lane.is_baseline(source))):
                await self.calibrate()

    def of(self, job: int) -> Lane:
        """Return the lane of a job; a new job's is one that is free, the least busy of those.

        So is that of one whose lane went away, once there is another.
        """
        lane = self._of_job.get(job)
        if lane is None or not lane.runner.is_there:
            self._of_job[job] = min(
                self._lanes,
                key=lambda one: (not one.runner.is_there, not one.free.is_set(), one.in_flight),
            )
        return self._of_job[job]

    def is_free(self, job: int) -> bool:
        """Whether a run of this job may train now."""
        return self.of(job).free.is_set()

    @property
    def has_free(self) -> bool:
        """Whether any run may train now."""
        return any(lane.free.is_set() for lane in self._lanes)

    def forget(self, job: int) -> None:
        """Let go of a job that has no more runs."""
        self._of_job.pop(job, None)

    async def one_free(self) -> None:
        """Wait until some run may train."""
        waits = [asyncio.create_task(lane.free.wait()) for lane in self._lanes]
        try:
            await asyncio.wait(waits, return_when="FIRST_COMPLETED")
        finally:
            for wait in waits:
                wait.cancel()


async def _together(runners: Sequence[LaneRunner]) -> None:
    """Calibrate them at once; if one fails, none goes on."""
    calibrations = [asyncio.create_task(runner.calibrate(random_seed())) for runner in runners]
    try:
        await asyncio.gather(*calibrations)
    finally:
        for calibration in calibrations:
            calibration.cancel()
        await asyncio.gather(*calibrations, return_exceptions=True)
