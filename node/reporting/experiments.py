"""Experiments as `log` and the API show them: this node's own, and imported ones."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

from node.reporting.imported import imported_document
from node.reporting.open_home import OpenHome
from node.reporting.queries import OfExperiments, OfLine
from node.reporting.reasons import reason_words, remark_of
from node.store.experiment_filter import Filter, SortOrder
from node.store.experiments import Experiment, Facet
from node.store.imported import Imported
from node.store.records import parsed
from node.store.store import Store
from node.terminal.durations import ms_before
from protocol.manifest import TaskManifest
from protocol.record_kinds import ResultBody
from protocol.units import from_nano

_AT_ONCE = 200  # records read at once

ExperimentDocument = TypedDict(
    "ExperimentDocument",
    {
        "id": str,
        "number": int,
        "ts": int,
        "title": str,
        "changes": dict[str, tuple[str, str]],
        "tags": list[str],
        "origin": str,
        "stage": str,
        "status": str,
        "metric": float | None,
        "gain": float | None,
        "peak_mem": int,
        "ms": int,
        "decision": str,
        "why": str,
        "tree": str,
        "parent": str,
        "patch": str | None,
        "task": str,
        "class": str,
    },
)
"""One experiment; times in ms, metric and gain in the metric's unit, ids in hex.

`number` is its place among its line's experiments, from 1, as in the plot of the progress. `ms` is
the time of all its runs. `why` is the reason for the decision.
`changes` has the old and the new value of each constant that its patch changed, and `tags` the
owner's tags.
"""


class ExperimentsDocument(TypedDict):
    """Some experiments, and the imported files. `total` counts all experiments that match."""

    total: int
    offset: int
    experiments: list[ExperimentDocument]
    imported: list[dict[str, object]]


class CountDocument(TypedDict):
    """A value, and the number of experiments that have it."""

    value: str
    count: int


class ExperimentFiltersDocument(TypedDict):
    """The values by which a line's experiments can be filtered or sorted, most frequent first.

    `total` counts all of the experiments. `hyperparameters` are constants that patches changed.
    """

    total: int
    decisions: list[CountDocument]
    stages: list[CountDocument]
    origins: list[CountDocument]
    tags: list[CountDocument]
    hyperparameters: list[CountDocument]


def experiment_document(store: Store, experiment: Experiment) -> ExperimentDocument:
    """Return an experiment as JSON."""
    (document,) = experiment_documents(store, [experiment])
    return document


def experiment_documents(
    store: Store, experiments: Sequence[Experiment]
) -> list[ExperimentDocument]:
    """Return experiments as JSON."""
    changes = store.experiments.constants.of([one.patch for one in experiments if one.patch])
    tags = store.tags.of([one.id for one in experiments])
    numbers = store.experiments.numbers({one.line for one in experiments})
    bodies = _bodies(store, [one.id for one in experiments])
    manifests = {task: store.records.manifest(task) for task in {one.task for one in experiments}}
    return [
        {
            "id": one.id.hex(),
            "number": numbers[one.n],
            "ts": one.ts_ms,
            "title": one.title,
            "changes": changes.get(one.patch, {}) if one.patch else {},
            "tags": [*tags.get(one.id, ())],
            "origin": one.origin,
            "stage": one.stage,
            "status": one.status,
            "metric": from_nano(one.metric_nano),
            "gain": from_nano(one.gain_nano),
            "peak_mem": one.peak_mem_bytes,
            "ms": sum(run.ms for run in bodies[one.id].runs),
            "decision": one.decision,
            "why": _why(one, bodies[one.id], manifests[one.task]),
            "tree": one.tree.hex(),
            "parent": one.parent.hex(),
            "patch": None if one.patch is None else one.patch.hex(),
            "task": one.task.hex(),
            "class": one.hardware_class,
        }
        for one in experiments
    ]


def _why(one: Experiment, body: ResultBody, manifest: TaskManifest | None) -> str:
    words = (reason_words(one, body, manifest), remark_of(body, manifest))
    return "; ".join(filter(None, words))


def _bodies(store: Store, ids: Sequence[bytes]) -> dict[bytes, ResultBody]:
    """Return the records of experiments, whose signatures were checked when they were stored."""
    found: dict[bytes, ResultBody] = {}
    for at in range(0, len(ids), _AT_ONCE):
        for record_id, wire in store.records.wires(ids[at : at + _AT_ONCE]).items():
            body = parsed(wire, is_verified=True).body
            assert isinstance(body, ResultBody)  # noqa: S101 -- experiments follow from results
            found[record_id] = body
    return found


def experiments_document(
    store: Store,
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
        "experiments": experiment_documents(store, experiments),
        "imported": [imported_document(one) for one in imported],
    }


def experiments_page(at: OpenHome, query: OfExperiments) -> ExperimentsDocument:
    """Return the experiments that a query selects.

    Imported files are included only on the first page of a query without filters.
    """
    since = query.since
    wanted = Filter(
        task=at.task(query.task),
        hardware_class=query.hardware_class,
        decision=query.decision,
        stage=query.stage,
        origin=query.origin,
        words=query.q,
        tags=tuple(query.tag.split(",")) if query.tag else (),
        since_ms=None if since is None else ms_before(since, datetime.now().astimezone()),
    )
    total, rows = at.store.experiments.page(
        wanted,
        order=SortOrder(by=query.sort, is_rising=query.order == "asc"),
        offset=query.offset,
        limit=query.limit,
    )
    imported = at.store.imported.listed() if wanted == Filter() and query.offset == 0 else []
    return experiments_document(at.store, rows, imported, total=total, offset=query.offset)


def experiment_filters(at: OpenHome, query: OfLine) -> ExperimentFiltersDocument:
    """Return the values of a line's experiments, or of all without a task and a class."""
    wanted = Filter(task=at.task(query.task), hardware_class=query.hardware_class)

    def counts(facet: Facet) -> list[CountDocument]:
        found = at.store.experiments.counts(facet, wanted)
        return [{"value": value, "count": count} for value, count in found.items()]

    decisions = counts("decision")
    return {
        "total": sum(one["count"] for one in decisions),
        "decisions": decisions,
        "stages": counts("stage"),
        "origins": counts("origin"),
        "tags": counts("tag"),
        "hyperparameters": counts("constant"),
    }
