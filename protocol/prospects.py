"""The order in which this node tries peers' claims.

Nothing here is evidence or promotes anything. Gains are in standard deviations of one run ("sd")
and positive if better. A claim is a noisy figure, selected because it is large. Its value is the
average true gain of such claims. The constants were tuned on simulated networks
(`make bench PART=swarm`).
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal, TypeAlias, TypeVar

# `not_reproduced`: a re-run of the claim as published showed no gain. `unconfirmed`: the change
# showed no gain on the working line, which is weaker evidence.
Outcome: TypeAlias = Literal["confirmed", "refuted", "unconfirmed", "not_reproduced"]
AuthorStatus: TypeAlias = Literal["trusted", "open", "doubted"]
Turn: TypeAlias = Literal["newcomer", "stack", "single"]
_Claim = TypeVar("_Claim")
_Idea = TypeVar("_Idea")

NEWCOMERS_SHARE: Final = 0.2  # of the slots, so that known authors do not use all of them
MOST_IN_STACK: Final = 8  # a patch names at most this many parents
# Combined claims or a certain lead of at least this much are worth runs of their own. Smaller ones
# join the next promotion trial, whose pairs are run anyway. Catching up with a smaller lead would
# cost the line's own patches. A change that a peer kept by few runs is tried before its trial if it
# gained this much; most smaller gains are luck. In a simulation (`make bench PART=overlap`) sixteen
# nodes that tried all of them first took 1.6 times as many runs, with a limit of 4 sd 1.1 times as
# many.
LARGE_SD: Final = 8.0
_LEAST_LEAD_SD: Final = 2.0  # if there are no own patches to lose
_LEAST_CHANCE: Final = 0.4

# The prior of proposed patches: few gain (1 to 3 sd), many harm, most do nothing.
_GOOD_SHARE, _GOOD_SD = 0.05, (1.0, 3.0)
_BAD_SHARE, _BAD_SD = 0.35, (-3.0, -0.5)
_PAIR_SD: Final = math.sqrt(2)  # one candidate run minus one base run
_UNCONFIRMED_AUTHOR_CLAIM_SD: Final = 2.0
_TRIAL_VARIANCE: Final = 1.5  # one run minus the mean of two reference runs
KEPT_ERROR_SD: Final = math.sqrt(_TRIAL_VARIANCE)  # standard error of a kept patch's gain
_CONTRADICTED_SIGMAS: Final = 2.0

# The weight of one outcome, (for, against) its author. One refuted claim outweighs three confirmed
# ones. Most honest claims after one lucky run show no gain again, so that weighs little. A re-run
# in pairs without a gain used more of this node's time and is stronger evidence, so it weighs more.
_WEIGHTS: Final[dict[Outcome, tuple[float, float]]] = {
    "confirmed": (1.0, 0.0),
    "refuted": (0.0, 3.0),
    "unconfirmed": (0.0, 0.1),
    "not_reproduced": (0.0, 0.25),
}
_MANY_NOT_REPRODUCED: Final = 4  # in a row; 3 % of honest authors have this many by chance
_FADE: Final = 0.97  # the factor applied to older outcomes at each new one

_NORMAL = NormalDist()


def expected_gain_sd(claim_sd: float, *, standard_error_sd: float = _PAIR_SD) -> float:
    """Return the expected gain of a claim of this size, at least 0.

    It is the posterior mean if a patch is good, idle or harmful; the last two count as 0.
    """
    good, gain = _share_between(claim_sd, _GOOD_SD, standard_error_sd)
    bad, _ = _share_between(claim_sd, _BAD_SD, standard_error_sd)
    idle = NormalDist(0.0, standard_error_sd).pdf(claim_sd)
    idle_share = 1 - _GOOD_SHARE - _BAD_SHARE
    everything = _GOOD_SHARE * good + _BAD_SHARE * bad + idle_share * idle
    if everything == 0:  # underflow: an extreme claim; the largest gain of the prior is closest
        return _GOOD_SD[1]
    return min(_GOOD_SD[1], max(0.0, _GOOD_SHARE * gain / everything))


@dataclass(frozen=True, slots=True)
class AuthorRate:
    """The track record of an author's claims on this machine; a new one is Beta(1, 1).

    Faults of this machine and runs that were too noisy do not count. `is_refuted`: a claim of the
    author was refuted. `not_reproduced` counts the re-runs without a gain since the last confirmed
    claim.
    """

    confirmed: float = 0.0
    failed: float = 0.0
    is_refuted: bool = False
    not_reproduced: int = 0

    def after(self, outcome: Outcome) -> "AuthorRate":
        """Return the track record with one more outcome; older outcomes lose weight."""
        good, bad = _WEIGHTS[outcome]
        return AuthorRate(
            _FADE * self.confirmed + good,
            _FADE * self.failed + bad,
            self.is_refuted or outcome == "refuted",
            0 if outcome == "confirmed" else self.not_reproduced + (outcome == "not_reproduced"),
        )

    @property
    def has_confirmed_claim(self) -> bool:
        """True if a claim of this author was ever confirmed here."""
        return self.confirmed > 0

    @property
    def chance(self) -> float:
        """The expected share of this author's claims that hold, from 0 to 1."""
        return (1 + self.confirmed) / (2 + self.confirmed + self.failed)

    @property
    def status(self) -> AuthorStatus:
        """The author's status, which decides how claims of this author are tried.

        Claims of `trusted` authors may be tried together, those of `open` authors one by one.
        Claims of `doubted` authors are tried only after re-runs confirm one or two. A refuted
        claim, or several re-runs in a row without a gain, can make an author doubted. Trials on the
        working line without a gain cannot: when little is left to gain, most trials end so.
        """
        if self.chance < _LEAST_CHANCE:
            is_doubted = self.is_refuted or self.not_reproduced >= _MANY_NOT_REPRODUCED
            return "doubted" if is_doubted else "open"
        return "trusted" if self.has_confirmed_claim else "open"

    def worth_sd(self, claim_sd: float, *, standard_error_sd: float = _PAIR_SD) -> float:
        """Return the expected gain of trying a claim of this author, to order a queue by.

        A claim of an unproven author counts as 2 sd at most, because large claims are free.
        """
        claim_sd = (
            claim_sd if self.has_confirmed_claim else min(claim_sd, _UNCONFIRMED_AUTHOR_CLAIM_SD)
        )
        return self.chance * expected_gain_sd(claim_sd, standard_error_sd=standard_error_sd)


