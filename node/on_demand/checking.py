"""A quick check of a task of any kind, before a node works on it for a night.

It yields remarks and records nothing. A kind of task without its own check gets one run of the
baseline.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from node.line.open_task import opened
from node.line.splits import random_seed
from node.on_demand.session import CommandSession, models_here
from node.terminal.progress import Progress
from protocol.units import from_nano
from trainer.cards.cards import probe_devices
from trainer.measuring.checks import Remark, fine, note
from trainer.task_kinds import kind_of


async def checked(command: CommandSession, progress: Progress) -> AsyncGenerator[Remark, None]:
    """Yield the remarks of a task's check.

    Raises ArnodeError if the check cannot go on: no data, no card, a baseline that fails.
    """
    manifest = command.task.manifest
    device = probe_devices(manifest, command.config.gpus)[0]
    async with models_here(command.home, command.config, manifest, progress) as models:
        found = kind_of(manifest).examined(
            command.task, progress=progress, device=device, models=models
        )
        if found is not None:
            async with aclosing(found) as remarks:
                async for remark in remarks:
                    yield remark
            return
    async for remark in _run_once(command, progress):
        yield remark
    yield note(
        "judge",
        "arnode itself scores this kind of task, so only the baseline is checked",
    )


async def _run_once(command: CommandSession, progress: Progress) -> AsyncIterator[Remark]:
    """Open a task and run its baseline with one seed."""
    manifest = command.task.manifest
    devices = probe_devices(manifest, command.config.gpus)[:1]
    async with opened(
        command.home, command.config, command.task, progress, devices=devices, needs_all=False
    ) as session:
        yield fine("data", f"{session.data.size}, on {devices[0].slug}")
        session.runner.expect_no_more()
        progress("running the baseline", 0.0)
        outcome = await session.runner.calibrate(random_seed())
    metric, value = manifest.metric, from_nano(outcome.metric_nano)
    seconds = (outcome.ms + outcome.serve_ms) / 1000
    yield fine("baseline", f"{metric.name} {value:.6f} {metric.unit}", metric=value or 0.0)
    yield fine("costs", f"{seconds:.1f} s a run", run_s=seconds)
