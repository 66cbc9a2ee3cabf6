"""Any file and a command that prints a number: a task in one line.

The command runs in the sandbox of what it measures, so what comes of it is self-scored. Beside the
edited files come those that the command names, and the Python modules that these import.
"""

import ast
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from protocol.errors import UsageError
from trainer.importing.draft import Draft, safe_figure
from trainer.importing.reading import files_beside, is_path, read_python
from trainer.importing.self_scored import Direction, SelfScored
from trainer.importing.shell import toolchains_of

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
    beside: Sequence[Path] = (),
) -> Draft:
    """Return the task of edited files and a command that is run in the folder `root`.

    `beside` are files and folders that the command needs and does not name.

    Raises:
        UsageError: a file is not there, or outside the folder.
        ConfigurationError: they are too many or too large.
    """
    words = _words(command)
    editable = {_inside(root, path): path for path in targets}
    fixed: dict[str, Path] = {}
    for path in beside:
        found = files_beside(path).values() if path.is_dir() else [path]
        fixed |= {_inside(root, one): one for one in found}
    for word in words:
        path = root / word
        if path.is_file() and path.resolve().is_relative_to(root.resolve()):
            fixed[_inside(root, path)] = path
    fixed |= _imported(root, [*editable.values(), *fixed.values()], words)
    first = targets[0]
    return SelfScored(
        system="a command that prints a number",
        name=f"{first.stem}-{metric}",
        title=f"{first.name}: {'lower' if direction == 'min' else 'raise'} {metric}",
        script="command",
        settings={"COMMAND": command, "TOLD": metric},
        editable=editable,
        files={name: path for name, path in fixed.items() if name not in editable},
        metric=safe_figure(metric),
        unit=metric,
        direction=direction,
        limit_s=_LIMIT_S,
        toolchains=toolchains_of([command], _shell_scripts(fixed.values())),
        told=f"The command is `{command}`.",
        trust=_TRUST,
        notes=(f"the command may take {_LIMIT_S} s: limit_s in task.toml",),
    ).draft()


def _shell_scripts(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.suffix in _SHELL_SCRIPTS]


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"the command cannot be read: {error}", "close its quotes") from error
    if not words:
        raise UsageError("the command is empty", "name one that prints a number")
    return words


def _inside(root: Path, path: Path) -> str:
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "name one that is there")
    try:
        name = path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError as error:
        raise UsageError(
            f"{path} lies outside {root}", "run it in the folder that the command is run in"
        ) from error
    if not is_path(name):
        raise UsageError(
            f"{name!r} cannot be a task's file", "rename it: nothing hidden, no spaces"
        )
    return name


def _imported(root: Path, paths: list[Path], words: list[str]) -> dict[str, Path]:
    """Return the modules that lie in the folder and are imported by files, or run by `-m`."""
    runs = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "-m"]
    waiting = [path for path in paths if path.suffix == ".py"]
    for module in runs:
        waiting += _modules(root, module)
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for module in _imports(path):
            for folder in (root, path.parent):
                waiting += _modules(folder, module)
    return {_inside(root, path): path for path in sorted(seen - set(paths))}


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(read_python(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names |= {base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)}
    return names - {""}


def _modules(folder: Path, module: str) -> list[Path]:
    """Return the files in a folder that make a module importable."""
    parts = module.split(".")
    packages = [
        folder.joinpath(*parts[:count], "__init__.py") for count in range(1, len(parts) + 1)
    ]
    mains = [folder.joinpath(*parts, "__main__.py")]
    own = [*packages, *mains, folder.joinpath(*parts[:-1], f"{parts[-1]}.py")]
    return [path for path in own if path.is_file()]
