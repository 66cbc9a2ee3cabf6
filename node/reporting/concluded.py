"""Experiments and trials against the head that ended in a span of time.

Measurements come from records. The purpose of a trial and the reason for a decision come from jobs.
Decisions are reported as stored. If a store lost its jobs, only the facts in its records are
reported.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from node.line.branch import BranchStep
from node.line.catch_up import CatchUpStep
from node.line.experiment import ExperimentStep
from node.line.head_recheck import HeadRecheckStep
from node.line.job_kinds import HEAD_TRIALS
from node.line.pair_trial import HeadTrial
from node.line.promotion_trial import PromotionTrial
from node.line.trial import Measured
from node.store.experiments import ABLATION, BRANCHING, Experiment
from node.store.jobs import Line
from node.store.notes import Note, experiment_notes
from node.store.store import Store
from node.terminal.progress import Progress
from protocol.evidence import GAINS
from protocol.record_kinds import Origin, ResultBody
from protocol.rerun import RerunVerdict

Fate: TypeAlias = Literal["passed", "missed", "overfit", "open"]
UNKNOWN: Final = Origin(proposer="unknown")  # if no stored patch or job names the origin
_IDEAS = ("screen", "keep")
_SHOWN_EVERY: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSpan:
    """A span of time, both ends included, in milliseconds since 1970."""

    since_ms: int
    until_ms: int

    def __contains__(self, ts_ms: int) -> bool:
        return self.since_ms <= ts_ms <= self.until_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """The cost of language models: tokens in and out, and units of 1e-9 USD."""

    tokens: int = 0
    usd_nano: int = 0

    def __add__(self, other: "Spend") -> "Spend":
        return Spend(tokens=self.tokens + other.tokens, usd_nano=self.usd_nano + other.usd_nano)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcludedIdea:
    """A concluded experiment.

    If its job is known, `decision` also says whether a screen or a recheck decided. `gain_sd` is
    the gain that the decision was based on, in standard deviations of one run. `authors` are the
    peers whose claims the experiment tries, and `claims` the claimed patches. `claimed_sd` is the
    claimed gain of all these patches together. For a kept patch, `fate` is the outcome of its
    promotion trial. `owner_note` is the owner's note, which is private.
    """

    entry: Experiment
    decision: str
    gain_sd: float | None
    reason: str
    origin: Origin
    authors: tuple[bytes, ...]
    claims: tuple[bytes, ...]
    claimed_sd: float | None
    device_ms: int
    spend: Spend
    fate: Fate | None
    owner_note: Note | None = None

    @property
    def is_kept(self) -> bool:
        """True if it was kept on the working line."""
        return self.entry.decision == "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackedPatch:
    """A patch in a promotion trial; `authors` are the peers whose claims it uses."""

    title: str
    origin: Origin
    authors: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcludedTrial:
    """A concluded trial against the head.

    It compared kept patches or a peer's tree with the head, or the head with the one that it
    replaced. `stands` is True if the trial passed and its result was not retracted later.
    """

    entry: Experiment
    kind: type[HeadTrial]
    verdict: RerunVerdict
    stands: bool
    measured: Measured | None
    parts: tuple[StackedPatch, ...]
    author: bytes | None
    note: str
    device_ms: int

    @property
    def gain_nano(self) -> int | None:
        """The measured gain, positive if better: from the job if known, else from the record."""
        known = self.measured.gain_nano if self.measured else None
        return self.entry.gain_nano if known is None else known


class Concluded:
    """A reader of the experiments and trials that ended on one line in a span."""

    def __init__(self, store: Store, line: Line, entries: Sequence[Experiment]) -> None:
        self._store = store
        self._line = line
        self._entries = entries  # only those of the span
        self._notes = experiment_notes(store, line.key)
        self._steps: dict[tuple[bytes, bytes], ExperimentStep] = {}
        for job in store.jobs.closed_jobs(line.key, ExperimentStep):
            step = job.step
            self._steps[step.base, step.tree] = step
        branches = store.jobs.closed_jobs(line.key, BranchStep)
        begun = (job.step for job in branches)
        self._roots = {step.patch: step.author for step in begun}
        trials = [job.step for job in store.jobs.closed_jobs(line.key, *HEAD_TRIALS)]
        self._trials = {step.measured.record: step for step in trials if step.measured}
        self._fates: dict[bytes, Fate] = dict.fromkeys(line.stack, "open")
        for trial in self._trials.values():
            if trial.measured and trial.measured.says_nothing:
                continue  # the patches wait for another trial
            if isinstance(trial, PromotionTrial):
                self._fates |= dict.fromkeys(trial.stack, _fate_of(trial))

    def ideas(self, progress: Progress) -> Iterator[ConcludedIdea]:
        """Yield the experiments, oldest first."""
        for number, entry in enumerate(self._entries):
            if entry.stage in _IDEAS and entry.origin != BRANCHING:
                if number % _SHOWN_EVERY == _SHOWN_EVERY - 1:
                    progress("reading the experiments", number / len(self._entries))
                yield self._idea(entry)

    def confirmations(self) -> Iterator[ConcludedTrial]:
        """Yield the trials against the head, oldest first."""
        for entry in self._entries:
            if entry.stage == "confirm":
                yield self._confirmation(entry)

    def _idea(self, entry: Experiment) -> ConcludedIdea:
        body, step = self._result(entry), self._steps.get((entry.parent, entry.tree))
        origin = step.idea.origin if step else self._origin(entry.patch)
        failed = [run for run in body.runs if run.status != "ok"] if body.status != "ok" else []
        return ConcludedIdea(
            entry=entry,
            decision=step.decision if step and step.decision else entry.decision,
            gain_sd=_sd(step.gain_milli if step else None),
            reason=f"{failed[-1].status}: {failed[-1].reason}" if failed else "",
            origin=origin,
            authors=step.idea.authors if step else (),
            claims=step.idea.claims if step else (),
            claimed_sd=_sd(step.idea.claim_milli if step else None),
            # An ablation's runs belong to a re-run and are counted there.
            device_ms=0 if origin.proposer == ABLATION else body.cost.device_ms,
            spend=Spend(tokens=step.idea.tokens or 0, usd_nano=step.idea.usd_nano or 0)
            if step
            else Spend(),
            fate=self._fates.get(entry.patch) if entry.patch and body.stage == "keep" else None,
            owner_note=self._notes.get(entry.id),
        )

    def _confirmation(self, entry: Experiment) -> ConcludedTrial:
        body, step = self._result(entry), self._trials.get(entry.id)
        verdict = _verdict(entry, step)
        return ConcludedTrial(
            entry=entry,
            kind=type(step) if step else PromotionTrial,
            verdict=verdict,
            stands=verdict in GAINS and self._store.records.retraction(entry.id) is None,
            measured=step.measured if step else None,
            parts=tuple(map(self._part, step.stack)) if isinstance(step, PromotionTrial) else (),
            author=step.author if isinstance(step, CatchUpStep) else None,
            note=body.note,
            device_ms=body.cost.device_ms,
        )

    def _part(self, patch: bytes) -> StackedPatch:
        body = self._store.records.patch(patch)
        step = self._steps.get((body.base, body.tree)) if body else None
        author = self._roots.get(patch)
        return StackedPatch(
            title=body.title if body else "",
            origin=body.origin if body else UNKNOWN,
            authors=step.idea.authors if step else (author,) if author else (),
        )

    def _origin(self, patch: bytes | None) -> Origin:
        body = self._store.records.patch(patch) if patch else None
        return body.origin if body else UNKNOWN

    def _result(self, entry: Experiment) -> ResultBody:
        body = self._store.records.get(entry.id).body
        assert isinstance(body, ResultBody)  # noqa: S101 -- experiments follow from results
        return body


def _fate_of(trial: PromotionTrial) -> Fate:
    if trial.passed:
        return "passed"
    return "overfit" if trial.measured and trial.measured.is_overfit else "missed"


def _sd(milli: int | None) -> float | None:
    return None if milli is None else milli / 1000


def _verdict(entry: Experiment, step: HeadTrial | None) -> RerunVerdict:
    """Return a trial's verdict. It never refutes kept patches, because they claim no gain."""
    if isinstance(step, CatchUpStep | HeadRecheckStep):
        return cast("RerunVerdict", step.verdict)  # a trial's `Confirmation.verdict` wrote it
    if step.passed if isinstance(step, PromotionTrial) else entry.decision == "adopted":
        return "confirmed"
    if step and step.measured:
        return "unrunnable" if step.measured.gain_nano is None else "unconfirmed"
    return "unconfirmed" if entry.status == "ok" else "unrunnable"
