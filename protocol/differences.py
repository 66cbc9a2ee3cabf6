"""Evidence from pairs whose two runs use the same instances.

`DifferenceEvidence` uses the differences, `ExactEvidence` only their sign. Tasks with programs use
these classes, tasks with noisy runs use `PairedEvidence` (`protocol.styles`). Earlier pairs of a
program with itself are not used: on the same instances the two runs differ by exactly 0, however
much the runs of another program differ. Gains are base - candidate, in the metric's unit.

`DifferenceEvidence` is the one-sample, one-sided right-Haar t e-process (sources in
`protocol.statistics`) with one **unseen pair** added to the measured ones. The unseen pair is a
loss of `UNSEEN` times the root mean square of the measured differences. A t test alone passes a
candidate that nearly always gains a little and rarely loses much: it trusts the small spread of
pairs that happened to miss the loss. With the unseen pair no spread is zero, ties are evidence
against a gain, and nine pairs never reach 1 in 20, however equal they are. Its error rates are
simulated (`make bench PART=programs`); change it only with that simulation.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from statistics import fmean
from typing import ClassVar, Final

from protocol.statistics import (
    critical_t,
    less_luck,
    log_e_value,
    posterior_above,
    sum_of_squares,
)
from protocol.units import NANO, to_nano

# Compensates for skew. On simulated lines where nearly all pairs tie and losses are four times the
# gains, 4.3 % (3.0 to 6.3) of lines promote something with 1, and 2.4 % (1.6 to 3.6) with this
# value. A gain of two standard deviations of a difference costs about six pairs more than without
# an unseen pair.
UNSEEN: Final = 1.25
# The noise of a run is taken to be at least the gain divided by this. Where instances are drawn,
# equal differences mean that there are few pairs, not that the measurement is exact.
GAIN_OVER_SPREAD: Final = 12
# ln E where chance plays no part: more than any alpha requires.
CERTAIN: Final = 1000.0


def log_e_of_differences(mean: float, ss: float, pairs: int) -> float:
    """Return ln E of `pairs` differences with this mean and sum of squares about the mean.

    With r = mean √n / √(ss + n mean²) and u = `UNSEEN`, the evidence of the n + 1 differences
    depends only on (n r - u) / √((n + 1)(n + u²)): their mean divided by their root mean square.
    """
    squares = ss + pairs * mean * mean
    if pairs == 0:
        return 0.0
    r = mean * math.sqrt(pairs / squares) if squares > 0 else 0.0
    r = min(1.0, max(-1.0, r))  # rounding may exceed it: squares of tiny means underflow
    share = (pairs * r - UNSEEN) / _most(pairs)
    worth_runs = (pairs + 1) / 2  # a difference has the variance of two runs
    return log_e_value(share, worth_runs, worth_runs * (1 - share * share), pairs)


def critical_ratio(pairs: int, log_e: float) -> float:
    """Return the n mean² / ss at which `log_e_of_differences` reaches `log_e`; inf if never."""
    t = critical_t((pairs + 1) / 2, pairs, log_e)
    share = t / math.hypot(t, math.sqrt(pairs)) if math.isfinite(t) else 1.0
    r = (share * _most(pairs) + UNSEEN) / pairs
    return r * r / (1 - r * r) if r < 1 else math.inf


def _most(pairs: int) -> float:
    return math.sqrt((pairs + 1) * (pairs + UNSEEN * UNSEEN))


@dataclass(frozen=True)
class DifferenceEvidence:
    """Evidence from fresh pairs of a base and a candidate on the same instances.

    `differences` are the gains of the pairs. `floor` is the least noise of one run, in the
    metric's unit. Fewer than `least_pairs` pairs are no evidence of a gain.
    """

    differences: tuple[float, ...]
    floor: float = 0.0
    least_pairs: int = 1

    is_exact: ClassVar[bool] = False

    @property
    def pairs(self) -> int:
        """The number of pairs."""
        return len(self.differences)

    @cached_property
    def gain(self) -> float:
        """Z, the mean gain of the pairs; 0 before the first pair."""
        return fmean(self.differences) if self.differences else 0.0

    @property
    def sd(self) -> float:
        """The noise of one run, as if the two runs of each pair were independent."""
        return math.sqrt(self._ss / (2 * (self.pairs - 1))) if self.pairs > 1 else self.floor

    @property
    def log_e(self) -> float:
        """ln E(Z), the evidence that there is a gain."""
        return self._log_e_of(self.gain)

    @property
    def log_e_worse(self) -> float:
        """ln E(-Z), the evidence that the candidate is worse."""
        return self._log_e_of(-self.gain)

    def log_e_absent(self, claim: float) -> float:
        """Return ln E(claim - Z), the evidence that the gain is less than `claim`."""
        return self._log_e_of(claim - self.gain)

    def posterior_above(self, threshold: float) -> float:
        """Return P(gain > threshold) under the prior of `PairedEvidence`, without an unseen pair.

        If all pairs tie and `floor` is 0, each tie halves the probability.
        """
        if self.pairs < 2:
            return 0.5
        if self._ss == 0:
            return 0.5**self.pairs
        return posterior_above(threshold, self.gain, self.pairs / 2, self._ss / 2, self.pairs - 1)

    @property
    def estimate(self) -> float:
        """The gain minus the average bias of selection (`less_luck`)."""
        return less_luck(self.gain, self.sd, self.pairs)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return (lower, upper) of the gain, valid under any stopping rule.

        As in `PairedEvidence`, the e-process refutes exactly the gains outside the interval.
        """
        if self.pairs < max(2, self.least_pairs):
            return -math.inf, math.inf
        ratio = critical_ratio(self.pairs, -math.log(1 - level))
        if not math.isfinite(ratio):
            return -math.inf, math.inf
        reach = math.sqrt(ratio * self._ss / self.pairs)
        return self.gain - reach, self.gain + reach

    def _log_e_of(self, mean: float) -> float:
        log_e = log_e_of_differences(mean, self._ss, self.pairs)
        return log_e if self.pairs >= self.least_pairs else min(0.0, log_e)

    @cached_property
    def _ss(self) -> float:
        """The sum of squares about the mean, at least that of the least plausible noise."""
        floor = max(self.floor, abs(self.gain) / GAIN_OVER_SPREAD)
        return max(sum_of_squares(self.differences), 2 * (self.pairs - 1) * floor * floor, 0.0)


