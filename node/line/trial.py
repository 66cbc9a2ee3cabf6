"""The steps of a patch from its first run to the verified head, decided from its runs.

1. Screen (`next_of_trial`). One run of the candidate is compared with the level of its base
   (`node.line.level`), on the public split. Without a clear gain the candidate is discarded.
2. Recheck (`next_of_trial`). A run with a new seed is compared with the same level. If base and
   candidate both have noise, several such runs are made. With a gain the candidate is kept and
   becomes the working line.
3. Confirm (`next_of_confirmation`). Base and candidate run in fresh pairs, one seed a pair, on a
   new secret split, until `protocol.rule` gives a verdict.
4. Adopt. The caller moves the verified head to a candidate that passes, and records it.

This module decides steps 1, 2 and 3. The loop's trials plan their runs in the store
(`node.line.pair_trial`). `verify` hands its claim to the loop. `compare` and `task replicate` keep
their runs themselves (`node.on_demand.measuring`). All of them call `next_of_confirmation`.

This module is pure. Metrics are in 1e-9 units of the task's metric. `sign` is +1 for a metric to
minimise and −1 for one to maximise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypeAlias

from node.store.jobs import PlannedRun
from protocol.codecs import fit_line
from protocol.evidence import DECISIVE_VERDICTS, SupportedVerdict
from protocol.fields import OPTIONAL, Digest, Mapped, Named, Natural
from protocol.rerun import RerunVerdict
from protocol.rule import (
    Claim,
    Judgement,
    Policy,
    Verdict,
    evidence_of,
    judge,
    passes_screen,
    passes_so_far,
    policy_of,
    suffices,
)
from protocol.runs import MAX_REASON, Run
from protocol.statistics import NoiseEstimate
from protocol.styles import RUNS, Style
from protocol.units import NANO, to_nano

ANCHOR_PAIRS = 4
MAX_BASE_FAILURES = 2  # of one trial: one failure may be an accident, two are the base's fault
MAX_CUT_OFF = 2  # runs of one trial that are repeated because other programs cut them off

TrialMove = Literal["wait", "run", "discard", "fail", "keep", "rebase"]
ConfirmationMove = Literal["wait", "pair", "again", "anchors", "pass", "miss", "unrunnable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricReading:
    """The facts needed to interpret metrics. Values are in the task's unit; smaller is better.

    `memorised` is the gain that the candidate could reach by memorising the text; it is subtracted
    from the measured gain. `policy` has the rule's parameters for the style `runs`
    (`protocol.styles`). `pairs_policy` adapts them to the task's `style`.
    """

    sign: int
    noise: NoiseEstimate
    policy: Policy
    minimum_gain: float = 0.0
    memorised: float = 0.0
    style: Style = RUNS

    @property
    def pairs_policy(self) -> Policy:
        """The rule's numbers for pairs."""
        return policy_of(self.style, self.policy)

    def value(self, nano: int) -> float:
        """Return a metric in its unit, smaller being better."""
        return self.sign * nano / NANO

    def values(self, nanos: Sequence[int]) -> list[float]:
        """Return metrics in their unit, smaller being better."""
        return [self.value(nano) for nano in nanos]

    @property
    def screening_sd(self) -> float:
        """The noise of a run on the public split, in the metric's unit."""
        return self.noise.sd * self.style.public_scatter

    def is_promising(self, public_nano: int, level_nano: int) -> bool:
        """Return True if a screen on the public split passes against this level."""
        level = self.value(level_nano)
        return passes_screen(self.value(public_nano), level, self.screening_sd, self.policy)


def next_of_trial(
    runs: Sequence[PlannedRun],
    levels_nano: Sequence[int],
    reading: MetricReading,
    *,
    is_current: bool,
) -> TrialMove:
    """Return a proposal's next step: its screen, a recheck, or the decision.

    `levels_nano` are its base's levels, one for each run. `is_current` is True if its base still is
    the working line. A proposal that passes against an outdated base is tried again on the new
    working line. Without noise no second run is made, since it would give the same score.
    """
    own: list[float] = []
    levels = reading.values(levels_nano)
    for planned in runs:
        run = planned.run
        if run is None:
            return "wait"
        if run.metric_nano is None:
            return "fail"
        own.append(reading.value(run.metric_nano))
        if not passes_so_far(own, levels, reading.screening_sd, reading.policy):
            return "discard"
    if runs and not is_current:
        return "rebase"
    is_shown = suffices(own, levels, reading.screening_sd, reading.policy)
    return "keep" if is_shown or len(runs) >= reading.policy.screens else "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A base and a candidate run with one seed, both without failure."""

    seed: int
    base: Run
    candidate: Run


