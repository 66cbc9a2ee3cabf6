"""What is run next on a line: the queue in the store, then whatever has its turn.

Knows nothing of how runs are run. Whatever it opens is in the store before its first run starts.
"""

import math
import time
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, Final

from agent.proposal import Left
from node.claims.choosing import Peers
from node.home.clock import passing_s
from node.ladder.promotion import Promotion
from node.line.ablation import open_ablation
from node.line.anew import has_bank
from node.line.attempts import Attempt, attempt_of
from node.line.attestation import open_attestation
from node.line.bank import BankStep, open_bank
from node.line.branch import BranchStep, kept_in
from node.line.carried import open_carried
from node.line.checkpoint import open_checkpoint, rests_s
from node.line.desk import Desk
from node.line.drift import is_head_failing, is_in_doubt
from node.line.experiment import open_experiment
from node.line.idea import Idea
from node.line.job_kinds import HEAD_TRIALS, KINDS
from node.line.remeasure import open_remeasure
from node.line.spending import open_trial
from node.loop.exploring import Exploring
from node.loop.ideas import Ideas
from node.loop.session_plan import (
    Goal,
    Opening,
    Rest,
    SessionPlan,
    fewest_pairs,
    local_time,
    runs_to_keep,
)
from node.store.jobs import Job, PlannedRun
from protocol.rule import policy_of
from trainer.measuring.host_load import LOOKED_S, Idle

_MORE: Final = "`arnode try` measures your own edit, `start --agent` asks a model for more"


