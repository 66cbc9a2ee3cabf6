"""What a job works with when one of its runs has ended: ledger, session, listeners."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from node.line.activity import Activity
from node.line.drift import note_surroundings
from node.line.ledger import Ledger
from node.line.session import Session
from node.line.trial import Reading
from node.store.jobs import Job, Step
from protocol.rule import Policy
from protocol.statistics import NoiseEstimate


class Learner(Protocol):
    """Who thinks of experiments, and hears what came of them."""

    def mark_tried(self, mark: bytes) -> None:
        """Remember that a source with this canonical AST ran."""

    def learn(self, job: Job[Any]) -> None:
        """Take in what came of an experiment."""

    def try_again(self, job: Job[Any], patch: bytes) -> None:
        """Try a promising experiment, recorded as `patch`, on the new working line."""


class RunNoise:
    """How much one run of a line scatters, as far as this node knows."""

    def __init__(self, read: Callable[[], NoiseEstimate]) -> None:
        self._read = read
        self.estimate = read()

    def sd(self) -> float:
        """Return the standard deviation of one run, in the metric's unit."""
        return self.estimate.sd

    def read_anew(self) -> None:
        """Look again: runs that nobody selected have ended."""
        self.estimate = self._read()


class Desk:
    """Where the jobs of one line are decided.

    `head_trials` are the kinds of job that try a tree against the head, `on_one_split` those whose
    runs share a secret split. `on_record` is called after each record; `on_stack` after a stack of
    own patches was judged, and when a session begins, as the last one may have ended before that.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        session: Session,
        learner: Learner,
        policy: Policy,
        activity: Activity,
        head_trials: Sequence[type[Step]],
        on_one_split: Sequence[type[Step]],
        noise: RunNoise,
        on_record: Callable[[], None],
        on_stack: Callable[[], None],
    ) -> None:
        self.ledger = ledger
        self.store = ledger.store
        self.session = session
        self.learner = learner
        self.policy = policy
        self.activity = activity
        self.head_trials = head_trials
        self.on_record = on_record
        self.on_stack = on_stack
        self.noise = noise
        self._on_one_split = on_one_split

    def begin(self) -> None:
        """Compare the surroundings with the last session's; a change puts the head in doubt."""
        if changes := note_surroundings(self.ledger, self.session.subject.env):
            self.activity.say(f"this machine has changed ({changes}): old figures are only a guess")
            self.noise.read_anew()
        self.on_stack()

    def advance(self, job: Job[Any]) -> None:
        """Decide what a job does next, given the runs that it has, and write it down."""
        job.step.advance(self, job, self.store.jobs.runs_of(job.id))

    def reading(self) -> Reading:
        """Return how this session's metrics are read."""
        return Reading(
            sign=self.session.task.manifest.metric.sign,
            noise=self.noise.estimate,
            policy=self.policy,
            minimum_gain=2 * self.session.metric_tolerance,
        )

    def paired_reading(self, job: Job[Any], base: bytes, tree: bytes) -> Reading:
        """Return how pairs of a job are read, less what the candidate could know by heart."""
        sources = (self.ledger.source(one) for one in (base, tree))
        told_runs = self.store.jobs.count_runs(
            job.line.task, *self._on_one_split, before_job=job.id
        )
        memorised = self.session.memorised(*sources, told_runs=told_runs)
        return replace(self.reading(), memorised=memorised)
