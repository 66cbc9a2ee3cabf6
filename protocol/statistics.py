"""The e-process behind every verdict: the strength of the evidence for a gain in paired runs.

All functions are pure, and figures are in the metric's own unit. A gain is base - candidate, so if
larger is better, the caller flips the signs first. The formula is the one-sided right-Haar t
e-process (Grünwald, de Heide & Koolen, *Safe Testing*; Wang & Ramdas, *Anytime-valid t-tests*),
which is valid after every pair. `protocol.rule` turns values into verdicts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import fmean
from typing import ClassVar, Protocol

from protocol.errors import ArnodeError

# g: the prior of a gain is N(0, g s²), with twice the standard deviation of one run.
PRIOR_VARIANCE = 4.0
# The mean gain of promoted sources, in standard deviations of one run, in simulated lines.
USUAL_GAIN = 4
CLASS_DEGREES_OF_FREEDOM = 4.0
# Beyond 30 degrees of freedom t is nearly normal, and a long history hides a change of the noise.
MAX_DEGREES_OF_FREEDOM = 30.0
# The weight, in pairs, of the prior that the two runs of a pair are independent.
_HELD_PAIRS = 3
_MOST_T = 1e6

_FRACTION_LIMIT = 10_000
_FRACTION_TINY = 1e-300
_FRACTION_PRECISION = 3e-16


def student_t_cdf(x: float, nu: float) -> float:
    """Return P(T ≤ x) for Student's t with `nu` degrees of freedom."""
    if x == 0:
        return 0.5
    tail = 0.5 * _incomplete_beta(nu / (nu + x * x), x * x / (nu + x * x), nu / 2, 0.5)
    return tail if x < 0 else 1.0 - tail


@lru_cache(maxsize=4096)
def student_t_quantile(p: float, nu: float) -> float:
    """Return x with P(T ≤ x) = p, by Newton's method kept inside a bracket."""
    if not 0 < p < 1:
        raise ValueError(f"no quantile at {p}")
    if p > 0.5:
        return -student_t_quantile(1 - p, nu)
    low, high = -1.0, 0.0
    while student_t_cdf(low, nu) > p:
        low, high = 2 * low, low
    x = (low + high) / 2
    for _ in range(200):
        excess = student_t_cdf(x, nu) - p
        low, high = (low, x) if excess > 0 else (x, high)
        following = x - excess / _student_t_density(x, nu)
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - x) <= 1e-15 * abs(x):
            return following
        x = following
    return x


def log_e_value(z: float, h: float, ss: float, nu: float) -> float:
    """Return ln E(Z) of a mean difference `z` whose variance is that of one run divided by `h`.

    The variance of one run is estimated by `ss / nu`, a sum of squares on `nu` degrees of freedom.
    A value above -ln alpha shows a gain at error rate alpha, under any stopping rule.
    """
    c = 1 + h * PRIOR_VARIANCE
    b = h * PRIOR_VARIANCE / c
    ss_one = ss + h * z * z / c
    u = z * math.sqrt(b * h) / math.sqrt(ss_one / (nu + 1))
    return (
        math.log(2)
        + math.log(student_t_cdf(u, nu + 1))
        - 0.5 * math.log(c)
        + (nu + 1) / 2 * math.log((ss + h * z * z) / ss_one)
    )


def sum_of_squares(values: Sequence[float]) -> float:
    """Return the sum of squares about the mean."""
    if not values:
        return 0.0
    mean = fmean(values)
    return sum((value - mean) ** 2 for value in values)


def posterior_above(threshold: float, z: float, h: float, ss: float, nu: float) -> float:
    """Return P(gain > threshold) under the prior N(0, g s²); arguments as in `log_e_value`."""
    c = 1 + h * PRIOR_VARIANCE
    mean = h * PRIOR_VARIANCE / c * z
    variance = PRIOR_VARIANCE / c * (ss + h * z * z / c) / (nu + 1)
    return student_t_cdf((mean - threshold) / math.sqrt(variance), nu + 1)