def trial_outcome(*, is_kept: bool, claim_sd: float, gain_sd: float) -> Outcome:
    """Return how a trial of a claim on the working line counts in its author's track record.

    A patch kept by luck does not confirm a large claim: patches without effect are kept one time in
    ten, and a liar must not become trusted by one.
    """
    if _is_contradicted(claim_sd, gain_sd, claims=1):
        return "unconfirmed" if is_kept else "refuted"
    return "confirmed" if is_kept else "unconfirmed"


def stack_outcome(*, is_kept: bool, claim_sd: float, gain_sd: float, claims: int) -> Outcome | None:
    """Return how a trial of combined claims counts for each author; None if it is not kept.

    A rejected combination is no evidence against a single claim in it. `claim_sd` is the sum of the
    claims.
    """
    if not is_kept:
        return None
    is_contradicted = _is_contradicted(claim_sd, gain_sd, claims=claims)
    return "unconfirmed" if is_contradicted else "confirmed"


def audit_order(
    authors: Iterable[bytes], rates: Mapping[bytes, AuthorRate], chance: random.Random
) -> list[bytes]:
    """Return these authors in the order in which to re-run a claim of each.

    The order is random. Each author is weighted by `AuthorRate.chance`, not by the number of its
    claims. An author whose claims show no gain is drawn less and less often, but never excluded.
    """
    keys = {
        author: chance.random() ** (1 / rates.get(author, AuthorRate()).chance)
        for author in sorted(set(authors))
    }
    return sorted(keys, key=lambda author: -keys[author])


