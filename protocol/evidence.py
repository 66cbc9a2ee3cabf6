"""The evidence in the pairs of a record, computed in whole numbers.

The node that re-runs a claim decides by `protocol.rule`, at an alpha of its choice and with its own
estimate of its machine's noise. Readers know neither. So a leaderboard computes the same e-process
from the record's pairs alone: at alpha = 0.05, with no prior estimate of the noise, and without
floats. The e-process is valid after any pair, so no stopping rule confirms more than 5 % of nulls.

    D        = Σ base - Σ candidate (the other way round where more is better) - n · gain
    scatter  = max(n·Σc² - (Σc)² + n·Σb² - (Σb)², n·Σd² - (Σd)², 2·s²·n·(n-1))
    shown    = D > 0 and 10^6 · D² ≥ 2 · C[n] · scatter
    reach    = 1 + isqrt(floor(2·10^6 · C[n] · scatter / n²))
    estimate = floor(10^6 · (Σd ∓ min(|Σd|, floor(noise / 2))) / n), towards zero
    noise    = isqrt(floor(scatter / (2·n·(n-1))))

b and c are the figures of the base and the candidate, d = b - c. Z is the difference of their
means, SS the sum of squares around the means, E(Z) the e-value of Z (`protocol.statistics`). C[n]
is the value of h·Z²/SS, in millionths and rounded up, at which ln E(Z) reaches ln 20 with h = n/2
and 2·(n-1) degrees of freedom. The scatter of the differences replaces that of the runs where it is
larger (a seed that is lucky for one and unlucky for the other). s is the task's noise floor, the
least spread that is assumed. The pairs exclude exactly the gains that are further than `reach` from
the mean, so the interval is valid under any stopping rule. The estimate is the mean minus the
average bias of selection (`protocol.statistics.less_luck`).

The two runs of a pair of programs (`protocol.styles`) use the same instances. Where the
instances are drawn, only the scatter of the differences counts and s is at least a twelfth of the
mean. 2·C[n] is replaced by the value of (n·Z)²/scatter at which ln E(Z) reaches ln 20 by
`protocol.differences`:

    s        = max(noise floor, ceil(|Σd| / 12n))
    scatter  = max(n·Σd² - (Σd)², 2·s²·n·(n-1))

Where the instances are fixed, one pair is enough. Then scatter = n·(max d - min d),
shown = D > scatter, the reach is scatter / n and the estimate is the mean.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from protocol.differences import GAIN_OVER_SPREAD
from protocol.gains import MILLION, Gain, Pair
from protocol.styles import RUNS, Style, StyleName

SupportedVerdict: TypeAlias = Literal["confirmed", "smaller", "refuted"]

DECISIVE_VERDICTS: Final[tuple[SupportedVerdict, ...]] = ("confirmed", "smaller", "refuted")
GAINS: Final = ("confirmed", "smaller")

FEWEST_PAIRS: Final = 3  # without a prior estimate of the noise, two cannot reach 1 in 20
# C[n], indexed by the number of pairs from 3 to 32, the most that 64 runs make.
CRITICAL: Final = (
    5795347, 2333198, 1471323, 1080152, 856500, 711513, 609750, 534296, 476055, 429698,
    391894, 360456, 333884, 311119, 291389, 274117, 258865, 245296, 233140, 222186,
    212261, 203225, 194962, 187376, 180385, 173921, 167926, 162350, 157149, 152287,
)  # fmt: skip
# Nine equal differences cannot reach 1 in 20, because an unseen pair counts as a loss.
FEWEST_DIFFERENCES: Final = 10
# Indexed by the number of pairs, from 10 to 32.
CRITICAL_DIFFERENCES: Final = (
    8328501, 4380132, 2981140, 2264462, 1828504, 1535170, 1324201, 1165106,
    1040797, 940954, 858976, 790442, 732282, 682294, 638860, 600764,
    567072, 537059, 510149, 485880, 463881, 443844, 425517,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The sums over n pairs, from which the gain and its bounds are computed.

    `total` is the sum of the differences, in nano. `scatter` is defined in the module's docstring;
    it is in nano squared, and for exact pairs in nano. Fewer than `least_pairs` pairs show nothing.
    """

    pairs: int
    total: int
    scatter: int
    style: StyleName = "runs"
    least_pairs: int = 1

    @classmethod
    def of(cls, pairs: Sequence[Pair], noise_nano: int, style: Style = RUNS) -> "Evidence":
        """Return the evidence of these pairs on a task of this style with this noise floor."""
        n = len(pairs)
        differences = [against - candidate for against, candidate in pairs]
        scatter = n * (max(differences, default=0) - min(differences, default=0))
        if not style.is_exact:
            s = noise_floor_nano(differences, noise_nano, style)
            scatter = max(_scatter(differences), 2 * s * s * n * (n - 1))
        if style.name == "runs":
            sides = ([against for against, _ in pairs], [candidate for _, candidate in pairs])
            scatter = max(scatter, sum(_scatter(side) for side in sides))
        return cls(
            pairs=n,
            total=sum(differences),
            scatter=scatter,
            style=style.name,
            least_pairs=style.least_pairs,
        )

    @property
    def noise_nano(self) -> int:
        """The standard deviation of one run in these pairs, rounded down.

        It is 0 with fewer than two pairs and on exact tasks.
        """
        n = self.pairs
        if n < 2 or self.style == "exact":
            return 0
        return math.isqrt(self.scatter // (2 * n * (n - 1)))

    @property
    def gain(self) -> Gain | None:
        """The gain, with bounds valid under any stopping rule; None for too few or many pairs."""
        critical = self._critical
        if critical is None:
            return None
        n, mean = self.pairs, MILLION * self.total // self.pairs
        if self.style == "exact":
            return Gain(pairs=n, mean=mean, reach=MILLION * self.scatter // n, estimate=mean)
        luck = min(abs(self.total), self.noise_nano // 2)
        return Gain(
            pairs=n,
            mean=mean,
            reach=1 + math.isqrt(MILLION * critical * self.scatter // n**2),
            estimate=MILLION * (self.total - luck if self.total > 0 else self.total + luck) // n,
        )

    def is_above(self, gain_nano: int) -> bool:
        """Return True if the pairs show that the gain is larger than `gain_nano`."""
        return self._is_shown(self.total - self.pairs * gain_nano)

    def is_below(self, gain_nano: int) -> bool:
        """Return True if the pairs show that the gain is smaller than `gain_nano`."""
        return self._is_shown(self.pairs * gain_nano - self.total)

    def supported_verdict(self, least_nano: int) -> SupportedVerdict | None:
        """Return the verdict that the pairs support.

        `least_nano` (≥ 0) is the smallest gain that confirms the claim.
        """
        is_gain, is_less = self.is_above(0), self.is_below(least_nano)
        if is_gain:
            return "smaller" if is_less else "confirmed"
        return "refuted" if is_less else None

    def _is_shown(self, difference: int) -> bool:
        critical = self._critical
        if critical is None or difference <= 0:
            return False
        if self.style == "exact":
            return difference > self.scatter
        return MILLION * difference**2 >= critical * self.scatter

    @property
    def _critical(self) -> int | None:
        """The least n²·Z²/scatter that shows a gain, in millionths.

        It is None for too few or too many pairs.
        """
        n = self.pairs
        if n < self.least_pairs:
            return None
        match self.style:
            case "exact":
                return 0 if n else None
            case "differences":
                return _entry(CRITICAL_DIFFERENCES, n - FEWEST_DIFFERENCES)
        half = _entry(CRITICAL, n - FEWEST_PAIRS)
        return None if half is None else 2 * half


def noise_floor_nano(differences: Sequence[int], noise_nano: int, style: Style) -> int:
    """Return the least noise assumed for one run, given a task's noise floor `noise_nano`."""
    if style.name != "differences" or not differences:
        return noise_nano
    share = -(-abs(sum(differences)) // (GAIN_OVER_SPREAD * len(differences)))
    return max(noise_nano, share)


def least_nano(gain_nano: int, lower_nano: int) -> int:
    """Return the smallest gain that confirms a claim: half of it, or its lower bound if larger.

    This is the rule in `protocol.rule`. The result is at least 0.
    """
    return max(0, gain_nano // 2, lower_nano)


def _scatter(values: Sequence[int]) -> int:
    """Return n times the sum of squares about the mean."""
    return len(values) * sum(value * value for value in values) - sum(values) ** 2


def _entry(table: Sequence[int], index: int) -> int | None:
    return table[index] if 0 <= index < len(table) else None
