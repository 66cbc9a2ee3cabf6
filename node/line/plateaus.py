"""Whether a line is on a plateau, and when a branch of it ends. Pure.

The size of a kept gain says little: a screen and a recheck select, so that luck keeps a null now
and then, which looks like any other gain. How often anything is kept does tell a plateau from
progress, and so does whether stacks pass, which are judged in fresh pairs. Both are summed as
evidence for a plateau, as in Page's test (*Continuous inspection schemes*, 1954): the sum never
falls below zero. Figures from `make bench PART=explore`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Final, Literal, TypeAlias

from agent.proposal import Aim

# `in_vain`: an experiment measured and not kept. `missed`: a stack that did not pass. `left`: the
# line went on from another tree; `returned`: it is at its head again.
Event: TypeAlias = Literal["kept", "in_vain", "missed", "left", "returned"]
BranchMove: TypeAlias = Literal["climb", "judge", "return"]

# How often simulated lines keep an experiment and miss a checkpoint: with good patches to find (5 %
# of them), and with none.
_KEPT: Final = (0.07, 0.027)
_MISSED: Final = (0.17, 0.97)
_EVIDENCE: Final[dict[Event, float]] = {
    "kept": log(_KEPT[1] / _KEPT[0]),
    "in_vain": log((1 - _KEPT[1]) / (1 - _KEPT[0])),
    "missed": log(_MISSED[1] / _MISSED[0]),
}
# The evidence of three stacks missed in a row, or of 120 experiments of which none was kept.
# Reached without cause once in 5,000 runs that get on.
ENOUGH: Final = 5.4
# What is left of it after a branch in vain: another is soon due (Lucas & Crosier's head start).
_LEFT_AFTER_BRANCH: Final = 0.7
_FEW_IDEAS: Final = 60  # experiments in vain that are worth telling of

# A root further below the head would have to be climbed up from for weeks.
REACH_SD: Final = 20.0
# A lead that a confirmation shows in a few pairs, although it is measured with luck.
_LEAD_SD: Final = 2.0
_RISE_SD: Final = 1.0  # what a run's luck alone does not do
_PATIENCE: Final = 100  # experiments without a rise
_MOST_EXPERIMENTS: Final = 250

_AIMS: Final[tuple[Aim, ...]] = ("elsewhere", "combine", "elsewhere", "simplify")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The evidence that a line is on a plateau, since its head last moved.

    `idle` counts experiments since the last keep, `missed` stacks, since the line was last at its
    head for the first time.
    """

    evidence: float = 0.0
    idle: int = 0
    missed: int = 0
    is_away: bool = False

    @property
    def is_plateau(self) -> bool:
        """Whether the line gets nowhere."""
        return self.evidence >= ENOUGH

    def after(self, event: Event) -> "Trend":
        """Return the trend with one more event; those of a branch say nothing of the head."""
        match event:
            case "left":
                return replace(self, is_away=True)
            case "returned":
                return Trend(evidence=_LEFT_AFTER_BRANCH * ENOUGH)
        if self.is_away:
            return self
        return Trend(
            evidence=max(0.0, self.evidence + _EVIDENCE[event]),
            idle=self.idle + (event == "in_vain") if event != "kept" else 0,
            missed=self.missed + (event == "missed"),
        )

    @property
    def reason(self) -> str:
        """What the plateau shows in, for people."""
        if self.idle >= _FEW_IDEAS or not self.missed:
            return f"nothing was kept in the last {self.idle} experiments"
        if self.missed == 1:
            return "the last stack was no gain"
        return f"the last {self.missed} stacks were no gain"


def trend_of(events: Iterable[Event]) -> Trend:
    """Return the trend after these events, oldest first, since the head last moved."""
    trend = Trend()
    for event in events:
        trend = trend.after(event)
    return trend


@dataclass(frozen=True, slots=True, kw_only=True)
class Climb:
    """How far a branch has come: its experiments, all and since it last rose.

    `lead_sd` is by how much its bank is better than the head was when it left, in standard
    deviations of one run; None while it has too few runs. `has_gains`: it is not just the tree
    that it began with.
    """

    experiments: int
    since_rise: int
    lead_sd: float | None
    has_gains: bool

    @property
    def reason(self) -> str:
        """Why it is given up, for people."""
        if self.since_rise >= _PATIENCE:
            return f"the branch has not risen in {self.since_rise} experiments"
        return f"the branch did not reach the head in {self.experiments} experiments"


def next_of_branch(climb: Climb, *, is_asked: bool) -> BranchMove:
    """Say what a branch does next. `is_asked`: its line is to be judged now, if it is worth it.

    A confirmation costs as much for a branch that is worse than the head as for one that leads.
    """
    if climb.lead_sd is None:
        return "climb"
    is_level = climb.has_gains and climb.lead_sd >= 0
    if is_level and (is_asked or climb.lead_sd >= _LEAD_SD):
        return "judge"
    if climb.since_rise >= _PATIENCE or climb.experiments >= _MOST_EXPERIMENTS:
        return "judge" if is_level else "return"
    return "climb"


def since_rise(heights_sd: Sequence[float]) -> int:
    """Return for how many experiments a branch has not been noticeably higher than before.

    `heights_sd` is what its bank said at each, oldest first, in deviations, more being better.
    """
    best, at = float("-inf"), 0
    for number, height in enumerate(heights_sd):
        if height >= best + _RISE_SD:
            best, at = height, number
    return len(heights_sd) - at


def aim_of(trend: Trend, *, is_on_branch: bool) -> Aim:
    """Return what proposers are to aim for: something else where the last aim gained nothing."""
    if is_on_branch:
        return "elsewhere"
    return _AIMS[trend.idle % len(_AIMS)] if trend.is_plateau else "improve"
