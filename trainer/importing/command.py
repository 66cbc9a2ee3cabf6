"""Any file and a command that prints a number: a task in one line.

The command runs in the sandbox of what it measures, so what comes of it is self-scored. Beside the
edited files come those that the command names, and the Python modules that these import.
"""

import ast
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from protocol.codecs import path_fault
from protocol.errors import UsageError
from trainer.host.folder_files import FolderFile, find_file
from trainer.importing.dependencies import toolchains_of
from trainer.importing.draft import TaskDraft, safe_figure
from trainer.importing.reading import files_beside, read_python
from trainer.importing.self_scored import COMMAND_SCRIPT, Direction, SelfScored

_LIMIT_S: Final = 600
_SHELL_SCRIPTS: Final = frozenset({".sh", ".bash"})
_TRUST: Final = (
    "To make it a trusted task, let the program print its answer for an instance that judge.py"
    " makes, and let check(instance, answer) compute the metric from it."
)


def draft_of(
    targets: Sequence[Path],
    command: str,
    *,
    metric: str,
    direction: Direction,
    root: Path,
    unit: str = "",
    beside: Sequence[Path] = (),
) -> TaskDraft:
    """Return the task of edited files and a command that is run in the folder `root`.

    `unit` is the unit of the figure, if it has one. `beside` are files and folders that the command
    needs but does not name.

    Raises:
        UsageError: a file is not there, or outside the folder.
        ConfigurationError: they are too many or too large.
    """
    words = _words(command)
    editable = dict(_inside(root, path) for path in targets)
    fixed: dict[str, FolderFile] = {}
    for path in beside:
        found = [one.path for one in files_beside(path).values()] if path.is_dir() else [path]
        fixed |= dict(_inside(root, one) for one in found)
    for word in words:
        if _is_of_the_folder(root, word) and find_file(root, word) is not None:
            fixed |= [_inside(root, root / word)]
    fixed |= _imported(root, [*editable.values(), *fixed.values()], words)
    first = targets[0]
    return SelfScored(
        system="a command that prints a number",
        name=f"{first.stem}-{metric}",
        title=f"{first.name}: {'lower' if direction == 'min' else 'raise'} {metric}",
        script=COMMAND_SCRIPT,
        settings={"COMMAND": command, "TOLD": metric, "UNIT": unit},
        editable=editable,
        files={name: file for name, file in fixed.items() if name not in editable},
        metric=safe_figure(metric),
        unit=unit or metric,
        direction=direction,
        limit_s=_LIMIT_S,
        toolchains=toolchains_of([command], _shell_scripts(fixed.values())),
        told=f"The command is `{command}`.",
        trust=_TRUST,
        notes=(f"the command may take {_LIMIT_S} s: limit_s in task.toml",),
    ).draft()


def _shell_scripts(files: Iterable[FolderFile]) -> list[FolderFile]:
    return [file for file in files if file.suffix in _SHELL_SCRIPTS]


def _is_of_the_folder(root: Path, word: str) -> bool:
    """True if a word of the command may name a file of the folder, not a program of the system.

    A word that leads out by itself is the system's; one that leads out by a link is refused later.
    """
    return word not in {"", "."} and Path(os.path.normpath(root / word)).is_relative_to(root)


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"the command cannot be read: {error}", "close its quotes") from error
    if not words:
        raise UsageError("the command is empty", "name one that prints a number")
    return words


def _inside(root: Path, path: Path) -> tuple[str, FolderFile]:
    """Return a file of the folder, by its name without links."""
    try:
        name = path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError as error:
        raise UsageError(
            f"{path} lies outside {root}", "run it in the folder that the command is run in"
        ) from error
    found = find_file(root, name)
    if found is None:
        raise UsageError(f"there is no file {path}", "name one that is there")
    if (fault := path_fault(name)) is not None:
        raise UsageError(f"{name!r} cannot be a task's file: {fault}", "rename it")
    return name, found


def _imported(root: Path, files: list[FolderFile], words: list[str]) -> dict[str, FolderFile]:
    """Return the modules that lie in the folder and are imported by files, or run by `-m`."""
    runs = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "-m"]
    waiting = [file for file in files if file.suffix == ".py"]
    for module in runs:
        waiting += _modules(root, "", module)
    seen: set[FolderFile] = set()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for module in _imports(file):
            for within in ("", file.inside.rpartition("/")[0]):
                waiting += _modules(root, within, module)
    added = sorted(seen - set(files), key=lambda file: file.inside)
    return dict(_inside(root, file.path) for file in added)


def _imports(file: FolderFile) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(read_python(file)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names |= {base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)}
    return names - {""}


def _modules(root: Path, within: str, module: str) -> list[FolderFile]:
    """Return the files that make a module importable in the folder `within` the root."""
    folder, parts = Path(within), module.split(".")
    packages = [
        folder.joinpath(*parts[:count], "__init__.py") for count in range(1, len(parts) + 1)
    ]
    mains = [folder.joinpath(*parts, "__main__.py")]
    own = [*packages, *mains, folder.joinpath(*parts[:-1], f"{parts[-1]}.py")]
    return [found for path in own if (found := find_file(root, path)) is not None]
