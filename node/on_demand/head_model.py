"""One more training of a source's model, outside the research, to store its weights.

Nothing is recorded. With another budget than the task's, the score can only be compared with the
baseline's, which is trained with the same budget.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.source.allow_lists import LANGUAGE_MODEL
from node.home.faults import explaining_faults
from node.line.splits import random_seed
from node.on_demand.session import CommandSession, calibrated_session
from protocol.errors import ArnodeError, UsageError
from protocol.manifest import TaskManifest
from protocol.source import Source
from protocol.units import from_nano
from trainer.measuring.outcome import RunOutcome
from trainer.task_folder.task import Task
from trainer.task_kinds import write_model


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """A model's files and its score, and the baseline's score in the same session."""

    files: tuple[str, ...]
    seed: int
    metric: float
    baseline: float


def with_budget(task: Task, amount: int | None) -> Task:
    """Return a task whose budget is `amount`, in the same unit, with a time limit in proportion.

    Raises UsageError for a task without a model, such as a program.
    """
    manifest = task.manifest
    if manifest.kind != LANGUAGE_MODEL:
        raise UsageError(
            f"{task.name} trains no model: its head is the program",
            "`arnode head` prints it",
        )
    if amount is None:
        return task
    budget, limits = manifest.budget, manifest.limits
    times = max(1.0, amount / budget.amount)
    longer = replace(limits, limit_s=round(limits.limit_s * times))
    return replace(
        task, manifest=replace(manifest, budget=replace(budget, amount=amount), limits=longer)
    )


async def train_model(command: CommandSession, source: Source, folder: Path) -> TrainedModel:
    """Train a source once more and write its model to an empty folder. Raises ArnodeError."""
    products: list[bytes] = []
    seed, manifest = random_seed(), command.task.manifest
    baselines: list[RunOutcome] = []
    async with calibrated_session(command, on_baseline=baselines.append) as session:
        session.runner.expect_no_more()
        outcome = await session.runner.run(source, seed, on_product=products.append)
        data = session.data
    if not products or outcome.metric_nano is None:
        raise ArnodeError(
            f"training the model ended with {outcome.status}: {outcome.reason}",
            "try again; if it fails again, the head is in doubt (`arnode head --provenance`)",
        )
    metric, baseline = outcome.metric_nano, baselines[0].metric_nano
    assert baseline is not None  # noqa: S101 -- else the session would not be calibrated
    facts = _model_facts(manifest, source, metric_nano=metric, baseline_nano=baseline)
    with explaining_faults(folder):
        files = write_model(
            folder, source, products[0], manifest=manifest, data=data, seed=seed, extra_fields=facts
        )
    return TrainedModel(
        files=files,
        seed=seed,
        metric=from_nano(metric),
        baseline=from_nano(baseline),
    )


def _model_facts(
    manifest: TaskManifest, source: Source, *, metric_nano: int, baseline_nano: int
) -> dict[str, Any]:
    return {
        "task": manifest.name,
        "tree": source.tree.hex(),
        "budget": f"{manifest.budget.amount} {manifest.budget.unit}",
        manifest.metric.name: from_nano(metric_nano),
        f"{manifest.metric.name} of the baseline": from_nano(baseline_nano),
    }
