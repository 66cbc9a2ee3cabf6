"""The rule that decides what is true: screen, recheck, confirm.

Everything is said for a minimised metric and in its own unit; evidence is only ever paired and
fresh. The defaults came from a grid over horizons of 96 to 2,000 runs: change them only with the
simulation that justifies it. This module measures nothing and knows no trees, seeds or clocks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from protocol.differences import DifferenceEvidence, ExactEvidence
from protocol.statistics import GainEvidence, NoiseEstimate, PairedEvidence
from protocol.styles import MOST_PAIRS, Style
from protocol.units import NANO, to_nano

Verdict = Literal["confirmed", "smaller", "refuted", "unconfirmed"]
ClaimWord = Literal["holds", "smaller", "does_not_hold", "open"]

# One pair has no spread of its own: neither a gain nor a lie is ever settled by it.
MIN_PAIRS = 2
# How often the rule may err, each rate in its place. The trials of a line together, from one
# adoption to the next and however many they are: each is given a part of it (`trial_alpha`).
LINE_ALPHA = 0.05
# Of that what trials of peers' trees have: false claims, however many, cost own stacks nothing.
_PEERS_SHARE = 0.2
_SPENDING = 1.5  # the exponent of the series by which it is spent
_SPENT_IN_ALL = 2.612375348685488  # ζ(1.5), the sum of that series
# One question that somebody asks: `compare`, `verify`, an audit, a head that is measured again.
QUESTION_ALPHA = 0.05
# What a part of the head is worth, which adopts nothing.
PART_ALPHA = 0.02
# A claim is refuted at the usual 1 in 20, whatever alpha adoption asks for.
REFUTED_LOG_E = math.log(20)
# A claim this large is either there or soon refuted, so giving up on it early gains nothing. Below
# three, as the spread is only an estimate: a made-up claim of three is to be refuted all the same.
LARGE_CLAIM_SD = 2.5
# Where what was claimed is not there, a smaller gain is looked for until it has become unlikely.
_SMALLER_SD = 0.75
_SMALLER_PROBABILITY = 0.3
# Means of one tree that lie further apart than this many of their standard errors are no chance.
_DRIFT_ERRORS = 2.5
# What differences of a spread that nobody knows take on top, and an unseen loss among them.
_MORE_FOR_DIFFERENCES = 9
# Of edits that change nothing 0.3 % are kept, of gains of two deviations 59 %, of three 91 %; one
# recheck keeps 13, 73 and 92 %. Those few that pass cost a pair for each.
_RECHECKED_DIFFERENCES_SD = (0.25, 0.5, 1.0, 1.25, 1.4)
# Two that each gain as much as this are no luck, not even of seconds on a busy machine, and the
# three that would follow cost minutes where there is most to find.
_PLAIN_DIFFERENCES_SD = 12.0
_PLAIN_RECHECKS = 2
# Their first pairs know little of the spread: given up at 0.3, three gains of one deviation of a
# difference in ten are missed instead of two, and a null costs 3.7 pairs instead of 4.5.
_FUTILE_DIFFERENCES = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rule's numbers; those ending in `_sd` are in standard deviations of one run.

    A change is kept if its screen passes and then each of its rechecks: on average those so far
    are to gain as much as `rechecks_sd` has for so many. Two suffice that each gain `plain_sd`.
    `alpha` is another one in each trial of a line.
    `can_refute`: a trial without a claim may end in `refuted` as well, once the candidate is shown
    to be worse than the base.
    """

    screen_sd: float = 0.75
    rechecks_sd: tuple[float, ...] = (0.25,)
    plain_sd: float = math.inf
    bank_size: int = 1
    keeps_per_checkpoint: int = 8
    alpha: float = PART_ALPHA
    max_pairs: int = 20
    futility_probability: float = 0.3
    futility_sd: float = 0.75
    checkpoint_hours: float = 12.0
    more_for_differences: int = _MORE_FOR_DIFFERENCES
    can_confirm: bool = True
    can_refute: bool = False

    @property
    def screens(self) -> int:
        """How many runs it takes to keep a change."""
        return 1 + len(self.rechecks_sd)

    def evidence_share(self, log_e: float) -> float:
        """How much of the evidence that a confirmation needs is there, from 0 to 1."""
        return min(1.0, max(0.0, log_e / -math.log(self.alpha)))


