"""What a line does once it gets nowhere: two patches together, a part less, or another tree.

Everything follows from what is in the store, so that a killed node goes on where it was. The
evidence is counted from the last move of the head; a branch that ended leaves most of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from agent.proposal import Aim
from node.line.ablation import next_part, only_simplifies, open_ablation
from node.line.attestation import AttestationStep
from node.line.branch import (
    BranchStep,
    Root,
    branch_of,
    older_root,
    open_branch,
    open_return,
    trees_gone_on_from,
)
from node.line.checkpoint import CheckpointStep
from node.line.experiment import COMBINING, ExperimentStep, level_on
from node.line.idea import Idea
from node.line.ledger import Ledger
from node.line.plateaus import (
    REACH_SD,
    Climb,
    Event,
    Trend,
    aim_of,
    next_of_branch,
    since_rise,
    trend_of,
)
from node.loop.combining import combination
from node.loop.outcomes import SLOW
from node.loop.peer_claims import Peers
from node.store.jobs import Job, S
from protocol.prospects import is_worth_telling
from protocol.units import NANO

_COMBINED_A_TURN: Final = 4  # experiments of a run or two each
_SIMPLIFIED_A_TURN: Final = 1  # up to 40 runs
_LOOKED_EVERY: Final = 20  # experiments, where there was nothing to do: to look takes a moment
_LOOKED_BACK: Final = 2_000  # jobs: what lies before says nothing that those do not
# What failed, or was tried again elsewhere, says nothing of where the line stands.
_DECIDED: Final[dict[str, Event]] = {
    "kept": "kept",
    "screened_out": "in_vain",
    "rechecked_out": "in_vain",
}
_State = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """What came of late: the trend since the head last moved, and of the time since then or since
    the line last came back, how many experiments there were, how many of them combined patches,
    and how often parts were asked about. `since` is the number of the job that it began with,
    `untold_sd` what was kept since the last checkpoint gained together, by the runs that kept it,
    of what models and coding agents wrote: others try that only once it is claimed. `kept_sd` is
    the same for every proposer; `is_first`: the line had no checkpoint yet.
    """

    since: int
    trend: Trend
    experiments: int
    combined: int
    simplified: int
    untold_sd: float
    kept_sd: float
    is_first: bool


class Exploring:
    """Chooses what one line does on a plateau. `noise_sd` is of one run here, as known now.

    `bank_size` is how often a tree is measured before the line goes on from it.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        peers: Peers | None,
        noise_sd: Callable[[], float],
        bank_size: int,
    ) -> None:
        self._ledger = ledger
        self._store = ledger.store
        self._peers = peers
        self._noise_sd = noise_sd
        self._bank_size = bank_size
        self._spell_then: tuple[_State, Spell] | None = None
        self._levels_then: tuple[_State, list[float]] | None = None
        self._looked: tuple[int, int] | None = None  # in which spell, after how many experiments
        self._is_found = False  # what `open_next` would open

    @property
    def has_gains(self) -> bool:
        """Whether the working line has anything that a checkpoint could confirm."""
        branch = self._branch()
        if branch and branch.step.author is not None:
            return True  # a peer's tree may itself be better than the head
        return not only_simplifies(self._store, self._ledger.known_line.stack)

    @property
    def is_worth_telling(self) -> bool:
        """Whether the working line gains so much that others would go on from it once judged."""
        return is_worth_telling(self._spell().untold_sd)

    @property
    def first_gain_sd(self) -> float:
        """Gain of the kept patches before the line's first checkpoint; 0 after it."""
        return self.gain_sd if self._spell().is_first else 0.0

    @property
    def gain_sd(self) -> float:
        """Gain of the patches kept since the last checkpoint; 0 on a branch."""
        return 0.0 if self._branch() else self._spell().kept_sd

    @property
    def is_at_head(self) -> bool:
        """Whether nothing but a part less stands between the head and the working line."""
        return self._branch() is None and not self.has_gains

    def aim(self) -> Aim:
        """Return what proposers are to aim for now."""
        return aim_of(self._spell().trend, is_on_branch=self._branch() is not None)

    def may_be_judged(self, *, is_asked: bool) -> bool:
        """Say whether the working line is worth a checkpoint now, `is_asked` for or not.

        A branch is once it leads, and asked for as soon as it is level with the head.
        """
        if branch := self._branch():
            return next_of_branch(self._climb(branch), is_asked=is_asked) == "judge"
        return is_asked and self.has_gains

    @property
    def is_on_plateau(self) -> bool:
        """Whether the line gets nowhere from its head; what it has is judged before it leaves."""
        return self._branch() is None and self._spell().trend.is_plateau

    @property
    def is_due(self) -> bool:
        """Whether it is time for something else, once nothing is under way.

        There is something, as it is looked for before: what is under way on many lanes is much to
        wait for.
        """
        if branch := self._branch():
            return next_of_branch(self._climb(branch), is_asked=False) == "return"
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
        """Open what has its turn, or return it if it is an experiment; None if there is nothing.

        In turn: two patches together, a part less, another tree to go on from.
        """
        self._is_found = False
        if (branch := self._branch()) is not None:
            return self.open_return(self._climb(branch).reason)
        spell = self._spell()
        found: Job[Any] | Idea | None = None
        if spell.combined < _COMBINED_A_TURN:
            found = combination(self._ledger, self._peers, noise_sd=self._noise_sd())
        if found is None and spell.simplified < _SIMPLIFIED_A_TURN:
            found = open_ablation(self._ledger)
        if found is None:
            found = self._open_branch(spell.trend.reason)
        if found is None:
            self._looked = (spell.since, spell.experiments)
        return found

    def open_return(self, why: str) -> Job[BranchStep] | None:
        """Open the way back to the head; None if the line is on no branch."""
        if (branch := self._branch()) is None:
            return None
        return open_return(self._ledger, branch, why=why, runs=self._bank_size)

    def _has_next(self, spell: Spell) -> bool:
        """Whether there is anything to open in any turn."""
        if spell.combined < _COMBINED_A_TURN and combination(
            self._ledger, self._peers, noise_sd=self._noise_sd()
        ):
            return True
        may_simplify = spell.simplified < _SIMPLIFIED_A_TURN
        return bool((may_simplify and next_part(self._ledger)) or self._root())

    def _root(self) -> Root | None:
        """Return a peer's tree that no branch began with; else an older head."""
        avoided = trees_gone_on_from(self._ledger)
        root = self._peers and self._peers.elsewhere(avoided=avoided, reach_sd=REACH_SD)
        return root or older_root(self._ledger, reach_sd=REACH_SD, noise_sd=self._noise_sd())

    def _open_branch(self, why: str) -> Job[BranchStep] | None:
        """Go on from another tree."""
        root = self._root()
        return open_branch(self._ledger, root, why=why, runs=self._bank_size) if root else None

    # The branch

    def _branch(self) -> Job[BranchStep] | None:
        return branch_of(self._store, self._ledger.line) if self._ledger.line else None

    def _climb(self, branch: Job[BranchStep]) -> Climb:
        """Return how far a branch has come, by its level at each of its experiments."""
        state = self._state()
        if self._levels_then is None or self._levels_then[0] != state:
            jobs = self._store.jobs.closed_jobs(self._ledger.key, ExperimentStep, after=branch.id)
            self._levels_then = (state, [job.step.known_level_nano for job in jobs])
        levels, line = self._levels_then[1], self._ledger.known_line
        lead_sd: float | None = None
        if len(line.bank_nano) >= self._bank_size and branch.step.bank_nano:
            now = level_on(self._ledger, line.working, line.bank_nano, self._noise_sd())
            lead_sd = self._height_sd(now) - self._height_sd(fmean(branch.step.bank_nano))
        return Climb(
            experiments=len(levels),
            since_rise=since_rise([self._height_sd(level) for level in levels]),
            lead_sd=lead_sd,
            has_gains=self.has_gains,
        )

    def _height_sd(self, level_nano: float) -> float:
        sign = self._ledger.publication.manifest.metric.sign
        return -sign * level_nano / NANO / self._noise_sd()

    # The spell

    def _state(self) -> _State:
        """Return what changes whenever a job is opened or closed."""
        ids = self._store.jobs.open_ids(self._ledger.key)
        return self._store.jobs.last_job(), len(ids), sum(ids)

    def _spell(self) -> Spell:
        state = self._state()
        if self._spell_then is None or self._spell_then[0] != state:
            self._spell_then = (state, self._read_spell())
        return self._spell_then[1]

    def _read_spell(self) -> Spell:
        after = max(self._ledger.moved_at_job, self._store.jobs.last_job() - _LOOKED_BACK)
        trials = [(job.id, job.step) for job in self._closed(ExperimentStep, after)]
        decided = [
            (number, _DECIDED[step.decision])
            for number, step in trials
            if step.decision in _DECIDED
        ]
        checkpoints = self._closed(CheckpointStep, after)
        events = sorted([*decided, *self._events(after, checkpoints)])
        back = (number for number, event in events if event == "returned")
        since = max(back, default=self._ledger.moved_at_job)
        judged = max((job.id for job in checkpoints), default=after)
        late = [step for number, step in trials if number > since]
        kept = [step for number, step in trials if number > judged and step.decision == "kept"]
        parts = self._closed(AttestationStep, since)
        return Spell(
            since=since,
            trend=trend_of(event for _, event in events),
            experiments=len(late),
            combined=sum(step.idea.proposer == COMBINING for step in late),
            simplified=sum(job.step.part is not None for job in parts),
            untold_sd=sum(_gain_sd(step) for step in kept if step.idea.proposer in SLOW),
            kept_sd=sum(map(_gain_sd, kept)),
            is_first=not self._closed(CheckpointStep, 0),
        )

    def _events(
        self, after: int, checkpoints: list[Job[CheckpointStep]]
    ) -> Iterator[tuple[int, Event]]:
        """Yield what stacks and branches came to after a job, with the numbers of those jobs."""
        branches = [(job.id, job.step) for job in self._closed(BranchStep, after)]
        roots = {step.patch for _, step in branches if step.is_away}
        back = [number for number, step in branches if not step.is_away]
        for job in checkpoints:
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
                # One whose end is not known was lost with a damaged store.
                is_known = (now and now.id == number) or number < max(back, default=0)
                yield number, "left" if is_known else "returned"

    def _closed(self, kind: type[S], after: int) -> list[Job[S]]:
        return self._store.jobs.closed_jobs(self._ledger.key, kind, after=after)


def _gain_sd(step: ExperimentStep) -> float:
    return (step.gain_milli or 0) / 1000
