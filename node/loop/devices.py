"""The devices of one class that a loop has: which one a run goes to, and when it may train there.

Runs of one job stay on one device, so that pairs differ by their sources alone.
"""

import asyncio
from collections.abc import Sequence

from node.line.splits import random_seed
from protocol.source import Source
from trainer.runner import Runner


class Lane:
    """One device. `free`: the next run may train there."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.free = asyncio.Event()
        self.free.set()

    async def get_ready(self, source: Source) -> None:
        """Measure what the baseline costs on this device, before anything else is."""
        runner = self.runner
        if runner.baseline_cost is None and source.tree != runner.task.source.tree:
            await runner.calibrate(random_seed())


class Lanes:
    """All devices of a session."""

    def __init__(self, runners: Sequence[Runner]) -> None:
        self._lanes = [Lane(runner) for runner in runners]
        self._of_job: dict[int, Lane] = {}

    @property
    def count(self) -> int:
        """How many runs may train at once."""
        return len(self._lanes)

    async def calibrate(self) -> None:
        """Measure what the baseline costs in this session, on all of them at once."""
        await asyncio.gather(*(lane.runner.calibrate(random_seed()) for lane in self._lanes))

    def of(self, job: int) -> Lane:
        """Return the lane of a job; a new job's is one that is free, if any is."""
        if job not in self._of_job:
            self._of_job[job] = next((x for x in self._lanes if x.free.is_set()), self._lanes[0])
        return self._of_job[job]

    async def one_free(self) -> None:
        """Wait until some run may train."""
        waits = [asyncio.create_task(lane.free.wait()) for lane in self._lanes]
        try:
            await asyncio.wait(waits, return_when="FIRST_COMPLETED")
        finally:
            for wait in waits:
                wait.cancel()
