"""Gains and their bounds in whole numbers, so that every reader of a result computes the same.

A gain is the mean of paired differences, in some cases minus the bias of selection. All figures are
in 1e-9 units of the metric. Tables and intermediate results are in millionths of these. Floats are
not used, because their sums depend on the order. Other languages need big integers. The gain over
the anchor (the task's baseline) has a number of pairs that is fixed in advance. Its formulas are:

    mean  = floor(10^6 · Σd / n)
    reach = 1 + isqrt(floor(T95[n-1]² · max(n·Σd² - (Σd)², 2s²·n·(n-1)) / (n²·(n-1))))
    luck  = s · L[N]
    lower = floor((mean - reach - luck) / 10^6)        upper = floor((mean + reach) / 10^6)

T95 is Student's one-sided 95 % quantile and L[N] = √(2 ln N), both in millionths and rounded up.
The best of N results without a gain is expected at most L[N] standard deviations above 0. s is the
task's noise floor, the least spread that is assumed. In `luck`, s is the noise in the result's own
pairs if that noise is larger. Results are clamped to ±(2^53 - 1).
Pairs over the base stop when the evidence suffices, so there the bounds are those of
`protocol.evidence`.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from protocol.encoding import MAX_INT
from protocol.manifest import TaskManifest
from protocol.runs import MAX_RUNS, Role, Run

MILLION: Final = 10**6
MIN_ANCHOR_PAIRS: Final = 4

Pair: TypeAlias = tuple[int, int]  # figures of the other role and of the candidate on one seed


def _table(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split())


# Indexed by degrees of freedom, from 1 to 31: 64 runs make at most 32 pairs.
T95: Final = _table("""
    6313752 2919986 2353364 2131847 2015049 1943181 1894579 1859549 1833113 1812462 1795885
    1782288 1770934 1761311 1753051 1745884 1739607 1734064 1729133 1724719 1720743 1717145
    1713872 1710883 1708141 1705618 1703289 1701131 1699128 1697261 1695519
""")
# N = 2, 3, 4, 6, 8, 12 … 2^20. Other values are rounded up to one of these, or down to the last.
TRIES: Final = tuple(sorted({2 << k for k in range(20)} | {3 << k for k in range(19)}))
LUCK: Final = _table("""
    1177411 1482304 1665110 1893019 2039334 2229308 2354821 2521133 2632769 2782518 2884054
    3021374 3115135 3242683 3330219 3449824 3532231 3645214 3723298 3830650 3905028 4007514
    4078668 4176897 4245213 4339673 4405465 4496560 4560090 4648156 4709641 4794960 4854586
    4937402 4995328 5075848 5132212 5210617 5265538
""")


def luck(tries: int) -> int:
    """Return L[N] for the best of `tries` results, in millionths of a standard deviation."""
    return LUCK[min(bisect.bisect_left(TRIES, tries), len(LUCK) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """A gain: the mean of paired differences, and the published `estimate`.

    `reach` is the half-width of the interval. All three are in millionths of 1e-9 of the metric.
    """

    pairs: int
    mean: int
    reach: int
    estimate: int

    @property
    def value_nano(self) -> int:
        """The estimate of the gain in 1e-9 units, rounded down."""
        return _held(self.estimate // MILLION)

    @property
    def upper_nano(self) -> int:
        """The upper end of the interval, in 1e-9 units."""
        return _held((self.mean + self.reach) // MILLION)

    def lower_nano(self, allowance: int = 0) -> int:
        """Return the interval's lower end minus `allowance` (s · L[N], for luck), in 1e-9 units."""
        return _held((self.mean - self.reach - allowance) // MILLION)


def gain_of(differences: Sequence[int], noise_nano: int) -> Gain | None:
    """Return the gain shown by 4 … 32 paired differences; None for fewer.

    Use it only where the number of pairs was fixed in advance.
    """
    n = len(differences)
    if n < MIN_ANCHOR_PAIRS:
        return None
    total = sum(differences)
    spread = n * sum(d * d for d in differences) - total * total
    floor = 2 * noise_nano * noise_nano * n * (n - 1)
    variance_of_mean = T95[n - 2] ** 2 * max(spread, floor) // (n * n * (n - 1))
    mean = MILLION * total // n
    return Gain(pairs=n, mean=mean, reach=1 + math.isqrt(variance_of_mean), estimate=mean)


def _held(nano: int) -> int:
    """Return the value clamped to the range of a record's figures; absurd claims may exceed it."""
    return max(-MAX_INT, min(MAX_INT, nano))


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureScale:
    """The direction of a task's metric, and whether a figure of 0 means failure (`zero_fails`).

    Failure is normally a status, not a number. But some training scripts of language models record
    crashes as 0. No model reaches 0, and it would be the best figure if smaller is better. For a
    program 0 is an ordinary figure.
    """

    maximised: bool
    zero_fails: bool

    @classmethod
    def of(cls, manifest: TaskManifest) -> "FigureScale":
        """Return the direction of a task's metric and the meaning of a figure of 0 for its kind."""
        maximised = manifest.metric.direction == "max"
        zero_fails = manifest.kind == "language-model" and not maximised
        return cls(maximised=maximised, zero_fails=zero_fails)


def figures_of(
    runs: Sequence[Run], role: Role, scale: FigureScale, *, secret: bool
) -> dict[int, int]:
    """Map each seed to the figure of the first successful run with that seed and this role."""
    assert len(runs) <= MAX_RUNS  # noqa: S101 - the field tables hold it
    figures: dict[int, int] = {}
    for run in runs:
        figure = run.secret_nano if secret else run.metric_nano
        if run.role == role and figure is not None and (figure != 0 or not scale.zero_fails):
            figures.setdefault(run.seed, figure)
    return figures


def pairs_of(
    runs: Sequence[Run], against: Role, scale: FigureScale, *, secret: bool
) -> tuple[Pair, ...]:
    """Return for each seed the figures of two runs: of the role `against`, and of the candidate.

    Both are negated if larger is better, so that in every pair smaller is better.
    """
    sign = -1 if scale.maximised else 1
    others = figures_of(runs, against, scale, secret=secret)
    own = figures_of(runs, "candidate", scale, secret=secret)
    return tuple((sign * others[seed], sign * own[seed]) for seed in own if seed in others)