# The verdict that readers of a record see in its pairs.
Readers: TypeAlias = Callable[[Sequence[Pair]], SupportedVerdict | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Mapped):
    """The outcome of a trial against the head, and this node's result that records it.

    The gain and its 95 % interval are in 1e-9 units, positive if better. The gain is None without a
    pair; the interval is None also with too few pairs.
    """

    record: Digest
    pairs: Natural
    gain_nano: Annotated[int | None, Named("gain")]
    lower_nano: Annotated[int | None, Named("lower")]
    upper_nano: Annotated[int | None, Named("upper")]
    # The reason for no verdict: the head failed, or other programs cut a run off.
    bases_fault: Annotated[bool | None, OPTIONAL] = None
    was_cut_off: Annotated[bool | None, OPTIONAL] = None
    # True if it gains on the visible data only (`node.store.overfit`).
    is_overfit: Annotated[bool | None, OPTIONAL] = None

    @property
    def says_nothing(self) -> bool:
        """True if the trial is no evidence about the tree, which then waits for another trial."""
        return bool(self.bases_fault or self.was_cut_off)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """The state of a trial in pairs: its next step, its complete pairs, and their judgement.

    `judgement` is the first one with a verdict. `latest` covers all pairs, also those after the
    verdict. `failed` is the failed run, if one decides the next step; there is no judgement then.
    `contradiction` is the reason why a single run refutes a claim.
    """

    move: ConfirmationMove
    pairs: tuple[Pair, ...]
    judgement: Judgement | None = None
    latest: Judgement | None = None
    failed: Run | None = None
    contradiction: str = ""

    @property
    def unfinished(self) -> Run | None:
        """The failed run that must be repeated in the same pair, if any."""
        return self.failed if self.move == "again" else None

    @property
    def was_cut_off(self) -> bool:
        """True if other programs on this machine cut runs off and so prevented a verdict."""
        return self.move == "unrunnable" and self.failed is not None and is_cut_off(self.failed)

    @property
    def is_bases_fault(self) -> bool:
        """True if failures of the base itself prevented a verdict."""
        if self.failed is None or self.was_cut_off:
            return False
        return (self.failed.role, self.move) == ("base", "unrunnable")

    @property
    def failure(self) -> str:
        """A description of the failed run that ended the trial, which may quote it; else empty."""
        if self.failed is None or self.move != "unrunnable":
            return ""
        return f"the {self.failed.role} ended with {self.failed.status}: {self.failed.reason}"

    @property
    def reason(self) -> str:
        """The failure, else the contradiction of the claim, shortened to a record's limit."""
        return fit_line(self.failure or self.contradiction, MAX_REASON)

    @property
    def verdict(self) -> RerunVerdict:
        """The verdict once the trial has ended; `unrunnable` without a judgement."""
        judged = self.judgement.verdict if self.judgement else None
        return judged or "unrunnable"

    def measured(self, record: bytes) -> Measured:
        """Return the outcome to store; `record` is the result that records it."""
        latest = self.latest
        return Measured(
            record=record,
            pairs=len(self.pairs),
            gain_nano=to_nano(latest.gain) if latest else None,
            lower_nano=to_nano(latest.lower) if latest else None,
            upper_nano=to_nano(latest.upper) if latest else None,
            bases_fault=True if self.is_bases_fault else None,
            was_cut_off=True if self.was_cut_off else None,
        )


def is_cut_off(run: Run) -> bool:
    """Return True if other programs cut a run off before it saw the data that it is scored on.

    The run's own load does not count. A run that saw a row of that data is not repeated.
    """
    return run.was_cut_off_by_others and not run.serve_ms


