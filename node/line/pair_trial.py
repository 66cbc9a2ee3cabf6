"""Trials in pairs: a tree against a base, on one secret split.

A job gets its next step from `node.line.trial` and plans it in the store. So a kill loses at most
the current run, and no pair gets a new seed.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from node.line.environment_change import drift_of, request_head_recheck
from node.line.job_step import JobStep, RunDescription, ended_runs
from node.line.line_context import LineContext
from node.line.line_writer import LEAST_RUNS, LineWriter
from node.line.trial import (
    ANCHOR_PAIRS,
    Confirmation,
    Measured,
    MetricReading,
    next_of_confirmation,
)
from node.store.jobs import Job, PlannedRun
from node.store.overfit import overfit_reason
from node.terminal.vocabulary import gain_words, many
from protocol.codecs import integer
from protocol.fields import OPTIONAL, Digest, Named
from protocol.manifest import TaskManifest
from protocol.records import Record
from protocol.rule import Claim, Policy
from protocol.runs import Role, Run
from protocol.units import NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTrial(JobStep):
    """A trial of `tree` against `base`."""

    base: Digest
    tree: Digest

    IS_EXCLUSIVE: ClassVar = True
    IS_ON_ONE_SPLIT: ClassVar = True

    @abstractmethod
    def conclude(
        self, line_context: LineContext, job: Job[Any], runs: list[Run], confirmation: Confirmation
    ) -> None:
        """Store the trial's outcome and what follows from it; `runs` are all of its runs."""

    @property
    def claim(self) -> Claim | None:
        """The claimed gain of the tree, in the metric's unit; None if nothing is claimed."""
        return None

    @property
    def policy(self) -> Policy | None:
        """The rule's numbers for this trial; None for the session's."""
        return None

    def about(self, title: str, run: PlannedRun, stage: str, *, text: str = "") -> RunDescription:
        """Describe a run. If `text` is empty, people see the stage and the run's role."""
        stage = f"{stage}, {run.role}"
        if text and run.role == "anchor":
            text += ", against the baseline"
        return RunDescription(title, stage, text or stage)

    def weigh(
        self, runs: list[PlannedRun], reading: MetricReading, manifest: TaskManifest
    ) -> Confirmation:
        """Return the state of the trial and its next step."""
        return next_of_confirmation(
            runs,
            replace(reading, policy=self.policy or reading.policy),
            needs_anchor=self.base != manifest.baseline_tree,
            claim=self.claim,
        )

    def plan_pair(self, line_writer: LineWriter, job: Job[Any]) -> None:
        """Plan the next pair, with an unpredictable seed."""
        line_writer.plan_fresh_pair(job, self.base, self.tree)

    def advance(self, line_context: LineContext, job: Job[Any], runs: list[PlannedRun]) -> None:
        """Plan what the trial still needs until the rule gives a verdict."""
        reading = line_context.paired_reading(job, self.base, self.tree)
        confirmation = self.weigh(runs, reading, line_context.session.task.manifest)
        line_context.activity.weighing(confirmation)
        match confirmation.move:
            case "pair":
                self.plan_pair(line_context.line_writer, job)
            case "again" if (failed := confirmation.unfinished) is not None:
                role: Role = "base" if failed.role == "base" else "candidate"
                tree = self.base if role == "base" else self.tree
                line_context.store.jobs.plan_run(job.id, role=role, tree=tree, seed=failed.seed)
            case "anchors":
                seeds = [pair.seed for pair in confirmation.pairs[-ANCHOR_PAIRS:]]
                line_context.line_writer.plan_anchors(job, seeds)
            case "pass" | "miss" | "unrunnable":
                self.conclude(line_context, job, ended_runs(runs), confirmation)
                line_context.noise.refresh()
                line_context.on_record()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadTrial(PairTrial):
    """A trial of a tree against the verified head; `measured` is filled in on closing.

    `alpha_nano` is its alpha in 1e-9 units: the probability that it passes without a gain
    (`node.line.alpha_budget`). None means the session's alpha, as when the head is measured again.
    """

    measured: Annotated[Measured | None, OPTIONAL] = None
    alpha_nano: Annotated[int | None, integer(1, NANO), Named("alpha"), OPTIONAL] = None

    def weigh(
        self, runs: list[PlannedRun], reading: MetricReading, manifest: TaskManifest
    ) -> Confirmation:
        if self.alpha_nano is not None:
            alpha = self.alpha_nano / NANO
            reading = replace(reading, policy=replace(reading.policy, alpha=alpha))
        return PairTrial.weigh(self, runs, reading, manifest)  # no `super()`: the class has slots

    @property
    def claim_on_trial(self) -> bytes | None:
        """The peer's result whose tree is on trial; None for this node's own tree."""
        return None

    @abstractmethod
    def patch_on_trial(self, line_writer: LineWriter) -> bytes:
        """Return the patch from the base to the tree; record it if it is not recorded yet."""

    @abstractmethod
    def settle(
        self,
        line_writer: LineWriter,
        runs: Sequence[Run],
        confirmation: Confirmation,
        record: Record,
    ) -> Self:
        """Change the line by the trial's outcome; return the step with the outcome to store."""

    def close(
        self,
        line_writer: LineWriter,
        job: Job[Any],
        runs: Sequence[Run],
        confirmation: Confirmation,
        *,
        note: str,
    ) -> Record:
        """Record the trial's outcome and what follows from it, in one transaction.

        If there are enough base runs, also publish the noise that they show, for other nodes of the
        hardware class.
        """
        with line_writer.store.transaction():
            record = line_writer.record_writer.result(
                self.patch_on_trial(line_writer),
                self.base,
                self.tree,
                stage="confirm",
                runs=runs,
                note=note,
                has_verdict=confirmation.judgement is not None,
            )
            # These are unselected runs of one tree with fresh seeds.
            fresh = [run for run in runs if run.role == "base" and run.status == "ok"]
            if len(fresh) >= LEAST_RUNS and line_writer.style.name == "runs":
                line_writer.record_writer.noise(self.base, fresh)
            closed = self.settle(line_writer, runs, confirmation, record)
            measured = confirmation.measured(record.id)
            if overfit_of(line_writer, runs, confirmation) is not None:
                measured = replace(measured, is_overfit=True)
            line_writer.close_job(job, replace(closed, measured=measured))
        return record

    def watch_head(
        self, line_context: LineContext, job: Job[Any], confirmation: Confirmation
    ) -> None:
        """Compare the head's runs with those of its last trial.

        A head that measures worse or fails is put in doubt.
        """
        if confirmation.is_bases_fault:
            line_context.activity.say("the head fails in this trial: it is measured again first")
            request_head_recheck(
                line_context.line_writer, "it failed in a trial of another tree", is_failing=True
            )
            return
        drift = drift_of(
            line_context.store, job, self.base, line_context.reading(), line_context.head_trials
        )
        if drift is None:
            return
        how = f"the head measures {abs(drift):.4f} {'worse' if drift > 0 else 'better'} than before"
        line_context.activity.say(
            f"{how} on the public split: the machine changed, or the head was overrated"
        )
        if drift > 0 and confirmation.move != "pass":
            request_head_recheck(line_context.line_writer, how)


def overfit_of(
    line_writer: LineWriter, runs: Sequence[Run], confirmation: Confirmation
) -> str | None:
    """Return the reason the tree on trial is overfit; None if it passed or is not overfit."""
    if confirmation.move == "pass":
        return None
    return overfit_reason(runs, line_writer.subject.manifest)


def note_of(confirmation: Confirmation, overfit: str | None = None) -> str:
    """Return the note in the record of a trial's outcome."""
    latest, judgement = confirmation.latest, confirmation.judgement
    if overfit is not None:
        return f"{overfit}, in {many(len(confirmation.pairs), 'pair')}"
    if latest is None or judgement is None:
        return confirmation.reason
    return (
        f"{judgement.verdict} after {many(len(confirmation.pairs), 'pair')} on the secret split: "
        f"{gain_words(latest)}"
    )
