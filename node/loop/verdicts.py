"""What follows from the runs of a job: decided by `node.line.trial`, written by `node.line.ledger`.

Reads a line's noise from runs that nobody selected, judges each job when one of its runs has
ended, and tells the proposer and the view. Which run comes next is the loop's (`research`).
"""

from collections.abc import Callable
from dataclasses import replace

from agent.source.canonical import fingerprint
from node.line.ablation import take_out
from node.line.activity import Activity, Dot
from node.line.attestation import close_attestation, plan_next_pair, weigh
from node.line.branch import BranchStep, behind_head_sd, close_branch, kept_in
from node.line.catch_up import close_catch_up
from node.line.checkpoint import close_checkpoint
from node.line.drift import (
    close_remeasure,
    doubt_failing_line,
    doubt_head,
    drift_of,
    has_failed,
    note_surroundings,
)
from node.line.ledger import BASELINE_RUNS, Ledger
from node.line.noise import known_noise
from node.line.session import Session
from node.line.steps import (
    AttestationStep,
    CatchUpStep,
    CheckpointStep,
    ExperimentStep,
    RemeasureStep,
)
from node.line.trial import (
    ANCHOR_PAIRS,
    Confirmation,
    Reading,
    next_of_confirmation,
    next_of_trial,
)
from node.loop.ideas import Ideas
from node.loop.insights import tell_insight
from node.store.jobs import Job, PlannedRun
from protocol.errors import ArnodeError
from protocol.rule import POWER, Claim, Policy
from protocol.runs import Run
from protocol.statistics import NoiseEstimate
from protocol.units import NANO

_BASELINE_FAILURES = 3  # that many are no accident


