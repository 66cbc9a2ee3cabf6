"""Evidence of pairs whose runs meet the same instances: of their differences, or of their sign.

What `PairedEvidence` is to runs that scatter by themselves, these are to programs
(`protocol.styles`). No history of a program against itself goes in: on drawn instances it differs
from itself by exactly 0, and another one does not. Gains are base - candidate, in the metric's
unit.

`DifferenceEvidence` is the one-sided right-Haar t e-process of one sample (sources in
`protocol.statistics`), given one more pair than was measured: an **unseen pair**, which went the
other way by `UNSEEN` times as much as pairs go, the root of their mean square. A t test alone
passes what gains a little nearly always and loses much once in a while: it believes the small
spread of pairs that have missed the loss. With that pair no spread is zero, ties are evidence
against a gain, and nine pairs show nothing at 1 in 20 however equal they are. What it holds under
is simulated (`make bench PART=programs`): change it only with that.
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

# It makes up for skew: with 1, of simulated lines on which nearly all is ties and losses are four
# times the gains, 4.3 % (3.0 to 6.3) adopt something, with this 2.4 % (1.6 to 3.6). Gains of two
# deviations of a difference cost some six pairs more than without an unseen pair.
UNSEEN: Final = 1.25
# No run is believed to scatter by less than this share of the gain: where instances are drawn,
# pairs that all differ by the same are few pairs and no exact measurement.
GAIN_OVER_SPREAD: Final = 12
# ln E of what is left to no chance: more than any alpha asks for.
CERTAIN: Final = 1000.0


def log_e_of_differences(mean: float, ss: float, pairs: int) -> float:
    """Return ln E of a mean of `pairs` differences with this sum of squares about it.

    With r = mean √n / √(ss + n mean²) and u = `UNSEEN`, what n + 1 differences show depends on
    (n r - u) / √((n + 1)(n + u²)) alone: their mean as a share of the root of their mean square.
    """
    squares = ss + pairs * mean * mean
    if pairs == 0:
        return 0.0
    r = mean * math.sqrt(pairs / squares) if squares > 0 else 0.0
    share = (pairs * r - UNSEEN) / _most(pairs)
    worth_runs = (pairs + 1) / 2  # as a difference has the variance of two runs
    return log_e_value(share, worth_runs, worth_runs * (1 - share * share), pairs)


def critical_ratio(pairs: int, log_e: float) -> float:
    """Return the n mean² / ss at which `log_e_of_differences` reaches `log_e`; maybe infinite."""
    t = critical_t((pairs + 1) / 2, pairs, log_e)
    share = t / math.hypot(t, math.sqrt(pairs)) if math.isfinite(t) else 1.0
    r = (share * _most(pairs) + UNSEEN) / pairs
    return r * r / (1 - r * r) if r < 1 else math.inf


def _most(pairs: int) -> float:
    return math.sqrt((pairs + 1) * (pairs + UNSEEN * UNSEEN))


@dataclass(frozen=True)
class DifferenceEvidence:
    """Fresh pairs of a base and a candidate on the same instances, as what each pair gains.

    `floor` is how much one run scatters at least, in the metric's unit. Fewer than `least_pairs`
    are no evidence.
    """

    differences: tuple[float, ...]
    floor: float = 0.0
    least_pairs: int = 1

    is_exact: ClassVar[bool] = False

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return len(self.differences)

    @cached_property
    def gain(self) -> float:
        """Z, the mean of what pairs gain; 0 before the first pair."""
        return fmean(self.differences) if self.differences else 0.0

    @property
    def sd(self) -> float:
        """What one run would have to scatter, if two that are not paired differed like this."""
        return math.sqrt(self._ss / (2 * (self.pairs - 1))) if self.pairs > 1 else self.floor

    @property
    def log_e(self) -> float:
        """ln E(Z): evidence that there is a gain."""
        return self._log_e_of(self.gain)

    @property
    def log_e_worse(self) -> float:
        """ln E(-Z): evidence that the candidate is worse."""
        return self._log_e_of(-self.gain)

    def log_e_absent(self, claim: float) -> float:
        """Return ln E(claim - Z): evidence that a gain of `claim` is not there."""
        return self._log_e_of(claim - self.gain)

    def posterior_above(self, threshold: float) -> float:
        """Return P(gain > threshold) under the prior of `PairedEvidence`, without an unseen pair.

        A tie halves what is left of the hope for a gain.
        """
        if self.pairs < 2:
            return 0.5
        if self._ss == 0:
            return 0.5**self.pairs
        return posterior_above(threshold, self.gain, self.pairs / 2, self._ss / 2, self.pairs - 1)

    @property
    def estimate(self) -> float:
        """The gain less what selection adds to it on average (`less_luck`)."""
        return less_luck(self.gain, self.sd, self.pairs)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return (lower, upper) of the gain, true however it was decided when to stop.

        As in `PairedEvidence`: what lies beyond an end the e-process itself refutes.
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
        """The sum of squares about the mean, no smaller than what is believed."""
        floor = max(self.floor, abs(self.gain) / GAIN_OVER_SPREAD)
        return max(sum_of_squares(self.differences), 2 * (self.pairs - 1) * floor * floor, 0.0)


@dataclass(frozen=True)
class ExactEvidence:
    """Pairs on fixed instances, where nothing scatters: the first one says how large the gain is.

    In 1e-9 units, in which figures are whole numbers: two floats that should be equal may not be.
    Pairs that differ are not exact, and show a gain only beyond the most by which they do.
    """

    gains_nano: tuple[int, ...]

    is_exact: ClassVar[bool] = True
    sd: ClassVar[float] = 0.0

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return len(self.gains_nano)

    @property
    def gain(self) -> float:
        """What each pair gains; 0 before the first."""
        return float(self._mean_nano / NANO)

    @property
    def estimate(self) -> float:
        """The same: nothing of it is luck."""
        return self.gain

    @property
    def log_e(self) -> float:
        """Whether there is a gain: `CERTAIN`, or the opposite. A tie is none."""
        return self._whether(self._mean_nano)

    @property
    def log_e_worse(self) -> float:
        """Whether the candidate is worse, said likewise."""
        return self._whether(-self._mean_nano)

    def log_e_absent(self, claim: float) -> float:
        """Return whether a gain of `claim` is not there, likewise."""
        return self._whether(to_nano(claim) - self._mean_nano)

    def posterior_above(self, threshold: float) -> float:
        """Return 1 if the gain is above this, else 0; a half before the first pair."""
        return float(self.gain > threshold) if self.pairs else 0.5

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return (lower, upper) of the gain, which are one at any level where it is exact."""
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
