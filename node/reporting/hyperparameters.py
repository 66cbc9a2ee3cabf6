"""A line's experiments by the values of their hyperparameters, and the kinds of change tried."""

from collections import Counter
from typing import Final, TypedDict

from agent.source.constants import number_in
from node.ladder.kinds import kinds_tried
from node.reporting.open_home import OpenHome
from node.reporting.queries import OfLine
from node.reporting.tasks import MetricDocument, metric_document
from protocol.units import from_nano

_MOST_NAMES: Final = 12


class HyperparametersDocument(TypedDict):
    """Experiments with a score in columns, oldest first, and their hyperparameters' values.

    `names` are those that most experiments changed. `values` has a column for each of them.
    """

    metric: MetricDocument
    names: list[str]
    id: list[str]
    ts: list[int]
    title: list[str]
    decision: list[str]
    score: list[float]
    values: dict[str, list[float | str]]


class KindDocument(TypedDict):
    """A kind of change: how often it was tried, kept and failed."""

    kind: str
    tried: int
    kept: int
    failed: int


class KindsDocument(TypedDict):
    """The kinds of change that a line tried, the most frequent first."""

    kinds: list[KindDocument]


def hyperparameters_document(at: OpenHome, query: OfLine) -> HyperparametersDocument:
    """Return a line's experiments with the values of their hyperparameters.

    A source has the values of the source that it was made from, except those that its patch
    changed. Values that no patch changed before have the old value of the first change.
    """
    store, (line, manifest) = at.store, at.line(query)
    entries = store.experiments.listed(line)
    changes = store.experiments.constants.of([one.patch for one in entries if one.patch])
    initial: dict[str, str] = {}
    counts: Counter[str] = Counter()
    by_tree: dict[bytes, dict[str, str]] = {}
    for entry in entries:
        changed = changes.get(entry.patch, {}) if entry.patch else {}
        counts.update(changed.keys())
        for name, (old, _) in changed.items():
            initial.setdefault(name, old)
        values = {name: new for name, (_, new) in changed.items()}
        if entry.tree not in by_tree:
            by_tree[entry.tree] = {**by_tree.get(entry.parent, {}), **values}
    shown = [entry for entry in entries if entry.metric_nano is not None]
    names = [name for name, _ in counts.most_common(_MOST_NAMES)]
    return {
        "metric": metric_document(manifest.metric),
        "names": names,
        "id": [entry.id.hex() for entry in shown],
        "ts": [entry.ts_ms for entry in shown],
        "title": [entry.title for entry in shown],
        "decision": [entry.decision for entry in shown],
        "score": [from_nano(entry.metric_nano) or 0.0 for entry in shown],
        "values": {
            name: [_value(by_tree[entry.tree].get(name, initial[name])) for entry in shown]
            for name in names
        },
    }


def kinds_document(at: OpenHome, query: OfLine) -> KindsDocument:
    """Return the kinds of change that a line tried."""
    line, _ = at.line(query)
    kinds = sorted(kinds_tried(at.store, line), key=lambda one: (-one.tried, one.kind))
    return {
        "kinds": [
            {"kind": one.kind, "tried": one.tried, "kept": one.kept, "failed": one.failed}
            for one in kinds
        ]
    }


def _value(text: str) -> float | str:
    number = number_in(text)
    return text if number is None else number
