"""What a job works with when one of its runs has ended: ledger, session, listeners."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from node.line.activity import Activity
from node.line.drift import note_surroundings
from node.line.ledger import Ledger
from node.line.open_task import Session
from node.line.trial import MetricReading
from node.store.jobs import Job, Step
from node.store.store import Store
from node.terminal.vocabulary import reused_words
from protocol.rule import Policy
from protocol.statistics import NoiseEstimate
from protocol.styles import Style


class Learner(Protocol):
    """Who thinks of experiments, and hears what came of them."""

    def mark_tried(self, mark: bytes) -> None:
        """Remember that a source with this canonical AST ran."""

    def learn(self, job: Job[Any]) -> None:
        """Take in what came of an experiment."""

    def try_again(self, job: Job[Any], patch: bytes) -> None:
        """Try a promising experiment, recorded as `patch`, on the new working line."""


class Noise(Protocol):
    """How much one run of the line scatters, as far as this node knows."""

    estimate: NoiseEstimate

    def sd(self) -> float:
        """Return the standard deviation of one run, in the metric's unit."""

    def read_anew(self) -> None:
        """Look again: runs that nobody selected have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where the jobs of one line are decided.

    `head_trials` are the kinds of job that try a tree against the head, `on_one_split` those whose
    runs share a secret split. `begin_anew` is told how the machine has changed, and returns what to
    say of what is open. `on_record` is called after each record; `on_stack` after a stack of
    own patches was judged, and when a session begins, as the last one may have ended before that;
    `stops_early`: screens that look hopeless while they train are stopped.
    """

    ledger: Ledger
    session: Session
    learner: Learner
    policy: Policy
    activity: Activity
    noise: Noise
    head_trials: Sequence[type[Step]]
    on_one_split: Sequence[type[Step]]
    begin_anew: Callable[[str], Sequence[str]]
    on_record: Callable[[], None]
    on_stack: Callable[[], None]
    stops_early: bool = False

    @property
    def store(self) -> Store:
        """Where the line's jobs and runs are."""
        return self.ledger.store

    def begin(self) -> None:
        """Look whether this machine has changed since the last session, and what that taught."""
        if (number := self.store.boards.reused_number(self.ledger.publication.author)) is not None:
            self.activity.say(f"{reused_words(number)}; `arnode doctor` says what to do")
        self.notice_change()
        self.on_stack()

    def notice_change(self) -> None:
        """Compare the surroundings with the last session's.

        A change puts the head in doubt, and what is open begins anew.
        """
        with self.store.transaction():
            changes = note_surroundings(self.ledger, self.session.subject.env)
            begun_anew = self.begin_anew(changes) if changes else []
        if changes:
            self.activity.say(f"this machine has changed ({changes}): old figures are only a guess")
            for told in begun_anew:
                self.activity.say(told)
            self.noise.read_anew()

    def advance(self, job: Job[Any]) -> None:
        """Decide what a job does next, given the runs that it has, and write it down."""
        job.step.advance(self, job, self.store.jobs.runs_of(job.id))

    def reading(self) -> MetricReading:
        """Return how this session's metrics are read."""
        manifest = self.session.task.manifest
        return MetricReading(
            sign=manifest.metric.sign,
            noise=self.noise.estimate,
            policy=self.policy,
            minimum_gain=2 * self.session.metric_tolerance,
            style=Style.of(manifest),
        )

    def paired_reading(self, job: Job[Any], base: bytes, tree: bytes) -> MetricReading:
        """Return how pairs of a job are read, less what the candidate could know by heart."""
        sources = (self.ledger.source(one) for one in (base, tree))
        told_runs = self.store.jobs.count_runs(job.line.task, *self.on_one_split, before_job=job.id)
        memorised = self.session.memorised(*sources, told_runs=told_runs)
        return replace(self.reading(), memorised=memorised)
