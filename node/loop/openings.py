"""Opens what an agenda decides on: writes it to the store, and returns the first run to start."""

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
    """What there is when a run is wanted: the open `jobs`, in the order of their turns.

    `running`: job and ordinal of each run that is under way. `has_lanes`: runs stand beside each
    other. `is_foreign_barred`: it is to be of no stranger's code, as another one is.
    `passing_over`: of none of these jobs, which wait for their lane.
    """

    jobs: list[Job[Any]]
    running: Collection[tuple[int, int]]
    has_lanes: bool
    is_foreign_barred: bool
    passing_over: Collection[int]


class Openings:
    """Each method returns the run to start, None if there is nothing of its kind.

    `count`: so many ideas were opened. `has_company`: others are there, to hear what this node is
    about to try.
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
        """Return a planned run that nobody is at, also one that a kill cut short, with its seed."""
        own = self._ledger.publication.author
        for run in self._desk.store.jobs.open_runs_of(job.id):
            is_barred = now.is_foreign_barred and job.step.is_foreign(run, own)
            if (run.job_id, run.ordinal) not in now.running and not is_barred:
                return run
        return None

    def begin(self, job: Job[Any], now: Situation) -> PlannedRun | None:
        """Say why a branch begins or ends; plan the first runs of what has none yet."""
        if isinstance(job.step, BranchStep):
            self._desk.activity.say(f"{job.step.why}: going {job.step.title}")
        self._desk.advance(job)
        return self.unfinished(job, now)

    def idea(self, idea: Idea, now: Situation, *, is_new: bool = True) -> PlannedRun | None:
        """Try an idea; `is_new`: it was not tried before, on another base."""
        self.count += 1
        if is_new:
            self._plan.begun()
        self._ideas.mark_tried(idea.fingerprint)
        return self.unfinished(open_experiment(self._ledger, idea), now)

    def bank(self, now: Situation) -> PlannedRun | None:
        """Measure the working line once more, if screens still lack that and nobody is at it."""
        has_run = any(isinstance(job.step, BankStep) for job in now.jobs)
        bank_size = self._desk.policy.bank_size
        if has_run or len(self._ledger.known_line.bank_nano) >= bank_size:
            return None
        return self.unfinished(open_bank(self._ledger), now)

    def beside_a_trial(self, now: Situation) -> PlannedRun | None:
        """Go on with own experiments beside a trial, where it lets them."""
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
        """Begin to catch up with the best of the board, or to audit a claim."""
        peers = self._peers
        if peers is None:
            return None
        if not self._exploring.has_gains and (step := peers.catch_up()):
            return self.begin(open_trial(self._ledger, step), now)
        if peers.is_due and (wanted := peers.audit()):
            return self.begin(open_attestation(self._ledger, wanted), now)
        return None

    def peers_stack(self, now: Situation) -> PlannedRun | None:
        """Let what trusted authors claim join the working line that is about to be judged."""
        if self._peers is None or not self._ledger.known_line.bank_nano:
            return None
        stack = self._peers.stack()
        return self.idea(stack, now) if stack else None

    def carried(self, now: Situation) -> PlannedRun | None:
        """Try what was found on another task, if anything waits."""
        barred = now.is_foreign_barred
        idea = self._ideas.carried(self._desk.activity.say, is_foreign_barred=barred)
        return self.idea(idea, now) if idea else None

    def experiment(self, now: Situation) -> PlannedRun | None:
        """Try a peer's idea if that is due, else one of this node's."""
        may_be_theirs = self._peers and self._peers.is_due and not now.is_foreign_barred
        if self._peers and may_be_theirs and (theirs := self._peers.idea()):
            return self.idea(theirs, now)
        return self._own(now)

    def instead_of_ideas(self, now: Situation) -> PlannedRun | None:
        """Ask what a part of the head is worth, while nothing is built on it; or return to it.

        Back from a branch that has no ideas left and is no better.
        """
        job = open_ablation(self._ledger) if self._exploring.is_at_head else None
        if job and (run := self.begin(job, now)):
            return run
        if self._exploring.may_be_judged(is_asked=True):
            return None
        back = self._exploring.open_return("the branch is out of ideas")
        return self.begin(back, now) if back else None

    def next(self, now: Situation) -> PlannedRun | None:
        """Do something else, as the line gets nowhere."""
        found = self._exploring.open_next()
        if isinstance(found, Idea):
            return self.idea(found, now)
        return self.begin(found, now) if found else None

    def _own(self, now: Situation) -> PlannedRun | None:
        """Try what this node proposes, if it has anything new."""
        idea = self._ideas.take()
        if idea is None:
            return None
        if self._has_company:
            self._ledger.intend(idea.base, idea.title)
        return self.idea(idea, now)
