"""Experiments as `log` and the API show them: this node's own, and imported ones."""

from collections.abc import Sequence
from typing import TypedDict

from node.reporting.imported import imported_document
from node.reporting.open_home import OpenHome
from node.reporting.queries import OfExperiments
from node.store.experiments import Experiment, Filter
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
    """Some experiments, and the imported files. `total` counts all experiments that match."""

    total: int
    offset: int
    experiments: list[ExperimentDocument]
    imported: list[dict[str, object]]


def experiment_document(experiment: Experiment) -> ExperimentDocument:
    """Return an experiment as JSON."""
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
    """Return some experiments as JSON."""
    return {
        "total": total,
        "offset": offset,
        "experiments": [experiment_document(one) for one in experiments],
        "imported": [imported_document(one) for one in imported],
    }


def experiments_page(at: OpenHome, query: OfExperiments) -> ExperimentsDocument:
    """Return the experiments that a query selects.

    Imported files are included only on the first page of a query without filters.
    """
    wanted = Filter(
        task=at.task(query.task),
        hardware_class=query.hardware_class,
        decision=query.decision,
        stage=query.stage,
        origin=query.origin,
        words=query.q,
    )
    total, rows = at.store.experiments.page(
        wanted,
        by="n" if query.sort == "ts" else query.sort,
        is_rising=query.order == "asc",
        offset=query.offset,
        limit=query.limit,
    )
    imported = at.store.imported.listed() if wanted == Filter() and query.offset == 0 else []
    return experiments_document(rows, imported, total=total, offset=query.offset)
