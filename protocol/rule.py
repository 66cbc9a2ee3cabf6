"""The decision rule for gains: screen, rechecks, and trials in pairs.

All figures are in the metric's own unit, and smaller is better. Only fresh pairs are evidence. The
defaults are the result of a grid search over horizons of 96 to 2,000 runs. Change them only with a
simulation that justifies it. This module makes no runs and does not depend on trees, seeds or
clocks.
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

# One pair has no spread of its own, so it settles neither a gain nor a false claim.
MIN_PAIRS = 2
# The alpha budget: the error rate of all trials of a line together, from one promotion to the next.
# Each trial gets a part of it (`trial_alpha`).
LINE_ALPHA = 0.05
# The share of LINE_ALPHA for trials of peers' trees. So false claims, however many, do not reduce
# the alpha of trials of this node's working line.
_PEERS_SHARE = 0.2
_ALPHA_EXPONENT = 1.5  # exponent of the series that divides the budget
_SPENT_IN_ALL = 2.612375348685488  # ζ(1.5), the sum of that series
# The error rate of a single question: `compare`, `verify`, a re-run, measuring the head again.
QUESTION_ALPHA = 0.05
# The error rate when one patch of the verified head is measured alone, which promotes nothing.
PART_ALPHA = 0.02
# A claim is refuted at the usual 1 in 20, whatever alpha a promotion requires.
REFUTED_LOG_E = math.log(20)
# A trial of a claim this large is never given up as futile: it is soon confirmed or refuted. The
# limit is below 3 sd because the spread is only an estimate, and a made-up claim of 3 sd must be
# refuted too.
LARGE_CLAIM_SD = 2.5
# Once the claimed gain is excluded, the trial goes on until a smaller gain is unlikely too.
_SMALLER_SD = 0.75
_SMALLER_PROBABILITY = 0.3
# If two means of one tree differ by more standard errors than this, it is not by chance.
_RECHECK_ERRORS = 2.5
# Extra pairs for differences, whose spread is unknown beforehand and which include an unseen loss.
_MORE_FOR_DIFFERENCES = 9
# Keeps 0.2 % of edits that change nothing, 57 % of gains of 2 sd and 91 % of 3 sd. A single recheck
# keeps 13, 73 and 92 %. The few patches that get this far cost one pair for each recheck.
_RECHECKED_DIFFERENCES_SD = (0.25, 0.5, 1.0, 1.25, 1.5)
# Further rechecks would cost time just where gains are large: one of 3 sd takes 8 runs instead of
# 10, one of 6 sd 5 instead of 11. As many edits that change nothing are kept as with five rechecks
# and a last limit of 1.4 sd.
_ENOUGH_DIFFERENCES_SD = (8.0, 5.0, 3.5, 2.5)
# A busy machine disturbs times for longer. There two rechecks in a row must gain this much.
_PLAIN_TIMES_SD = 12.0
_PLAIN_RUNS = 2
# The first differences show little about the spread. A limit of 0.3 misses 30 % of gains of one sd
# of a difference instead of 20 %; a null then takes 3.7 pairs instead of 4.5.
_FUTILE_DIFFERENCES = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The parameters of the rule; those ending in `_sd` are in standard deviations of one run.

    A patch is kept if its screen and then each recheck passes. The n-th recheck passes if the mean
    gain of the rechecks so far is at least `rechecks_sd[n - 1]`. It is the last one if that mean is
    at least `enough_sd[n - 1]`; for n = 1 the screen must gain that much too. Two rechecks in a row
    also suffice if each gains `plain_sd`. Each trial of a line sets its own `alpha`. `can_refute`:
    a trial without a claim may also end as `refuted`, once the pairs show that the candidate is
    worse than the base.
    """

    screen_sd: float = 0.75
    rechecks_sd: tuple[float, ...] = (0.25,)
    enough_sd: tuple[float, ...] = ()
    plain_sd: float = math.inf
    reference_runs: int = 1
    keeps_per_promotion_trial: int = 8
    alpha: float = PART_ALPHA
    max_pairs: int = 20
    futility_probability: float = 0.3
    futility_sd: float = 0.75
    promotion_trial_hours: float = 12.0
    more_for_differences: int = _MORE_FOR_DIFFERENCES
    can_confirm: bool = True
    can_refute: bool = False

    @property
    def screens(self) -> int:
        """The number of runs after which a patch can be kept: a screen and the rechecks."""
        return 1 + len(self.rechecks_sd)

    def evidence_share(self, log_e: float) -> float:
        """Return `log_e` as a fraction, 0 to 1, of the evidence that a confirmation needs."""
        return min(1.0, max(0.0, log_e / -math.log(self.alpha)))


