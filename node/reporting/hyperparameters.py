"""The values of hyperparameters in a line's experiments, in columns, next to their scores.

A patch names only the values that it changed. The others are those of its base, which earlier
patches changed in turn. A value that no patch of a base's history ever changed is the old value of
the first patch that changes it later, or unknown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypedDict

from agent.source.constants import number_in
from node.reporting.open_home import OpenHome
from node.reporting.queries import OfHyperparameters
from node.reporting.tasks import MetricDocument, TaskName, metric_document, task_name
from node.store.changed_constants import Changes
from node.store.experiment_filter import Filter
from node.store.experiments import MADE_HERE, Experiment
from protocol.units import from_nano

_MOST_OF_ANY: Final = 1_000  # experiments, the latest
_MOST_OF_ONE: Final = 5_000
_MOST_NAMES: Final = 24  # with values, the most often changed
_STAGES: Final = frozenset({"screen", "keep"})

ValueCell: TypeAlias = float | str | None


class NamedCount(TypedDict):
    """A hyperparameter, and the number of experiments that changed it."""

    name: str
    count: int


class TriedDocument(TypedDict):
    """Experiments in columns, oldest first. Times in ms, metrics in the metric's unit."""

    id: list[str]
    title: list[str]
    ts: list[int]
    decision: list[str]
    metric: list[float | None]


HyperparametersDocument = TypedDict(
    "HyperparametersDocument",
    {
        "task": TaskName,
        "class": str,
        "metric": MetricDocument,
        "hyperparameters": list[NamedCount],
        "total": int,
        "experiments": TriedDocument,
        "values": dict[str, list[ValueCell]],
    },
)
"""Experiments of a line that changed a hyperparameter, and the values that they ran with.

`total` counts all of them; `experiments` has the latest. A value is a number if its text is one,
else the text; it is null if it is unknown. `hyperparameters` are sorted by count.
"""


@dataclass(slots=True)
class _History:
    """The values of hyperparameters by source tree, as far as patches tell."""

    changed: dict[bytes, dict[str, str]] = field(default_factory=dict)  # since the root
    roots: dict[bytes, bytes] = field(default_factory=dict)
    at_root: dict[bytes, dict[str, str]] = field(default_factory=dict)

    def add(self, entry: Experiment, changes: Changes) -> None:
        """Add an experiment; its base comes first."""
        root = self.roots.setdefault(entry.parent, entry.parent)
        before = self.changed.get(entry.parent, {})
        for name, (old, _) in changes.items():
            if name not in before:
                self.at_root.setdefault(root, {}).setdefault(name, old)
        if entry.tree not in self.changed and entry.tree != entry.parent:
            new = {name: value for name, (_, value) in changes.items()}
            self.changed[entry.tree] = {**before, **new}
            self.roots[entry.tree] = root

    def value(self, tree: bytes, name: str) -> str | None:
        """Return the text of a hyperparameter's value in a tree."""
        known = self.changed.get(tree, {}).get(name)
        return known or self.at_root.get(self.roots.get(tree, tree), {}).get(name)


def hyperparameters_document(at: OpenHome, query: OfHyperparameters) -> HyperparametersDocument:
    """Return the values that a line's experiments ran with.

    Raises UsageError if this node has no such line.
    """
    store, (line, manifest) = at.store, at.line(query)
    counts = store.experiments.counts(
        "constant", Filter(task=line.task, hardware_class=line.hardware_class)
    )
    entries = store.experiments.listed(line)
    changes = store.experiments.constants.of([one.patch for one in entries if one.patch])
    history = _History()
    for entry in entries:
        history.add(entry, _changes_of(entry, changes))
    wanted = query.name
    tried = [
        one
        for one in entries
        if one.stage in _STAGES
        and one.origin not in MADE_HERE
        and (found := _changes_of(one, changes))
        and (wanted is None or wanted in found)
    ]
    names = [*counts][:_MOST_NAMES] if wanted is None else [wanted]
    shown = tried[-(_MOST_OF_ANY if wanted is None else _MOST_OF_ONE) :]
    return {
        "task": task_name(manifest),
        "class": line.hardware_class,
        "metric": metric_document(manifest.metric),
        "hyperparameters": [{"name": name, "count": count} for name, count in counts.items()],
        "total": len(tried),
        "experiments": _columns(shown),
        "values": {name: [_cell(history.value(one.tree, name)) for one in shown] for name in names},
    }


def _changes_of(entry: Experiment, changes: Mapping[bytes, Changes]) -> Changes:
    return changes.get(entry.patch, {}) if entry.patch else {}


def _columns(shown: Sequence[Experiment]) -> TriedDocument:
    return {
        "id": [one.id.hex() for one in shown],
        "title": [one.title for one in shown],
        "ts": [one.ts_ms for one in shown],
        "decision": [one.decision for one in shown],
        "metric": [from_nano(one.metric_nano) for one in shown],
    }


def _cell(text: str | None) -> ValueCell:
    number = None if text is None else number_in(text)
    return text if number is None else number
