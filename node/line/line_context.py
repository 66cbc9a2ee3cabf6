"""The context in which a job decides after a run: line writer, session and callbacks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from node.line.activity import Activity
from node.line.environment_change import detect_environment_change
from node.line.line_writer import LineWriter
from node.line.open_task import Session
from node.line.trial import MetricReading
from node.store.jobs import Job, Step
from node.store.store import Store
from node.terminal.vocabulary import reused_words
from protocol.rule import Policy
from protocol.statistics import NoiseEstimate
from protocol.styles import Style


class Learner(Protocol):
    """A source of experiments that learns from their outcomes."""

    def mark_tried(self, mark: bytes) -> None:
        """Remember that a source with this canonical AST ran."""

    def learn(self, job: Job[Any]) -> None:
        """Learn from the outcome of an experiment."""

    def try_again(self, job: Job[Any], patch: bytes | None = None) -> None:
        """Try an experiment on the new working line; `patch` is its record, if it has one."""


class Noise(Protocol):
    """This node's estimate of the noise of a line's runs."""

    estimate: NoiseEstimate

    def sd(self) -> float:
        """Return the standard deviation of one run, in the metric's unit."""

    def refresh(self) -> None:
        """Update the estimate after more unselected runs have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineContext:
    """The context in which the jobs of one line are decided.

    `head_trials` are the job kinds that try a tree against the head. The runs of the kinds in
    `on_one_split` share a secret split. `reopen_invalidated` takes a description of how the machine
    changed, restarts open jobs and returns messages about them. `on_record` is called after each
    record. `on_stack` is called after a stack of this node's patches was judged, and at the start
    of a session, since the last session may have ended before the call. With `stops_early`, screens
    that look hopeless are stopped during training.
    """

    line_writer: LineWriter
    session: Session
    learner: Learner
    policy: Policy
    activity: Activity
    noise: Noise
    head_trials: Sequence[type[Step]]
    on_one_split: Sequence[type[Step]]
    reopen_invalidated: Callable[[str], Sequence[str]]
    on_record: Callable[[], None]
    on_stack: Callable[[], None]
    stops_early: bool = False

    @property
    def store(self) -> Store:
        """The store of the line's jobs and runs."""
        return self.line_writer.store

    def begin(self) -> None:
        """Check whether this machine changed since the last session, and call `on_stack`."""
        if (
            number := self.store.boards.reused_number(self.line_writer.record_writer.author)
        ) is not None:
            self.activity.say(f"{reused_words(number)}; `arnode doctor` says what to do")
        self.notice_change()
        self.on_stack()

    def notice_change(self) -> None:
        """Compare the environment with the last session's.

        A change puts the head in doubt and restarts open jobs.
        """
        with self.store.transaction():
            changes = detect_environment_change(self.line_writer, self.session.subject.env)
            reopened = self.reopen_invalidated(changes) if changes else []
        if changes:
            self.activity.say(f"this machine has changed ({changes}): old figures are only a guess")
            for message in reopened:
                self.activity.say(message)
            self.noise.refresh()

    def advance(self, job: Job[Any]) -> None:
        """Decide a job's next step from its runs, and store it."""
        job.step.advance(self, job, self.store.jobs.runs_of(job.id))

    def reading(self) -> MetricReading:
        """Return this session's `MetricReading`."""
        manifest = self.session.task.manifest
        return MetricReading(
            sign=manifest.metric.sign,
            noise=self.noise.estimate,
            policy=self.policy,
            minimum_gain=2 * self.session.metric_tolerance,
            style=Style.of(manifest),
        )

    def paired_reading(self, job: Job[Any], base: bytes, tree: bytes) -> MetricReading:
        """Return the `MetricReading` for a job's pairs, with the gain possible by memorising."""
        sources = (self.line_writer.source(one) for one in (base, tree))
        prior_runs = self.store.jobs.count_runs(
            job.line.task, *self.on_one_split, before_job=job.id
        )
        memorised = self.session.memorised(*sources, prior_runs=prior_runs)
        return replace(self.reading(), memorised=memorised)
