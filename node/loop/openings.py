"""The opening of jobs for an agenda: store the job, then return its first run."""

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from node.line.ablation import open_ablation
from node.line.alpha_budget import open_trial
from node.line.branch import BranchStep
from node.line.environment_change import is_head_failing
from node.line.experiment import ExperimentStep, open_experiment, screen_level
from node.line.head_recheck import open_head_recheck
from node.line.idea import Idea
from node.line.line_context import LineContext
from node.line.reference_runs import ReferenceRunStep, open_reference_run
from node.line.rerun import open_rerun
from node.loop.exploring import Exploring
from node.loop.ideas import Ideas
from node.loop.peer_claims import Peers
from node.loop.session_plan import SessionPlan
from node.store.jobs import Job, PlannedRun
from protocol.prospects import LARGE_SD

_PROMISING: Final = 1  # more runs of a patch than its screen
_MOST_WAITING: Final = 3  # experiments in rechecks


class Situation(NamedTuple):
    """The circumstances when a run is wanted: the open `jobs`, in the order of their turns.

    - `running`: job and ordinal of each run in progress.
    - `has_lanes`: several runs may be made at once.
    - `skips_untrusted`: skip untrusted code, as such a run is already in progress.
    - `passing_over`: skip these jobs, which wait for their lane.
    """

    jobs: list[Job[Any]]
    running: Collection[tuple[int, int]]
    has_lanes: bool
    skips_untrusted: bool
    passing_over: Collection[int]