DEFAULT = Policy()
# What `compare` uses: one question, asked until it is answered.
POWER = Policy(alpha=QUESTION_ALPHA, max_pairs=16, futility_probability=0.1, futility_sd=0.5)
# `verify` and audits: that a made-up claim of three deviations is not there takes longer to show
# than that a gain of two is.
VERIFY = replace(POWER, max_pairs=20)
VERIFY_MOST_PAIRS = MOST_PAIRS
# A head that is measured again goes only if it is shown to be worse than the one before it, and a
# trial that is given up as soon as a gain is unlikely hardly ever shows that.
AGAIN = replace(VERIFY, can_refute=True, futility_probability=0.0)
# `verify --quick`: enough to see that something large is not there, or not all of it.
QUICK = replace(VERIFY, max_pairs=4, can_confirm=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A gain that somebody says is there, and its published lower bound if there is one."""

    gain: float
    lower: float | None = None

    @property
    def least(self) -> float:
        """The gain below which the claim does not hold: half of it, or its own bound if larger."""
        return self.gain / 2 if self.lower is None else max(self.gain / 2, self.lower)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the pairs say so far. A verdict of None means: run another pair.

    `confirmed`: a gain is there; `smaller`: a gain is there, but not what was claimed; `refuted`:
    what was claimed is not there, nor was any gain shown, or, without a claim and if the policy can
    refute, the candidate is worse; `unconfirmed`: neither was shown.
    `evidence_share` is how much of the evidence that a confirmation needs is there, from 0 to 1.
    """

    verdict: Verdict | None
    evidence: GainEvidence
    claim: ClaimWord | None
    evidence_share: float

    @property
    def log_e(self) -> float:
        """ln E: the evidence that there is a gain."""
        return self.evidence.log_e

    @property
    def gain(self) -> float:
        """What is told of the gain, less what selection adds to it."""
        return self.evidence.estimate

    @property
    def lower(self) -> float | None:
        """The lower end of its 95 % interval, true wherever the trial stops; None of too few pairs.

        Above zero exactly if the evidence for a gain reaches 1 in 20.
        """
        return _finite(self.evidence.interval()[0])

    @property
    def upper(self) -> float | None:
        """The upper end."""
        return _finite(self.evidence.interval()[1])

    @property
    def is_gain(self) -> bool:
        """Whether a gain is there, of whatever size."""
        return self.verdict in ("confirmed", "smaller")


def _finite(end: float) -> float | None:
    return end if math.isfinite(end) else None


def trial_alpha(number: int, *, introducer: int | None = None) -> float:
    """Return the alpha of a line's `number`-th trial since it last adopted something, from 1.

    Of own stacks (`introducer` is None) it is ``α_k = w k^-1.5 / ζ(1.5)``. Peers' trees have a
    wealth v of their own, shared by who introduced them: the network neighbour from whom this node
    first got the claim. The k-th trial of the j-th of them (both from 1) has ``α_jk = v j^-1.5
    k^-1.5 / ζ(1.5)²``. All sums, over however many trials and introducers, are `LINE_ALPHA`. A
    single trial passes a null with at most its alpha, so a line on which nothing is ever a gain
    adopts anything at all with at most `LINE_ALPHA`, whatever its length, and any line has at most
    `LINE_ALPHA` × (adoptions + 1) false ones on average. Source: LORD 1 of Javanmard & Montanari,
    *Online rules for control of FDR and FDX* (2018); alpha investing of Foster & Stine (2008).

    So a flood of claims through one neighbour, of however many authors, costs what others introduce
    nothing. It does not help against many identities, which are cheap, where each is a neighbour:
    the shares of those that come later shrink as the trials of one purse would. Nor does it help an
    honest claim that came through the neighbour who also passed on the lies.
    """
    if introducer is None:
        return LINE_ALPHA * (1 - _PEERS_SHARE) * _part(number)
    return LINE_ALPHA * _PEERS_SHARE * _part(introducer) * _part(number)


def _part(number: int) -> float:
    """Return the `number`-th part, from 1, of a series whose sum is 1."""
    return float(number**-_SPENDING) / _SPENT_IN_ALL


def passes_screen(x: float, level: float, sd: float, policy: Policy) -> bool:
    """Say whether one run is low enough to be worth a second; it is discarded afterwards.

    `level` is what the base measures on average, as far as that is known.
    """
    return x <= level - policy.screen_sd * sd


def passes_rechecks(
    fresh: Sequence[float], levels: Sequence[float], sd: float, policy: Policy
) -> bool:
    """Say whether the fresh runs so far, one or more, bear the screen out.

    `levels` are what the base measures beside each.
    """
    needed_sd = policy.rechecks_sd[len(fresh) - 1]
    return fmean(fresh) <= fmean(levels) - needed_sd * sd


def is_plain(own: Sequence[float], levels: Sequence[float], sd: float, policy: Policy) -> bool:
    """Say whether a change's rechecks so far show a gain so plainly that none has to follow."""
    fresh = zip(own[1:], levels[1 : len(own)], strict=True)
    gains = [level - x for x, level in fresh]
    return len(gains) >= _PLAIN_RECHECKS and min(gains) >= policy.plain_sd * sd


def passes_so_far(own: Sequence[float], levels: Sequence[float], sd: float, policy: Policy) -> bool:
    """Say whether a change's last run passes: its screen, or a recheck with those before it.

    `levels` are what the base measures beside each, or beside more.
    """
    if len(own) == 1:
        return passes_screen(own[0], levels[0], sd, policy)
    return passes_rechecks(own[1:], levels[1 : len(own)], sd, policy)


def has_drifted(earlier: Sequence[float], later: Sequence[float], sd: float) -> bool:
    """Say whether one tree measures otherwise than before, on the same rows, by more than luck.

    Then the machine has changed, or the tree never was what its selected runs said.
    """
    error = sd * math.sqrt(1 / len(earlier) + 1 / len(later))
    return abs(fmean(later) - fmean(earlier)) > _DRIFT_ERRORS * error


def evidence_of(
    style: Style, noise: NoiseEstimate, base: Sequence[float], candidate: Sequence[float]
) -> GainEvidence:
    """Return what pairs say on a task of this style; `noise` is of runs, for those that scatter."""
    if style.name == "runs":
        return PairedEvidence(noise, tuple(base), tuple(candidate))
    gains = [one - other for one, other in zip(base, candidate, strict=True)]
    if style.name == "exact":
        return ExactEvidence(tuple(map(to_nano, gains)))
    return DifferenceEvidence(
        tuple(gains), floor=style.floor_nano / NANO, least_pairs=style.least_pairs
    )


def screening_policy(style: Style, policy: Policy) -> Policy:
    """Return the numbers for single runs on a task of this style, given those for runs.

    Where a run is compared with one of the base on the same seed, both scatter, so it takes more
    rechecks. Where nothing scatters one run says all, and is better by the last digit that is told
    or not.
    """
    match style.name:
        case "exact":
            least_sd = 1 / max(1, style.floor_nano)
            return replace(policy, screen_sd=least_sd, rechecks_sd=())
        case "differences":
            return replace(
                policy, rechecks_sd=_RECHECKED_DIFFERENCES_SD, plain_sd=_PLAIN_DIFFERENCES_SD
            )
    return policy


def policy_of(style: Style, policy: Policy) -> Policy:
    """Return the numbers for a task of this style, given those for runs."""
    match style.name:
        case "exact":
            return replace(policy, max_pairs=1)
        case "differences":
            most = max(policy.max_pairs + policy.more_for_differences, style.least_pairs)
            return replace(
                policy,
                max_pairs=max(policy.max_pairs, min(most, MOST_PAIRS)),
                futility_probability=min(policy.futility_probability, _FUTILE_DIFFERENCES),
            )
    return policy


def judge(
    evidence: GainEvidence,
    policy: Policy,
    *,
    claim: Claim | None = None,
    minimum_gain: float = 0.0,
) -> Judgement:
    """Look at the pairs so far and decide, or ask for another pair.

    A gain below `minimum_gain` (twice the audit's tolerance) is never confirmed.
    """
    verdict = _verdict(evidence, policy, claim, minimum_gain)
    return Judgement(
        verdict=verdict,
        evidence=evidence,
        claim=None if claim is None else _claim_word(claim, verdict, evidence),
        evidence_share=policy.evidence_share(evidence.log_e),
    )


def _verdict(
    evidence: GainEvidence, policy: Policy, claim: Claim | None, minimum_gain: float
) -> Verdict | None:
    if evidence.is_exact:
        return _exact_verdict(evidence, policy, claim, minimum_gain)
    is_last = evidence.pairs >= policy.max_pairs
    if evidence.pairs >= MIN_PAIRS:
        is_there = evidence.log_e >= -math.log(policy.alpha) and evidence.gain >= minimum_gain
        is_less = claim is not None and _is_shown(evidence.log_e_absent(claim.least))
        if is_there and is_less:
            return "smaller"
        # At one look confirmed goes before refuted.
        if is_there and policy.can_confirm:
            return "confirmed"
        if (claim is not None or policy.can_refute) and _is_shown(evidence.log_e_worse):
            return "refuted"
        # A few pairs that miss a smaller gain which is likely do not say that there is none.
        if is_less and ((is_last and policy.can_confirm) or _is_unlikely(evidence)):
            return "refuted"
    if is_last or _is_futile(evidence, policy, claim):
        return "unconfirmed"
    return None


def _exact_verdict(
    evidence: GainEvidence, policy: Policy, claim: Claim | None, minimum_gain: float
) -> Verdict | None:
    """One pair decides: a tie never passes, and of a claim all is there or it is not."""
    if not evidence.pairs:
        return None
    is_less = claim is not None and _is_shown(evidence.log_e_absent(claim.gain))
    if _is_shown(evidence.log_e) and evidence.gain >= minimum_gain:
        return "smaller" if is_less else "confirmed"
    is_worse = claim is None and policy.can_refute and _is_shown(evidence.log_e_worse)
    return "refuted" if is_less or is_worse else "unconfirmed"


def _is_shown(log_e: float) -> bool:
    return log_e >= REFUTED_LOG_E


def _is_unlikely(evidence: GainEvidence) -> bool:
    return evidence.posterior_above(_SMALLER_SD * evidence.sd) < _SMALLER_PROBABILITY


def _is_futile(evidence: GainEvidence, policy: Policy, claim: Claim | None) -> bool:
    if evidence.pairs == 0 or (claim is not None and claim.gain >= LARGE_CLAIM_SD * evidence.sd):
        return False
    chance = evidence.posterior_above(policy.futility_sd * evidence.sd)
    return chance < policy.futility_probability


def _claim_word(claim: Claim, verdict: Verdict | None, evidence: GainEvidence) -> ClaimWord:
    match verdict:
        case "refuted":
            return "does_not_hold"
        case "smaller":
            return "smaller"
        case None:
            return "open"
    # A gain may be there and its size be open.
    return "holds" if claim.gain <= evidence.interval()[1] else "open"