def less_luck(gain: float, sd: float, pairs: int) -> float:
    """Return a gain minus the average bias of selection, s / 2n, towards zero.

    Promoted sources gain `USUAL_GAIN` standard deviations on average, with an exponential
    distribution. Then the posterior mean of a mean of n differences is lower by
    σ² / (`USUAL_GAIN` s), with σ² = 2 s² / n (Efron, *Tweedie's formula and selection bias*, 2011).
    For a single small gain, no correction of the luck that let it pass is possible.
    """
    luck = 2 * sd / (USUAL_GAIN * max(1, pairs))
    return math.copysign(max(0.0, abs(gain) - luck), gain)


@lru_cache(maxsize=1024)
def critical_t(h: float, nu: float, log_e: float) -> float:
    """Return the t = z √(h nu / ss) at which ln E(z) reaches `log_e`; inf if it never does."""
    low, high = 0.0, 1.0
    while log_e_value(high / math.sqrt(h), h, nu, nu) < log_e:
        low, high = high, 2 * high
        if high > _MOST_T:
            return math.inf
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        is_enough = log_e_value(middle / math.sqrt(h), h, nu, nu) >= log_e
        low, high = (low, middle) if is_enough else (middle, high)
    return high


@dataclass(frozen=True, slots=True)
class NoiseEstimate:
    """An estimate of the noise of one run: a sum of squares on `nu` degrees of freedom.

    Raises:
        ArnodeError: the sum or the degrees are not positive.
    """

    ss: float
    nu: float

    def __post_init__(self) -> None:
        if not (self.ss > 0 and self.nu > 0 and math.isfinite(self.ss)):
            raise ArnodeError(
                f"ss={self.ss} and nu={self.nu} give no noise estimate",
                "a task whose runs never differ needs a noise floor above zero",
            )

    @classmethod
    def from_class(cls, sd: float) -> "NoiseEstimate":
        """Return the initial estimate, given the median standard deviation of a hardware class."""
        return cls(CLASS_DEGREES_OF_FREEDOM * sd * sd, CLASS_DEGREES_OF_FREEDOM)

    @property
    def sd(self) -> float:
        """The standard deviation of one run, in the metric's unit."""
        return math.sqrt(self.ss / self.nu)

    def with_groups(self, groups: Sequence[Sequence[float]]) -> "NoiseEstimate":
        """Return the estimate with more runs; each group has runs of one tree on one split.

        Beyond `MAX_DEGREES_OF_FREEDOM` the sum is scaled: the variance stays, its weight is capped.
        """
        ss = self.ss + sum(sum_of_squares(group) for group in groups)
        nu = self.nu + sum(len(group) - 1 for group in groups if group)
        if nu > MAX_DEGREES_OF_FREEDOM:
            return NoiseEstimate(ss * MAX_DEGREES_OF_FREEDOM / nu, MAX_DEGREES_OF_FREEDOM)
        return NoiseEstimate(ss, nu)


class GainEvidence(Protocol):
    """The interface of the evidence of pairs, for every style of task (`protocol.styles`).

    `PairedEvidence` documents the members. If `is_exact`, one pair is enough.
    """

    @property
    def is_exact(self) -> bool: ...
    @property
    def pairs(self) -> int: ...
    @property
    def gain(self) -> float: ...
    @property
    def sd(self) -> float: ...
    @property
    def log_e(self) -> float: ...
    @property
    def log_e_worse(self) -> float: ...
    def log_e_absent(self, claim: float) -> float: ...
    def posterior_above(self, threshold: float) -> float: ...
    @property
    def estimate(self) -> float: ...
    def interval(self, level: float = 0.95) -> tuple[float, float]: ...


