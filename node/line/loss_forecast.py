"""Predictions of a script's metric from its printed loss, to stop hopeless screens.

Two differences between an ended run and its base are known: in the loss at fixed fractions of the
training, and in the final metric. A regression of the second on the first predicts the final metric
of a run in training. The scatter around the regression, which includes kept and unusual patches, is
the error of the prediction. A run is stopped once it is very unlikely to pass its screen, given
this error.

The printed loss is untrusted, which is harmless. A script that prints too low a loss is not
stopped, and only gains some device time. A script that prints too high a loss is stopped itself. If
losses do not predict metrics, because a script prints false losses for example, the scatter is
large and no run is stopped any more.

This module is pure. Metrics are in the task's unit, smaller being better.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from protocol.statistics import student_t_quantile
from trainer.measuring.loss_curve import LossPoint

SHARES: Final = (0.3, 0.45, 0.6, 0.75, 0.9)  # fractions of the training after which it checks
LEAST_RUNS: Final = 20
# Each check stops this fraction of the runs that would only just have passed. All checks together
# stop fewer than one in a hundred of all runs that would be kept, since most of these pass clearly
# (`make bench PART=stopping`, from curves of recorded sessions).
MISSED: Final = 0.005
_WINDOW: Final = 0.15  # share of the training over which a loss is averaged
_LEAST_POINTS: Final = 3
# Runs that ended worse by this many standard deviations do not help to predict good runs.
_NEAR_SD: Final = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A run that has ended, with its loss curve, the steps of its training and its metric.

    `base` is the tree that the run's tree was made from, or `tree` itself if the run tried no
    change. `job` numbers increase in the order in which the jobs began.
    """

    job: int
    tree: bytes
    base: bytes
    points: tuple[LossPoint, ...]
    steps: int
    metric: float


@dataclass(frozen=True, slots=True)
class _Line:
    """A regression line from loss to metric at one share of the training, and its precision."""

    slope: float
    offset: float
    mean: float
    squares: float
    sd: float
    runs: int

    def least(self, off: float, missed: float) -> float:
        """Return a bound that a run's metric falls below with probability `missed`.

        `off` is its loss minus its base's loss. Result and metric are relative to the base.
        """
        expected = self.offset + self.slope * off
        spread = math.sqrt(1 + 1 / self.runs + (off - self.mean) ** 2 / self.squares)
        return expected - student_t_quantile(1 - missed, self.runs - 2) * self.sd * spread


class LossForecast:
    """Predictions for changes of one tree, from earlier runs of its line."""

    def __init__(
        self, runs: Sequence[FinishedRun], base: bytes, sd: float, *, missed: float = MISSED
    ) -> None:
        """Fit the regressions; `base` is the changed tree, `sd` the noise of one run.

        `missed` is the probability that a run ends better than the best metric predicted for it.
        """
        self._missed = missed
        self._lines: dict[float, _Line] = {}
        self._losses: dict[float, float] = {}
        own = [run for run in runs if run.tree == base]
        if not own:
            return
        self._metric = fmean(run.metric for run in own)
        for share in SHARES:
            expected = [
                loss for run in own if (loss := loss_at(run.points, run.steps, share)) is not None
            ]
            line = _line_through(_offs(runs, share), _NEAR_SD * sd)
            if expected and line is not None:
                self._losses[share], self._lines[share] = fmean(expected), line

    def least(self, points: Sequence[LossPoint], steps: int) -> tuple[float, float] | None:
        """Return the best metric that a run may still reach, and the share of training seen.

        `steps` is the number of steps of the whole training. None without a prediction.
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
    """Return the mean loss just before a share of a training; None if too little was printed."""
    end = share * steps
    seen = [one.loss for one in points if end - _WINDOW * steps < one.step <= end]
    return fmean(seen) if len(seen) >= _LEAST_POINTS else None


def _offs(runs: Sequence[FinishedRun], share: float) -> list[tuple[float, float]]:
    """Return how far runs differ from their bases: in the loss at a share, and in the metric."""
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
    """Return the least-squares line; None if there are too few runs or all losses are equal."""
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
