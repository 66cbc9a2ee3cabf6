"""What `log` and the API say of experiments: those of this node, and what was imported."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TypedDict

from node.store.experiments import Experiment
from node.store.foreign_rows import ForeignRow
from node.store.imported import Imported
from protocol.units import from_nano

ExperimentDocument = TypedDict(
    "ExperimentDocument",
    {
        "id": str,
        "ts": int,
        "title": str,
        "origin": str,
        "stage": str,
        "status": str,
        "metric": float | None,
        "gain": float | None,
        "decision": str,
        "tree": str,
        "parent": str,
        "patch": str | None,
        "task": str,
        "class": str,
    },
)
"""One experiment; times in ms, metric and gain in the metric's unit, ids in hex."""


class ExperimentsDocument(TypedDict):
    """Some of the experiments, how many fit in all, and what was imported, unsigned."""

    total: int
    offset: int
    experiments: list[ExperimentDocument]
    imported: list[dict[str, object]]


class ForeignRowDocument(TypedDict):
    """One row of what another tool wrote."""

    label: str
    metric: float | None
    memory_gb: str
    status: str
    description: str
    tree: str | None


def experiment_document(experiment: Experiment) -> ExperimentDocument:
    """Return what scripts read of an experiment."""
    return {
        "id": experiment.id.hex(),
        "ts": experiment.ts_ms,
        "title": experiment.title,
        "origin": experiment.origin,
        "stage": experiment.stage,
        "status": experiment.status,
        "metric": from_nano(experiment.metric_nano),
        "gain": from_nano(experiment.gain_nano),
        "decision": experiment.decision,
        "tree": experiment.tree.hex(),
        "parent": experiment.parent.hex(),
        "patch": None if experiment.patch is None else experiment.patch.hex(),
        "task": experiment.task.hex(),
        "class": experiment.hardware_class,
    }


def experiments_document(
    experiments: Sequence[Experiment],
    imported: Sequence[Imported],
    *,
    total: int,
    offset: int = 0,
) -> ExperimentsDocument:
    """Return what scripts read of some experiments."""
    return {
        "total": total,
        "offset": offset,
        "experiments": [experiment_document(one) for one in experiments],
        "imported": [imported_document(one) for one in imported],
    }


def imported_document(imported: Imported) -> dict[str, object]:
    """Return what scripts read of an imported file: its experiments, and what is kept as text."""
    log = imported.log
    texts = zip(log.text_lines, (row for row in log.rows if not row.is_read), strict=True)
    return {
        **_named(imported),
        "metric": log.segments[-1].metric,
        "direction": log.segments[-1].direction,
        "segments": [asdict(segment) for segment in log.segments],
        "rows": [{**_row_document(row), "segment": row.segment} for row in log.read],
        "text": [{"line": line, "text": row.description} for line, row in texts],
    }


def best_document(imported: Imported, segment: int, count: int) -> dict[str, object]:
    """Return what scripts read of the best rows of a segment."""
    return {
        **_named(imported),
        **asdict(imported.log.segments[segment]),
        "segment": segment,
        "rows": [_row_document(one) for one in imported.best(count, segment)],
    }


def _named(imported: Imported) -> dict[str, object]:
    return {
        "id": imported.id.hex(),
        "name": imported.name,
        "form": imported.log.form,
        "level": "unsigned",
    }


def _row_document(one: ForeignRow) -> ForeignRowDocument:
    return {
        "label": one.label,
        "metric": one.value,
        "memory_gb": one.memory_gb,
        "status": one.status,
        "description": one.description,
        "tree": None if one.tree is None else one.tree.hex(),
    }
