"""Remarks of `arnode task check`, which tests a task before a long session.

Each kind of task has other checks. This module imports little, because commands use it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["ok", "note", "fault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One finding of a check.

    `about` is a heading, `what` one sentence, and `hint` says what to do. A person has to judge a
    finding of level `note`. After one of level `fault`, the task's numbers cannot be trusted.
    `figures` are for scripts; `printed` is the end of a failed program's output.
    """

    about: str
    level: Level
    what: str
    hint: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    printed: str = ""


def fine(about: str, what: str, **figures: float) -> Remark:
    """Return a remark of level `ok`: no action is needed."""
    return Remark(about=about, level="ok", what=what, figures=figures)


def note(about: str, what: str, hint: str = "", **figures: float) -> Remark:
    """Return a remark of level `note`: a person should judge it."""
    return Remark(about=about, level="note", what=what, hint=hint, figures=figures)


def fault(about: str, what: str, hint: str, **figures: float) -> Remark:
    """Return a remark of level `fault`: fix this first."""
    return Remark(about=about, level="fault", what=what, hint=hint, figures=figures)
