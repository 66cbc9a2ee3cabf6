"""What a job does next, given its runs: pure decisions around `protocol.rule`.

A trial is one proposal (screen, recheck); a confirmation is a stack against the verified head,
in fresh interleaved pairs on the secret split. Metrics come in 1e-9 units of the task's metric;
`sign` is +1 for a metric to minimise and −1 for one to maximise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal, TypeAlias

from node.store.jobs import PlannedRun
from protocol.attestation import AttestVerdict
from protocol.evidence import SPOKEN, BorneOut
from protocol.fields import (
    Codec,
    Mapped,
    Table,
    boolean,
    digest,
    field,
    fit_line,
    integer,
    nullable,
)
from protocol.rule import Claim, Judgement, Policy, judge, passes_recheck, passes_screen
from protocol.runs import Run
from protocol.statistics import NoiseEstimate, PairedEvidence
from protocol.units import NANO

ANCHOR_PAIRS = 4
MAX_BASE_FAILURES = 2  # of one trial: one may be an accident, two are the base's own

TrialMove = Literal["wait", "run", "discard", "fail", "keep", "rebase"]
ConfirmationMove = Literal["wait", "pair", "base", "anchors", "pass", "miss", "unrunnable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How metrics are read: in the task's unit, signed so that smaller is better.

    `memorised` is taken off a gain: what the candidate could know of the text by heart.
    """

    sign: int
    noise: NoiseEstimate
    policy: Policy
    minimum_gain: float = 0.0
    memorised: float = 0.0

    def value(self, nano: int) -> float:
        """A metric in its unit, smaller being better."""
        return self.sign * nano / NANO

    def values(self, nanos: Sequence[int]) -> list[float]:
        """Metrics in their unit, smaller being better."""
        return [self.value(nano) for nano in nanos]

    def is_promising(self, public_nano: int, bank_nano: Sequence[int]) -> bool:
        """Say whether a screen on the public split passes against this bank."""
        bank = self.values(bank_nano)
        return passes_screen(self.value(public_nano), bank, self.noise.sd, self.policy)


