"""Experiments: an idea is tried on the working line, in a screen and then in rechecks.

If it passes but its base is no longer the working line, it is tried again on the new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Annotated, Any, ClassVar, Final

from node.line.idea import SUBMITTED, Idea, SubmissionStep
from node.line.implausible import why_implausible
from node.line.job_step import JobStep, RunDescription, ended_runs
from node.line.level import (
    LATEST,
    compared_runs,
    does_base_fail,
    level_of,
    plan_recheck,
    recorded_runs,
)
from node.line.line_context import LineContext
from node.line.line_writer import LineWriter
from node.line.rung_transfer import end_rung_transfer
from node.line.trial import MetricReading, next_of_trial
from node.store.jobs import Job, PlannedRun
from node.store.store import Store
from node.store.traces import link_trace
from node.terminal.vocabulary import MOST_SD, screened_words
from protocol.codecs import single_line
from protocol.fields import OPTIONAL, Items, Named
from protocol.prospects import is_lead_shown
from protocol.runs import TIGHT, Run, patch_score_nano
from protocol.units import NANO, to_nano

PEER: Final = "peer"  # the proposer of patches from peers' records
COMBINING: Final = "combination"  # the proposer of combinations of two patches

_FAILED: Final = {"rejected": "rejected", "stopped": "screened_out"}  # runs without a metric
_NO_ROOM: Final = "; its training uses nearly all of the time that the task allows"
_LOOKED_BACK: Final = 4 * LATEST  # jobs, including those of reference runs and peers' claims


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentStep(JobStep):
    """An idea and how it is judged. `reference_nano` are its base's reference runs at the start.

    The other fields are filled in on closing: `decision`, `gain_milli` (base − candidate in
    thousandths of a standard deviation), the figure of its screen, and the reference runs and the
    level (`node.line.level`) that it was judged against. Proposers learn from these fields, and the
    decision can be computed from them again.
    """

    idea: Idea
    reference_nano: Annotated[tuple[int, ...], Items(0, 8), Named("reference")]
    decision: Annotated[str, single_line(0, 32)] = ""
    gain_milli: Annotated[int | None, Named("gain")] = None
    level_nano: Annotated[int | None, Named("level"), OPTIONAL] = None
    screen_nano: Annotated[int | None, Named("screen"), OPTIONAL] = None

    KIND: ClassVar = "experiment"

    @property
    def base(self) -> bytes:
        """The tree that the idea changes."""
        return self.idea.base

    @property
    def tree(self) -> bytes:
        """The tree that is tried."""
        return self.idea.tree

    @property
    def title(self) -> str:
        """A description of at most one line of text."""
        return self.idea.title

    @property
    def known_level_nano(self) -> float:
        """The level of its base at the decision."""
        return fmean(self.reference_nano) if self.level_nano is None else self.level_nano

    @property
    def can_move(self) -> bool:
        """True if the idea's edits may be applied to another working line."""
        return bool(self.idea.edits) and self.idea.carried is None

    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        if run.role == "base":
            return RunDescription(self.title, "recheck", "its base on the same seed")
        if run.ordinal:
            return RunDescription(self.title, "recheck", "again on a new seed")
        return RunDescription(self.title, "screen", "first run")

    def is_of_peers(self, own: bytes) -> bool:
        return self.idea.author is not None

    def needs_audit(self, line_context: LineContext, run: PlannedRun, public_nano: int) -> bool:
        """Return True if a run is audited. Every run is, except a screen that does not pass."""
        if run.ordinal > 0:
            return True
        reading, reference_nano = (
            line_context.reading(),
            self._reference_nano(line_context.line_writer),
        )
        level_nano = screen_level(
            line_context.line_writer, self.base, reference_nano, reading.noise.sd
        )
        return reading.is_promising(public_nano, level_nano)

    def advance(self, line_context: LineContext, job: Job[Any], runs: list[PlannedRun]) -> None:
        """Recheck a source that passed its screen; record the decision."""
        reading, reference_nano = (
            line_context.reading(),
            self._reference_nano(line_context.line_writer),
        )
        if not reference_nano or any(run.outcome is None for run in runs):
            return  # reopened without reference runs, or a pair is incomplete
        screen_nano = screen_level(
            line_context.line_writer, self.base, reference_nano, reading.noise.sd
        )
        shown, levels_nano = compared_runs(runs, screen_nano)
        is_current = self.base == line_context.line_writer.known_line.working
        move = next_of_trial(shown, levels_nano, reading, is_current=is_current)
        leaves_no_room = self._leaves_no_room(line_context.line_writer, ended_runs(shown))
        if leaves_no_room and move in ("run", "keep"):
            move = "discard"
        if move == "run" and not does_base_fail(runs):
            plan_recheck(line_context.line_writer, job, self.base, self.tree)
            return
        ended, recorded = ended_runs(shown), recorded_runs(runs)
        level_nano = round(fmean(levels_nano[1:] or levels_nano))
        metric_nano = patch_score_nano(ended)
        gain = _gain_sd(metric_nano, level_nano, reading)
        if move == "keep" and not self._may_replace_line(gain):
            move = "discard"
        decision = {
            "keep": "kept",
            "rebase": "rebased",
            "fail": _FAILED.get(ended[-1].status, "failed"),
            "discard": "screened_out" if len(ended) == 1 else "rechecked_out",
            "run": "rechecked_out",  # the base fails as well
        }[move]
        gain_text = _gain_words(metric_nano, level_nano, gain, reading)
        note = _note(decision, ended, gain_text) + (_NO_ROOM if leaves_no_room else "")
        gain_milli = None if gain is None else round(gain * 1000)
        step = replace(
            self,
            decision=decision,
            gain_milli=gain_milli,
            reference_nano=reference_nano,
            level_nano=level_nano,
            screen_nano=ended[0].metric_nano,
        )
        record = close_experiment(line_context.line_writer, job, step, recorded, note=note)
        closed = replace(job, step=step)
        line_context.learner.learn(closed)
        if decision == "rebased" and self.can_move:
            line_context.learner.try_again(closed, record.patch)
        line_context.activity.concluded(
            self.title,
            decision=decision,
            metric=None if metric_nano is None else metric_nano / NANO,
            gain=gain_text,
            record=record.result,
        )
        if decision == "kept" and line_context.session.task.manifest.scoring == "self":
            _warn_if_implausible(line_context, step, ended, gain or 0.0, record.result)
        line_context.on_record()

    def is_invalidated(self, runs: list[PlannedRun]) -> bool:
        """Return True: the reference runs of its base are invalid too."""
        return True

    def open_again(self, line_writer: LineWriter) -> Job[Any] | None:
        """Open the job again to wait for new reference runs, if its base is still the working line.

        Otherwise a submitted source is queued for the working line, and any other idea is dropped.
        """
        if self.base == line_writer.known_line.working:
            job = line_writer.open_job(replace(self, reference_nano=()))
            line_writer.plan_screen(job, self.base, self.tree)
            return job
        if self.idea.proposer != SUBMITTED:
            return None
        return line_writer.open_job(self.handed_in_again())

    def handed_in_again(self, *parents: bytes) -> SubmissionStep:
        """Return the step that queues a submitted source for the working line."""
        return SubmissionStep(
            tree=self.tree,
            fingerprint=self.idea.fingerprint,
            title=self.title,
            why=self.idea.why,
            parents=parents,
        )

    def _may_replace_line(self, gain_sd: float | None) -> bool:
        """Return False if a peer's whole tree gained too little of its claimed lead."""
        claim_milli = self.idea.claim_milli
        if not self.idea.is_whole_tree or claim_milli is None or gain_sd is None:
            return True
        return is_lead_shown(claim_milli / 1000, gain_sd)

    def _leaves_no_room(self, line_writer: LineWriter, runs: Sequence[Run]) -> bool:
        """Return True if a run of the patch was near its ceiling, and the base's latest were not.

        On such a line most experiments would exceed the ceiling, whatever they change.
        """
        if not any(TIGHT in run.flags for run in runs):
            return False
        jobs = line_writer.store.jobs
        latest = jobs.latest_of(line_writer.key, self.base, limit=LATEST)
        return not any(TIGHT in one.run.flags for one in latest)

    def _reference_nano(self, line_writer: LineWriter) -> tuple[int, ...]:
        line = line_writer.known_line
        is_current = self.base == line.working and line.reference_nano
        return line.reference_nano if is_current else self.reference_nano


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedExperiment:
    """The ids of an experiment's two records."""

    patch: bytes
    result: bytes


