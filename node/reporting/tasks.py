"""Tasks as JSON: names, metrics, gains, and the list of built-in tasks."""

from typing import TypedDict

from node.home.home import Home
from protocol.gains import Gain
from protocol.manifest import MetricSpec, TaskManifest
from protocol.units import NANO


class TaskName(TypedDict):
    """A task's id and name."""

    id: str
    name: str


class MetricDocument(TypedDict):
    """A task's metric."""

    name: str
    unit: str
    direction: str


class GainDocument(TypedDict):
    """A gain with its interval, in the metric's unit; all null if unknown."""

    gain: float | None
    lower: float | None
    upper: float | None


class TaskRow(TypedDict):
    """A task. Until its data is prepared, `prepared` is false and `id` is null."""

    name: str
    id: str | None
    prepared: bool
    title: str


class TasksDocument(TypedDict):
    """The built-in tasks."""

    tasks: list[TaskRow]


def task_name(manifest: TaskManifest) -> TaskName:
    """Return a task's id and name as JSON."""
    return {"id": manifest.id.hex(), "name": manifest.name}


def metric_document(metric: MetricSpec) -> MetricDocument:
    """Return a metric as JSON."""
    return {"name": metric.name, "unit": metric.unit, "direction": metric.direction}


def gain_document(gain: Gain | None) -> GainDocument:
    """Return a gain as JSON."""
    return {
        "gain": None if gain is None else gain.value_nano / NANO,
        "lower": None if gain is None else gain.lower_nano() / NANO,
        "upper": None if gain is None else gain.upper_nano / NANO,
    }


def tasks_document(home: Home) -> TasksDocument:
    """Return the built-in tasks as JSON."""
    from trainer.task_folder.folder import builtin_tasks  # heavy, and few callers need it

    return {"tasks": [_row(home, name) for name in builtin_tasks()]}


def _row(home: Home, name: str) -> TaskRow:
    from trainer.task_folder.task import NotPreparedError
    from trainer.task_kinds import load_task

    try:
        task = load_task(name, data_dir=home.data)
    except NotPreparedError as fault:
        return {"name": name, "id": None, "prepared": False, "title": fault.title}
    return {"name": name, "id": task.id.hex(), "prepared": True, "title": task.title}
