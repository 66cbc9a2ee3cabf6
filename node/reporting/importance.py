"""The importance of a line's hyperparameters, and the kinds of change that were tried.

Both are computed from the store alone, so they need no running node. The importance may take
seconds. Nothing is run or recorded.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from agent.proposal import Outcome
from node.home.home import Home
from node.home.settings_in_force import config_of
from node.ladder.kinds import KindOnTask, kinds_tried, rungs_here
from node.line.open_task import find_task
from node.loop.outcomes import Outcomes
from node.reporting.open_home import OpenHome
from node.reporting.queries import OfLine
from node.reporting.tasks import TaskName
from node.store.blobs import Blobs
from node.store.jobs import LineKey
from node.store.named_tasks import labels, task_source
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.ideas import HyperparameterSpec
from protocol.manifest import TaskManifest
from protocol.source import Source
from protocol.styles import Style

if TYPE_CHECKING:
    from agent.proposal import HyperparameterImportance


class ValueDocument(TypedDict):
    """A hyperparameter's value, and its estimated gain over the present value, in sd of one run."""

    value: bool | int | float | str
    gain_sd: float


class HyperparameterDocument(TypedDict):
    """A hyperparameter, and the share of variance that it explains alone, with a 90 % interval."""

    name: str
    share: float
    low: float
    high: float
    best: bool | int | float | str
    values: list[ValueDocument]


KindDocument = TypedDict(
    "KindDocument",
    {"task": TaskName, "class": str, "kind": str, "tried": int, "kept": int, "failed": int},
)
"""A kind of change, and how many patches of it were tried and kept, and how many failed."""


class KindsDocument(TypedDict):
    """Kinds of change by line."""

    kinds: list[KindDocument]


ImportanceDocument = TypedDict(
    "ImportanceDocument",
    {
        "task": TaskName,
        "class": str,
        "hyperparameters": list[HyperparameterDocument],
        "explained": float,
    },
)
"""A line's hyperparameters, the most important first.

`hyperparameters` is empty if too few of their values were tried. `explained` is the share of
variance that all of them explain together.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLine:
    """A line as it is stored, for reading only."""

    store: Store
    blobs: Blobs
    key: LineKey
    style: Style

    def source(self, tree: bytes) -> Source:
        """Return the exact source of a tree that ran here."""
        return self.blobs.get_source(tree)


def importance_of_line(
    at: OpenHome, query: OfLine, *, progress: Callable[[float], None] = lambda _: None
) -> ImportanceDocument:
    """Return the importance of a line's hyperparameters. Slow.

    `progress` is called with the finished share of the work. Raises UsageError if this node has no
    such line.
    """
    line, manifest = at.line(query)
    found = _importance(at, line, manifest, progress)
    return {
        "task": {"id": line.task.hex(), "name": labels(at.store, {line.task})[line.task]},
        "class": line.hardware_class,
        "hyperparameters": hyperparameter_documents(found),
        "explained": min(1.0, sum(one.share for one in found)),
    }


def kinds_document(at: OpenHome, query: OfLine) -> KindsDocument:
    """Return the kinds of change of a line and of other rungs of its task's ladder.

    Raises UsageError if this node has no such line.
    """
    store, (line, manifest) = at.store, at.line(query)
    lines = rungs_here(store, manifest)
    names = labels(store, {line.task, *(one.task for one in lines)})
    kinds = [one for rung in lines for one in kinds_tried(store, rung)]
    return {"kinds": [_kind(one, names[one.line.task]) for one in kinds]}


def _importance(
    at: OpenHome, line: LineKey, manifest: TaskManifest, progress: Callable[[float], None]
) -> "tuple[HyperparameterImportance, ...]":
    from agent.hyperparameters.importance import importance_in  # imports numpy

    known = at.store.jobs.line(line)
    if known is None:
        return ()
    stored = StoredLine(store=at.store, blobs=at.blobs, key=line, style=Style.of(manifest))
    specs = _specs(at.home, at.store, line)
    history: Sequence[Outcome] = Outcomes(stored, manifest, specs).all
    editable = tuple(path for path, _ in manifest.files)
    source = stored.source(known.working)
    return importance_in(source, editable, specs, history, progress=progress)


def _specs(home: Home, store: Store, line: LineKey) -> tuple[HyperparameterSpec, ...]:
    """Return what a task's folder says of its hyperparameters; nothing if it is not here."""
    config = config_of(home)
    texts = (None, Path(config.text)) if config.text else (None,)
    name = task_source(store, line.task) or line.task.hex()
    for text in texts:
        with suppress(ArnodeError):
            task = find_task(home, name=name, text=text, progress=lambda *_: None)
            if task.id == line.task:
                return task.hyperparameters
    return ()


def hyperparameter_documents(
    found: "Sequence[HyperparameterImportance]",
) -> list[HyperparameterDocument]:
    """Return the importance of hyperparameters as JSON."""
    return [
        {
            "name": one.name,
            "share": one.share,
            "low": one.low,
            "high": one.high,
            "best": one.best,
            "values": [{"value": value, "gain_sd": gain} for value, gain in one.gains],
        }
        for one in found
    ]


def _kind(one: KindOnTask, name: str) -> KindDocument:
    return {
        "task": {"id": one.line.task.hex(), "name": name},
        "class": one.line.hardware_class,
        "kind": one.kind,
        "tried": one.tried,
        "kept": one.kept,
        "failed": one.failed,
    }
