"""A draft of a task folder: its fields and files, and notes for the user.

A draft is made in memory, then written completely into a new or an empty folder.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError, UsageError
from trainer.host.folder_files import FolderFile
from trainer.importing.toml_text import Value, toml_text
from trainer.task_folder.folder import TASK_FILE

PROGRAM_FILE: Final = "program.md"
JUDGE_FILE: Final = "judge.py"
MAX_SOURCE_GROWTH: Final = 8000  # bytes of compressed source, as the shipped tasks allow
# Noise and bounds of imported metrics are unknown. A node's first session measures the noise before
# it judges any patch. The largest plausible step is set to the widest that a task may state.
UNKNOWN_NOISE: Final = 0.0
WIDEST_STEP: Final = 1_000_000.0
LARGEST_FIGURE: Final = 9e6
MEASURED: Final = frozenset(
    {"answer_bytes", "build_bytes", "cpu_s", "instructions", "peak_mb", "source_bytes", "wall_s"}
)

_LONGEST_NAME = 48
_LONGEST_FIGURE = 32
_LONGEST_UNIT = 16
_LONGEST_TITLE = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDraft:
    """A task folder before it is written.

    `files` are file contents, or files to copy. `notes` are for the user.
    """

    table: Mapping[str, Value]
    comments: Mapping[str, str]
    files: Mapping[str, bytes | FolderFile]
    is_trusted: bool
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        return str(self.table["name"])


def require_empty(into: Path) -> None:
    """Raise UsageError if a new folder would replace files."""
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise UsageError(f"{into} exists and is not empty", "name another folder with --into")


def write_draft(draft: TaskDraft, into: Path) -> None:
    """Write a complete task folder, or nothing if an error occurs.

    Raises UsageError if the folder exists and is not empty, ConfigurationError if it cannot be
    written or one of its files is refused.
    """
    was_there = into.exists()
    require_empty(into)
    try:
        _write(draft, into)
    except BaseException as error:
        shutil.rmtree(into, ignore_errors=True)
        if was_there:
            into.mkdir(exist_ok=True)
        if not isinstance(error, OSError):
            raise
        raise ConfigurationError(
            f"cannot write {into}: {error.strerror}", "name another folder with --into"
        ) from error


def _write(draft: TaskDraft, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    size_bytes = sum(
        len(one) if isinstance(one, bytes) else one.size_bytes() for one in draft.files.values()
    )
    free_bytes = shutil.disk_usage(into).free
    if size_bytes > free_bytes:
        raise ConfigurationError(
            f"{into}: needs {size_bytes} bytes, but only {free_bytes} are free",
            "free some space, or name a folder on another disk with --into",
        )
    for path, content in draft.files.items():
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, FolderFile):
            content.copy_to(target)
        else:
            target.write_bytes(content)
    # Write task.toml last: a folder that contains it is complete.
    (into / TASK_FILE).write_text(toml_text(draft.table, draft.comments), encoding="utf-8")


def noise_comment(noise_floor: float) -> str:
    """Return the comment on the noise floor in task.toml."""
    if noise_floor == UNKNOWN_NOISE:
        return "unknown: a node's first session measures it before it judges a patch"
    return "measured in the trial run"


def safe_name(text: str) -> str:
    """Convert a text to a valid task name: lower-case letters, digits and hyphens."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST_NAME].strip("-")
    return name or "task"


def safe_figure(text: str) -> str:
    """Convert a text to a valid figure name, different from those that the node measures."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:_LONGEST_FIGURE] or "metric"
    return f"reported_{name}" if name in MEASURED else name


def safe_unit(text: str) -> str:
    """Return a text if it is a valid unit, else "units"."""
    unit = " ".join(text.split())
    return unit if unit.isprintable() and 1 <= len(unit) <= _LONGEST_UNIT else "units"


def one_line(text: str) -> str:
    """Return a text shortened to a title of one line."""
    line = " ".join(text.split())
    if len(line) <= _LONGEST_TITLE:
        return line
    return line[:_LONGEST_TITLE].rsplit(" ", 1)[0] + " …"