@dataclass(frozen=True)
class PairedEvidence:
    """Evidence from fresh pairs of runs of a base and a candidate, and a prior noise estimate.

    Raises:
        ValueError: there are not as many base runs as candidate runs.
    """

    noise: NoiseEstimate
    base: tuple[float, ...]
    candidate: tuple[float, ...]

    is_exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if len(self.base) != len(self.candidate):
            raise ValueError("pairs need as many base runs as candidate runs")

    @property
    def pairs(self) -> int:
        """The number of pairs."""
        return len(self.base)

    @property
    def gain(self) -> float:
        """Z, mean(base) - mean(candidate); 0 before the first pair."""
        return fmean(self.base) - fmean(self.candidate) if self.base else 0.0

    @property
    def sd(self) -> float:
        """s, the standard deviation of one run, with these pairs included."""
        return math.sqrt(self._ss / self._nu)

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
        """Return P(gain > threshold) under the prior N(0, g s²)."""
        return posterior_above(threshold, self.gain, self._worth_runs, self._ss, self._nu)

    @property
    def estimate(self) -> float:
        """The gain minus the average bias of selection (`less_luck`)."""
        return less_luck(self.gain, self.sd, self.pairs)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return (lower, upper) of the gain, valid under any stopping rule.

        Each end holds at this level, because the e-process refutes exactly the gains beyond it. So
        the lower end is above zero exactly if `log_e` shows a gain at the same error rate. With few
        pairs the ends are infinite. Source: Ramdas, Grünwald, Vovk & Shafer, *Game-theoretic
        statistics and safe anytime-valid inference* (2023), confidence sequences by inverting
        e-processes.
        """
        if not self.base:
            return -math.inf, math.inf
        scale = math.sqrt(self._ss / (self._nu * self._worth_runs))
        reach = scale * critical_t(self._worth_runs, self._nu, -math.log(1 - level))
        return self.gain - reach, self.gain + reach

    def _log_e_of(self, difference: float) -> float:
        return log_e_value(difference, self._worth_runs, self._ss, self._nu)

    @cached_property
    def _ss(self) -> float:
        return self.noise.ss + sum_of_squares(self.base) + sum_of_squares(self.candidate)

    @cached_property
    def _nu(self) -> float:
        return self.noise.nu + 2 * max(0, self.pairs - 1)

    @cached_property
    def _worth_runs(self) -> float:
        """h: the mean difference has the variance of one run divided by h.

        It is lower if the candidate is noisier than the base, or if the differences scatter more
        than independent runs would (a seed that is lucky for one and unlucky for the other).
        """
        n = self.pairs
        if n < 2:
            return n / 2
        variance = self._ss / self._nu
        ratio = (sum_of_squares(self.candidate) + variance) / (n * variance)
        gains = [
            base - candidate for base, candidate in zip(self.base, self.candidate, strict=True)
        ]
        held = 2 * _HELD_PAIRS * variance  # the prior: pairs that scatter like independent runs
        scatter = (sum_of_squares(gains) + held) / ((n - 1 + _HELD_PAIRS) * variance)
        return n / max(1 + max(1.0, ratio), scatter)


def _student_t_density(x: float, nu: float) -> float:
    log_constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(nu * math.pi)
    return math.exp(log_constant - (nu + 1) / 2 * math.log1p(x * x / nu))


def _incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """Return the regularised I_x(a, b); `rest` is 1 - x, passed in to avoid rounding."""
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    )
    front = math.exp(log_front)
    # Beyond the mean the fraction converges slowly, so use I_x(a, b) = 1 - I_(1-x)(b, a).
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(x, a, b) / a
    return 1.0 - front * _beta_fraction(rest, b, a) / b


def _beta_fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction of the incomplete beta function (DLMF 8.17.22, Lentz)."""
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _FRACTION_LIMIT):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for coefficient in (even, odd):
            d = 1 / _away_from_zero(1 + coefficient * d)
            c = _away_from_zero(1 + coefficient / c)
            value *= c * d
        if abs(c * d - 1) <= _FRACTION_PRECISION:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _FRACTION_TINY else _FRACTION_TINY