def may_catch_up(rate: AuthorRate, *, is_due: bool) -> bool:
    """Return True if a claimed lead of an author's head is worth a trial.

    A made-up head costs its author nothing and this node a run, so an author who published one gets
    no second trial. Authors without a track record share the runs reserved for peers. `is_due`:
    peers have used fewer runs than are reserved.
    """
    return rate.status == "trusted" or (rate.status == "open" and is_due)


def least_lead_sd(*, has_own: bool, is_exact: bool = False) -> float:
    """Return the least lead of a peer's head over this node's tree that is worth a trial.

    The lead is the difference of the lower bounds. `has_own`: this node's tree has patches that
    this node made. `is_exact`: scores repeat exactly, so one run shows whether the lead holds.
    """
    return LARGE_SD if has_own and not is_exact else _LEAST_LEAD_SD


def is_lead_shown(claim_sd: float, gain_sd: float) -> bool:
    """Return True if a peer's whole tree, tried on the working line, gained enough to replace it.

    It would displace this node's own kept patches. A patch may be kept by luck, so for a tree two
    lucky runs must not be enough.
    """
    return gain_sd >= min(claim_sd, LARGE_SD) / 2


def is_stack_due(claims_sd: float, *, is_promotion_trial_next: bool) -> bool:
    """Return True if trusted authors' combined claims are tried now instead of awaiting more."""
    return is_promotion_trial_next or claims_sd >= LARGE_SD


def is_worth_early_trial(kept_sd: float, *, is_exact: bool = False) -> bool:
    """Return True if the kept gain is worth an early promotion trial for the sake of peers.

    Peers can build on it once it is promoted. The limit was simulated with few, large effects and
    sessions without an end (`make bench PART=overlap`). If scores repeat exactly (`is_exact`), a
    trial takes one pair, and peers catch up with a smaller lead.
    """
    return kept_sd >= (_LEAST_LEAD_SD if is_exact else LARGE_SD)


def turns(drawn: float) -> tuple[Turn, ...]:
    """Return in which order to look for a claim of a peer to try next.

    The first kind with a claim is tried: a newcomer's claim, combined claims of trusted authors
    ("stack") or a single claim. `drawn` is a random number in 0 … 1.
    """
    others: tuple[Turn, ...] = ("stack", "single")
    return ("newcomer", *others) if drawn < NEWCOMERS_SHARE else others


def together(
    claims: Sequence[_Claim], untried: Callable[[Sequence[_Claim]], _Idea | None]
) -> _Idea | None:
    """Return the idea that combines these claims; if it was tried, the first untried half of them.

    Halves are halved again. `untried` returns None if the combination was tried before. So a
    combination that fails is bisected down to single claims, without any state except the list of
    tried ideas.
    """
    if not claims:
        return None
    if (idea := untried(claims)) is not None or len(claims) == 1:
        return idea
    middle = len(claims) // 2
    return together(claims[:middle], untried) or together(claims[middle:], untried)


def _is_contradicted(claim_sd: float, gain_sd: float, *, claims: int) -> bool:
    """Return True if a trial's gain is far below the claim; each claim is as noisy as the trial.

    As for a refutation, the gain must be less than half of the claim, because gains add up to less
    on another tree.
    """
    spread_sd = math.sqrt((1 + claims) * _TRIAL_VARIANCE)
    return claim_sd - gain_sd > max(_CONTRADICTED_SIGMAS * spread_sd, claim_sd / 2)


def _share_between(
    claim_sd: float, between: tuple[float, float], standard_error_sd: float
) -> tuple[float, float]:
    """Return the probability density of a claim if gains are uniform in the interval `between`.

    Return also that density multiplied by the posterior mean gain.
    """
    low, high = ((end - claim_sd) / standard_error_sd for end in between)
    width = between[1] - between[0]
    density = (_NORMAL.cdf(high) - _NORMAL.cdf(low)) / width
    shift = standard_error_sd * (_NORMAL.pdf(high) - _NORMAL.pdf(low)) / width
    return density, claim_sd * density - shift
