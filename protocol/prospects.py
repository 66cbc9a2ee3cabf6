"""Which of others' claims is worth device time first.

Order only: nothing here is evidence, and nothing adopts. Gains are in standard deviations of one
run ("sd") and positive if better. A claim is a noisy figure that was chosen because it is large;
what it is worth is what such a claim has turned out to hold on average. The figures of when to look
at what come from simulated swarms (`make bench PART=swarm`).
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal, TypeAlias, TypeVar

# `unshown`: run again as it was made, and no gain showed; `unconfirmed`: no more than a trial says.
Outcome: TypeAlias = Literal["confirmed", "refuted", "unconfirmed", "unshown"]
Standing: TypeAlias = Literal["trusted", "open", "doubted"]
Turn: TypeAlias = Literal["newcomer", "stack", "single"]
_Claim = TypeVar("_Claim")
_Idea = TypeVar("_Idea")

NEWCOMERS_SHARE: Final = 0.2  # of the slots: else whoever came first would be the only one heard
MOST_IN_STACK: Final = 8  # as many parents as a patch names
# A stack of so much, or a lead that is sure to be so large, is worth runs of its own. Less than
# that joins the next checkpoint, whose pairs are due anyway: as a catch-up it would cost those of
# another confirmation, and what the head has of its own.
_LARGE_SD: Final = 8.0
_LEAST_LEAD_SD: Final = 2.0  # for a head that has nothing of its own to lose
_LEAST_CHANCE: Final = 0.4

# Of what proposers try: few are good, by one to three deviations; most do nothing, many harm.
_GOOD_SHARE, _GOOD_SD = 0.05, (1.0, 3.0)
_BAD_SHARE, _BAD_SD = 0.35, (-3.0, -0.5)
_PAIR_SD: Final = math.sqrt(2)  # one candidate run less one base run
_UNPROVEN_CLAIM_SD: Final = 2.0
_TRIAL_VARIANCE: Final = 1.5  # of what a trial says: one run less a bank of two
KEPT_ERROR_SD: Final = math.sqrt(_TRIAL_VARIANCE)  # of what a kept change gains by its recheck
_CONTRADICTED_SIGMAS: Final = 2.0

# How much one outcome counts, for and against. A lie costs its author three honest gains; most of
# what honest people claim after one lucky run does not show again, and costs them little. Pairs in
# which a claim does not show again cost more, and are more to its author's charge.
_WEIGHTS: Final[dict[Outcome, tuple[float, float]]] = {
    "confirmed": (1.0, 0.0),
    "refuted": (0.0, 3.0),
    "unconfirmed": (0.0, 0.1),
    "unshown": (0.0, 0.25),
}
_MANY_UNSHOWN: Final = 4  # in a row: three in a hundred honest authors have so many by chance
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

    Faults of this machine, and "too noisy to say", are nobody's outcomes. `is_refuted`: one of the
    claims was; `unshown`: so many were run again in vain since one last held.
    """

    confirmed: float = 0.0
    failed: float = 0.0
    is_refuted: bool = False
    unshown: int = 0

    def after(self, outcome: Outcome) -> "AuthorRate":
        """Return the rate with one more outcome; older ones fade."""
        good, bad = _WEIGHTS[outcome]
        return AuthorRate(
            _FADE * self.confirmed + good,
            _FADE * self.failed + bad,
            self.is_refuted or outcome == "refuted",
            0 if outcome == "confirmed" else self.unshown + (outcome == "unshown"),
        )

    @property
    def is_proven(self) -> bool:
        """Whether anything of this author was ever confirmed here."""
        return self.confirmed > 0

    @property
    def chance(self) -> float:
        """The share of this author's claims to expect to hold, from 0 to 1."""
        return (1 + self.confirmed) / (2 + self.confirmed + self.failed)

    @property
    def standing(self) -> Standing:
        """How an author is heard.

        What `trusted` ones claim may be tried together, `open` ones' claims one by one; whoever is
        `doubted` is heard again once audits show that a claim or two of theirs hold after all.
        Nobody is for gains that trials did not show again: where little is left to gain, that would
        in the end be everybody. But who claims again and again what pairs do not show is.
        """
        if self.chance < _LEAST_CHANCE:
            is_doubted = self.is_refuted or self.unshown >= _MANY_UNSHOWN
            return "doubted" if is_doubted else "open"
        return "trusted" if self.is_proven else "open"

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
    if _is_contradicted(claim_sd, gain_sd, claims=1):
        return "unconfirmed" if is_kept else "refuted"
    return "confirmed" if is_kept else "unconfirmed"


