"""Makes a task from any file and a command that prints a number.

The command runs in the same sandbox as the program that it measures, so the task is self-scored.
The task contains the files to edit, the files that the command names, the Python modules that all
these import, and the files that the command opened in a trial run (`trainer.importing.trial`).
"""

import ast
import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from protocol.codecs import path_fault
from protocol.errors import ConfigurationError, UsageError
from trainer.host.folder_files import FolderFile, find_file
from trainer.importing.dependencies import toolchains_of
from trainer.importing.draft import UNKNOWN_NOISE, TaskDraft, safe_figure
from trainer.importing.holdout import held_out_files, is_within, named_in
from trainer.importing.reading import other_files, read_python
from trainer.importing.self_scored import (
    COMMAND_SCRIPT,
    MEASURE_FILE,
    REPORTING_FILE,
    TRIAL_SCRIPT,
    Direction,
    SelfScored,
    script_text,
)

LIMIT_S: Final = 600
_SHELL_SCRIPTS: Final = frozenset({".sh", ".bash"})
_COMMAND_FILE: Final = "arnode_command.py"  # next to the script of a trial run
_SEEDLESS: Final = (
    "its number is the same for every seed; if it draws random numbers, seed them from ARNODE_SEED,"
    " or a gain may hold for one seed only"
)
_TRUST: Final = (
    "To make the task trusted, let the program print its answer for an instance that judge.py"
    " makes, and let check(instance, answer) compute the metric from it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The user's request: the files to edit, a command that runs in `root`, and its metric.

    `extra_files` are files and folders that the command needs but does not name. `holdout` is a
    folder of files that replace visible files of the same names when a candidate is judged.
    """

    targets: Sequence[Path]
    command: str
    metric: str
    root: Path
    extra_files: Sequence[Path] = ()
    holdout: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The facts about a command, from a trial run or from the user.

    `unit` is the unit of its number, "" if it has none. `is_exact`: the number depends on no seed
    and on no clock. `opened` are the files of the folder that the command opened.
    """

    direction: Direction
    unit: str = ""
    limit_s: int = LIMIT_S
    repeats: int = 1
    noise_floor: float = UNKNOWN_NOISE
    is_exact: bool = False
    opened: Sequence[str] = ()


def draft_of(wanted: Wanted, measured: Measured) -> TaskDraft:
    """Return the draft of a task that runs a command.

    Raises UsageError if a file is missing or outside the folder, ConfigurationError if there are
    too many files or they are too large.
    """
    return _self_scored(wanted, measured).draft()


def trial_draft(wanted: Wanted, *, unit: str, limit_s: int) -> TaskDraft:
    """Return a task that runs the command once and reports on that run.

    It contains all files of the folder, or, if these are too many, only those that the command
    names. Raises the same errors as `draft_of`.
    """
    measured = Measured(direction="min", unit=unit, limit_s=limit_s)
    needed = _self_scored(wanted, measured)
    draft = needed.draft()
    scripts: dict[str, bytes | FolderFile] = {
        MEASURE_FILE: script_text(TRIAL_SCRIPT, {"COMMAND": wanted.command})
        .replace("from command import", f"from {Path(_COMMAND_FILE).stem} import")
        .encode(),
        _COMMAND_FILE: script_text(COMMAND_SCRIPT, _settings(wanted, unit)).encode(),
    }
    others = {
        name: file
        for name, file in _all_files(wanted.root).items()
        if not is_within(file.path, wanted.holdout) and name not in draft.files
    }
    fixed = [MEASURE_FILE, REPORTING_FILE, _COMMAND_FILE, *needed.files, *others]
    return replace(
        draft,
        table={**draft.table, "files": fixed},
        files={**draft.files, **others, **scripts},
    )


def _all_files(root: Path) -> dict[str, FolderFile]:
    try:
        return other_files(root)
    except ConfigurationError:  # too many, or links out of the folder: try without these files
        return {}


def _settings(wanted: Wanted, unit: str) -> dict[str, str]:
    return {"COMMAND": wanted.command, "REPORTED": wanted.metric, "UNIT": unit}


def _self_scored(wanted: Wanted, measured: Measured) -> SelfScored:
    root, direction = wanted.root, measured.direction
    words = _words(wanted.command)
    editable = dict(_inside(root, path) for path in wanted.targets)
    fixed = _fixed(wanted, words, editable, measured.opened)
    holdout: dict[str, FolderFile] = {}
    if wanted.holdout is not None:
        holdout = held_out_files(wanted.holdout, fixed, editable)
    first = wanted.targets[0]
    return SelfScored(
        system="a command that prints a number",
        name=f"{first.stem}-{wanted.metric}",
        title=f"{first.name}: {'lower' if direction == 'min' else 'raise'} {wanted.metric}",
        script=COMMAND_SCRIPT,
        settings=_settings(wanted, measured.unit),
        editable=editable,
        files={name: file for name, file in fixed.items() if name not in editable},
        holdout=holdout,
        metric=safe_figure(wanted.metric),
        unit=measured.unit or wanted.metric,
        direction=direction,
        limit_s=measured.limit_s,
        repeats=measured.repeats,
        noise_floor=measured.noise_floor,
        is_exact=measured.is_exact and wanted.holdout is None,
        toolchains=toolchains_of([wanted.command], _shell_scripts(fixed.values())),
        description=f"The command is `{wanted.command}`.",
        trust=_TRUST,
        notes=(
            f"the command may run for {measured.limit_s} s (`limit_s` in task.toml)",
            *([_SEEDLESS] if measured.is_exact else []),
        ),
    )


def _fixed(
    wanted: Wanted, words: list[str], editable: dict[str, FolderFile], opened: Sequence[str]
) -> dict[str, FolderFile]:
    """Return the files that the command needs, including those that a holdout file replaces."""
    root, fixed = wanted.root, dict[str, FolderFile]()
    for path in wanted.extra_files:
        below = other_files(path).values() if path.is_dir() else ()
        found = [one.path for one in below if not is_within(one.path, wanted.holdout)]
        fixed |= dict(_inside(root, one) for one in found or ([] if path.is_dir() else [path]))
    for word in words:
        if _is_of_the_folder(root, word) and find_file(root, word) is not None:
            fixed |= [_inside(root, root / word)]
    fixed |= dict(_inside(root, root / name) for name in opened if name not in editable)
    if wanted.holdout is not None:
        replaced = (name for name in named_in(wanted.holdout) if find_file(root, name) is not None)
        fixed |= dict(_inside(root, root / name) for name in replaced)
    fixed |= _imported(root, [*editable.values(), *fixed.values()], words)
    for name, file in fixed.items():
        if is_within(file.path, wanted.holdout):
            raise UsageError(
                f"the command needs {name}, which is in the holdout folder",
                "let it read the visible file of the same name",
            )
    return fixed


def _shell_scripts(files: Iterable[FolderFile]) -> list[FolderFile]:
    return [file for file in files if file.suffix in _SHELL_SCRIPTS]


def _is_of_the_folder(root: Path, word: str) -> bool:
    """Return True if a word of the command may be the name of a file in the folder.

    A path outside the folder is assumed to be a system file. A link out of the folder is refused
    later.
    """
    return word not in {"", "."} and Path(os.path.normpath(root / word)).is_relative_to(root)


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"cannot parse the command: {error}", "close its quotes") from error
    if not words:
        raise UsageError("the command is empty", "give a command that prints a number")
    return words


def _inside(root: Path, path: Path) -> tuple[str, FolderFile]:
    """Return the path of a file within the folder, with links resolved, and the file."""
    try:
        name = path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError as error:
        raise UsageError(
            f"{path} is outside {root}", "start arnode in the folder that contains all these files"
        ) from error
    found = find_file(root, name)
    if found is None:
        raise UsageError(f"there is no file {path}", "check the path")
    if (fault := path_fault(name)) is not None:
        raise UsageError(f"{name!r} cannot be a task's file: {fault}", "rename it")
    return name, found


def _imported(root: Path, files: list[FolderFile], words: list[str]) -> dict[str, FolderFile]:
    """Return the folder's modules that `files` import or that the command runs with `-m`."""
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
    """Return the files from which Python imports a module that is in the folder `within`.

    `within` is relative to `root`.
    """
    folder, parts = Path(within), module.split(".")
    packages = [
        folder.joinpath(*parts[:count], "__init__.py") for count in range(1, len(parts) + 1)
    ]
    mains = [folder.joinpath(*parts, "__main__.py")]
    own = [*packages, *mains, folder.joinpath(*parts[:-1], f"{parts[-1]}.py")]
    return [found for path in own if (found := find_file(root, path)) is not None]
