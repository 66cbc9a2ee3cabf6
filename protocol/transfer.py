"""How much of a gain carries over from one rung or class to another, learnt from what was carried.

A slope is what a gain there is multiplied by to expect the gain here: 1, it carries over whole; 0,
not at all. Slopes of one pair of places are drawn towards those of all pairs, the more the fewer
carried changes there are (empirical Bayes, DerSimonian and Laird 1986 for the scatter between
changes). They order what is tried next: they are no evidence, and decide nothing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from protocol.gains import Gain
from protocol.units import NANO

Z95: Final = 1.96  # standard errors to each end of a 95 % interval
_PRIOR: Final = (0.5, 0.5)  # mean and standard deviation of a slope nobody knows anything of
_SCATTER_SD: Final = 0.3  # between changes, until more than a few are known
_FEW: Final = 4.0  # as so many changes that scatter counts
_LEAST: Final = 1e-9  # a gain: records tell no smaller one
_LEAST_SIGMAS: Final = 1.0  # a gain below that is smaller against its error says nothing of a ratio

Pair = TypeVar("Pair")


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """One change: its gain where it was found and here, each with its standard error (the same
    unit; positive is better)."""

    below: float
    below_error: float
    above: float
    above_error: float


def measured(gain: Gain) -> tuple[float, float]:
    """Return a gain and its standard error, in the metric's unit."""
    return gain.value_nano / NANO, (gain.upper_nano - gain.value_nano) / NANO / Z95


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """A slope with its uncertainty (one standard deviation), of so many changes.

    `scatter` is how far the slope of one change lies off it, one standard deviation.
    """

    mean: float
    sd: float
    scatter: float
    count: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 in 100 of what is believed of it lie between these."""
        return self.mean - Z95 * self.sd, self.mean + Z95 * self.sd

    def expected(self, gain: float, error: float = 0.0) -> tuple[float, float]:
        """Return the gain to expect here of one change, and its standard deviation."""
        spread = gain * gain * (self.sd**2 + self.scatter**2) + (self.mean * error) ** 2
        return self.mean * gain, math.sqrt(spread)


UNKNOWN: Final = Slope(mean=_PRIOR[0], sd=_PRIOR[1], scatter=_SCATTER_SD, count=0)


def slopes(carried: Mapping[Pair, Sequence[Carried]]) -> dict[Pair, Slope]:
    """Return the slope of each pair of places, each drawn towards that of all."""
    every = overall(one for changes in carried.values() for one in changes)
    prior = Slope(
        mean=every.mean,
        sd=math.hypot(every.sd, every.scatter),
        scatter=every.scatter,
        count=every.count,
    )
    return {pair: _posterior(changes, prior) for pair, changes in carried.items()}


def overall(carried: Iterable[Carried]) -> Slope:
    """Return the slope of all changes together."""
    return _posterior(tuple(carried), UNKNOWN)


def _posterior(carried: Sequence[Carried], prior: Slope) -> Slope:
    ratios = [
        (one.above / one.below, _variance(one, prior.mean))
        for one in carried
        if one.below >= max(_LEAST, _LEAST_SIGMAS * one.below_error)
    ]
    if not ratios:
        return prior
    scatter = _scatter(ratios, prior.scatter)
    weights = [1 / (variance + scatter**2) for _, variance in ratios]
    sums = sum(weight * ratio for weight, (ratio, _) in zip(weights, ratios, strict=True))
    precision = sum(weights) + 1 / prior.sd**2
    return Slope(
        mean=(sums + prior.mean / prior.sd**2) / precision,
        sd=math.sqrt(1 / precision),
        scatter=scatter,
        count=len(ratios),
    )


def _variance(one: Carried, slope: float) -> float:
    """The variance of a ratio that is due to how both gains were measured."""
    return (one.above_error**2 + (slope * one.below_error) ** 2) / one.below**2


def _scatter(ratios: Sequence[tuple[float, float]], known: float) -> float:
    """The standard deviation between changes that is not due to measuring, drawn to a known one."""
    weights = [1 / max(variance, 1e-9) for _, variance in ratios]
    total = sum(weights)
    mean = sum(weight * ratio for weight, (ratio, _) in zip(weights, ratios, strict=True)) / total
    squares = sum(
        weight * (ratio - mean) ** 2 for weight, (ratio, _) in zip(weights, ratios, strict=True)
    )
    freedom = len(ratios) - 1
    spread = total - sum(weight * weight for weight in weights) / total
    found = max(0.0, (squares - freedom) / spread) if spread > 0 else 0.0
    return math.sqrt((freedom * found + _FEW * known**2) / (freedom + _FEW))
