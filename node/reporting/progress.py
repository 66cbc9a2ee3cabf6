"""A line's history as columns for a plot: every experiment, with head and working line."""

from collections.abc import Mapping
from typing import TypedDict

from node.line.job_kinds import HEAD_TRIALS
from node.line.trial import Measured
from node.reporting.best_values import ValueDocument, by_tree, changed_values
from node.reporting.open_home import OpenHome
from node.reporting.points import ends_of
from node.reporting.queries import OfLine
from node.reporting.staircase import PointsDocument, columns
from node.reporting.tasks import MetricDocument, TaskName, metric_document, task_name
from node.store.experiments import Experiment
from node.store.jobs import LineKey
from node.store.store import Store
from node.terminal.vocabulary import head_words
from protocol.units import from_nano


class ValuesDocument(TypedDict):
    """The constants of the head and of the working line that differ from the baseline."""

    head: list[ValueDocument]
    working: list[ValueDocument]


ProgressDocument = TypedDict(
    "ProgressDocument",
    {
        "task": TaskName,
        "class": str,
        "metric": MetricDocument,
        "baseline": float | None,
        "best_known": float | None,
        "head_words": str,
        "values": ValuesDocument,
        "points": PointsDocument,
    },
)
"""A line's history since its baseline.

`head_words` labels the head: "measured head" if a candidate scores itself, else "verified head".
"""


def progress_document(at: OpenHome, query: OfLine) -> ProgressDocument:
    """Return the plot's data for a line."""
    store, (line, manifest) = at.store, at.line(query)
    entries = store.experiments.listed(line)
    program, metric = manifest.program, manifest.metric
    first = next((one for one in entries if one.decision == "baseline"), None)
    return {
        "task": task_name(manifest),
        "class": line.hardware_class,
        "metric": metric_document(metric),
        "baseline": from_nano(first.metric_nano) if first else None,
        "best_known": from_nano(program.best_known) if program else None,
        "head_words": head_words(manifest.scoring),
        "values": _values(store, line, entries),
        "points": _points(store, line, entries, sign=metric.sign),
    }


def _values(store: Store, key: LineKey, entries: list[Experiment]) -> ValuesDocument:
    line = store.jobs.line(key)
    if line is None:
        return {"head": [], "working": []}
    makers = by_tree(entries)
    return {
        "head": changed_values(store, makers, line.verified),
        "working": changed_values(store, makers, line.working),
    }


def _points(store: Store, line: LineKey, entries: list[Experiment], *, sign: int) -> PointsDocument:
    found = columns(entries, moves=store.experiments.adoptions(line))
    before = len(entries) - len(found)  # failures before the first metric have no column
    intervals = _intervals(store, line)
    metrics = [from_nano(entry.metric_nano) for entry in entries]
    ends = [
        ends_of(metric, intervals.get(entry.id), sign=sign)
        for entry, metric in zip(entries, metrics, strict=True)
    ]
    return {
        "id": [entry.id.hex() for entry in entries],
        "ts": [entry.ts_ms for entry in entries],
        "metric": metrics,
        "low": [low for low, _ in ends],
        "high": [high for _, high in ends],
        "head": [*[None] * before, *(column.head for column in found)],
        "working": [*[None] * before, *(column.working for column in found)],
        "decision": [entry.decision for entry in entries],
        "stage": [entry.stage for entry in entries],
        "title": [entry.title for entry in entries],
    }


def _intervals(store: Store, line: LineKey) -> Mapping[bytes, Measured]:
    """Return the measurements of trials against the head, by the id of their result."""
    jobs = store.jobs.closed_jobs(line, *HEAD_TRIALS)
    return {job.step.measured.record: job.step.measured for job in jobs if job.step.measured}
