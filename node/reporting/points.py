"""The points of a line's plot: each experiment with its interval, and head and working line."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

from node.line.trial import Measured
from node.reporting.concluded import ConcludedTrial, TimeSpan
from node.reporting.staircase import Column, PointsDocument, columns
from node.store.experiments import Adoption, Experiment
from protocol.units import NANO, from_nano

NINETY_FIVE: Final = 1.96  # sd on either side of the mean, for 95 % of a normal distribution
_BASELINE_RUNS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """An experiment's metric with the ends of its 95 % interval, and its column in the plot."""

    entry: Experiment
    metric: float | None
    low: float | None
    high: float | None
    column: Column


def points_of(
    history: Sequence[Experiment],
    moves: Sequence[Adoption],
    span: TimeSpan,
    confirmations: Iterable[ConcludedTrial],
    *,
    noise_sd: float,
    sign: int,
) -> tuple[Point, ...]:
    """Return the experiments of a span, oldest first.

    `history` must have all experiments of the line, and `moves` all changes of its head. `sign` is
    +1 if a smaller metric is better.
    """
    by_id = {one.entry.id: one for one in confirmations}
    found = columns(history, moves=moves)
    drawn = zip(history[len(history) - len(found) :], found, strict=True)
    return tuple(
        _point(entry, column, by_id.get(entry.id), noise_sd=noise_sd, sign=sign)
        for entry, column in drawn
        if entry.ts_ms in span
    )


def _point(
    entry: Experiment,
    column: Column,
    confirmation: ConcludedTrial | None,
    *,
    noise_sd: float,
    sign: int,
) -> Point:
    metric = from_nano(entry.metric_nano)
    low, high = ends_of(metric, confirmation.measured if confirmation else None, sign=sign)
    if metric is not None and confirmation is None and noise_sd:
        runs = _BASELINE_RUNS if entry.stage == "baseline" else 1
        reach = NINETY_FIVE * noise_sd / sqrt(runs)
        low, high = metric - reach, metric + reach
    return Point(
        entry=entry,
        metric=metric,
        low=low,
        high=high,
        column=column,
    )


def ends_of(
    metric: float | None, measured: Measured | None, *, sign: int
) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a trial's metric, which is as wide as that of its gain.

    `sign` is +1 if a smaller metric is better.
    """
    if metric is None or measured is None or measured.gain_nano is None:
        return None, None
    lower_nano, upper_nano = measured.lower_nano, measured.upper_nano
    if lower_nano is None or upper_nano is None:
        return None, None
    ends = [metric + sign * (measured.gain_nano - end) / NANO for end in (lower_nano, upper_nano)]
    return min(ends), max(ends)


def points_document(points: Sequence[Point]) -> PointsDocument:
    """Return points as columns for the page."""
    return {
        "id": [point.entry.id.hex() for point in points],
        "ts": [point.entry.ts_ms for point in points],
        "metric": [point.metric for point in points],
        "low": [point.low for point in points],
        "high": [point.high for point in points],
        "head": [point.column.head for point in points],
        "working": [point.column.working for point in points],
        "decision": [point.entry.decision for point in points],
        "stage": [point.entry.stage for point in points],
        "title": [point.entry.title for point in points],
    }
