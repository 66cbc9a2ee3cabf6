"""Runs of a program without a judge: the baseline's answers to given instances."""

from collections.abc import AsyncGenerator, Iterable

from trainer.measuring.host_load import LaneWork
from trainer.program.building import Builder
from trainer.program.candidate import Candidate, InstanceRun
from trainer.program.manifest import recipe_of
from trainer.task_folder.task import Task


async def unjudged_answers(
    task: Task, runs: Iterable[tuple[int, bytes]], *, on_holdout: bool = False
) -> AsyncGenerator[bytes, None]:
    """Yield the baseline's answers to runs, given as seed and instance, each in a new sandbox.

    `on_holdout` uses the holdout's files and discards the baseline's output. Raises RunFailed.
    """
    work = LaneWork()
    builder = Builder(task.manifest, recipe_of(task), work)
    try:
        package = await builder.package(task.source)
        for seed, instance in runs:
            instance_run = InstanceRun(
                package=package.secret if on_holdout else package.sealed,
                instance=instance,
                seed=seed,
                name="the trial run",
                keeps_output=not on_holdout,
            )
            (result,) = await Candidate(task, work).run_on([instance_run])
            yield result.answer
    finally:
        builder.close()
