"""Exploration of a line on a plateau: combine two patches, ablate one, or branch to another tree.

On a branch the working line continues from another tree than the verified head
(`node.line.branch`). The state is computed from the store, so that a killed node resumes where it
was. Only experiments since the last change of the head count.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from agent.proposal import Aim
from node.line.ablation import next_part, only_simplifies, open_ablation
from node.line.branch import (
    BranchStep,
    Root,
    branch_of,
    older_root,
    open_branch,
    open_return,
    trees_gone_on_from,
)
from node.line.experiment import COMBINING, PEER, ExperimentStep, level_on
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.line.plateaus import (
    REACH_SD,
    BranchProgress,
    Event,
    Trend,
    aim_of,
    next_of_branch,
    since_rise,
    trend_of,
)
from node.line.promotion_trial import PromotionTrial
from node.line.rerun import RerunStep
from node.loop.combining import combination
from node.loop.outcomes import SLOW
from node.loop.peer_claims import Peers
from node.store.jobs import Job, S
from protocol.prospects import is_worth_early_trial
from protocol.units import NANO

_COMBINED_A_TURN: Final = 4  # experiments of one or two runs each
_SIMPLIFIED_A_TURN: Final = 1  # up to 40 runs
_LOOKED_EVERY: Final = 20  # experiments between a search without result and the next search
_LOOKED_BACK: Final = 2_000  # the latest jobs, which are enough
# Failures and ideas tried again on another base are no evidence about the line.
_DECIDED: Final[dict[str, Event]] = {
    "kept": "kept",
    "screened_out": "in_vain",
    "rechecked_out": "in_vain",
}
_State = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """The recent history of a line.

    - `since`: the number of the job after which the head last changed, or with which the line last
      returned from a branch.
    - `trend`: the evidence since then that the line is on a plateau.
    - `experiments`, `combined`, `simplified`: the numbers of experiments, of combinations of
      patches, and of ablations after the job `since`.
    - `unclaimed_sd`: the total gain of the patches by models and coding agents that were kept since
      the last promotion trial, as measured when they were kept. Peers can try these patches only
      after a trial has confirmed them.
    - `kept_sd`: the same total for the patches of all proposers.
    - `is_first`: the line had no promotion trial yet.
    """

    since: int
    trend: Trend
    experiments: int
    combined: int
    simplified: int
    unclaimed_sd: float
    kept_sd: float
    is_first: bool


class Exploring:
    """The choice of a line's next job on a plateau. `noise_sd` returns the noise on this machine.

    `reference_runs` is the number of runs that measure a tree before the line branches to it.
    """

    def __init__(
        self,
        line_writer: LineWriter,
        *,
        peers: Peers | None,
        noise_sd: Callable[[], float],
        reference_runs: int,
    ) -> None:
        self._line_writer = line_writer
        self._store = line_writer.store
        self._peers = peers
        self._noise_sd = noise_sd
        self._reference_runs = reference_runs
        self._spell_then: tuple[_State, Spell] | None = None
        self._levels_then: tuple[_State, list[float]] | None = None
        self._looked: tuple[int, int] | None = None  # spell and experiments at the last search
        self._is_found = False  # `open_next` can open something

    @property
    def has_gains(self) -> bool:
        """True if the working line contains patches that a promotion trial could confirm."""
        branch = self._branch()
        if branch and branch.step.author is not None:
            return True  # a peer's tree may itself be better than the head
        return not only_simplifies(self._store, self._line_writer.known_line.stack)

    @property
    def is_worth_early_trial(self) -> bool:
        """True if the working line's gain is so large that an early promotion would help peers."""
        return is_worth_early_trial(self._spell().unclaimed_sd)

    @property
    def has_peers_patch(self) -> bool:
        """True if the working line has a peer's patch that the head lacks."""
        patches = map(self._store.records.patch, self._line_writer.known_line.stack)
        return any(patch and patch.origin.proposer == PEER for patch in patches)

    @property
    def leads_leaderboard(self) -> bool:
        """True on an exact task if peers would catch up with the working line once promoted."""
        kept_sd = self.gain_sd
        if self._peers is None or not self._line_writer.style.is_exact:
            return False
        if not is_worth_early_trial(kept_sd, is_exact=True):
            return False
        return is_worth_early_trial(self._peers.trees.lead_sd(kept_sd=kept_sd), is_exact=True)

    @property
    def is_on_branch(self) -> bool:
        """True if the working line is a branch (`node.line.branch`)."""
        return self._branch() is not None

    @property
    def first_gain_sd(self) -> float:
        """The total gain of the kept patches, in sd; 0 once the line had a promotion trial."""
        return self.gain_sd if self._spell().is_first else 0.0

    @property
    def gain_sd(self) -> float:
        """The total gain, in sd, of patches kept since the last promotion trial; 0 on a branch."""
        return 0.0 if self.is_on_branch else self._spell().kept_sd

    @property
    def is_at_head(self) -> bool:
        """True if the working line is the head, or the head with patches removed."""
        return not self.is_on_branch and not self.has_gains

    def aim(self) -> Aim:
        """Return the current aim for proposers."""
        return aim_of(self._spell().trend, is_on_branch=self.is_on_branch)

    def may_be_judged(self, *, is_asked: bool) -> bool:
        """Return True if a promotion trial of the working line is worthwhile now.

        `is_asked`: a trial was requested or is due. Without a branch, a trial is worthwhile only
        if it `is_asked` and could confirm a patch. On a branch, a trial is worthwhile if the
        working line measures clearly better than the head. With `is_asked`, or once the branch has
        used up its experiments, the working line need only measure as good as the head.
        """
        if branch := self._branch():
            return next_of_branch(self._branch_progress(branch), is_asked=is_asked) == "judge"
        return is_asked and self.has_gains

    @property
    def is_on_plateau(self) -> bool:
        """True if the line is on a plateau and on no branch.

        A promotion trial of the kept patches then comes before a branch.
        """
        return not self.is_on_branch and self._spell().trend.is_plateau

    @property
    def is_due(self) -> bool:
        """True if the line should combine, ablate, branch or return, once no job is open.

        With many lanes it is costly to wait until all open jobs end. So this is True only if a
        search has found a job that is possible.
        """
        if branch := self._branch():
            return next_of_branch(self._branch_progress(branch), is_asked=False) == "return"
        spell = self._spell()
        since, experiments = self._looked or (-1, 0)
        is_resting = spell.since == since and spell.experiments < experiments + _LOOKED_EVERY
        if is_resting or not spell.trend.is_plateau:
            return False
        self._is_found = self._is_found or self._has_next(spell)
        if not self._is_found:
            self._looked = (spell.since, spell.experiments)
        return self._is_found

    def open_next(self) -> Job[Any] | Idea | None:
        """Return the next experiment, or open and return the next job; None if nothing is possible.

        On a branch, open the return to the head. Otherwise try in this order: a combination of two
        patches, an ablation, a branch to another tree.
        """
        self._is_found = False
        if (branch := self._branch()) is not None:
            return self.open_return(self._branch_progress(branch).reason)
        spell = self._spell()
        found: Job[Any] | Idea | None = None
        if spell.combined < _COMBINED_A_TURN:
            found = combination(self._line_writer, self._peers, noise_sd=self._noise_sd())
        if found is None and spell.simplified < _SIMPLIFIED_A_TURN:
            found = open_ablation(self._line_writer)
        if found is None:
            found = self._open_branch(spell.trend.reason)
        if found is None:
            self._looked = (spell.since, spell.experiments)
        return found

    def open_return(self, why: str) -> Job[BranchStep] | None:
        """Open the return to the head; None if the line is on no branch."""
        if (branch := self._branch()) is None:
            return None
        return open_return(self._line_writer, branch, why=why, runs=self._reference_runs)

    def _has_next(self, spell: Spell) -> bool:
        """Return True if a combination, an ablation or a branch is possible."""
        if spell.combined < _COMBINED_A_TURN and combination(
            self._line_writer, self._peers, noise_sd=self._noise_sd()
        ):
            return True
        may_simplify = spell.simplified < _SIMPLIFIED_A_TURN
        return bool((may_simplify and next_part(self._line_writer)) or self._root())

    def _root(self) -> Root | None:
        """Return the tree to branch to; None without one.

        A peer's tree is preferred to an older head. A tree with which a branch began before is
        skipped.
        """
        avoided = trees_gone_on_from(self._line_writer)
        root = self._peers and self._peers.trees.elsewhere(avoided=avoided, reach_sd=REACH_SD)
        return root or older_root(self._line_writer, reach_sd=REACH_SD, noise_sd=self._noise_sd())

    def _open_branch(self, why: str) -> Job[BranchStep] | None:
        """Queue the branch to another tree, and return the job; None without such a tree."""
        root = self._root()
        return (
            open_branch(self._line_writer, root, why=why, runs=self._reference_runs)
            if root
            else None
        )

    # The branch

    def _branch(self) -> Job[BranchStep] | None:
        return branch_of(self._store, self._line_writer.line) if self._line_writer.line else None

    def _branch_progress(self, branch: Job[BranchStep]) -> BranchProgress:
        """Return a branch's progress: its number of experiments and its lead over the head.

        The lead compares the reference runs of the working line with those before the branch.
        """
        state = self._state()
        if self._levels_then is None or self._levels_then[0] != state:
            jobs = self._store.jobs.closed_jobs(
                self._line_writer.key, ExperimentStep, after=branch.id
            )
            self._levels_then = (state, [job.step.known_level_nano for job in jobs])
        levels, line = self._levels_then[1], self._line_writer.known_line
        lead_sd: float | None = None
        if len(line.reference_nano) >= self._reference_runs and branch.step.reference_nano:
            now = level_on(self._line_writer, line.working, line.reference_nano, self._noise_sd())
            lead_sd = self._height_sd(now) - self._height_sd(fmean(branch.step.reference_nano))
        return BranchProgress(
            experiments=len(levels),
            since_rise=since_rise([self._height_sd(level) for level in levels]),
            lead_sd=lead_sd,
            has_gains=self.has_gains,
        )

    def _height_sd(self, level_nano: float) -> float:
        sign = self._line_writer.record_writer.manifest.metric.sign
        return -sign * level_nano / NANO / self._noise_sd()

    # The spell

    def _state(self) -> _State:
        """Return a value that changes whenever a job is opened or closed."""
        ids = self._store.jobs.open_ids(self._line_writer.key)
        return self._store.jobs.last_job(), len(ids), sum(ids)

    def _spell(self) -> Spell:
        state = self._state()
        if self._spell_then is None or self._spell_then[0] != state:
            self._spell_then = (state, self._read_spell())
        return self._spell_then[1]

    def _read_spell(self) -> Spell:
        after = max(self._line_writer.moved_at_job, self._store.jobs.last_job() - _LOOKED_BACK)
        trials = [(job.id, job.step) for job in self._closed(ExperimentStep, after)]
        decided = [
            (number, _DECIDED[step.decision])
            for number, step in trials
            if step.decision in _DECIDED
        ]
        promotion_trials = self._closed(PromotionTrial, after)
        events = sorted([*decided, *self._events(after, promotion_trials)])
        back = (number for number, event in events if event == "returned")
        since = max(back, default=self._line_writer.moved_at_job)
        judged = max((job.id for job in promotion_trials), default=after)
        late = [step for number, step in trials if number > since]
        kept = [step for number, step in trials if number > judged and step.decision == "kept"]
        parts = self._closed(RerunStep, since)
        return Spell(
            since=since,
            trend=trend_of(event for _, event in events),
            experiments=len(late),
            combined=sum(step.idea.proposer == COMBINING for step in late),
            simplified=sum(job.step.part is not None for job in parts),
            unclaimed_sd=sum(_gain_sd(step) for step in kept if step.idea.proposer in SLOW),
            kept_sd=sum(map(_gain_sd, kept)),
            is_first=not self._closed(PromotionTrial, 0),
        )

    def _events(
        self, after: int, promotion_trials: list[Job[PromotionTrial]]
    ) -> Iterator[tuple[int, Event]]:
        """Yield each event that ended a stack, or began or ended a branch, with its job's number.

        Only jobs after the job `after` count. A stack is the list of patches not yet promoted.
        """
        branches = [(job.id, job.step) for job in self._closed(BranchStep, after)]
        roots = {step.patch for _, step in branches if step.is_away}
        back = [number for number, step in branches if not step.is_away]
        for job in promotion_trials:
            stack = job.step
            if stack.measured and stack.measured.says_nothing:
                continue
            if roots.intersection(stack.stack[:1]):
                back.append(job.id)
            else:
                yield job.id, "missed"
        yield from ((number, "returned") for number in back)
        now = self._branch()
        for number, step in branches:
            if step.is_away:
                # A branch without a known end was lost with a damaged store.
                is_known = (now and now.id == number) or number < max(back, default=0)
                yield number, "left" if is_known else "returned"

    def _closed(self, kind: type[S], after: int) -> list[Job[S]]:
        return self._store.jobs.closed_jobs(self._line_writer.key, kind, after=after)


def _gain_sd(step: ExperimentStep) -> float:
    return (step.gain_milli or 0) / 1000