def next_of_trial(
    runs: Sequence[PlannedRun], bank_nano: Sequence[int], reading: Reading, *, is_current: bool
) -> TrialMove:
    """Say what a proposal does next.

    `is_current` tells whether its base still is the working line: a proposal that passes against
    a base that has moved on is tried again on the new one.
    """
    if not runs:
        return "run"
    screen = _run_of(runs[0])
    if screen is None:
        return "wait"
    if screen.metric_nano is None:
        return "fail"
    if not reading.is_promising(screen.metric_nano, bank_nano):
        return "discard"
    if len(runs) == 1:
        return "run" if is_current else "rebase"
    recheck = _run_of(runs[1])
    if recheck is None:
        return "wait"
    if recheck.metric_nano is None:
        return "fail"
    bank = reading.values(bank_nano)
    value = reading.value(recheck.metric_nano)
    if not passes_recheck(value, bank, reading.noise.sd, reading.policy):
        return "discard"
    return "keep" if is_current else "rebase"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A base and a candidate run of one seed, both ended well."""

    seed: int
    base: Run
    candidate: Run


# What pairs show to whoever reads them in a record.
Readers: TypeAlias = Callable[[Sequence[Pair]], BorneOut | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Mapped):
    """What a trial against the head measured, and the own result that says so.

    The gain and its 95 % interval are in 1e-9 units, positive if better; None without a pair.
    """

    record: bytes
    pairs: int
    gain_nano: int | None
    lower_nano: int | None
    upper_nano: int | None
    bases_fault: bool | None = None  # there is no verdict, as the head failed

    TABLE: ClassVar = Table(
        field("record", digest()),
        field("pairs", integer(0)),
        field("gain", nullable(integer()), "gain_nano"),
        field("lower", nullable(integer()), "lower_nano"),
        field("upper", nullable(integer()), "upper_nano"),
        field("bases_fault", boolean(), optional=True),
    )


MEASURED: Final = Codec(Measured.from_value, Measured.to_value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """How far a confirmation has come: what to do next, the first verdict and its judgement.

    `latest` looks at all pairs, also those that came after the verdict to complete the anchor's.
    `unfinished` is the seed of the pair whose base is to be run once more; `is_bases_fault`: what
    could not be run is the base.
    """

    move: ConfirmationMove
    pairs: tuple[Pair, ...]
    judgement: Judgement | None
    latest: Judgement | None
    reason: str = ""
    unfinished: int | None = None
    is_bases_fault: bool = False

    @property
    def verdict(self) -> AttestVerdict:
        """The word for it once it has ended; without a judgement it did not run."""
        judged = self.judgement.verdict if self.judgement else None
        return judged or "unrunnable"

    def measured(self, record: bytes) -> Measured:
        """What to keep of it; `record` is the result that says so."""
        latest = self.latest
        return Measured(
            record=record,
            pairs=len(self.pairs),
            gain_nano=round(latest.gain * NANO) if latest else None,
            lower_nano=round(latest.lower * NANO) if latest else None,
            upper_nano=round(latest.upper * NANO) if latest else None,
            bases_fault=True if self.is_bases_fault else None,
        )


def next_of_confirmation(
    runs: Sequence[PlannedRun],
    reading: Reading,
    *,
    needs_anchor: bool,
    anchor_pairs: int = ANCHOR_PAIRS,
    claim: Claim | None = None,
    for_readers: Readers | None = None,
) -> Confirmation:
    """Say what a confirmation does next. `needs_anchor`: its base is not the baseline tree.

    What passes is measured on until it has `anchor_pairs` pairs. `claim` is what somebody says of
    it, which may be refuted. `for_readers`: what is found is measured on, within the policy's
    pairs, until the pairs show it to readers who know nothing of this machine's noise.

    No pair is dropped: a candidate that fails ends it; a base that fails before it has seen a row
    is run once more in its pair, once in a trial.
    """
    pairs: list[Pair] = []
    failures = 0  # of the base
    for seed in dict.fromkeys(run.seed for run in runs if run.role != "anchor"):
        by_role = {run.role: _run_of(run) for run in runs if run.seed == seed}  # the last of each
        base, candidate = by_role.get("base"), by_role.get("candidate")
        if base is None or candidate is None:
            return Confirmation(move="wait", pairs=tuple(pairs), judgement=None, latest=None)
        if candidate.status != "ok":
            reason = f"the candidate ended with {candidate.status}: {candidate.reason}"
            return _ended("unrunnable", pairs, reason)
        failures += _base_failures(runs, seed)
        if base.status != "ok":
            if failures < MAX_BASE_FAILURES and not base.serve_ms:
                return replace(_ended("base", pairs, ""), unfinished=seed)
            reason = f"the base ended with {base.status}: {base.reason}"
            return replace(_ended("unrunnable", pairs, reason), is_bases_fault=True)
        pairs.append(Pair(seed=seed, base=base, candidate=candidate))
    judgement = _first_verdict(pairs, reading, claim)
    latest = judge_pairs(pairs, reading, claim) if pairs else None
    if for_readers and judgement and latest and latest.verdict == "smaller":
        judgement = latest  # what was run on for readers shows both: a gain, and that it is less
    move = _next_move(runs, pairs, judgement, needs_anchor=needs_anchor, anchor_pairs=anchor_pairs)
    if for_readers and judgement and not _is_settled(pairs, judgement, reading, for_readers):
        move = "pair"
    return Confirmation(move=move, pairs=tuple(pairs), judgement=judgement, latest=latest)


def judge_pairs(pairs: Sequence[Pair], reading: Reading, claim: Claim | None = None) -> Judgement:
    """Look at these pairs once, on their secret split.

    What the candidate could know by heart is taken off a gain, and says nothing against a claim:
    readers of an attestation see the runs alone.
    """
    judged = _judged(pairs, reading, claim)
    if not reading.memorised or judged.verdict not in ("refuted", "smaller"):
        return judged
    plain = _judged(pairs, replace(reading, memorised=0.0), claim)
    if judged.verdict == plain.verdict:
        return judged
    if judged.verdict == "smaller":
        return replace(judged, verdict=plain.verdict, claim=plain.claim)
    is_last = len(pairs) >= reading.policy.max_pairs
    return replace(judged, verdict="unconfirmed" if is_last else None, claim="open")


def _judged(pairs: Sequence[Pair], reading: Reading, claim: Claim | None) -> Judgement:
    evidence = PairedEvidence(
        noise=reading.noise,
        base=tuple(reading.value(_secret(pair.base)) for pair in pairs),
        candidate=tuple(
            reading.value(_secret(pair.candidate)) + reading.memorised for pair in pairs
        ),
    )
    return judge(evidence, reading.policy, claim=claim, minimum_gain=reading.minimum_gain)


def _first_verdict(
    pairs: Sequence[Pair], reading: Reading, claim: Claim | None
) -> Judgement | None:
    """A look after each pair: the first verdict stands, later pairs only sharpen the figures."""
    for count in range(1, len(pairs) + 1):
        judgement = judge_pairs(pairs[:count], reading, claim)
        if judgement.verdict is not None:
            return judgement
    return None


def _next_move(
    runs: Sequence[PlannedRun],
    pairs: Sequence[Pair],
    judgement: Judgement | None,
    *,
    needs_anchor: bool,
    anchor_pairs: int,
) -> ConfirmationMove:
    if judgement is None:
        return "pair"
    if not judgement.is_gain:
        return "miss"
    if len(pairs) < anchor_pairs:
        return "pair"
    anchors = [run for run in runs if run.role == "anchor"]
    if needs_anchor and not anchors:
        return "anchors"
    return "wait" if any(run.outcome is None for run in anchors) else "pass"


def _is_settled(
    pairs: Sequence[Pair], judgement: Judgement, reading: Reading, for_readers: Readers
) -> bool:
    """Whether readers see what was found, or would not within the pairs that there may be."""
    if judgement.verdict not in SPOKEN or len(pairs) >= reading.policy.max_pairs:
        return True
    return for_readers(pairs) == judgement.verdict


def _ended(move: ConfirmationMove, pairs: Sequence[Pair], reason: str) -> Confirmation:
    return Confirmation(
        move=move, pairs=tuple(pairs), judgement=None, latest=None, reason=fit_line(reason, 200)
    )


def _base_failures(runs: Sequence[PlannedRun], seed: int) -> int:
    ended = [_run_of(run) for run in runs if (run.seed, run.role) == (seed, "base")]
    return sum(run is not None and run.status != "ok" for run in ended)


def _run_of(planned: PlannedRun) -> Run | None:
    return None if planned.outcome is None else planned.outcome.run


def _secret(run: Run) -> int:
    assert run.secret_nano is not None  # noqa: S101 -- a run that is ok has both metrics
    return run.secret_nano
