"""Hints for proposers: hyperparameters to vary, moves, and published findings.

They are not part of the task's manifest, so they may change freely.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from protocol.codecs import long_text, single_line
from protocol.fields import Mapped

_MAX_EDIT_TEXT: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class HyperparameterSpec:
    """A hyperparameter: a module-level constant and the values that it may take.

    `low` and `high` bound numbers; `choices` lists the values of other types.
    """

    name: str
    type: Literal["int", "float", "choice"]
    low: float | None = None
    high: float | None = None
    scale: Literal["linear", "log"] = "linear"
    choices: tuple[int | float | str | bool, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit(Mapped):
    """The replacement of `search`, which must occur exactly once in `path`, by `replace`."""

    path: Annotated[str, single_line(1, 256)]
    search: Annotated[str, long_text(_MAX_EDIT_TEXT)]
    replace: Annotated[str, long_text(_MAX_EDIT_TEXT)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A change that the task lists; it applies only if every edit matches exactly once."""

    name: str
    title: str
    why: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFinding:
    """A published gain, as exact edits of a task's baseline.

    `claimed` is the effect in the authors' words and on their hardware. `claimed_gain` is the
    effect in the metric's unit, positive if better; None if it is not comparable with
    measurements here.
    """

    name: str
    title: str
    idea: str
    source: str
    claimed: str
    claimed_gain: float | None
    edits: tuple[Edit, ...]
