"""Tasks as scripts read them: what they are called and measure, and which can be worked on."""

from typing import TypedDict

from node.home.home import Home
from protocol.manifest import MetricSpec, TaskManifest
from trainer.task_folder.folder import builtin_tasks
from trainer.task_folder.task import NotPreparedError
from trainer.task_kinds import load_task


class TaskName(TypedDict):
    """A task by its id and its name."""

    id: str
    name: str


class MetricDocument(TypedDict):
    """What is measured."""

    name: str
    unit: str
    direction: str


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


def tasks_document(home: Home) -> TasksDocument:
    """Return what scripts read of them."""
    return {"tasks": [_row(home, name) for name in builtin_tasks()]}


def _row(home: Home, name: str) -> TaskRow:
    try:
        task = load_task(name, data_dir=home.data)
    except NotPreparedError as fault:
        return {"name": name, "id": None, "prepared": False, "title": fault.title}
    return {"name": name, "id": task.id.hex(), "prepared": True, "title": task.title}
