"""The choice of the next run on a line.

The agenda asks the rules in `RULES` in order; the first that returns an answer decides. The agenda
does not know how runs are made. It stores every job before the job's first run.
"""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

from node.home.clock import boottime_s
from node.ladder.transfer_selector import TransferSelector
from node.line.attempts import Attempt, attempt_of
from node.line.environment_change import is_head_failing, needs_head_recheck
from node.line.experiment import COMBINING
from node.line.invalidation import has_reference_runs
from node.line.job_kinds import HEAD_TRIALS, KINDS
from node.line.line_context import LineContext
from node.line.promotion_trial import open_promotion_trial
from node.line.rung_transfer import open_rung_transfer
from node.loop.exploring import Exploring
from node.loop.ideas import Ideas
from node.loop.judging import Judging
from node.loop.openings import Openings, Situation
from node.loop.peer_claims import Peers
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
from trainer.measuring.host_load import LOOKED_S, Idle

_MOST_REST_S: Final = 900.0  # a session out of ideas waits for a model that rests for less
_MORE: Final = "`arnode try` measures your own edit, `start --agent` asks a model"


class NextRun(NamedTuple):
    """The run to start now. None: start nothing until one of the current runs has ended."""

    run: PlannedRun | None


WAIT: Final = NextRun(None)


