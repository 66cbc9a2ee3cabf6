"""The tasks that this installation can work on."""

from typing import TypedDict

from node.home.home import Home
from trainer.task_folder.folder import builtin_tasks
from trainer.task_folder.task import NotPreparedError
from trainer.task_kinds import load_task


class TaskRow(TypedDict):
    """A task; without its data, `prepared` is false and its id is not known yet."""

    name: str
    id: str | None
    prepared: bool
    title: str


class TasksDocument(TypedDict):
    """All of them."""

    tasks: list[TaskRow]


def tasks_document(home: Home) -> TasksDocument:
    """Return what scripts read of them."""
    return {"tasks": [_row(home, name) for name in builtin_tasks()]}


def _row(home: Home, name: str) -> TaskRow:
    try:
        task = load_task(name, data_dir=home.data)
    except NotPreparedError as fault:
        return {"name": name, "id": None, "prepared": False, "title": fault.title}
    return {"name": name, "id": task.id.hex(), "prepared": True, "title": task.title}
