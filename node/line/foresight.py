"""What the loss that a script prints foretells of its metric, to stop screens that are hopeless.

Of runs that have ended it is known how far they stood above or below what their base prints, at
equal shares of the training, and how far above or below they ended. A line through these says
where a run ends that trains now, and their scatter how far it could be from there: that of kept
changes and of odd ones, not of seeds alone. A run is stopped once it could not even then pass its
screen.

What a script says of its loss is not trusted and need not be. One that says too little of it is
not stopped, and has won some time on a device of whoever tries it; one that says too much ends
itself. Where losses do not foretell metrics, as after somebody's script that prints what it likes,
the scatter is large, and nothing is stopped any more.

This module is pure. Metrics are in the task's unit, smaller being better.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from protocol.statistics import student_t_quantile
from trainer.measuring.loss_curve import LossPoint

SHARES: Final = (0.3, 0.45, 0.6, 0.75, 0.9)  # of a training, at which it is looked at
LEAST_RUNS: Final = 20
# Of those that would just have passed each look stops so many. Of all that would be kept, most of
# which end well beyond that, all looks together stop fewer than one in a hundred (`make bench
# PART=stopping`, by curves of recorded sessions).
MISSED: Final = 0.005
_WINDOW: Final = 0.15  # of a training: what a loss is the mean of
_LEAST_POINTS: Final = 3
# What ended worse than this many deviations says nothing of those that end well.
_NEAR_SD: Final = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldRun:
    """A run that has ended: its curve, of so many steps, and its metric. `base` is the tree that
    its own was a change of; its own for one that was measured by itself. `job` is in the order in
    which they were begun.
    """

    job: int
    tree: bytes
    base: bytes
    points: tuple[LossPoint, ...]
    steps: int
    metric: float


@dataclass(frozen=True, slots=True)
class _Line:
    """A line through what runs foretold at one share, and what that is worth."""

    slope: float
    offset: float
    mean: float
    squares: float
    sd: float
    runs: int

    def least(self, off: float, missed: float) -> float:
        """Return what a run ends below with this chance, whose loss is so far off its base's."""
        told = self.offset + self.slope * off
        spread = math.sqrt(1 + 1 / self.runs + (off - self.mean) ** 2 / self.squares)
        return told - student_t_quantile(1 - missed, self.runs - 2) * self.sd * spread


class Foresight:
    """What runs of a line foretell of changes of one tree of it."""

    def __init__(
        self, runs: Sequence[ToldRun], base: bytes, sd: float, *, missed: float = MISSED
    ) -> None:
        """`sd` is the standard deviation of one run, `missed` the chance that one ends better."""
        self._missed = missed
        self._lines: dict[float, _Line] = {}
        self._losses: dict[float, float] = {}
        own = [run for run in runs if run.tree == base]
        if not own:
            return
        self._metric = fmean(run.metric for run in own)
        for share in SHARES:
            told = [
                loss for run in own if (loss := loss_at(run.points, run.steps, share)) is not None
            ]
            line = _line_through(_offs(runs, share), _NEAR_SD * sd)
            if told and line is not None:
                self._losses[share], self._lines[share] = fmean(told), line

    def least(self, points: Sequence[LossPoint], steps: int) -> tuple[float, float] | None:
        """Return the best metric that a run may still end at, and at which share that is seen.

        `steps` are those of the whole training. None where nothing is foretold.
        """
        done = points[-1].step / steps if points and steps else 0.0
        seen = [share for share in self._lines if share <= done]
        if not seen:
            return None
        share = max(seen)
        loss = loss_at(points, steps, share)
        if loss is None:
            return None
        least = self._lines[share].least(loss - self._losses[share], self._missed)
        return self._metric + least, share


def loss_at(points: Sequence[LossPoint], steps: int, share: float) -> float | None:
    """Return the mean loss around a share of a training; None where too little was printed."""
    end = share * steps
    seen = [one.loss for one in points if end - _WINDOW * steps < one.step <= end]
    return fmean(seen) if len(seen) >= _LEAST_POINTS else None


def _offs(runs: Sequence[ToldRun], share: float) -> list[tuple[float, float]]:
    """Return how far runs stood off their base at a share, and how far off they ended."""
    found: dict[bytes, list[tuple[float, float]]] = {}
    for run in runs:
        loss = loss_at(run.points, run.steps, share)
        if loss is not None:
            found.setdefault(run.tree, []).append((loss, run.metric))
    offs = []
    for run in runs:
        bases, loss = found.get(run.base), loss_at(run.points, run.steps, share)
        if run.tree != run.base and bases and loss is not None:
            base_loss, base_metric = (fmean(column) for column in zip(*bases, strict=True))
            offs.append((loss - base_loss, run.metric - base_metric))
    return offs


def _line_through(offs: Sequence[tuple[float, float]], near: float) -> _Line | None:
    """Return the least-squares line; None where runs are too few or all alike."""
    close = [(off, ended) for off, ended in offs if ended <= near]
    if len(close) < LEAST_RUNS:
        return None
    mean, mean_end = (fmean(column) for column in zip(*close, strict=True))
    squares = sum((off - mean) ** 2 for off, _ in close)
    if squares <= 0:
        return None
    slope = sum((off - mean) * (ended - mean_end) for off, ended in close) / squares
    offset = mean_end - slope * mean
    left = [ended - offset - slope * off for off, ended in close]
    sd = math.sqrt(sum(one**2 for one in left) / (len(close) - 2))
    return _Line(
        slope=slope,
        offset=offset,
        mean=mean,
        squares=squares,
        sd=sd,
        runs=len(close),
    )
