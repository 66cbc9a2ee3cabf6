"""Remarks of `arnode task check`, which tests a task before a long session.

Each kind of task has other checks. This module imports little, because commands use it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["ok", "note", "fault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One finding of a check: its subject `about`, one sentence `what`, and a hint what to do.

    A note is for a person to judge. With a fault, the task's numbers cannot be trusted. `figures`
    are for scripts; `printed` is the end of a failed program's output.
    """

    about: str
    level: Level
    what: str
    hint: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    printed: str = ""


def fine(about: str, what: str, **figures: float) -> Remark:
    """Return a remark about something that is as it should be."""
    return Remark(about=about, level="ok", what=what, figures=figures)


def note(about: str, what: str, hint: str = "", **figures: float) -> Remark:
    """Return a remark about something that a person should look at."""
    return Remark(about=about, level="note", what=what, hint=hint, figures=figures)


def fault(about: str, what: str, hint: str, **figures: float) -> Remark:
    """Return a remark about something that must be fixed first."""
    return Remark(about=about, level="fault", what=what, hint=hint, figures=figures)
