"""Runners of any task, and what they measure."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from trainer.compiled import CompiledCode
from trainer.device import Device
from trainer.outcome import RunOutcome
from trainer.runner import Runner
from trainer.task import Task
from trainer.text.data import TaskData


def runner_of(
    task: Task,
    data: TaskData,
    device: Device | None = None,
    compiled: CompiledCode | None = None,
) -> Runner:
    """Return a runner with a secret and with seeds for audits (default: on the processor)."""
    return Runner(
        task,
        data,
        device=device,
        compiled=compiled,
        secret_rows=data.secret_rows(b"a node's secret", 0),
        audit_key=b"a test's key",
    )


@contextmanager
def blamed_at_once() -> Iterator[None]:
    """Blame a source for what it cost, and not the machine.

    The tests beside this one are a crowd, in which a source that is to end at a limit would be run
    three times.
    """
    with mock.patch.object(Runner, "_cost_now", mock.AsyncMock(return_value=None)):
        yield


def measured(task: Task, data: TaskData, first: int, *seeds: int) -> list[RunOutcome]:
    """Return the baseline's calibration with the first seed, then its runs with the others."""

    async def measure() -> list[RunOutcome]:
        runner = runner_of(task, data)
        try:
            calibration = await runner.calibrate(first)
            return [calibration, *[await runner.run(task.source, seed) for seed in seeds]]
        finally:
            await runner.close()

    return asyncio.run(measure())