def stack_outcome(*, is_kept: bool, claim_sd: float, gain_sd: float, claims: int) -> Outcome | None:
    """Return what the trial of a stack says of each author in it, who together claimed so much.

    One that is not kept says nothing of its parts: each is still to be told apart from the others.
    """
    if not is_kept:
        return None
    is_contradicted = _is_contradicted(claim_sd, gain_sd, claims=claims)
    return "unconfirmed" if is_contradicted else "confirmed"


def audit_order(
    authors: Iterable[bytes], rates: Mapping[bytes, AuthorRate], chance: random.Random
) -> list[bytes]:
    """Return these authors in the order in which to run a claim of theirs again.

    Drawn by the share of their claims to expect to hold, however many claims they make: what shows
    nothing time and again comes up ever less often, and yet may prove itself one day.
    """
    keys = {
        author: chance.random() ** (1 / rates.get(author, AuthorRate()).chance)
        for author in sorted(set(authors))
    }
    return sorted(keys, key=lambda author: -keys[author])


def may_catch_up(rate: AuthorRate, *, is_due: bool) -> bool:
    """Say whether a lead that an author claims is worth a confirmation.

    A made-up head costs its author nothing and this node several runs: whoever made one up gets
    no second, and keys that nothing is known of share the peers' part of the runs.
    """
    return rate.standing == "trusted" or (rate.standing == "open" and is_due)


def least_lead_sd(*, has_own: bool) -> float:
    """Return the lead, of one lower bound over the other, from which a head is caught up with.

    `has_own`: this one has patches.
    """
    return _LARGE_SD if has_own else _LEAST_LEAD_SD


def is_stack_due(claims_sd: float, *, is_checkpoint_next: bool) -> bool:
    """Say whether what trusted authors claim together is tried now; else it waits for more."""
    return is_checkpoint_next or claims_sd >= _LARGE_SD


def is_worth_telling(kept_sd: float) -> bool:
    """Say whether what was kept is so much that others would go on from it, once it is judged.

    Simulated where effects are few and large, and nights have no end (`make bench PART=overlap`).
    """
    return kept_sd >= _LARGE_SD


def turns(drawn: float) -> tuple[Turn, ...]:
    """Return whom a slot for peers' claims goes to, by a number drawn from 0 to 1.

    The first of whom there is anything: a newcomer, several trusted authors, an open one.
    """
    others: tuple[Turn, ...] = ("stack", "single")
    return ("newcomer", *others) if drawn < NEWCOMERS_SHARE else others


def together(
    claims: Sequence[_Claim], untried: Callable[[Sequence[_Claim]], _Idea | None]
) -> _Idea | None:
    """Return what these claims make together, or the first half of them that was not tried yet.

    `untried` is None for what was tried. So a stack that fails is bisected down to single claims,
    and nothing need be remembered of it but what was tried.
    """
    if not claims:
        return None
    if (idea := untried(claims)) is not None or len(claims) == 1:
        return idea
    middle = len(claims) // 2
    return together(claims[:middle], untried) or together(claims[middle:], untried)


def _is_contradicted(claim_sd: float, gain_sd: float, *, claims: int) -> bool:
    """Whether a trial is so far below what was claimed; each claim is as uncertain as the trial.

    As for a refutation, less than half of it must be there: on another tree gains add up to less.
    """
    spread_sd = math.sqrt((1 + claims) * _TRIAL_VARIANCE)
    return claim_sd - gain_sd > max(_CONTRADICTED_SIGMAS * spread_sd, claim_sd / 2)


def _share_between(
    claim_sd: float, between: tuple[float, float], standard_error_sd: float
) -> tuple[float, float]:
    """Return density and mean gain times density of a claim from gains uniform between two."""
    low, high = ((end - claim_sd) / standard_error_sd for end in between)
    width = between[1] - between[0]
    density = (_NORMAL.cdf(high) - _NORMAL.cdf(low)) / width
    shift = standard_error_sd * (_NORMAL.pdf(high) - _NORMAL.pdf(low)) / width
    return density, claim_sd * density - shift