class Agenda:
    """Says which run comes next, until `is_over`: the goal is reached, or nothing is left to do.

    `has_company`: others are there, to hear what this node is about to try. `waits_for`: what it
    waits for when it has nothing left to try itself, in words; "": it ends then. `promotion`: what
    finds of the rungs below are tried first; None: none of themselves. `idle`: says
    whether others leave the machine alone; None: runs start whatever they do. `is_on_battery`:
    says whether it rests for its battery's sake.
    """

    def __init__(
        self,
        *,
        desk: Desk,
        ideas: Ideas,
        exploring: Exploring,
        peers: Peers | None,
        promotion: Promotion | None,
        goal: Goal,
        has_company: bool,
        waits_for: str,
        idle: Idle | None,
        is_on_battery: Callable[[], bool] = lambda: False,
        now: Callable[[], datetime] = local_time,
        clock_s: Callable[[], float] = passing_s,
    ) -> None:
        self.goal = goal
        self.is_over = False
        self._desk = desk
        self._ledger = desk.ledger
        self._store = desk.store
        self._policy = desk.policy
        self._activity = desk.activity
        self._ideas = ideas
        self._exploring = exploring
        self._peers = peers
        self._promotion = promotion
        self._has_company = has_company
        self._waits_for = waits_for
        self._idle = idle
        self._is_on_battery = is_on_battery
        self._running: Collection[tuple[int, int]] = ()
        self._is_foreign_barred = False
        self._is_settling = False  # after a trial, until what went on beside it has ended
        self._makes_way = False
        pairs = fewest_pairs(self._ledger.style)
        tries = runs_to_keep(self._ledger.style)
        self.plan = SessionPlan(goal, now=now, clock_s=clock_s, pairs=pairs, tries=tries)
        self._checkpoint_wanted = False
        self._are_experiments_judged = False  # those of a session of so many
        self._ends_at_checkpoint = False
        self._baseline = desk.session.task.manifest.baseline_tree
        self._is_waiting = False
        self._opened = 0
        self._wanted: set[bytes] = set()  # canonical ASTs of what was handed in
        self._wanted_jobs: set[int] = set()
        self._is_judged_at_last = False  # in a session on demand

    @property
    def left(self) -> Left:
        """What is left of the session; None of what has no end."""
        left_s, most = self.plan.left_s, self.goal.max_experiments
        return Left(
            seconds=None if math.isinf(left_s) else left_s,
            experiments=None if most is None else max(0, most - self._opened),
        )

    def want(self, mark: bytes) -> None:
        """Do not end a session on demand before the source with this canonical AST is decided."""
        if self.goal.is_on_demand:
            self._wanted.add(mark)

    def want_job(self, job: Job[Any], *, is_judged: bool = False) -> None:
        """Do not end a session on demand before this job is done.

        `is_judged`: nor before what is kept of such was on trial.
        """
        self._wanted_jobs.add(job.id)
        self._is_judged_at_last |= is_judged

    def count(self, *, is_peers: bool) -> None:
        """Take note of a run that starts, on a peer's code or not: peers have their share."""
        if self._peers:
            self._peers.count(is_peers=is_peers)

    def end(self) -> None:
        """Begin nothing more."""
        self.is_over = True

    def make_way(self) -> None:
        """Open nothing more, and be over once what is open is decided."""
        self._makes_way = True

    def begin(self) -> None:
        """Tell the plan what this session finds, before its first run."""
        if not self._store.jobs.open_jobs(self._ledger.key, *HEAD_TRIALS):
            baseline, bank_size = self._baseline, self._policy.bank_size
            self.plan.begin(
                Opening.of(self._ledger.line, baseline_tree=baseline, bank_size=bank_size)
            )

    def took(self, run_s: float) -> None:
        """Take note of what a run took, and say so if this session is too short for such."""
        if (told := self.plan.took(run_s)) and not self.goal.is_on_demand:
            self._activity.say(told)

    def end_at_checkpoint(self) -> bool:
        """End after a checkpoint of the working line, at once if it has nothing to confirm.

        Return whether there will be one. Neither waits for the hours in which runs start.
        """
        self.plan.forget_hours()
        self._idle = None
        self._is_on_battery = lambda: False
        return self._judge_and_end()

    def _judge_and_end(self) -> bool:
        if self._ledger.line and self._exploring.may_be_judged(is_asked=True):
            self._checkpoint_wanted = self._ends_at_checkpoint = True
            self._activity.say("stopping after a checkpoint of the working line")
        else:
            self.is_over = True
            self._activity.say("stopping after the run at hand")
        return self._ends_at_checkpoint

    @property
    def trial_s(self) -> tuple[float, float] | None:
        """How long judging the working line takes now, at least and at most; None: it is not."""
        line = self._ledger.line
        if line is None or self.stack_rests_s or not self._exploring.may_be_judged(is_asked=True):
            return None
        under_way = self._activity.confirmation
        return self.plan.trial_s(
            self._exploring.gain_sd,
            needs_anchor=line.verified != self._baseline,
            most_pairs=policy_of(self._ledger.style, self._policy).max_pairs,
            pairs_done=len(under_way.pairs) if under_way else 0,
        )

    def attempt_of(self, mark: bytes) -> Attempt | None:
        """Return what came of the source with this canonical AST, None while that is open."""
        ledger = self._ledger
        return attempt_of(ledger.store, ledger.key, mark, ledger.source, self._policy)

    def rest(self) -> Rest | None:
        """Say why nothing new starts now, None if it may."""
        if (begins := self.plan.rests_until) is not None:
            left_s = (begins - self.plan.now()).total_seconds()
            return Rest(why=f"resting until {begins:%H:%M}", left_s=left_s)
        if self._is_on_battery() and not self.goal.is_on_demand:
            return Rest(why="resting while this machine runs on its battery", left_s=LOOKED_S)
        if self._idle is not None and not self._idle.is_idle():
            return Rest(why="waiting while others use this machine", left_s=LOOKED_S)
        return None

    def next_run(
        self,
        running: Collection[tuple[int, int]],
        *,
        has_lanes: bool = False,
        is_foreign_barred: bool = False,
        passing_over: Collection[int] = (),
    ) -> PlannedRun | None:
        """Return the run to start now; None to wait for one of those that are `running`.

        These are told by their job and ordinal. `has_lanes`: runs stand beside each other.
        `is_foreign_barred`: it is to be of no stranger's code, as another one is. `passing_over`:
        of none of these jobs, which wait for their lane.
        """
        self._running, self._is_foreign_barred = running, is_foreign_barred
        if self.plan.is_over:  # whatever is open: it goes on in the next session
            self.is_over = True
            return None
        jobs = self._store.jobs.open_jobs(self._ledger.key, *KINDS)
        bank_size = self._policy.bank_size
        jobs = [job for job in jobs if has_bank(self._ledger, job, bank_size)]
        jobs.sort(key=lambda job: (KINDS.index(type(job.step)), job.id))
        for job in jobs:
            if job.id not in passing_over and (run := self._unfinished(job)):
                return run
        line = self._ledger.line
        if line is None:
            return None
        if self._makes_way:
            self.is_over = not jobs
            return None
        if any(job.step.IS_EXCLUSIVE for job in jobs):
            self._is_settling = True
            return self._open_beside(jobs) if has_lanes else None
        if self._is_settling and jobs and (self._peers or is_in_doubt(self._ledger)):
            return None
        self._is_settling = False
        if is_head_failing(self._ledger):
            if jobs:
                return None
            if run := self._open_remeasure():
                self._checkpoint_wanted = bool(line.stack)  # that waits for it
                return run
            line = self._ledger.known_line  # nothing vouched for the head: it is replaced
        if self._is_judged_at_last and self._is_all_answered():
            self._is_judged_at_last, self._checkpoint_wanted = False, True
        if self._is_checkpoint_due():
            is_last = self._ends_at_checkpoint or self._are_all_opened
            if jobs and (is_last or self._peers or not has_lanes):
                return None
            return self._open_peers_stack() or self._open_checkpoint()
        if self._ends_at_checkpoint or self._is_all_answered():
            self.is_over = self._ends_at_checkpoint or not jobs
            return None
        may_doubt = not (jobs or self.goal.is_on_demand) and self._exploring.is_at_head
        if may_doubt and (run := self._open_remeasure()):
            return run
        if run := self._open_peers_claim(is_busy=bool(jobs)):
            return run
        if run := self._open_bank(jobs):
            return run
        # Without a bank there is nothing to screen against.
        if not line.bank_nano:
            return None
        is_asked = not self.goal.is_on_demand or self._wanted
        if is_asked and (idea := self._ideas.submitted(self._wanted)):
            return self._open(idea)
        if idea := self._ideas.carried(self._activity.say, is_foreign_barred=is_foreign_barred):
            return self._open(idea)
        if self.goal.is_on_demand:
            if self._is_all_answered():  # just now, as the last of what is carried did not fit
                return self.next_run(
                    running,
                    has_lanes=has_lanes,
                    is_foreign_barred=is_foreign_barred,
                    passing_over=passing_over,
                )
            return None
        if idea := self._ideas.again():
            return self._open(idea, is_new=False)
        if self._are_all_opened:
            self.is_over = not jobs
            return None
        while self._promotion and (step := self._promotion.best()):
            open_carried(self._ledger, step)
            if idea := self._ideas.carried(self._activity.say, is_foreign_barred=is_foreign_barred):
                return self._open(idea)
        if self._exploring.is_due:
            return None if jobs else self._open_next() or self._open_experiment()
        return self._open_experiment()

    def _unfinished(self, job: Job[Any]) -> PlannedRun | None:
        """Return a planned run that nobody is at, also one that a kill cut short, with its seed."""
        own = self._ledger.publication.author
        for run in self._store.jobs.open_runs_of(job.id):
            is_barred = self._is_foreign_barred and job.step.is_foreign(run, own)
            if (run.job_id, run.ordinal) not in self._running and not is_barred:
                return run
        return None

    def _is_checkpoint_due(self) -> bool:
        line = self._ledger.known_line
        if not line.stack:
            return False
        elapsed_h = (time.time() * 1000 - line.checkpoint_ms) / 3_600_000
        is_asked = (
            kept_in(self._store, line.stack) >= self._policy.keeps_per_checkpoint
            or self._checkpoint_wanted
            or elapsed_h >= self._policy.checkpoint_hours
            or self.plan.is_time_to_judge(needs_anchor=line.verified != self._baseline)
            or self._is_time_to_judge_all
            or self._is_time_to_tell
            or self._is_early_trial_worth_it
            or (not self.goal.is_on_demand and self._exploring.is_on_plateau)
        )
        return self._may_be_judged(is_asked=is_asked)

    def _may_be_judged(self, *, is_asked: bool) -> bool:
        return self._exploring.may_be_judged(is_asked=is_asked) and not self.stack_rests_s

    @property
    def stack_rests_s(self) -> float:
        """For how long the stack waits until it is tried again; 0: it does not wait."""
        return 0.0 if self.goal.is_on_demand else rests_s(self._ledger)

    @property
    def _is_time_to_judge_all(self) -> bool:
        """Whether a session of so many experiments has begun them all, and judges them now.

        One whose base moved on is not over yet.
        """
        is_waiting = self._ideas.has_unfinished_business
        return self._are_all_opened and not (self._are_experiments_judged or is_waiting)

    @property
    def _is_early_trial_worth_it(self) -> bool:
        """True if the line's first trial is likely to pass and costs little.

        Without it the head stays the baseline until eight patches are kept.
        """
        if self.goal.is_on_demand:
            return False
        return self.plan.is_early_trial_worth_it(
            kept_in(self._store, self._ledger.known_line.stack),
            self._exploring.first_gain_sd,
            experiments_left=self.left.experiments,
            within_s=3600 * self._policy.checkpoint_hours,
        )

    @property
    def _is_time_to_tell(self) -> bool:
        """Whether a checkpoint is worth its runs for the others' sake, who go on from its tree.

        A session with an end has one soon enough.
        """
        has_end = self.plan.span or self.goal.max_experiments or self.goal.is_on_demand
        is_much = not has_end and self._exploring.is_worth_telling
        return is_much and self._ideas.are_others_at_work

    @property
    def _are_all_opened(self) -> bool:
        """Whether a session of so many experiments has begun them all."""
        return self._opened >= (self.goal.max_experiments or math.inf)

    def _is_all_answered(self) -> bool:
        """Whether this session is for what was handed in, and all of it is decided."""
        if not self.goal.is_on_demand:
            return False
        is_open = self._store.jobs.open_ids(self._ledger.key)
        return self._wanted_jobs.isdisjoint(is_open) and all(
            self.attempt_of(mark) for mark in self._wanted
        )

    # What is opened

    def _open_beside(self, jobs: list[Job[Any]]) -> PlannedRun | None:
        """Go on with own experiments beside a trial, where it lets them; None: only with that."""
        is_closed = self.goal.is_on_demand or self._ends_at_checkpoint or self._are_all_opened
        lets_explore = all(job.step.LETS_EXPLORE for job in jobs if job.step.IS_EXCLUSIVE)
        if is_closed or not lets_explore or is_head_failing(self._ledger):
            return None
        if run := self._open_bank(jobs):
            return run
        if not self._ledger.known_line.bank_nano:
            return None
        if idea := self._ideas.again():
            return self._open(idea, is_new=False)
        return self._open_own()

    def _open_bank(self, jobs: list[Job[Any]]) -> PlannedRun | None:
        """Measure the working line once more, if screens still lack that and nobody is at it."""
        has_run = any(isinstance(job.step, BankStep) for job in jobs)
        if has_run or len(self._ledger.known_line.bank_nano) >= self._policy.bank_size:
            return None
        return self._unfinished(open_bank(self._ledger))

    def _open_checkpoint(self) -> PlannedRun | None:
        self._checkpoint_wanted = False
        self._are_experiments_judged = self._are_all_opened
        return self._begin(open_checkpoint(self._ledger))

    def _open_remeasure(self) -> PlannedRun | None:
        """Measure a head in doubt again."""
        job = open_remeasure(self._ledger)
        return self._begin(job) if job else None

    def _open_peers_claim(self, *, is_busy: bool) -> PlannedRun | None:
        """Begin to catch up with the best of the board, or to audit a claim; None: neither."""
        peers = self._peers
        if peers is None or self.goal.is_on_demand or is_busy:
            return None
        if not self._exploring.has_gains and (step := peers.catch_up()):
            return self._begin(open_trial(self._ledger, step))
        if peers.is_due and (wanted := peers.audit()):
            return self._begin(open_attestation(self._ledger, wanted))
        return None

    def _open_peers_stack(self) -> PlannedRun | None:
        """Let what trusted authors claim join the working line that is about to be judged."""
        is_asked = self.goal.is_on_demand or self._ends_at_checkpoint
        if self._peers is None or is_asked or not self._ledger.known_line.bank_nano:
            return None
        stack = self._peers.stack()
        return self._open(stack) if stack else None

    def _open_experiment(self) -> PlannedRun | None:
        may_be_theirs = self._peers and self._peers.is_due and not self._is_foreign_barred
        if self._peers and may_be_theirs and (theirs := self._peers.idea()):
            return self._open(theirs)
        if (own := self._open_own()) or self._running:  # what runs may still move the working line
            return own
        return self._open_ablation() or self._open_return() or self._open_last()

    def _open_own(self) -> PlannedRun | None:
        """Try what this node proposes; None: it has nothing new."""
        idea = self._ideas.take()
        if idea is None:
            return None
        if self._has_company:
            self._ledger.intend(idea.proposal)
        return self._open(idea)

    def _open_last(self) -> PlannedRun | None:
        """Judge what is kept, as nothing is left to try; then end, or wait for others' claims."""
        if not self._waits_for:
            self._activity.say(f"out of ideas: every proposal was tried before; {_MORE}")
            return self._open_checkpoint() if self._judge_and_end() else None
        if self._may_be_judged(is_asked=True):
            return self._open_checkpoint()
        if not self._is_waiting:
            self._is_waiting = True
            self._activity.say(f"out of ideas: waiting for {self._waits_for}; {_MORE}")
        return None

    def _open_ablation(self) -> PlannedRun | None:
        """Ask what a part of the head is worth, while nothing is built on it."""
        job = open_ablation(self._ledger) if self._exploring.is_at_head else None
        return self._begin(job) if job else None

    def _open_return(self) -> PlannedRun | None:
        """Go back to the head from a branch that has no ideas left and is no better."""
        if self._exploring.may_be_judged(is_asked=True):
            return None
        job = self._exploring.open_return("the branch is out of ideas")
        return self._begin(job) if job else None

    def _open_next(self) -> PlannedRun | None:
        """Do something else, as the line gets nowhere; None if there is nothing else."""
        found = self._exploring.open_next()
        if isinstance(found, Idea):
            return self._open(found)
        return self._begin(found) if found else None

    def _begin(self, job: Job[Any]) -> PlannedRun | None:
        """Say why a branch begins or ends; plan the first runs of what has none yet."""
        if isinstance(job.step, BranchStep):
            self._activity.say(f"{job.step.why}: going {job.step.title}")
        self._desk.advance(job)
        return self._unfinished(job)

    def _open(self, idea: Idea, *, is_new: bool = True) -> PlannedRun | None:
        self._is_waiting = False
        self._opened += is_new
        self._ideas.mark_tried(idea.proposal.fingerprint)
        return self._unfinished(open_experiment(self._ledger, idea))
