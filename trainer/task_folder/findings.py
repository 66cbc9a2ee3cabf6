"""A reader of catalogues: published findings, with their claimed gains and edits of the baseline.

A catalogue is a TOML file. It may be somebody else's untrusted text, so it is read into typed
values of bounded length. `node.on_demand.replicating` decides if a finding's code may run,
and measures the finding.
"""

import re
from pathlib import Path
from typing import Final

from protocol.codecs import NAME_PATTERN
from protocol.errors import ConfigurationError, UsageError
from protocol.ideas import PublishedFinding
from trainer.task_folder.fields import Fields, nearest, read_toml
from trainer.task_folder.folder import BUILTIN_FOLDER
from trainer.task_folder.moves import read_edits, refuse_twins
from trainer.task_folder.task import Task

MAX_FINDINGS: Final = 200
MAX_FILE_BYTES: Final = 1 << 20  # room for hundreds of whole scripts
_MAX_TITLE = 120
_MAX_TEXT = 600
_MAX_GAIN = 1e6


def is_builtin(path: Path) -> bool:
    """Return True if a catalogue came with arnode."""
    return path.resolve().is_relative_to(BUILTIN_FOLDER.resolve())


def load_catalogue(path: Path, task: Task) -> tuple[PublishedFinding, ...]:
    """Return the findings of a file. All of their edits must fit the task's baseline.

    Raises UsageError if there is no such file, ConfigurationError if it has a fault.
    """
    if not path.is_file():
        raise UsageError(f"there is no catalogue {path}", "give a TOML file of findings")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ConfigurationError(f"{path}: larger than {MAX_FILE_BYTES} bytes", "split it")
    root = Fields(path, read_toml(path))
    sections = root.sections("finding")
    if not 1 <= len(sections) <= MAX_FINDINGS:
        raise root.error("finding", f"occurs {len(sections)} times", f"list 1 to {MAX_FINDINGS}")
    findings = tuple(_finding(section, task) for section in sections)
    root.finish()
    refuse_twins(root, "finding", [finding.name for finding in findings])
    return findings


def _finding(section: Fields, task: Task) -> PublishedFinding:
    name = section.text("name")
    if not re.fullmatch(NAME_PATTERN, name):
        raise section.error(
            "name", f"is {name!r}", "use small letters, digits and hyphens, 48 at most"
        )
    if section.has("move"):  # the move already has a title, a reason and edits
        wanted = section.text("move")
        moves = {move.name: move for move in task.moves}
        if wanted not in moves:
            hint = nearest(wanted, moves) if moves else "the task lists no moves"
            raise section.error("move", f"is {wanted!r}", hint)
        title, idea, edits = moves[wanted].title, moves[wanted].why, moves[wanted].edits
    else:
        title = _bounded(section, "title", _MAX_TITLE)
        idea = _bounded(section, "idea", _MAX_TEXT)
        edits = read_edits(section, task.source)
    finding = PublishedFinding(
        name=name,
        title=title,
        idea=idea,
        source=_bounded(section, "source", _MAX_TEXT),
        claimed=_bounded(section, "claimed", _MAX_TEXT),
        claimed_gain=_gain(section, task.manifest.metric.unit),
        edits=edits,
    )
    section.finish()
    return finding


def _bounded(section: Fields, name: str, most: int) -> str:
    text = section.text(name)
    if len(text) > most:
        raise section.error(name, f"has {len(text)} characters", f"use {most} at most")
    return " ".join(text.split())


def _gain(section: Fields, unit: str) -> float | None:
    if not section.has("claimed_gain"):
        if section.has("claimed_unit"):
            raise section.error(
                "claimed_unit", "needs claimed_gain", "add claimed_gain, or remove it"
            )
        return None
    gain = section.number("claimed_gain", low=1e-9, high=_MAX_GAIN)
    claimed = section.text("claimed_unit")
    if claimed != unit:
        raise section.error(
            "claimed_unit",
            f"is {claimed!r}, the task's is {unit!r}",
            "describe a gain in another unit in `claimed`, without claimed_gain",
        )
    return gain
