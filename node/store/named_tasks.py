"""Lookup of the task that `--task` means: by its name, its folder, or an id's first digits."""

import difflib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from node.home.next_start import unless_running
from node.store.jobs import LineKey
from node.store.records import PREFIX_DIGITS
from node.store.store import Store
from protocol.errors import UsageError
from trainer.task_folder.fields import nearest
from trainer.task_folder.folder import builtin_tasks
from trainer.task_folder.task import Task

_FOLDER = "task-folder/"
_SESSION = "session-line"
_TASK_ID_BYTES = 32
_SHOWN_DIGITS = 8


def remember_folder(store: Store, task: Task, wanted: str) -> None:
    """Store a task's folder if `wanted` is a folder, so that commands find the task by name."""
    folder = Path(wanted)
    if folder.is_dir() and task.recipe.name != "text":
        store.set_meta(_FOLDER + task.id.hex(), str(folder.resolve()).encode())


def folder_of_name(store: Store, name: str) -> str | None:
    """Return the folder of the one task of this name that this home worked on, if it is there."""
    kept = (
        store.meta(_FOLDER + line.task.hex())
        for line in store.jobs.lines()
        if _name(store, line.task) == name
    )
    folders = {folder.decode() for folder in kept if folder and Path(folder.decode()).is_dir()}
    return folders.pop() if len(folders) == 1 else None


def task_source(store: Store, task_id: bytes) -> str | None:
    """Return the value that `--task` takes for a task of this home: its folder, else its name."""
    if folder := store.meta(_FOLDER + task_id.hex()):
        return folder.decode()
    manifest = store.records.manifest(task_id)
    return manifest.name if manifest else None


def remember_session(store: Store, line: LineKey) -> None:
    """Store which line the node works on. Commands use it if no line is named."""
    store.set_meta(_SESSION, line.task + line.hardware_class.encode())


def line_of_session(store: Store) -> LineKey | None:
    """Return the line of the running session, or of the last one; None before the first."""
    kept = store.meta(_SESSION)
    if kept is None:
        return None
    return LineKey(task=kept[:_TASK_ID_BYTES], hardware_class=kept[_TASK_ID_BYTES:].decode())


def labels(store: Store, tasks: Iterable[bytes]) -> dict[bytes, str]:
    """Return a label for each task, which `--task` accepts: its name if that is unique.

    If several tasks have the same name (such as the versions of an edited text), the labels are the
    first digits of their ids.
    """
    names = {task: _name(store, task) for task in tasks}
    times = Counter(names.values())
    return {
        task: name if name and times[name] == 1 else task.hex()[:_SHOWN_DIGITS]
        for task, name in names.items()
    }


def task_named(store: Store, wanted: str, among: Iterable[bytes]) -> bytes:
    """Return the task in `among` that `wanted` names: by name, folder or first digits of the id.

    Raises UsageError, which lists the known tasks, if none or several of them match.
    """
    known = sorted(set(among))
    shown = labels(store, known)
    matching = [task for task in known if _name(store, task) == wanted]
    if not matching and Path(wanted).is_dir():
        folder = str(Path(wanted).resolve()).encode()
        matching = [task for task in known if store.meta(_FOLDER + task.hex()) == folder]
    if not matching and len(wanted) >= PREFIX_DIGITS:
        matching = [task for task in known if task.hex().startswith(wanted.lower())]
    if len(matching) == 1:
        return matching[0]
    if matching:
        ids = ", ".join(shown[task] for task in matching)
        raise UsageError(
            f"{wanted!r} matches several tasks: {ids}", "pass one of these ids to --task"
        )
    if wanted in builtin_tasks():
        there = f"; known tasks: {', '.join(sorted(shown.values()))}" if shown else ""
        raise UsageError(
            f"nothing has been measured on task {wanted!r} here yet{there}",
            unless_running(f"`arnode start --task {wanted}` works on it"),
        )
    possible = list(shown.values()) or difflib.get_close_matches(wanted, builtin_tasks(), 1)
    hint = nearest(wanted, possible) if possible else "`arnode task list` lists the built-in tasks"
    raise UsageError(f"there is no task {wanted!r} here", hint)


def _name(store: Store, task: bytes) -> str:
    manifest = store.records.manifest(task)
    return manifest.name if manifest else ""
