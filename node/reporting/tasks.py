"""Tasks as scripts read them: names, metrics and gains, and which can be worked on."""

from typing import TypedDict

from node.home.home import Home
from protocol.gains import Gain
from protocol.manifest import MetricSpec, TaskManifest
from protocol.units import NANO


class TaskName(TypedDict):
    """A task by its id and its name."""

    id: str
    name: str


class MetricDocument(TypedDict):
    """What is measured."""

    name: str
    unit: str
    direction: str


class GainDocument(TypedDict):
    """A gain with its interval, in the metric's unit; all nil where it is not known."""

    gain: float | None
    lower: float | None
    upper: float | None


class TaskRow(TypedDict):
    """A task; without its data, `prepared` is false and its id is not known yet."""

    name: str
    id: str | None
    prepared: bool
    title: str


class TasksDocument(TypedDict):
    """All of them."""

    tasks: list[TaskRow]


def task_name(manifest: TaskManifest) -> TaskName:
    """Return what scripts read of which task it is."""
    return {"id": manifest.id.hex(), "name": manifest.name}


def metric_document(metric: MetricSpec) -> MetricDocument:
    """Return what scripts read of what is measured."""
    return {"name": metric.name, "unit": metric.unit, "direction": metric.direction}


def gain_document(gain: Gain | None) -> GainDocument:
    """Return what scripts are told of a gain."""
    return {
        "gain": None if gain is None else gain.value_nano / NANO,
        "lower": None if gain is None else gain.lower_nano() / NANO,
        "upper": None if gain is None else gain.upper_nano / NANO,
    }


def tasks_document(home: Home) -> TasksDocument:
    """Return what scripts read of them."""
    from trainer.task_folder.folder import builtin_tasks  # kinds of tasks, which few readers need

    return {"tasks": [_row(home, name) for name in builtin_tasks()]}


def _row(home: Home, name: str) -> TaskRow:
    from trainer.task_folder.task import NotPreparedError
    from trainer.task_kinds import load_task

    try:
        task = load_task(name, data_dir=home.data)
    except NotPreparedError as fault:
        return {"name": name, "id": None, "prepared": False, "title": fault.title}
    return {"name": name, "id": task.id.hex(), "prepared": True, "title": task.title}