def next_of_confirmation(
    runs: Sequence[PlannedRun],
    reading: MetricReading,
    *,
    needs_anchor: bool,
    anchor_pairs: int = ANCHOR_PAIRS,
    claim: Claim | None = None,
    for_readers: Readers | None = None,
) -> Confirmation:
    """Return the state and next step of a trial, given its runs in the order they were planned.

    These questions are asked in order, 1 to 3 for each pair. The first that applies decides:

    1. Has a run of the pair not ended? Wait for it.
    2. Did the candidate fail? The trial is unrunnable, however its base ended. No pair is dropped.
    3. Did the base fail? Run it once more in the same pair if it had seen no row, but only once in
       a trial. Else the trial is unrunnable by the base's fault.
       For 2 and 3: a run that other programs cut off is also repeated with the same seed, at most
       twice in a trial. Only the cut-off decides this, as a failed run has no figure.
    4. Is there a verdict? The rule looks after each pair, and its first verdict stands. Without
       one, run another pair.
    5. Would readers who do not know this machine's noise see that verdict in the pairs? If
       `for_readers` says no, run another pair, within the policy's limit.
    6. Is there no gain? The trial is missed.
    7. Are there fewer than `anchor_pairs` pairs (one, if scores have no noise)? Run another, so
       that all readers can see how large the gain is.
    8. Is the base another tree than the task's baseline (`needs_anchor`)? Run the baseline with the
       seeds of the last pairs, and wait for it: leaderboards compare by it.
    9. The candidate passes, and may be adopted.

    `claim` is the claimed gain of the candidate, which may be refuted.
    """
    pairs: list[Pair] = []
    failures = 0  # of the base
    for seed in dict.fromkeys(run.seed for run in runs if run.role != "anchor"):
        by_role = {run.role: run.run for run in runs if run.seed == seed}  # the last run of a role
        base, candidate = by_role.get("base"), by_role.get("candidate")
        if base is None or candidate is None:  # 1
            return Confirmation(move="wait", pairs=tuple(pairs))
        failures += _base_failures(runs, seed)
        failed = candidate if candidate.status != "ok" else base
        if failed.status != "ok":  # 2, 3
            if is_cut_off(failed):
                may_repeat = _cut_off(runs) <= MAX_CUT_OFF
            else:
                is_base = failed is base and not base.serve_ms
                may_repeat = is_base and failures < MAX_BASE_FAILURES
            move: ConfirmationMove = "again" if may_repeat else "unrunnable"
            return Confirmation(move=move, pairs=tuple(pairs), failed=failed)
        pairs.append(Pair(seed=seed, base=base, candidate=candidate))
    judgement = _first_verdict(pairs, reading, claim)
    latest = judge_pairs(pairs, reading, claim) if pairs else None
    if for_readers and judgement and latest and latest.verdict == "smaller":
        judgement = latest  # pairs run on for readers show both: a gain, and that it is smaller
    anchors = [run for run in runs if run.role == "anchor"]
    if judgement is None or not _is_settled(pairs, judgement, reading, for_readers):  # 4, 5
        move = "pair"
    elif not judgement.is_gain:  # 6
        move = "miss"
    elif len(pairs) < reading.style.anchor_pairs(anchor_pairs):  # 7
        move = "pair"
    elif needs_anchor and not anchors:  # 8
        move = "anchors"
    elif any(run.outcome is None for run in anchors):
        move = "wait"
    else:  # 9
        move = "pass"
    return Confirmation(move=move, pairs=tuple(pairs), judgement=judgement, latest=latest)


def judge_pairs(
    pairs: Sequence[Pair], reading: MetricReading, claim: Claim | None = None
) -> Judgement:
    """Judge these pairs once, on their secret split.

    The gain that the candidate could reach by memorising is subtracted, except when a claim is
    judged: readers of a re-run only see the runs.
    """
    judged = _judged(pairs, reading, claim)
    if not reading.memorised or judged.verdict not in ("refuted", "smaller"):
        return judged
    plain = _judged(pairs, replace(reading, memorised=0.0), claim)
    if judged.verdict == plain.verdict:
        return judged
    if judged.verdict == "smaller":
        return replace(judged, verdict=plain.verdict, claim=plain.claim)
    is_last = len(pairs) >= reading.pairs_policy.max_pairs
    verdict: Verdict | None = "unconfirmed" if is_last else None
    return replace(judged, verdict=verdict, claim=None if claim is None else "open")


def _judged(pairs: Sequence[Pair], reading: MetricReading, claim: Claim | None) -> Judgement:
    evidence = evidence_of(
        reading.style,
        reading.noise,
        base=[reading.value(_secret(pair.base)) for pair in pairs],
        candidate=[reading.value(_secret(pair.candidate)) + reading.memorised for pair in pairs],
    )
    return judge(evidence, reading.pairs_policy, claim=claim, minimum_gain=reading.minimum_gain)


def _first_verdict(
    pairs: Sequence[Pair], reading: MetricReading, claim: Claim | None
) -> Judgement | None:
    """Return the first judgement with a verdict, if any, judging after each pair."""
    counts = range(1, len(pairs) + 1)
    looks = (judge_pairs(pairs[:count], reading, claim) for count in counts)
    return next((judgement for judgement in looks if judgement.verdict is not None), None)


def _is_settled(
    pairs: Sequence[Pair], judgement: Judgement, reading: MetricReading, for_readers: Readers | None
) -> bool:
    """Return True if readers need no more pairs to see the verdict, or no more are allowed."""
    if for_readers is None or judgement.verdict not in DECISIVE_VERDICTS:
        return True
    return len(pairs) >= reading.pairs_policy.max_pairs or for_readers(pairs) == judgement.verdict


def _base_failures(runs: Sequence[PlannedRun], seed: int) -> int:
    ended = [run.run for run in runs if (run.seed, run.role) == (seed, "base")]
    failed = [run for run in ended if run is not None and run.status != "ok"]
    return sum(not is_cut_off(run) for run in failed)


def _cut_off(runs: Sequence[PlannedRun]) -> int:
    return sum(planned.run is not None and is_cut_off(planned.run) for planned in runs)


def _secret(run: Run) -> int:
    assert run.secret_nano is not None  # noqa: S101 -- a run that is ok has both metrics
    return run.secret_nano