def open_experiment(line_writer: LineWriter, idea: Idea) -> Job[ExperimentStep]:
    """Queue an idea's screen and count its canonical AST as tried.

    The job that held the submitted source or the proposal, if any, is closed.
    """
    step = ExperimentStep(idea=idea, reference_nano=line_writer.known_line.reference_nano)
    with line_writer.store.transaction():
        job = line_writer.open_job(step)
        line_writer.plan_screen(job, idea.base, idea.tree)
        if idea.submission is not None:
            line_writer.store.jobs.close_job(idea.submission)
        line_writer.store.jobs.mark_tried(line_writer.key.task, idea.fingerprint)
    return job


def close_experiment(
    line_writer: LineWriter,
    job: Job[ExperimentStep],
    step: ExperimentStep,
    runs: Sequence[Run],
    *,
    note: str,
) -> RecordedExperiment:
    """Record a decided idea with its runs; a kept one becomes the working line.

    If its base is no longer the working line, a submitted source is queued again: it has no edits
    that could be applied to the new base, and its figures are only valid for the old base. A
    transfer needs no new queueing: its job stays open until it is kept or discarded.
    """
    idea, kept = step.idea, step.decision == "kept"
    store = line_writer.store
    with store.transaction():
        patch = line_writer.record_writer.patch(
            idea.base,
            idea.tree,
            title=idea.title,
            why=idea.why,
            parents=idea.parents,
            origin=idea.origin,
            found_on=idea.found_on,
        )
        record = line_writer.record_writer.result(
            patch.id,
            idea.base,
            idea.tree,
            stage="keep" if kept else "screen",
            runs=runs,
            note=note,
            level_nano=step.level_nano,
        )
        store.jobs.mark_tried(line_writer.key.task, idea.fingerprint, record.id)
        if idea.trace is not None:
            link_trace(store.database, idea.trace, record.id)
        if kept:
            line_writer.go_on_from(idea.tree, patch.id, runs[-1:])
        if step.decision == "rebased" and idea.proposer == SUBMITTED:
            line_writer.open_job(step.handed_in_again(patch.id))
        if idea.carried is not None and step.decision != "rebased":
            end_rung_transfer(
                line_writer, idea.carried, step.decision, record.id, tried=idea.transferred_patches
            )
        line_writer.close_job(job, step)
    return RecordedExperiment(patch=patch.id, result=record.id)