class Verdicts:
    """Judges the jobs of one line. `on_record` is called whenever something was recorded."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        session: Session,
        ideas: Ideas,
        policy: Policy,
        activity: Activity,
        on_record: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._store = ledger.store
        self._session = session
        self._ideas = ideas
        self._policy = policy
        self._activity = activity
        self._on_record = on_record
        self._noise = self._known_noise()

    @property
    def noise_sd(self) -> float:
        """The standard deviation of one run as known so far, in the metric's unit."""
        return self._noise.sd

    def begin(self) -> None:
        """Look at what this session measures in; what has changed since is a reason for doubt."""
        if changes := note_surroundings(self._ledger, self._session.subject.env):
            self._activity.say(
                f"this machine has changed ({changes}): old figures are only a guess"
            )
            self._noise = self._known_noise()
        tell_insight(self._ledger)  # unless the last session still came to it

    def advance(self, job: Job) -> None:
        """Decide what a job does next and write it down."""
        runs = self._store.runs_of(job.id)
        match job.kind:
            case "baseline":
                self._advance_baseline(job, runs)
            case "bank":
                self._advance_bank(job, runs[0])
            case "experiment":
                self._advance_experiment(job, runs)
            case "checkpoint":
                self._advance_checkpoint(job, runs)
            case "attestation":
                self._advance_attestation(job, runs)
            case "catchup":
                self._advance_catch_up(job, runs)
            case "remeasure":
                self._advance_remeasure(job, runs)
            case "branch":
                self._advance_branch(job, runs)

    def needs_audit(self, job: Job, run: PlannedRun, public_nano: int) -> bool:
        """Every run that can count is audited; a screen that fails on its claim cannot."""
        if job.kind != "experiment" or run.ordinal > 0:
            return True
        step = ExperimentStep.from_value(job.body)
        return self._reading().is_promising(public_nano, self._bank(step))

    def describe(self, job: Job, run: PlannedRun) -> tuple[str, str]:
        """Return what a run is about and which step it is, for people."""
        if job.kind == "experiment":
            return ExperimentStep.from_value(job.body).title, (
                "recheck" if run.ordinal else "screen"
            )
        if job.kind == "checkpoint":
            return "working line against verified head", f"checkpoint, {run.role}"
        if job.kind == "catchup":
            best = CatchUpStep.from_value(job.body)
            return f"best tree of {best.author.hex()[:12]}", f"catching up, {run.role}"
        if job.kind == "remeasure":
            return "verified head against the one before it", f"measuring again, {run.role}"
        if job.kind == "branch":
            return BranchStep.from_value(job.body).title, "going on from another tree"
        if job.kind == "attestation":
            step = AttestationStep.from_value(job.body)
            if step.part:
                part = self._store.patch(step.part)
                return f"without: {part.title if part else 'a part'}", f"ablation, {run.role}"
            return f"claim of {step.author.hex()[:12]}", f"re-run, {run.role}"
        return ("baseline", "baseline") if job.kind == "baseline" else ("working line", "bank")

    def _advance_baseline(self, job: Job, runs: list[PlannedRun]) -> None:
        ended = _ended(runs)
        if len(ended) < len(runs):
            return
        failed = [run for run in ended if run.status != "ok"]
        if len(failed) >= _BASELINE_FAILURES:
            self._store.close_job(job.id)  # the next start measures it anew
            raise ArnodeError(
                f"the task's own baseline failed here ({failed[-1].status}): {failed[-1].reason}",
                "`arnode doctor` looks at this machine",
            )
        if (missing := BASELINE_RUNS + len(failed) - len(ended)) > 0:  # something killed it, say
            self._activity.say(f"a run of the baseline failed ({failed[-1].reason}): once more")
            for _ in range(missing):
                self._ledger.plan_baseline_run(job)
            return
        mark = fingerprint(self._session.task.source)
        record = self._ledger.close_baseline(job, ended, mark)
        self._ideas.mark_tried(mark)
        self._noise = self._known_noise()
        self._activity.say(f"baseline measured twice: {_mean_public(ended):.4f}", record=record.id)
        self._on_record()

    def _advance_bank(self, job: Job, run: PlannedRun) -> None:
        if run.outcome is None:
            return
        self._ledger.close_bank(job, run)
        if has_failed(run.outcome.run) and (told := doubt_failing_line(self._ledger)):
            self._activity.say(told)

    def _advance_experiment(self, job: Job, runs: list[PlannedRun]) -> None:
        step = ExperimentStep.from_value(job.body)
        reading, bank = self._reading(), self._bank(step)
        is_current = step.base == self._ledger.known_line.working
        move = next_of_trial(runs, bank, reading, is_current=is_current)
        if move == "wait":
            return
        if move == "run":
            self._ledger.plan_recheck(job, step)
            return
        ended = _ended(runs)
        gain = _gain_sd(ended[-1], bank, reading)
        decision = {
            "keep": "kept",
            "rebase": "rebased",
            "fail": "rejected" if ended[-1].status == "rejected" else "failed",
            "discard": "screened_out" if len(ended) == 1 else "rechecked_out",
        }[move]
        note = _trial_note(decision, ended, gain)
        closed = replace(step, decision=decision, gain_milli=_milli(gain), bank_nano=bank)
        record = self._ledger.close_experiment(job, closed, ended, note=note)
        self._ideas.learn(job, closed)
        if decision == "rebased" and step.edits:
            self._ideas.try_again(step, record.patch)
        self._activity.concluded(
            Dot(
                title=step.title,
                decision=decision,
                metric=_last_metric(ended),
                gain_sd=gain,
                record=record.result,
            )
        )
        self._on_record()

    def _advance_checkpoint(self, job: Job, runs: list[PlannedRun]) -> None:
        step = CheckpointStep.from_value(job.body)
        if confirmation := self._confirmed(job, runs, step):
            note = _confirmation_note(confirmation)
            self._watch_head(job, step, confirmation)
            record = close_checkpoint(
                self._ledger, job, step, _ended(runs), confirmation, note=note
            )
            tell_insight(self._ledger)
            self._noise = self._known_noise()
            kept = kept_in(self._store, step.stack)
            self._activity.checkpointed(confirmation, kept, record=record.id)
            self._on_record()

    def _advance_catch_up(self, job: Job, runs: list[PlannedRun]) -> None:
        step = CatchUpStep.from_value(job.body)
        if confirmation := self._confirmed(job, runs, step, claim=step.claim):
            note = _confirmation_note(confirmation)
            self._watch_head(job, step, confirmation)
            record = close_catch_up(self._ledger, job, step, _ended(runs), confirmation, note=note)
            self._noise = self._known_noise()
            self._activity.caught_up(confirmation, step.author, record=record.id)
            self._on_record()

    def _advance_remeasure(self, job: Job, runs: list[PlannedRun]) -> None:
        step = RemeasureStep.from_value(job.body)
        # One question about what is there already, as in `verify`.
        if confirmation := self._confirmed(job, runs, step, policy=POWER):
            note = _confirmation_note(confirmation)
            record = close_remeasure(self._ledger, job, step, _ended(runs), confirmation, note=note)
            self._noise = self._known_noise()
            is_back = self._ledger.known_line.verified != step.tree
            self._activity.remeasured(confirmation, is_rolled_back=is_back, record=record.id)
            self._on_record()

    def _advance_branch(self, job: Job, runs: list[PlannedRun]) -> None:
        ended = _ended(runs)
        if len(ended) < len(runs):
            return
        step = BranchStep.from_value(job.body)
        behind_sd = behind_head_sd(step, ended, self._reading())
        closed = close_branch(self._ledger, job, step, ended, behind_sd)
        self._activity.branched(closed, behind_sd)
        self._on_record()

    def _watch_head(
        self, job: Job, step: CheckpointStep | CatchUpStep, confirmation: Confirmation
    ) -> None:
        """Compare the head's runs with those of its last trial; a worse one is in doubt.

        So is one that failed.
        """
        if confirmation.is_bases_fault:
            self._activity.say("the head fails beside it: it is looked at first, the other waits")
            doubt_head(self._ledger, "it failed beside another tree", is_failing=True)
            return
        drift = drift_of(self._store, job, step, self._reading())
        if drift is None:
            return
        how = f"the head measures {abs(drift):.4f} {'worse' if drift > 0 else 'better'} than before"
        self._activity.say(f"{how} on the public rows: the machine has changed, or it never was so")
        if drift > 0 and confirmation.move != "pass":
            doubt_head(self._ledger, how)

    def _confirmed(
        self,
        job: Job,
        runs: list[PlannedRun],
        step: CheckpointStep | CatchUpStep | RemeasureStep,
        *,
        claim: Claim | None = None,
        policy: Policy | None = None,
    ) -> Confirmation | None:
        """Plan what a trial against the head still needs; return it once it has ended."""
        baseline = self._session.task.source.tree
        confirmation = next_of_confirmation(
            runs,
            replace(self._paired_reading(job, step), policy=policy or self._policy),
            needs_anchor=step.base != baseline,
            claim=claim,
        )
        self._activity.weighing(confirmation)
        match confirmation.move:
            case "wait":
                return None
            case "pair":
                self._ledger.plan_checkpoint_pair(job, step)
                return None
            case "base":
                self._plan_base(job, step.base, confirmation)
                return None
            case "anchors":
                self._plan_anchors(job, confirmation)
                return None
        return confirmation

    def _plan_anchors(self, job: Job, confirmation: Confirmation) -> None:
        seeds = [pair.seed for pair in confirmation.pairs[-ANCHOR_PAIRS:]]
        self._ledger.plan_anchors(job, seeds)

    def _advance_attestation(self, job: Job, runs: list[PlannedRun]) -> None:
        step = AttestationStep.from_value(job.body)
        reading = self._paired_reading(job, step)
        confirmation = weigh(runs, step, reading, self._session.task.manifest)
        self._activity.weighing(confirmation)
        match confirmation.move:
            case "wait":
                return
            case "pair":
                plan_next_pair(self._ledger, job, step)
            case "base":
                self._plan_base(job, step.base, confirmation)
            case "anchors":
                self._plan_anchors(job, confirmation)
            case _:
                ended = _ended(runs)
                with self._store.transaction():
                    closed = close_attestation(self._ledger, job, step, ended, confirmation)
                    take_out(self._ledger, step, ended, confirmation)
                self._noise = self._known_noise()
                self._activity.attested(closed, len(confirmation.pairs))
                self._on_record()

    def _plan_base(self, job: Job, base: bytes, confirmation: Confirmation) -> None:
        """Commit to the base of a pair once more; its other half stands."""
        assert confirmation.unfinished is not None  # noqa: S101 -- a seed comes with that move
        self._store.plan_run(job.id, role="base", tree=base, seed=confirmation.unfinished)

    def _reading(self) -> Reading:
        return Reading(
            sign=self._session.task.manifest.metric.sign,
            noise=self._noise,
            policy=self._policy,
            minimum_gain=2 * self._session.metric_tolerance,
        )

    def _paired_reading(
        self, job: Job, step: CheckpointStep | CatchUpStep | RemeasureStep | AttestationStep
    ) -> Reading:
        base, tree = (self._ledger.source(tree) for tree in (step.base, step.tree))
        told_runs = self._store.runs_on_splits(job.line.task, before_job=job.id)
        memorised = self._session.memorised(base, tree, told_runs=told_runs)
        return replace(self._reading(), memorised=memorised)

    def _bank(self, step: ExperimentStep) -> tuple[int, ...]:
        line = self._ledger.known_line
        return line.bank_nano if step.base == line.working and line.bank_nano else step.bank_nano

    def _known_noise(self) -> NoiseEstimate:
        floor_nano = self._session.task.manifest.noise_floor_nano
        return known_noise(self._store, self._ledger.key, floor_nano)


