"""The fraction of a gain that transfers from one rung or hardware class to another.

It is estimated from earlier transfers. A slope is the expected gain on the new rung or class,
divided by the gain where the patch was found: 1 means that the gain transfers fully, 0 not at all.
There is one slope for each pair (from, to). It is shrunk towards the common slope, more strongly if
there are few transfers (empirical Bayes; DerSimonian and Laird 1986 for the scatter between
patches). Slopes only order what is tried next. They are not evidence.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from protocol.gains import Gain
from protocol.units import NANO

Z95: Final = 1.96  # standard errors from the mean to each end of a 95 % interval
_PRIOR: Final = (0.5, 0.5)  # mean and standard deviation of an unknown slope
_SCATTER_SD: Final = 0.3  # prior scatter between patches
_FEW: Final = 4.0  # the weight of the prior scatter, in patches
_LEAST: Final = 1e-9  # the smallest gain that records can hold
_LEAST_SIGMAS: Final = 1.0  # ignore a ratio whose denominator is smaller than this many errors

Pair = TypeVar("Pair")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedTransfer:
    """One transfer: the patch's gain where it was found (`below`) and here (`above`).

    Each has its standard error. Both are in the same unit, and positive is better.
    """

    below: float
    below_error: float
    above: float
    above_error: float


def measured(gain: Gain) -> tuple[float, float]:
    """Return a gain and its standard error, in the metric's unit."""
    return gain.value_nano / NANO, (gain.upper_nano - gain.value_nano) / NANO / Z95


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """A slope with its standard deviation, estimated from `count` patches.

    `scatter` is the standard deviation of the slopes of single patches about this one.
    """

    mean: float
    sd: float
    scatter: float
    count: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % credible interval of the slope."""
        return self.mean - Z95 * self.sd, self.mean + Z95 * self.sd

    def expected(self, gain: float, error: float = 0.0) -> tuple[float, float]:
        """Return the expected gain of a patch after its transfer, and its standard deviation.

        `gain` and `error` are the gain where the patch was found, and its standard error.
        """
        spread = gain * gain * (self.sd**2 + self.scatter**2) + (self.mean * error) ** 2
        return self.mean * gain, math.sqrt(spread)


UNKNOWN: Final = Slope(mean=_PRIOR[0], sd=_PRIOR[1], scatter=_SCATTER_SD, count=0)


def slopes(transfers: Mapping[Pair, Sequence[ObservedTransfer]]) -> dict[Pair, Slope]:
    """Return the slope of each (from, to), shrunk towards the slope of all transfers."""
    every = overall(one for changes in transfers.values() for one in changes)
    prior = Slope(
        mean=every.mean,
        sd=math.hypot(every.sd, every.scatter),
        scatter=every.scatter,
        count=every.count,
    )
    return {pair: _posterior(changes, prior) for pair, changes in transfers.items()}


def overall(transfers: Iterable[ObservedTransfer]) -> Slope:
    """Return the slope of all transfers together."""
    return _posterior(tuple(transfers), UNKNOWN)


def _posterior(transfers: Sequence[ObservedTransfer], prior: Slope) -> Slope:
    ratios = [
        (one.above / one.below, _variance(one, prior.mean))
        for one in transfers
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


def _variance(one: ObservedTransfer, slope: float) -> float:
    """Return the variance of the ratio above / below that the errors of both gains cause."""
    return (one.above_error**2 + (slope * one.below_error) ** 2) / one.below**2


def _scatter(ratios: Sequence[tuple[float, float]], known: float) -> float:
    """Return the scatter of the patches' slopes beyond measurement errors, shrunk to `known`."""
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
