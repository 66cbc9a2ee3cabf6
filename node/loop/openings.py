"""The opening of jobs that an agenda decides on: each is stored, then its first run is returned."""

from collections.abc import Collection
from typing import Any, NamedTuple

from node.line.ablation import open_ablation
from node.line.attestation import open_attestation
from node.line.bank import BankStep, open_bank
from node.line.branch import BranchStep
from node.line.desk import Desk
from node.line.drift import is_head_failing
from node.line.experiment import open_experiment
from node.line.idea import Idea
from node.line.remeasure import open_remeasure
from node.line.spending import open_trial
from node.loop.exploring import Exploring
from node.loop.ideas import Ideas
from node.loop.peer_claims import Peers
from node.loop.session_plan import SessionPlan
from node.store.jobs import Job, PlannedRun


class Situation(NamedTuple):
    """The circumstances when a run is wanted: the open `jobs`, in the order of their turns.

    - `running`: job and ordinal of each run in progress.
    - `has_lanes`: several runs may be made at once.
    - `is_foreign_barred`: skip untrusted code, as such a run is already in progress.
    - `passing_over`: skip these jobs, which wait for their lane.
    """

    jobs: list[Job[Any]]
    running: Collection[tuple[int, int]]
    has_lanes: bool
    is_foreign_barred: bool
    passing_over: Collection[int]


class Openings:
    """The ways to open work. Each method returns the run to start; None if there is nothing to do.

    `count` is the number of ideas opened. `has_company`: other nodes are present to receive
    announcements of what this node is about to try.
    """

    def __init__(
        self,
        *,
        desk: Desk,
        ideas: Ideas,
        exploring: Exploring,
        peers: Peers | None,
        plan: SessionPlan,
        has_company: bool,
    ) -> None:
        self.count = 0
        self._desk = desk
        self._ledger = desk.ledger
        self._ideas = ideas
        self._exploring = exploring
        self._peers = peers
        self._plan = plan
        self._has_company = has_company

    def unfinished(self, job: Job[Any], now: Situation) -> PlannedRun | None:
        """Return a planned run with its seed that is not in progress, such as after a kill."""
        own = self._ledger.publication.author
        for run in self._desk.store.jobs.open_runs_of(job.id):
            is_barred = now.is_foreign_barred and job.step.is_foreign(run, own)
            if (run.job_id, run.ordinal) not in now.running and not is_barred:
                return run
        return None

    def begin(self, job: Job[Any], now: Situation) -> PlannedRun | None:
        """Report why a branch begins or ends; plan a job's first runs if it has none yet."""
        if isinstance(job.step, BranchStep):
            self._desk.activity.say(f"{job.step.why}: going {job.step.title}")
        self._desk.advance(job)
        return self.unfinished(job, now)

    def idea(self, idea: Idea, now: Situation, *, is_new: bool = True) -> PlannedRun | None:
        """Try an idea; `is_new`: it was not tried before on another base."""
        self.count += 1
        if is_new:
            self._plan.begun()
        self._ideas.mark_tried(idea.fingerprint)
        return self.unfinished(open_experiment(self._ledger, idea), now)

    def bank(self, now: Situation) -> PlannedRun | None:
        """Make one more reference run, if screens still lack it and none is in progress."""
        has_run = any(isinstance(job.step, BankStep) for job in now.jobs)
        bank_size = self._desk.policy.bank_size
        if has_run or len(self._ledger.known_line.bank_nano) >= bank_size:
            return None
        return self.unfinished(open_bank(self._ledger), now)

    def beside_a_trial(self, now: Situation) -> PlannedRun | None:
        """Continue own experiments alongside a trial, where it permits them."""
        lets_explore = all(job.step.LETS_EXPLORE for job in now.jobs if job.step.IS_EXCLUSIVE)
        if not lets_explore or is_head_failing(self._ledger):
            return None
        if run := self.bank(now):
            return run
        if not self._ledger.known_line.bank_nano:
            return None
        if idea := self._ideas.again():
            return self.idea(idea, now, is_new=False)
        return self._own(now)

    def remeasure(self, now: Situation) -> PlannedRun | None:
        """Measure a head in doubt again."""
        job = open_remeasure(self._ledger)
        return self.begin(job, now) if job else None

    def peers_claim(self, now: Situation) -> PlannedRun | None:
        """Try the best tree of the leaderboard against the head, or audit a claim."""
        peers = self._peers
        if peers is None:
            return None
        if not self._exploring.has_gains and (step := peers.catch_up()):
            return self.begin(open_trial(self._ledger, step), now)
        if peers.is_due and (wanted := peers.audit()):
            return self.begin(open_attestation(self._ledger, wanted), now)
        return None

    def peers_stack(self, now: Situation) -> PlannedRun | None:
        """Add trusted authors' claims to the working line that is about to be judged."""
        if self._peers is None or not self._ledger.known_line.bank_nano:
            return None
        stack = self._peers.stack()
        return self.idea(stack, now) if stack else None

    def carried(self, now: Situation) -> PlannedRun | None:
        """Try a transfer from another task, if one waits."""
        barred = now.is_foreign_barred
        idea = self._ideas.carried(self._desk.activity.say, is_foreign_barred=barred)
        return self.idea(idea, now) if idea else None

    def experiment(self, now: Situation) -> PlannedRun | None:
        """Try a peer's idea if that is due, otherwise one of this node's."""
        may_be_theirs = self._peers and self._peers.is_due and not now.is_foreign_barred
        if self._peers and may_be_theirs and (theirs := self._peers.idea()):
            return self.idea(theirs, now)
        return self._own(now)

    def instead_of_ideas(self, now: Situation) -> PlannedRun | None:
        """Begin an ablation of the head while nothing is built on it, or return to it.

        It returns from a branch that has no ideas left and is no better.
        """
        job = open_ablation(self._ledger) if self._exploring.is_at_head else None
        if job and (run := self.begin(job, now)):
            return run
        if self._exploring.may_be_judged(is_asked=True):
            return None
        back = self._exploring.open_return("the branch has no ideas left")
        return self.begin(back, now) if back else None

    def next(self, now: Situation) -> PlannedRun | None:
        """Combine, simplify or branch, as the line is on a plateau."""
        found = self._exploring.open_next()
        if isinstance(found, Idea):
            return self.idea(found, now)
        return self.begin(found, now) if found else None

    def _own(self, now: Situation) -> PlannedRun | None:
        """Try a proposal of this node, if there is a new one."""
        idea = self._ideas.take()
        if idea is None:
            return None
        if self._has_company:
            self._ledger.intend(idea.base, idea.title)
        return self.idea(idea, now)
