"""Runners of any task, and what they measure."""

import asyncio

from trainer.host.device import Device
from trainer.language_model.data import TaskData
from trainer.measuring.outcome import RunOutcome
from trainer.runner import Runner
from trainer.sandbox.compiled import CompiledCode
from trainer.task_folder.task import Task


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
        audit_key=b"a test's key",
        patience_s=0.0,  # the tests beside this one are a crowd that never goes
    )


SPLIT = b"the key of a secret split".ljust(32, b".")


def measured(task: Task, data: TaskData, first: int, *seeds: int) -> list[RunOutcome]:
    """Return the baseline's calibration with the first seed, then its runs with the others."""

    async def measure() -> list[RunOutcome]:
        runner = runner_of(task, data)
        try:
            calibration = await runner.calibrate(first, split=SPLIT)
            others = [await runner.run(task.source, seed, split=SPLIT) for seed in seeds]
            return [calibration, *others]
        finally:
            await runner.close()

    return asyncio.run(measure())