class Agenda:
    """A chooser of the next run. `is_over` is True once the goal is reached or no work is left.

    - `has_company`: peers are connected, so the node announces its experiments in advance.
    - `waits_for`: words for the event that a session without ideas awaits; "" ends the session.
    - `transfer_selector`: selects transfers from lower rungs to try before the proposers' ideas.
      None: only transfers that a user requests are tried.
    - `idle`: reports whether other programs leave the machine alone; None skips this check.
    - `is_on_battery`: reports whether to rest because the machine runs on its battery.
    """

    def __init__(
        self,
        *,
        line_context: LineContext,
        ideas: Ideas,
        exploring: Exploring,
        peers: Peers | None,
        transfer_selector: TransferSelector | None,
        goal: Goal,
        has_company: bool,
        waits_for: str,
        idle: Idle | None,
        is_on_battery: Callable[[], bool] = lambda: False,
        now: Callable[[], datetime] = local_time,
        clock_s: Callable[[], float] = boottime_s,
    ) -> None:
        self.goal = goal
        self.is_over = False
        self._line_context = line_context
        self._line_writer = line_context.line_writer
        self._store = line_context.store
        self._policy = line_context.policy
        self._activity = line_context.activity
        self._ideas = ideas
        self._exploring = exploring
        self._peers = peers
        self._transfer_selector = transfer_selector
        self._waits_for = waits_for
        self._idle = idle
        self._is_on_battery = is_on_battery
        self._is_settling = False  # after a trial, until the runs made alongside it have ended
        self._makes_way = False
        style = self._line_writer.style
        pairs, tries = fewest_pairs(style), runs_to_keep(style)
        self.plan = SessionPlan(goal, now=now, clock_s=clock_s, pairs=pairs, tries=tries)
        self.judging = Judging(
            line_context=line_context, ideas=ideas, exploring=exploring, goal=goal, plan=self.plan
        )
        self._openings = Openings(
            line_context=line_context,
            ideas=ideas,
            exploring=exploring,
            peers=peers,
            plan=self.plan,
            has_company=has_company,
        )
        self._reported_after = -1  # number of ideas when the log last reported to be out of ideas
        self._wanted: set[bytes] = set()  # fingerprints of submitted sources
        self._wanted_jobs: set[int] = set()
        self._is_judged_at_last = False  # in a session on demand: make a promotion trial at the end

    def want(self, mark: bytes) -> None:
        """Keep a session for submitted work open until the experiment on this source is decided.

        `mark` is the source's fingerprint.
        """
        if self.goal.is_on_demand:
            self._wanted.add(mark)

    def want_job(self, job: Job[Any], *, is_judged: bool = False) -> None:
        """Keep a session for submitted work open until this job is done.

        With `is_judged`, also keep it open until a promotion trial of the kept patches has ended.
        """
        self._wanted_jobs.add(job.id)
        self._is_judged_at_last |= is_judged

    def count(self, *, is_peers: bool) -> None:
        """Count a run that starts, to give peers' code its fraction of all runs."""
        if self._peers:
            self._peers.count(is_peers=is_peers)

    def end(self) -> None:
        """End the agenda: start no more runs."""
        self.is_over = True

    def make_way(self) -> None:
        """Open no more jobs, and end once all open jobs are decided."""
        self._makes_way = True

    def begin(self) -> None:
        """Give the plan the line's state at the session's start, before the first run."""
        if not self.goal.is_on_demand:
            self._ideas.approvals.begin()
        line, reference_runs = self._line_writer.line, self._policy.reference_runs
        if not self._store.jobs.open_jobs(self._line_writer.key, *HEAD_TRIALS):
            baseline = self._line_context.session.task.manifest.baseline_tree
            self.plan.begin(Opening.of(line, baseline_tree=baseline, reference_runs=reference_runs))

    def took(self, run_s: float) -> None:
        """Record a run's duration, and warn if this session is too short for such runs."""
        if (message := self.plan.took(run_s)) and not self.goal.is_on_demand:
            self._activity.say(message)

    def end_after_promotion_trial(self) -> bool:
        """End after a promotion trial of the working line; without gains to judge, end at once.

        Return True if a trial follows. The hours in which runs may start no longer apply.
        """
        self.plan.forget_hours()
        self._idle = None
        self._is_on_battery = lambda: False
        return self._judge_and_end()

    def attempt_of(self, mark: bytes) -> Attempt | None:
        """Return the result of the source with this fingerprint; None while it is undecided."""
        line_writer = self._line_writer
        return attempt_of(
            line_writer.store, line_writer.key, mark, line_writer.source, self._policy
        )

    def rest(self) -> Rest | None:
        """Return the reason why nothing new starts now; None if runs may start."""
        if (begins := self.plan.rests_until) is not None:
            left_s = (begins - self.plan.now()).total_seconds()
            return Rest(why=f"resting until {begins:%H:%M}", left_s=left_s)
        if self._is_on_battery() and not self.goal.is_on_demand:
            return Rest(why="resting while this machine runs on its battery", left_s=LOOKED_S)
        if self._idle is not None and not self._idle.is_idle():
            return Rest(why="waiting while other programs use this machine", left_s=LOOKED_S)
        return None

    def next_run(
        self,
        running: Collection[tuple[int, int]],
        *,
        has_lanes: bool = False,
        skips_untrusted: bool = False,
        passing_over: Collection[int] = (),
    ) -> PlannedRun | None:
        """Return the run to start now; None to wait for a current run.

        The arguments are described at `Situation`.
        """
        if self._peers and self._line_writer.line is None:
            self._peers.trees.request()  # while the baseline is measured
        return self._answer(Situation([], running, has_lanes, skips_untrusted, passing_over))

    def _answer(self, now: Situation) -> PlannedRun | None:
        jobs = [
            job
            for job in self._store.jobs.open_jobs(self._line_writer.key, *KINDS)
            if has_reference_runs(self._line_writer, job, self._policy.reference_runs)
        ]
        can_wait = self._openings.can_wait
        jobs.sort(key=lambda job: (KINDS.index(type(job.step)), can_wait(job), job.id))
        now = now._replace(jobs=jobs)
        return next((found.run for rule in RULES if (found := rule(self, now))), None)

    # The rules, in their order: each returns an answer, or None if the next rule decides.

    def end_with_the_clock(self, _now: Situation) -> NextRun | None:
        """End the session when its time is up; open jobs continue in the next session."""
        if not self.plan.is_over:
            return None
        self.is_over = True
        return WAIT

    def try_finds_before_rechecks(self, now: Situation) -> NextRun | None:
        """Try what peers kept before the rechecks of a small gain."""
        if self.goal.is_on_demand or self._makes_way or self.plan.are_all_begun:
            return None
        return _started(self._openings.find_of_peers(now))

    def finish_what_is_open(self, now: Situation) -> NextRun | None:
        """Make planned runs first, including one that a kill interrupted.

        Without lanes, nothing else is started next to an experiment that will probably be kept:
        other experiments would begin again on the new working line.
        """
        for job in now.jobs:
            if job.id in now.passing_over:
                continue
            if run := self._openings.unfinished(job, now):
                return NextRun(run)
            if not now.has_lanes and self._openings.is_promising(job, now):
                return WAIT
        return None

    def await_the_baseline(self, _now: Situation) -> NextRun | None:
        """Wait for the baseline: the line exists only once it is measured."""
        return None if self._line_writer.line else WAIT

    def make_way_for_others(self, now: Situation) -> NextRun | None:
        """If another session waits, end this one once all open jobs are decided."""
        if not self._makes_way:
            return None
        self.is_over = not now.jobs
        return WAIT

    def explore_alongside_a_trial(self, now: Situation) -> NextRun | None:
        """During a trial of the line, continue this node's experiments if the trial permits it."""
        if not any(job.step.IS_EXCLUSIVE for job in now.jobs):
            return None
        self._is_settling = True
        if not now.has_lanes or self.goal.is_on_demand or self.judging.is_last:
            return WAIT
        return NextRun(None if self.plan.are_all_begun else self._openings.alongside_a_trial(now))

    def settle_after_a_trial(self, now: Situation) -> NextRun | None:
        """After a trial, finish the experiments that were made during it.

        Only then is a peer's claim tried or the head measured again.
        """
        if (
            self._is_settling
            and now.jobs
            and (self._peers or needs_head_recheck(self._line_writer))
        ):
            return WAIT
        self._is_settling = False
        return None

    def measure_a_failing_head(self, now: Situation) -> NextRun | None:
        """If the head's runs fail, compare the head with the previous head again.

        The trial puts the previous head back if the head fails again or is worse.
        """
        if not is_head_failing(self._line_writer):
            return None
        if now.jobs:
            return WAIT
        has_stack = bool(self._line_writer.known_line.stack)
        run = self._openings.recheck_head(now)
        if run:
            self.judging.want(is_wanted=has_stack)  # the trial waits for the remeasurement
        return _started(run)

    def judge_the_line(self, now: Situation) -> NextRun | None:
        """Begin a promotion trial when it is due, after the current jobs."""
        if self._is_judged_at_last and self._is_all_answered():
            self._is_judged_at_last = False
            self.judging.want()
        if not self.judging.is_due():
            return None
        is_last = self.judging.is_last or self.plan.are_all_begun
        if now.jobs and (is_last or self._peers or not now.has_lanes):
            return WAIT
        is_asked = self.goal.is_on_demand or self.judging.is_last
        stack = None if is_asked else self._openings.peers_stack(now)
        return NextRun(stack or self._open_promotion_trial(now))

    def end_once_all_is_answered(self, now: Situation) -> NextRun | None:
        """End an on-demand session once its work is decided, a stopped session after its trial."""
        if not (self.judging.is_last or self._is_all_answered()):
            return None
        self.is_over = self.judging.is_last or not now.jobs
        return WAIT

    def recheck_the_head(self, now: Situation) -> NextRun | None:
        """If the head is in doubt and the working line adds no patches to it, measure it again."""
        may_recheck = not (now.jobs or self.goal.is_on_demand) and self._exploring.is_at_head
        return _started(self._openings.recheck_head(now)) if may_recheck else None

    def try_a_peers_claim(self, now: Situation) -> NextRun | None:
        """Try the best tree of the leaderboard, or re-run a claim unchanged."""
        if self.goal.is_on_demand or now.jobs:
            return None
        return _started(self._openings.peers_claim(now))

    def make_reference_runs(self, now: Situation) -> NextRun | None:
        """Make the reference runs that screens are compared with."""
        if run := self._openings.reference_run(now):
            return NextRun(run)
        return None if self._line_writer.known_line.reference_nano else WAIT

    def try_what_was_handed_in(self, now: Situation) -> NextRun | None:
        """Try submitted sources before the proposers' ideas."""
        is_asked = not self.goal.is_on_demand or self._wanted
        idea = self._ideas.submitted(self._wanted) if is_asked else None
        return NextRun(self._openings.idea(idea, now)) if idea else None

    def try_transfers(self, now: Situation) -> NextRun | None:
        """Try transfers from another task. A session for submitted work tries no further ideas."""
        if run := self._openings.carried(now):
            return NextRun(run)
        if not self.goal.is_on_demand:
            return None
        if not self._is_all_answered():
            return WAIT
        return NextRun(self._answer(now))  # ask again, as the last transfer did not fit

    def try_again_on_the_line(self, now: Situation) -> NextRun | None:
        """Repeat experiments that passed on an outdated base, now on the current working line."""
        idea = self._ideas.again()
        return NextRun(self._openings.idea(idea, now, is_new=False)) if idea else None

    def end_after_so_many(self, now: Situation) -> NextRun | None:
        """Open no more experiments once the session has begun as many as its goal allows."""
        if not self.plan.are_all_begun:
            return None
        self.is_over = not now.jobs
        return WAIT

    def try_transfer_candidates(self, now: Situation) -> NextRun | None:
        """Before the proposers' ideas, try patches that were kept on lower rungs."""
        while self._transfer_selector and (step := self._transfer_selector.best()):
            open_rung_transfer(self._line_writer, step)
            if run := self._openings.carried(now):
                return NextRun(run)
        return None

    def explore_elsewhere(self, now: Situation) -> NextRun | None:
        """If due, combine or ablate patches, or begin or end a branch, once no job is open."""
        if not self._exploring.is_due or self._ideas.approvals.holds(COMBINING):
            return None
        return WAIT if now.jobs else _started(self._openings.next(now))

    def try_something(self, now: Situation) -> NextRun | None:
        """Begin an experiment; if out of ideas, begin an ablation, a trial or a wait."""
        return NextRun(self._openings.experiment(now) or self._open_without_ideas(now))

    def _is_all_answered(self) -> bool:
        """Return True if this session is for submitted work and all of that is decided."""
        if not self.goal.is_on_demand:
            return False
        is_open = self._store.jobs.open_ids(self._line_writer.key)
        return self._wanted_jobs.isdisjoint(is_open) and all(
            self.attempt_of(mark) for mark in self._wanted
        )

    def _open_without_ideas(self, now: Situation) -> PlannedRun | None:
        if now.running:  # a current run may still move the working line
            return None
        if self._ideas.approvals.waiting:
            return self._openings.more_of_peers(now)
        if self._ideas.begin_writing():
            return None  # a model or a coding agent is about to propose
        return self._openings.instead_of_ideas(now) or self._open_last(now)

    def _judge_and_end(self) -> bool:
        """End the session, after a promotion trial if there are patches to judge.

        Return True if such a trial follows.
        """
        if self.judging.end_after():
            self._activity.say("stopping after a promotion trial of the working line")
        else:
            self.is_over = True
            self._activity.say("stopping after the current run")
        return self.judging.is_last

    def _open_last(self, now: Situation) -> PlannedRun | None:
        """Judge the kept patches when out of ideas; then end, or wait for new ideas.

        New ideas may come from peers, or from a model that rests for a short time.
        """
        waits_for = self._waits_for
        if not waits_for and self._ideas.rests_s < _MOST_REST_S:
            waits_for = "the next answer of a model"
        if not waits_for:
            self._activity.say(f"out of ideas: every proposal was already tried; {_MORE}")
            return self._open_promotion_trial(now) if self._judge_and_end() else None
        if self.judging.may_begin():
            return self._open_promotion_trial(now)
        if self._reported_after != self._openings.count:
            self._reported_after = self._openings.count
            self._activity.say(f"out of ideas: waiting for {waits_for}; {_MORE}")
        return None

    def _open_promotion_trial(self, now: Situation) -> PlannedRun | None:
        self.judging.begins()
        return self._openings.begin(open_promotion_trial(self._line_writer), now)


def _started(run: PlannedRun | None) -> NextRun | None:
    return NextRun(run) if run else None


Rule: TypeAlias = Callable[[Agenda, Situation], NextRun | None]
RULES: Final[tuple[Rule, ...]] = (
    Agenda.end_with_the_clock,
    Agenda.try_finds_before_rechecks,
    Agenda.finish_what_is_open,
    Agenda.await_the_baseline,
    Agenda.make_way_for_others,
    Agenda.explore_alongside_a_trial,
    Agenda.settle_after_a_trial,
    Agenda.measure_a_failing_head,
    Agenda.judge_the_line,
    Agenda.end_once_all_is_answered,
    Agenda.recheck_the_head,
    Agenda.try_a_peers_claim,
    Agenda.make_reference_runs,
    Agenda.try_what_was_handed_in,
    Agenda.try_transfers,
    Agenda.try_again_on_the_line,
    Agenda.end_after_so_many,
    Agenda.try_transfer_candidates,
    Agenda.explore_elsewhere,
    Agenda.try_something,
)
