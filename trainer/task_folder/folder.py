"""The folders of a task's files: its own folder, and those of the tasks that it extends.

A `task.toml` may contain `extends = "tiny"`. The task then inherits each field, section and file
that it does not define itself. Only `ladder`, which names the rung below, is never inherited. This
module does not know the meaning of fields.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError, UsageError
from trainer.host.folder_files import FolderFile, find_file, outside
from trainer.task_folder.fields import Fields, TomlTable, nearest, read_toml

TASK_FILE: Final = "task.toml"
OWN_TASKS: Final = "tasks"  # the folder under `data_dir` that holds the own-text tasks

BUILTIN_FOLDER: Final = Path(__file__).parents[1] / "tasks"
_MAX_EXTENDS = 3
_MAX_FILE_BYTES = 64 << 20
_OWN = ("ladder",)  # fields that are never inherited
_HARBORS: Final = frozenset({"agent", "environment", "verifier"})  # sections of Harbor's task.toml


def builtin_tasks() -> tuple[str, ...]:
    """Return the names of the built-in tasks."""
    return tuple(sorted(path.parent.name for path in BUILTIN_FOLDER.glob(f"*/{TASK_FILE}")))


@dataclass(frozen=True, slots=True)
class TaskFolder:
    """The folders in which to look for a task's files, nearest first."""

    folders: tuple[Path, ...]

    @property
    def called(self) -> str:
        """The task as a command argument: its name if it is built in, else its folder."""
        own = self.folders[0]
        return own.name if own.parent == BUILTIN_FOLDER else str(own)

    def with_nearer(self, folder: Path) -> "TaskFolder":
        """Return a copy that looks in `folder` first."""
        return TaskFolder((folder, *self.folders))

    def locate(self, fields: Fields, name: str) -> Path:
        """Return the path of a file that a field names.

        Raises ConfigurationError if it lies outside the task's folders.
        """
        return self._file(fields, name).path

    def _file(self, fields: Fields, name: str) -> FolderFile:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise outside(fields.path.parent, name, (fields.path.parent / name).resolve())
        return self.find(name) or FolderFile(self.folders[0], name)

    def find(self, name: str) -> FolderFile | None:
        """Return the nearest file of this name, or None.

        Raises ConfigurationError if it leads out of its folder, or is not a plain file.
        """
        found = (find_file(at, name) for at in self.folders)
        return next((one for one in found if one is not None), None)

    def read(self, fields: Fields, name: str) -> bytes:
        """Return the content of a file that a field names.

        Raises ConfigurationError if it cannot be read.
        """
        file = self._file(fields, name)
        try:
            return file.read(limit_bytes=_MAX_FILE_BYTES)
        except OSError as error:
            raise ConfigurationError(
                f"{file}: cannot be read ({error.strerror})",
                f"{fields.path.name} names this file: add it",
            ) from error


def find_folder(wanted: str, own: Path) -> Path:
    """Return the folder of a task: a built-in one, one below `own`, or the path `wanted` itself.

    Raises UsageError if there is no such task.
    """
    names = {name: BUILTIN_FOLDER / name for name in builtin_tasks()}
    names |= {path.parent.name: path.parent for path in sorted(own.glob(f"*/{TASK_FILE}"))}
    if wanted in names:
        return names[wanted]
    path = Path(wanted).expanduser()
    if path.name == TASK_FILE:
        path = path.parent
    if find_file(path, TASK_FILE) is not None:
        return path
    if path.is_dir():
        raise UsageError(
            f"{path} is not a task folder: it has no {TASK_FILE}",
            "`arnode task init --target FILE --eval COMMAND --metric NAME` makes one of a program",
        )
    here = [path.parent.name for path in Path().glob(f"*/{TASK_FILE}")]
    hint = nearest(wanted, {*names, *here})
    if " -" in str(wanted):
        hint = "leave out the quotes around several words"
    elif "," in wanted:
        several = " ".join(f"--task {name}" for name in wanted.split(","))
        hint = f"name each of them: `{several}`; `arnode task list` lists them"
    raise UsageError(f"there is no task {wanted!r}", hint)


def with_inherited(folder: Path) -> tuple[TaskFolder, Fields]:
    """Return the folders of a task and all its fields, inherited ones included."""
    folders = [folder]
    find_file(folder, TASK_FILE)
    table = read_toml(folder / TASK_FILE)
    refuse_harbor(folder, table)
    extends = table.get("extends")
    while extends is not None:
        known = {name: BUILTIN_FOLDER / name for name in builtin_tasks()}
        if extends not in known or len(folders) > _MAX_EXTENDS:
            raise Fields(folder / TASK_FILE, table).error(
                "extends",
                f"is {extends!r}",
                f"name a built-in task; {nearest(str(extends), known)}",
            )
        folders.append(known[str(extends)])
        base = read_toml(folders[-1] / TASK_FILE)
        extends = base.get("extends")
        inherited = {name: value for name, value in base.items() if name not in _OWN}
        table = {**inherited, **table}  # a section replaces the inherited one as a whole
    return TaskFolder(tuple(folders)), Fields(folder / TASK_FILE, table)


def refuse_harbor(folder: Path, table: TomlTable) -> None:
    """Raise ConfigurationError if a folder's `task.toml` is in the format of Harbor."""
    if "kind" not in table and "extends" not in table and _HARBORS & table.keys():
        raise ConfigurationError(
            f"{folder} is a Harbor task, for agents in a container; its task.toml has another"
            " format",
            "name the file to improve and a command that prints a number:"
            " arnode task init --target FILE --eval COMMAND --metric NAME --direction min|max",
        )
