"""Runners of any task, and what they measure."""

import asyncio

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
        patience_s=0.0,  # the tests beside this one are a crowd that never goes
    )


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