def screen_level(
    line_writer: LineWriter, base: bytes, reference_nano: tuple[int, ...], sd: float
) -> int:
    """Return the figure that a screen on a tree is compared with, in 1e-9 units of the metric.

    The figure is usually the tree's level (`node.line.level`). If seeds select instances, no level
    can be estimated from screens of other patches. The figure is then the metric of the tree's run
    with the same seed. `sd` is the noise of one run.
    """
    if line_writer.style.name != "runs":
        return reference_nano[0]
    return level_on(line_writer, base, reference_nano, sd)


def level_on(
    line_writer: LineWriter, base: bytes, reference_nano: tuple[int, ...], sd: float
) -> int:
    """Return a tree's level, from these reference runs and the screens compared with them since.

    The figure is in 1e-9 units of the metric; `sd` is the noise of one run.
    """
    sign = line_writer.record_writer.manifest.metric.sign
    after = line_writer.store.jobs.last_job() - _LOOKED_BACK
    screened = [
        sign * job.step.screen_nano / NANO
        for job in line_writer.store.jobs.closed_jobs(line_writer.key, ExperimentStep, after=after)
        if job.step.screen_nano is not None
        and (job.step.base, job.step.reference_nano) == (base, reference_nano)
    ]
    return sign * to_nano(level_of([sign * nano / NANO for nano in reference_nano], screened, sd))


def _gain_sd(metric_nano: int | None, level_nano: int, reading: MetricReading) -> float | None:
    if metric_nano is None:
        return None
    gain_sd = reading.value(level_nano - metric_nano) / reading.screening_sd
    return min(MOST_SD, max(-MOST_SD, gain_sd))


def _warn_if_implausible(
    line_context: LineContext, step: ExperimentStep, runs: list[Run], gain_sd: float, record: bytes
) -> None:
    metrics_nano = [run.metric_nano for run in runs if run.metric_nano is not None]
    base_nano, style = round(step.known_level_nano), line_context.line_writer.style
    if why := why_implausible(metrics_nano, base_nano, gain_sd=gain_sd, style=style):
        name = record.hex()[:12]
        line_context.activity.say(
            f"self-scored: the program prints its own score, and {why}. Read the diff: "
            f"arnode show {name}; drop the patch: arnode head --drop {name}"
        )


def _gain_words(
    metric_nano: int | None, level_nano: int, gain_sd: float | None, reading: MetricReading
) -> str:
    """Return an experiment's gain as text; empty without a score."""
    if metric_nano is None or gain_sd is None:
        return ""
    gain = reading.value(level_nano - metric_nano)
    return screened_words(gain_sd, gain, reading.style)


def _note(decision: str, runs: list[Run], gain: str) -> str:
    if not gain:
        return f"{decision}: {runs[-1].reason}"
    which = "its screen" if len(runs) == 1 else "its recheck"
    return f"{decision}: {gain} against its base in {which}"
