"""The decision when to begin a promotion trial (`node/line/promotion_trial.py`)."""

import time

from node.line.branch import kept_in, most_keeps
from node.line.line_context import LineContext
from node.line.promotion_trial import rests_s
from node.loop.exploring import Exploring
from node.loop.ideas import Ideas
from node.loop.session_plan import Goal, SessionPlan
from protocol.rule import policy_of


class Judging:
    """The decision when to begin a promotion trial. `is_last`: the session ends after the trial."""

    def __init__(
        self,
        *,
        line_context: LineContext,
        ideas: Ideas,
        exploring: Exploring,
        goal: Goal,
        plan: SessionPlan,
    ) -> None:
        self.is_last = False
        self._goal = goal
        self._plan = plan
        self._line_writer = line_context.line_writer
        self._store = line_context.store
        self._policy = line_context.policy
        self._activity = line_context.activity
        self._ideas = ideas
        self._exploring = exploring
        self._baseline = line_context.session.task.manifest.baseline_tree
        self._is_wanted = False
        self._are_experiments_judged = False  # those of a session with a fixed number

    def want(self, *, is_wanted: bool = True) -> None:
        """Request a trial as soon as there are patches to judge, or cancel the request."""
        self._is_wanted = is_wanted

    def end_after(self) -> bool:
        """End the session after a trial; return True if there are patches to judge."""
        if self._line_writer.line is None or not self._exploring.may_be_judged(is_asked=True):
            return False
        self.is_last = self._is_wanted = True
        return True

    def begins(self) -> None:
        """Record that a trial begins."""
        self._is_wanted = False
        self._are_experiments_judged = self._plan.are_all_begun

    def may_begin(self, *, is_asked: bool = True) -> bool:
        """Return True if a trial is worthwhile (`Exploring.may_be_judged`) and may begin now."""
        return self._exploring.may_be_judged(is_asked=is_asked) and not self.stack_rests_s

    @property
    def stack_rests_s(self) -> float:
        """The seconds until the next promotion trial may begin; 0 if it may begin now.

        After a trial that other programs interrupted, the next one waits. The stack is the list of
        kept patches that are not yet promoted.
        """
        return 0.0 if self._goal.is_on_demand else rests_s(self._line_writer)

    @property
    def trial_s(self) -> tuple[float, float] | None:
        """The least and most seconds that a trial takes now; None without patches to judge."""
        line = self._line_writer.line
        if line is None or not self.may_begin():
            return None
        under_way = self._activity.confirmation
        return self._plan.trial_s(
            self._exploring.gain_sd,
            needs_anchor=line.verified != self._baseline,
            most_pairs=policy_of(self._line_writer.style, self._policy).max_pairs,
            pairs_done=len(under_way.pairs) if under_way else 0,
        )

    def is_due(self) -> bool:
        """Return True if a trial is the next job to begin."""
        line = self._line_writer.known_line
        if not line.stack:
            return False
        elapsed_h = (time.time() * 1000 - line.promotion_trial_ms) / 3_600_000
        is_asked = (
            kept_in(self._store, line.stack)
            >= most_keeps(self._line_writer.subject.manifest, self._policy)
            or self._is_wanted
            or elapsed_h >= self._policy.promotion_trial_hours
            or self._plan.is_time_to_judge(needs_anchor=line.verified != self._baseline)
            or self._is_time_for_all()
            or (
                (self._is_worth_promoting() or self._is_early_one_worth_it())
                and not self._ideas.is_rising
            )
            or (not self._goal.is_on_demand and self._exploring.is_on_plateau)
        )
        return self.may_begin(is_asked=is_asked)

    def _is_time_for_all(self) -> bool:
        """True if a session has begun all of its experiments and must now judge the kept patches.

        This applies to sessions with a fixed number of experiments. An experiment whose base is
        outdated must first be repeated.
        """
        is_waiting = self._ideas.has_unfinished_business
        return self._plan.are_all_begun and not (self._are_experiments_judged or is_waiting)

    def _is_early_one_worth_it(self) -> bool:
        """True if the line's first trial is likely to pass and costs little.

        Without an early trial the head stays the baseline until eight patches are kept. Unless
        scores are exact, it takes four pairs or more, so in company only some nodes make it, and
        those with a peer's patch. Such a patch passed its author's trial, so it counts as two.
        """
        if self._goal.is_on_demand:
            return False
        has_peers_patch = self._exploring.has_peers_patch
        is_worth_it = self._plan.is_early_trial_worth_it(
            kept_in(self._store, self._line_writer.known_line.stack) + has_peers_patch,
            self._exploring.first_gain_sd,
            within_s=3600 * self._policy.promotion_trial_hours,
        )
        is_exact = self._line_writer.style.is_exact
        return is_worth_it and (is_exact or has_peers_patch or self._ideas.is_early_trial_assigned)

    def _is_worth_promoting(self) -> bool:
        """True if a trial is worth its runs because other nodes would build on the promoted tree.

        False for a session with an end, since its last trial comes soon enough.
        """
        has_end = self._plan.span or self._goal.max_experiments or self._goal.is_on_demand
        if has_end or not self._ideas.are_others_at_work:
            return False
        exploring = self._exploring
        return exploring.is_worth_early_trial or (
            exploring.leads_leaderboard and self._ideas.is_in_front
        )
