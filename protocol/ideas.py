"""What a task lists as worth trying: knobs that may move and structural moves.

They are hints for proposers and no part of the task's manifest, so they may change freely.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class KnobSpec:
    """How one module-level constant may move.

    `low` and `high` bound numbers, `choices` lists the values of anything else.
    """

    name: str
    type: Literal["int", "float", "choice"]
    low: float | None = None
    high: float | None = None
    scale: Literal["linear", "log"] = "linear"
    choices: tuple[int | float | str | bool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Replace `search`, which must occur exactly once in `path`, by `replace`."""

    path: str
    search: str
    replace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A structural change that the task lists: applicable when every edit matches exactly once."""

    name: str
    title: str
    why: str
    edits: tuple[Edit, ...]