@dataclass(frozen=True)
class ExactEvidence:
    """Evidence from pairs on fixed instances without noise: the first pair measures the gain.

    Gains are whole 1e-9 units, because two floats that should be equal may not be. If the gains of
    the pairs differ nevertheless, a gain is shown only if it exceeds their range.
    """

    gains_nano: tuple[int, ...]

    is_exact: ClassVar[bool] = True
    sd: ClassVar[float] = 0.0

    @property
    def pairs(self) -> int:
        """The number of pairs."""
        return len(self.gains_nano)

    @property
    def gain(self) -> float:
        """The mean gain of the pairs; 0 before the first pair."""
        return float(self._mean_nano / NANO)

    @property
    def estimate(self) -> float:
        """The gain itself, because without noise no selection biases it."""
        return self.gain

    @property
    def log_e(self) -> float:
        """`CERTAIN` if there is a gain (a tie is none), else -`CERTAIN`; 0 without a pair."""
        return self._whether(self._mean_nano)

    @property
    def log_e_worse(self) -> float:
        """`CERTAIN` if the candidate is worse, else -`CERTAIN`; 0 without a pair."""
        return self._whether(-self._mean_nano)

    def log_e_absent(self, claim: float) -> float:
        """Return `CERTAIN` if the gain is less than `claim`, else -`CERTAIN`; 0 without a pair."""
        return self._whether(to_nano(claim) - self._mean_nano)

    def posterior_above(self, threshold: float) -> float:
        """Return 1 if the gain is above `threshold`, else 0; 0.5 before the first pair."""
        return float(self.gain > threshold) if self.pairs else 0.5

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return (lower, upper) of the gain, the same at any level; equal if all pairs agree."""
        if not self.pairs:
            return -math.inf, math.inf
        ends = (self._mean_nano - self._reach_nano, self._mean_nano + self._reach_nano)
        return float(ends[0] / NANO), float(ends[1] / NANO)

    def _whether(self, beyond_nano: Fraction) -> float:
        if not self.pairs:
            return 0.0
        return CERTAIN if beyond_nano > self._reach_nano else -CERTAIN

    @property
    def _mean_nano(self) -> Fraction:
        return Fraction(sum(self.gains_nano), max(1, self.pairs))

    @property
    def _reach_nano(self) -> int:
        return max(self.gains_nano, default=0) - min(self.gains_nano, default=0)