DEFAULT = Policy()
# For `compare`: one question, measured until it is answered.
POWER = Policy(alpha=QUESTION_ALPHA, max_pairs=16, futility_probability=0.1, futility_sd=0.5)
# For `verify` and re-runs: refuting a made-up claim of 3 sd takes more pairs than confirming a gain
# of 2 sd.
VERIFY = replace(POWER, max_pairs=20)
VERIFY_MOST_PAIRS = MOST_PAIRS
# For measuring the verified head again. The head is dropped only if pairs show that it is worse
# than the head before it. So the trial must not stop as soon as a gain is unlikely.
AGAIN = replace(VERIFY, can_refute=True, futility_probability=0.0)
# For `verify --quick`: enough pairs to refute a large claim, or to show that it is smaller.
QUICK = replace(VERIFY, max_pairs=4, can_confirm=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claimed gain, and its published lower bound if there is one."""

    gain: float
    lower: float | None = None

    @property
    def least(self) -> float:
        """The smallest gain that confirms the claim: half of it, or its lower bound if larger."""
        return self.gain / 2 if self.lower is None else max(self.gain / 2, self.lower)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The conclusion from the pairs so far. A verdict of None means: run another pair.

    - `confirmed`: there is a gain.
    - `smaller`: there is a gain, but smaller than the claimed one.
    - `refuted`: the claimed gain is excluded and no gain was shown, or the candidate was shown to
      be worse than the base (without a claim only if the policy can refute).
    - `unconfirmed`: the pairs showed neither.

    `evidence_share` is the evidence so far as a fraction, 0 to 1, of what a confirmation needs.
    """

    verdict: Verdict | None
    evidence: GainEvidence
    claim: ClaimWord | None
    evidence_share: float

    @property
    def log_e(self) -> float:
        """ln E, the evidence that there is a gain."""
        return self.evidence.log_e

    @property
    def gain(self) -> float:
        """The published gain: the mean minus the average bias of selection."""
        return self.evidence.estimate

    @property
    def lower(self) -> float | None:
        """The lower end of its 95 % interval, valid under any stopping rule.

        It is None if there are too few pairs. It is above zero exactly if the evidence for a gain
        reaches 1 in 20.
        """
        return _finite(self.evidence.interval()[0])

    @property
    def upper(self) -> float | None:
        """The upper end of the same interval."""
        return _finite(self.evidence.interval()[1])

    @property
    def is_gain(self) -> bool:
        """True if there is a gain of any size."""
        return self.verdict in ("confirmed", "smaller")


def _finite(end: float) -> float | None:
    return end if math.isfinite(end) else None


def trial_alpha(number: int, *, introducer: int | None = None) -> float:
    """Return the alpha of a line's `number`-th trial (from 1) since its last promotion.

    Trials of this node's own working line (`introducer` is None) have ``α_k = w k^-1.5 / ζ(1.5)``.
    Trials of peers' trees have a separate budget v, divided by introducer: the network neighbour
    from which this node first received the claim. The k-th trial of the j-th introducer (both from
    1) has ``α_jk = v j^-1.5 k^-1.5 / ζ(1.5)²``. The sum over any number of trials and introducers
    is at most w + v = `LINE_ALPHA`.

    A single trial passes a null with at most its alpha. So a line without any real gain promotes
    something with a probability of at most `LINE_ALPHA`, however long it runs. Any line has on
    average at most `LINE_ALPHA` × (promotions + 1) false promotions. Source: LORD 1 of Javanmard &
    Montanari, *Online rules for control of FDR and FDX* (2018); alpha investing of Foster & Stine
    (2008).

    Therefore a flood of claims through one neighbour, by any number of authors, uses nothing of
    other introducers' budgets. This does not protect against many cheap identities that are all
    neighbours, because later introducers get less, as later trials do. Nor does it protect an
    honest claim that arrived through the same neighbour as the false ones.
    """
    if introducer is None:
        return LINE_ALPHA * (1 - _PEERS_SHARE) * _part(number)
    return LINE_ALPHA * _PEERS_SHARE * _part(introducer) * _part(number)


def _part(number: int) -> float:
    """Return the `number`-th term (from 1) of a series that sums to 1: a fraction of a budget."""
    return float(number**-_ALPHA_EXPONENT) / _SPENT_IN_ALL


def passes_screen(x: float, level: float, sd: float, policy: Policy) -> bool:
    """Return True if the screen's figure `x` is low enough for a recheck.

    The screen's figure is not used afterwards, because it selects the patch. `level` is the
    estimated mean of the base; `sd` is the noise.
    """
    return x <= level - policy.screen_sd * sd


def passes_rechecks(
    fresh: Sequence[float], levels: Sequence[float], sd: float, policy: Policy
) -> bool:
    """Return True if the rechecks so far (one or more) support the screen.

    `fresh` are the rechecks' scores, `levels` the scores of the base measured next to each.
    """
    needed_sd = policy.rechecks_sd[len(fresh) - 1]
    return fmean(fresh) <= fmean(levels) - needed_sd * sd


def suffices(own: Sequence[float], levels: Sequence[float], sd: float, policy: Policy) -> bool:
    """Return True if a patch's runs show a gain so large that no further recheck is needed.

    `own` are the scores of the patch's runs, `levels` those of the base. The first of each belongs
    to the screen.
    """
    gains = [level - x for x, level in zip(own, levels[: len(own)], strict=True)]
    fresh = gains[1:]
    if fresh and len(fresh) <= len(policy.enough_sd):
        least = fmean(fresh) if len(fresh) > 1 else min(gains)
        if least >= policy.enough_sd[len(fresh) - 1] * sd:
            return True
    return len(fresh) >= _PLAIN_RUNS and min(fresh[-_PLAIN_RUNS:]) >= policy.plain_sd * sd


def passes_so_far(own: Sequence[float], levels: Sequence[float], sd: float, policy: Policy) -> bool:
    """Return True if a patch passes its latest test: the screen, or the rechecks so far.

    `own` are the scores of the patch's runs. `levels` are those of the base next to each run; it
    may have more entries than `own`.
    """
    if len(own) == 1:
        return passes_screen(own[0], levels[0], sd, policy)
    return passes_rechecks(own[1:], levels[1 : len(own)], sd, policy)


def has_drifted(earlier: Sequence[float], later: Sequence[float], sd: float) -> bool:
    """Return True if one tree's figures changed by more than chance, on the same evaluation rows.

    Then the machine has changed, or the tree was selected because its earlier runs were lucky.
    """
    error = sd * math.sqrt(1 / len(earlier) + 1 / len(later))
    return abs(fmean(later) - fmean(earlier)) > _RECHECK_ERRORS * error


def evidence_of(
    style: Style, noise: NoiseEstimate, base: Sequence[float], candidate: Sequence[float]
) -> GainEvidence:
    """Return the evidence of pairs on a task of this style; `noise` is used by the style `runs`."""
    if style.name == "runs":
        return PairedEvidence(noise, tuple(base), tuple(candidate))
    gains = [one - other for one, other in zip(base, candidate, strict=True)]
    if style.is_exact:
        return ExactEvidence(tuple(map(to_nano, gains)))
    return DifferenceEvidence(
        tuple(gains), floor=style.floor_nano / NANO, least_pairs=style.least_pairs
    )


def screening_policy(style: Style, policy: Policy) -> Policy:
    """Return the parameters for screens and rechecks on a task of this style.

    `policy` has the parameters of the style `runs`. With `differences` each run is compared with a
    run of the base on the same seed. Both are noisy, so more rechecks are needed. With `exact` one
    run without a recheck decides: the candidate must be better by at least one in the last digit.
    """
    match style.name:
        case "exact":
            least_sd = 1 / max(1, style.floor_nano)
            return replace(policy, screen_sd=least_sd, rechecks_sd=())
        case "differences":
            return replace(
                policy,
                rechecks_sd=_RECHECKED_DIFFERENCES_SD,
                enough_sd=() if style.is_measured else _ENOUGH_DIFFERENCES_SD,
                plain_sd=_PLAIN_TIMES_SD if style.is_measured else math.inf,
            )
    return policy


def policy_of(style: Style, policy: Policy) -> Policy:
    """Return the parameters for trials on a task of this style, given those of the style `runs`."""
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
    """Judge the pairs so far, or ask for another pair.

    A gain below `minimum_gain` (twice the error that an audit accepts) is never confirmed.
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
        # If both are shown by the same pairs, confirmed precedes refuted.
        if is_there and policy.can_confirm:
            return "confirmed"
        if (claim is not None or policy.can_refute) and _is_shown(evidence.log_e_worse):
            return "refuted"
        # While a smaller gain is still likely, a few pairs without one do not refute it.
        if is_less and ((is_last and policy.can_confirm) or _is_unlikely(evidence)):
            return "refuted"
    if is_last or _is_futile(evidence, policy, claim):
        return "unconfirmed"
    return None


def _exact_verdict(
    evidence: GainEvidence, policy: Policy, claim: Claim | None, minimum_gain: float
) -> Verdict | None:
    """Return the verdict of exact pairs; None without a pair.

    One pair decides. A tie never passes, and a claim is confirmed only if its whole gain is there.
    """
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
    # There may be a gain while its size is still open.
    return "holds" if claim.gain <= evidence.interval()[1] else "open"
