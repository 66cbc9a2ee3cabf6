"""Which of others' claims is worth device time first (VERIFICATION, "What comes from peers").

Order only: nothing here is evidence, and nothing adopts. Gains are in standard deviations of one
run ("sd") and positive if better. A claim is a noisy figure that was chosen because it is large;
what it is worth is what such a claim has turned out to hold on average.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal, TypeAlias

Outcome: TypeAlias = Literal["confirmed", "refuted", "unconfirmed"]

# Of what proposers try: few are good, by one to three deviations; most do nothing, many harm.
_GOOD_SHARE, _GOOD_SD = 0.05, (1.0, 3.0)
_BAD_SHARE, _BAD_SD = 0.35, (-3.0, -0.5)
_PAIR_SD: Final = math.sqrt(2)  # one candidate run less one base run
_UNPROVEN_CLAIM_SD: Final = 2.0
# A trial so far below its claim contradicts it: two sigma of their difference, each of them one
# run less a bank of two.
_CONTRADICTED_SD: Final = 2 * math.sqrt(1.5 + 1.5)

# How much one outcome counts, for and against. A lie costs its author three honest gains; most of
# what honest people claim after one lucky run does not show again, and costs them little.
_WEIGHTS: Final[dict[Outcome, tuple[float, float]]] = {
    "confirmed": (1.0, 0.0),
    "refuted": (0.0, 3.0),
    "unconfirmed": (0.0, 0.1),
}
_FADE: Final = 0.97  # what is left of older outcomes at each new one

_NORMAL = NormalDist()


def expected_gain_sd(claim_sd: float, *, standard_error_sd: float = _PAIR_SD) -> float:
    """Return the gain to expect where so much is claimed, no less than 0.

    The posterior mean over good, idle and harmful patches, of which only good ones are adopted.
    """
    good, gain = _share_between(claim_sd, _GOOD_SD, standard_error_sd)
    bad, _ = _share_between(claim_sd, _BAD_SD, standard_error_sd)
    idle = NormalDist(0.0, standard_error_sd).pdf(claim_sd)
    idle_share = 1 - _GOOD_SHARE - _BAD_SHARE
    everything = _GOOD_SHARE * good + _BAD_SHARE * bad + idle_share * idle
    if everything == 0:  # so far out that nothing explains it; the best there is comes nearest
        return _GOOD_SD[1]
    return min(_GOOD_SD[1], max(0.0, _GOOD_SHARE * gain / everything))


@dataclass(frozen=True, slots=True)
class AuthorRate:
    """What came of an author's claims on this machine; a fresh one is Beta(1, 1).

    Faults of this machine, and "too noisy to say", are nobody's outcomes.
    """

    confirmed: float = 0.0
    failed: float = 0.0

    def after(self, outcome: Outcome) -> "AuthorRate":
        """Return the rate with one more outcome; older ones fade."""
        good, bad = _WEIGHTS[outcome]
        return AuthorRate(_FADE * self.confirmed + good, _FADE * self.failed + bad)

    @property
    def is_proven(self) -> bool:
        """Whether anything of this author was ever confirmed here."""
        return self.confirmed > 0

    @property
    def chance(self) -> float:
        """The share of this author's claims to expect to hold, from 0 to 1."""
        return (1 + self.confirmed) / (2 + self.confirmed + self.failed)

    def worth_sd(self, claim_sd: float, *, standard_error_sd: float = _PAIR_SD) -> float:
        """Return what trying a claim of this author promises, to order a queue by.

        A newcomer's claim counts as one of two deviations at most: large ones cost nothing to make.
        """
        claim_sd = claim_sd if self.is_proven else min(claim_sd, _UNPROVEN_CLAIM_SD)
        return self.chance * expected_gain_sd(claim_sd, standard_error_sd=standard_error_sd)


def trial_outcome(*, is_kept: bool, claim_sd: float, gain_sd: float) -> Outcome:
    """Return what a patch's trial on the working line says of its author, who claimed so much.

    A patch that is kept by luck is no proof of a large claim: else a liar's null, kept once in ten
    times, would open the way for all that follow.
    """
    is_contradicted = claim_sd - gain_sd > _CONTRADICTED_SD
    if is_kept:
        return "unconfirmed" if is_contradicted else "confirmed"
    return "refuted" if is_contradicted else "unconfirmed"


def _share_between(
    claim_sd: float, between: tuple[float, float], standard_error_sd: float
) -> tuple[float, float]:
    """Return density and mean gain times density of a claim from gains uniform between two."""
    low, high = ((end - claim_sd) / standard_error_sd for end in between)
    width = between[1] - between[0]
    density = (_NORMAL.cdf(high) - _NORMAL.cdf(low)) / width
    shift = standard_error_sd * (_NORMAL.pdf(high) - _NORMAL.pdf(low)) / width
    return density, claim_sd * density - shift
