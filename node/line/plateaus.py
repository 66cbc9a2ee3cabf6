"""Detection of plateaus of a line, and of the end of a branch. The module is pure.

The size of kept gains does not show a plateau: by luck, screen and recheck sometimes keep a patch
without a gain, and its measured gain looks like any other. Two other figures do distinguish a
plateau from progress: how often patches are kept, and how often stacks pass their promotion trials.
Both are summed as evidence for a plateau, as in Page's test (*Continuous inspection schemes*,
1954): the sum never falls below zero. The constants below are from `make bench PART=explore`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Final, Literal, TypeAlias

from agent.proposal import Aim

# `in_vain`: an experiment was measured and not kept. `missed`: a stack failed its trial. `left`:
# the line went to another tree; `returned`: it is at its head again.
Event: TypeAlias = Literal["kept", "in_vain", "missed", "left", "returned"]
BranchMove: TypeAlias = Literal["climb", "judge", "return"]

# Rates at which simulated lines keep an experiment and fail a promotion trial: with good patches to
# find (5 % of all), and without any.
_KEPT: Final = (0.07, 0.027)
_MISSED: Final = (0.17, 0.97)
_EVIDENCE: Final[dict[Event, float]] = {
    "kept": log(_KEPT[1] / _KEPT[0]),
    "in_vain": log((1 - _KEPT[1]) / (1 - _KEPT[0])),
    "missed": log(_MISSED[1] / _MISSED[0]),
}
# The evidence of three failed stacks in a row, or of 120 experiments with none kept. Lines that
# make progress reach it once in 5,000 runs.
ENOUGH: Final = 5.4
# The share of it that remains after a failed branch, so that another is soon due (the head start of
# Lucas & Crosier).
_LEFT_AFTER_BRANCH: Final = 0.7
_FEW_IDEAS: Final = 60  # experiments without a kept patch that a reason mentions

# From a tree further below the head, it would take weeks to catch up.
REACH_SD: Final = 20.0
# A lead that a trial can confirm in a few pairs, although luck inflates the measured lead.
_LEAD_SD: Final = 2.0
_RISE_SD: Final = 1.0  # a rise that is too large to be luck
_PATIENCE: Final = 100  # experiments without a rise
_MOST_EXPERIMENTS: Final = 250

_AIMS: Final[tuple[Aim, ...]] = ("elsewhere", "combine", "elsewhere", "simplify")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The evidence that a line is on a plateau.

    `idle` counts experiments since a patch was last kept. `missed` counts stacks that failed their
    promotion trial. Both restart at 0 when the head changes or the line returns from a branch.
    """

    evidence: float = 0.0
    idle: int = 0
    missed: int = 0
    is_away: bool = False

    @property
    def is_plateau(self) -> bool:
        """True if the line makes no progress."""
        return self.evidence >= ENOUGH

    def after(self, event: Event) -> "Trend":
        """Return the trend after one more event; events on a branch do not count."""
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
        """The reason to see a plateau, in words."""
        if self.idle >= _FEW_IDEAS or not self.missed:
            return f"nothing was kept in the last {self.idle} experiments"
        if self.missed == 1:
            return "the last stack failed its promotion trial"
        return f"the last {self.missed} stacks failed their promotion trials"


def trend_of(events: Iterable[Event]) -> Trend:
    """Return the trend after these events since the head last changed, oldest first."""
    trend = Trend()
    for event in events:
        trend = trend.after(event)
    return trend


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchProgress:
    """The progress of a branch: its experiments, in total and since it last improved.

    `lead_sd` is its lead over the head as measured when the branch began, in standard deviations of
    one run; None while it has too few reference runs. `has_gains` is True if it has kept patches on
    the tree that it began with.
    """

    experiments: int
    since_rise: int
    lead_sd: float | None
    has_gains: bool

    @property
    def reason(self) -> str:
        """The reason to give the branch up, in words."""
        if self.since_rise >= _PATIENCE:
            return f"the branch has not improved in {self.since_rise} experiments"
        return f"the branch is not as good as the head after {self.experiments} experiments"


def next_of_branch(progress: BranchProgress, *, is_asked: bool) -> BranchMove:
    """Return a branch's next step: more experiments, a promotion trial, or the return to the head.

    With `is_asked`, the trial is due now. A branch that is worse than the head gets no trial: it
    would cost many runs and not pass.
    """
    if progress.lead_sd is None:
        return "climb"
    is_level = progress.has_gains and progress.lead_sd >= 0
    if is_level and (is_asked or progress.lead_sd >= _LEAD_SD):
        return "judge"
    if progress.since_rise >= _PATIENCE or progress.experiments >= _MOST_EXPERIMENTS:
        return "judge" if is_level else "return"
    return "climb"


def since_rise(heights_sd: Sequence[float]) -> int:
    """Return the number of experiments since a branch last improved by more than luck explains.

    `heights_sd` are the results of its reference runs at each experiment, oldest first, in standard
    deviations, larger being better.
    """
    best, at = float("-inf"), 0
    for number, height in enumerate(heights_sd):
        if height >= best + _RISE_SD:
            best, at = height, number
    return len(heights_sd) - at


def aim_of(trend: Trend, *, is_on_branch: bool) -> Aim:
    """Return the aim for proposers; on a plateau, each discarded experiment changes it."""
    if is_on_branch:
        return "elsewhere"
    return _AIMS[trend.idle % len(_AIMS)] if trend.is_plateau else "improve"
