"""What is worth trying: knobs that may move, structural moves, and what others published.

They are hints for proposers and no part of the task's manifest, so they may change freely.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from protocol.codecs import line, text
from protocol.fields import Mapped

_MAX_EDIT_TEXT: Final = 4096


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
class Edit(Mapped):
    """Replace `search`, which must occur exactly once in `path`, by `replace`."""

    path: Annotated[str, line(1, 256)]
    search: Annotated[str, text(_MAX_EDIT_TEXT)]
    replace: Annotated[str, text(_MAX_EDIT_TEXT)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A structural change that the task lists: applicable when every edit matches exactly once."""

    name: str
    title: str
    why: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFinding:
    """A gain that somebody published, as exact edits of a task's baseline.

    `claimed` is its effect in their words and on their hardware. `claimed_gain` says it in the
    metric's unit, positive if better, only where it can be held against what is measured here.
    """

    name: str
    title: str
    idea: str
    source: str
    claimed: str
    claimed_gain: float | None
    edits: tuple[Edit, ...]