class Openings:
    """Methods that open jobs. Each returns the run to start, or None if it opens no job.

    `count` is the number of experiments opened so far. `has_company`: peers are connected, so the
    node announces its experiments in advance.
    """

    def __init__(
        self,
        *,
        line_context: LineContext,
        ideas: Ideas,
        exploring: Exploring,
        peers: Peers | None,
        plan: SessionPlan,
        has_company: bool,
    ) -> None:
        self.count = 0
        self._line_context = line_context
        self._line_writer = line_context.line_writer
        self._ideas = ideas
        self._exploring = exploring
        self._peers = peers
        self._plan = plan
        self._has_company = has_company

    def unfinished(self, job: Job[Any], now: Situation) -> PlannedRun | None:
        """Return a planned run that is not in progress, such as one that a kill interrupted."""
        own = self._line_writer.record_writer.author
        for run in self._line_context.store.jobs.open_runs_of(job.id):
            is_barred = now.skips_untrusted and job.step.is_untrusted(run, own)
            if (run.job_id, run.ordinal) not in now.running and not is_barred:
                return run
        return None

    def is_promising(self, job: Job[Any], now: Situation) -> bool:
        """Return True if an experiment is in progress that will probably be kept.

        It passed a screen, here or as an earlier patch, or is a peer's best tree, or experiments in
        company are often kept now.
        """
        if not isinstance(job.step, ExperimentStep):
            return False
        if all(number != job.id for number, _ in now.running):
            return False
        idea, runs = job.step.idea, self._line_context.store.jobs.runs_of(job.id)
        if idea.parents or idea.is_whole_tree:
            return True
        is_rechecked = sum(run.role == "candidate" for run in runs) > _PROMISING
        return is_rechecked or self._ideas.is_rising

    def can_wait(self, job: Job[Any]) -> bool:
        """Return True if an experiment in company passed its screen, and needs several rechecks.

        What peers found is tried first: once that is kept, the experiment begins again anyway. A
        large gain needs one recheck.
        """
        step = job.step
        has_several = len(self._line_context.policy.rechecks_sd) > 1
        if not (
            has_several and isinstance(step, ExperimentStep) and self._ideas.are_others_at_work
        ):
            return False
        runs = self._line_context.store.jobs.runs_of(job.id)
        screen = next((run.run for run in runs if run.role == "candidate"), None)
        if screen is None or screen.metric_nano is None or not step.reference_nano:
            return False
        reading = self._line_context.reading()
        level_nano = screen_level(
            self._line_writer, step.base, step.reference_nano, reading.noise.sd
        )
        gain = reading.value(level_nano) - reading.value(screen.metric_nano)
        return gain < LARGE_SD * reading.screening_sd

    def find_of_peers(self, now: Situation) -> PlannedRun | None:
        """Try a listed move, if all open jobs are experiments that can wait for it.

        It is one that peers kept, or one that is assigned to this node.
        """
        if not 0 < len(now.jobs) <= _MOST_WAITING or not all(map(self.can_wait, now.jobs)):
            return None
        if not self._line_writer.known_line.reference_nano:
            return None
        finds = self._ideas.finds
        return self._own(now) if finds.do_wait or finds.has_untried else None

    def begin(self, job: Job[Any], now: Situation) -> PlannedRun | None:
        """Report why a branch begins or ends; plan a job's first runs if it has none yet."""
        if isinstance(job.step, BranchStep):
            self._line_context.activity.say(f"{job.step.why}: going {job.step.title}")
        self._line_context.advance(job)
        return self.unfinished(job, now)

    def idea(self, idea: Idea, now: Situation, *, is_new: bool = True) -> PlannedRun | None:
        """Open an experiment; `is_new`: the idea was not tried before on another base."""
        self.count += 1
        if is_new:
            self._plan.begun()
        self._ideas.mark_tried(idea.fingerprint)
        return self.unfinished(open_experiment(self._line_writer, idea), now)

    def reference_run(self, now: Situation) -> PlannedRun | None:
        """Make one more reference run, if screens still lack it and none is in progress."""
        has_run = any(isinstance(job.step, ReferenceRunStep) for job in now.jobs)
        reference_runs = self._line_context.policy.reference_runs
        if has_run or len(self._line_writer.known_line.reference_nano) >= reference_runs:
            return None
        return self.unfinished(open_reference_run(self._line_writer), now)

    def alongside_a_trial(self, now: Situation) -> PlannedRun | None:
        """Continue this node's experiments during a trial that permits them."""
        lets_explore = all(job.step.LETS_EXPLORE for job in now.jobs if job.step.IS_EXCLUSIVE)
        if not lets_explore or is_head_failing(self._line_writer):
            return None
        if run := self.reference_run(now):
            return run
        if not self._line_writer.known_line.reference_nano:
            return None
        if idea := self._ideas.again():
            return self.idea(idea, now, is_new=False)
        return self._own(now)

    def recheck_head(self, now: Situation) -> PlannedRun | None:
        """If the head is in doubt, measure it again."""
        job = open_head_recheck(self._line_writer)
        return self.begin(job, now) if job else None

    def peers_claim(self, now: Situation) -> PlannedRun | None:
        """Try the best tree of the leaderboard, or re-run a claim unchanged.

        A branch is no line to try it on, so there it is tried against the head.
        """
        peers = self._peers
        if peers is None:
            return None
        if self._exploring.is_on_branch:
            if not self._exploring.has_gains and (step := peers.trees.catch_up()):
                return self.begin(open_trial(self._line_writer, step), now)
        else:
            kept_sd = self._exploring.gain_sd
            tree = None if now.skips_untrusted else peers.trees.best_tree(kept_sd=kept_sd)
            if not self._line_writer.known_line.reference_nano:
                return None  # an idea's screen needs a reference run; its files arrive meanwhile
            if tree:
                return self.idea(tree, now)
        if peers.is_due and (wanted := peers.audit()):
            return self.begin(open_rerun(self._line_writer, wanted), now)
        return None

    def peers_stack(self, now: Situation) -> PlannedRun | None:
        """Add trusted authors' claims to the working line that is about to be judged."""
        if self._peers is None or not self._line_writer.known_line.reference_nano:
            return None
        stack = self._peers.stack()
        return self.idea(stack, now) if stack else None

    def carried(self, now: Situation) -> PlannedRun | None:
        """Try a transfer from another task, if one waits."""
        barred = now.skips_untrusted
        idea = self._ideas.carried(self._line_context.activity.say, skips_untrusted=barred)
        return self.idea(idea, now) if idea else None

    def experiment(self, now: Situation) -> PlannedRun | None:
        """Try a peer's idea if that is due, otherwise one of this node's."""
        may_be_theirs = self._peers and self._peers.is_due and not now.skips_untrusted
        if self._peers and may_be_theirs and (theirs := self._peers.idea()):
            return self.idea(theirs, now)
        return self._own(now)

    def more_of_peers(self, now: Situation) -> PlannedRun | None:
        """Try more of peers' claims than their share while there is nothing of this node to run."""
        if self._peers and not now.skips_untrusted and (theirs := self._peers.instead_of_own()):
            return self.idea(theirs, now)
        return None

    def instead_of_ideas(self, now: Situation) -> PlannedRun | None:
        """When out of ideas, try more of peers' claims, else begin an ablation of the head.

        An ablation begins only if the working line has no patches that the head lacks. If neither
        is possible, return from a branch that is no better than the head.
        """
        if run := self.more_of_peers(now):
            return run
        job = open_ablation(self._line_writer) if self._exploring.is_at_head else None
        if job and (run := self.begin(job, now)):
            return run
        if self._exploring.may_be_judged(is_asked=True):
            return None
        back = self._exploring.open_return("the branch has no ideas left")
        return self.begin(back, now) if back else None

    def next(self, now: Situation) -> PlannedRun | None:
        """On a plateau, combine two patches, begin an ablation or branch to another tree."""
        found = self._exploring.open_next()
        if isinstance(found, Idea):
            idea = self._ideas.admit(found)
            return self.idea(idea, now) if idea else None
        return self.begin(found, now) if found else None

    def _own(self, now: Situation) -> PlannedRun | None:
        """Open an experiment on a new proposal of this node, if any."""
        idea = self._ideas.take()
        if idea is None:
            return None
        if self._has_company:
            self._line_writer.intend(idea.base, idea.title)
        return self.idea(idea, now)