def _ended(runs: list[PlannedRun]) -> list[Run]:
    return [run.outcome.run for run in runs if run.outcome]


def _last_metric(runs: list[Run]) -> float | None:
    nano = runs[-1].metric_nano
    return None if nano is None else nano / NANO


def _mean_public(runs: list[Run]) -> float:
    metrics = [run.metric_nano for run in runs if run.metric_nano is not None]
    return sum(metrics) / len(metrics) / NANO


def _gain_sd(run: Run, bank_nano: tuple[int, ...], reading: Reading) -> float | None:
    if run.metric_nano is None or not bank_nano:
        return None
    bank = reading.values(bank_nano)
    return (sum(bank) / len(bank) - reading.value(run.metric_nano)) / reading.noise.sd


def _milli(gain_sd: float | None) -> int | None:
    return None if gain_sd is None else round(gain_sd * 1000)


def _trial_note(decision: str, runs: list[Run], gain_sd: float | None) -> str:
    if gain_sd is None:
        return f"{decision}: {runs[-1].reason}"
    return f"{decision}: {gain_sd:+.2f} noise sd against the bank in run {len(runs)}"


def _confirmation_note(confirmation: Confirmation) -> str:
    latest, judgement = confirmation.latest, confirmation.judgement
    if latest is None or judgement is None:
        return confirmation.reason
    return (
        f"{judgement.verdict} after {len(confirmation.pairs)} pairs on the secret split: gain "
        f"{latest.gain:.6f}, 95 % interval {latest.lower:.6f} to {latest.upper:.6f}"
    )
