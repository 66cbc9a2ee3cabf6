"""Runners of any task, and their measurements."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.trainer.audits import audited
from trainer.host.device import Device
from trainer.language_model.data import TaskData, prepare
from trainer.measuring.kind import Progress
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
    """Return a runner of few runs with a secret for audits (default: on the processor)."""
    runner = Runner(
        task,
        data,
        device=device,
        compiled=compiled,
        audit_key=b"a test's key",
        patience_s=0.0,  # the parallel tests are a load that never ends
    )
    runner.expect_no_more()
    return runner


def prepare_all(
    task: Task,
    *,
    data_dir: Path,
    progress: Progress,
    data_url: str | None = None,
    visible: Sequence[Path] | None = None,
) -> TaskData:
    """Return all of a task's data, including what a first run does not need."""
    data = prepare(task, data_dir=data_dir, progress=progress, data_url=data_url, visible=visible)
    data.load_rest(progress)
    return data


def brief(task: Task) -> Task:
    """Return a task with a fifth of the short task's tokens, for tests that ignore the score."""
    budget = replace(task.manifest.budget, amount=3_072)
    return replace(task, manifest=replace(task.manifest, budget=budget))


SPLIT = b"the key of a secret split".ljust(32, b".")


def measured(task: Task, data: TaskData, first: int, *seeds: int) -> list[RunOutcome]:
    """Return the baseline's calibration, then its runs with the other seeds, not audited."""

    async def measure() -> list[RunOutcome]:
        runner = runner_of(task, data)
        try:
            calibration = await runner.calibrate(first, split=SPLIT)
            others = [
                await runner.run(task.source, seed, split=SPLIT, needs_audit=audited(False))
                for seed in seeds
            ]
            return [calibration, *others]
        finally:
            await runner.close()

    return asyncio.run(measure())
