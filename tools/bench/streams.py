"""A node's research on a simulated machine, with the shipped decisions.

Decisions come from `node.line.trial` and `protocol.rule`, run by run, as in the node. Only the runs
are simulated. The sequence of steps is that of `node.loop`: reference runs, experiments, promotion
trials, remeasured heads, and plateaus with ablations and branches.
"""

import contextlib
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from statistics import fmean

from node.line.level import level_of
from node.line.plateaus import (
    REACH_SD,
    BranchMove,
    BranchProgress,
    Event,
    Trend,
    next_of_branch,
    since_rise,
)
from node.line.trial import (
    ANCHOR_PAIRS,
    Confirmation,
    MetricReading,
    next_of_confirmation,
    next_of_trial,
)
from node.loop.session_plan import is_early_trial_worth_it, is_time_to_judge
from node.store.jobs import PlannedRun, StoredOutcome
from protocol.rule import AGAIN, DEFAULT, POWER, Policy, has_drifted, trial_alpha
from protocol.runs import Role, Run
from protocol.statistics import NoiseEstimate
from protocol.units import NANO
from tools.bench.rivals import Progress
from tools.bench.worlds import Machine, draw_gain

SD = 0.001  # of one run, in the metric's unit
_LEVEL_NANO = NANO
_TREE = bytes(32)


class Ended(Exception):  # noqa: N818 -- an event: work in progress continues in the next session
    """The runs of a stream are spent."""


@dataclass
class Branch:
    """A branch from an earlier tree, with the head's scores then and the branch's levels since.

    `is_peers` means that the tree is a peer's, and may itself be better than the head.
    """

    worth: float
    is_peers: bool
    head_nano: list[int]
    experiments: int = 0
    heights_sd: list[float] = field(default_factory=list)


@dataclass
class Node:
    """One line of research. `progress` has the true gain of its verified head.

    With `looks_back` heads are remeasured and their parts ablated. With `explores` a line continues
    from an earlier head on a plateau. With `is_early` the first trial does not wait for a full
    stack if it is likely to pass.
    """

    machine: Machine
    policy: Policy = DEFAULT
    propose: Callable[[Random], float] = draw_gain
    progress: Progress = field(default_factory=Progress)
    stack: list[float] = field(default_factory=list)
    reference_nano: list[int] = field(default_factory=list)
    screened_nano: list[int] = field(default_factory=list)  # screens against these reference runs
    looks_back: bool = True
    explores: bool = True
    is_early: bool = True
    had_promotion_trial: bool = False
    stack_sd: float = 0.0  # gain of the stack's patches by the runs that kept them
    groups: list[list[float]] = field(default_factory=list)
    noise_then: tuple[int, NoiseEstimate | None] = (0, None)  # a cache: number of groups, estimate
    runs: float = math.inf  # limit after which no run starts
    session: int = 0
    earlier: list[float] = field(default_factory=list)  # the head's scores in its last trial
    last_stack: list[float] = field(default_factory=list)  # gains of the last adopted stack
    parts: list[float] = field(default_factory=list)  # parts of the head without an ablation yet
    taken_out: list[float] = field(default_factory=list)
    trend: Trend = field(default_factory=Trend)
    is_asked: bool = False  # True after an ablation on this plateau
    heads: list[float] = field(default_factory=lambda: [0.0])  # the true gain of each head
    branch: "Branch | None" = None
    tried_roots: Counter[tuple[int, int]] = field(default_factory=Counter)
    branches: int = 0
    candidate_scale: float = 1.0  # noise of candidates relative to other runs
    trials: int = 0  # since the last adoption

    def work(self, runs: int) -> Progress:
        """Spend `runs` runs. Work in progress at a session's end continues in the next session."""
        self.runs = runs
        with contextlib.suppress(Ended):
            self.begin()
            while True:
                self.go_on()
        return self.progress

    def begin(self) -> None:
        """Measure the baseline."""
        baseline = [self._value(self._run("base", 0.0, 0)) for _ in range(2)]
        self.groups.append(baseline)
        self._set_reference_runs([round(value * NANO) for value in baseline])

    def go_on(self) -> None:
        """Do the next step: a promotion trial, a reference run, or an experiment."""
        if self._is_promotion_trial_due():
            self._run_promotion_trial()
        elif self._needs_reference_run():
            self._set_reference_runs(
                [*self.reference_nano, self._measured(self._run("base", self._worth, 0))]
            )
        elif not self._goes_elsewhere():
            self._experiment()

    @property
    def _worth(self) -> float:
        """The true gain of the working line."""
        start = self.branch.worth if self.branch else self.progress.gain
        return start + sum(self.stack) - sum(self.taken_out)

    def _needs_reference_run(self) -> bool:
        if self.machine.session != self.session:
            # Each session has its own offset, so earlier reference runs are stale.
            self.session = self.machine.session
            self._set_reference_runs([])
        return len(self.reference_nano) < self.policy.reference_runs

    def _is_promotion_trial_due(self) -> bool:
        needs_anchor = self.progress.adopted > 0
        is_late = is_time_to_judge(self.machine.span, 1.0, needs_anchor=needs_anchor)
        is_full = len(self.stack) >= self.policy.keeps_per_promotion_trial
        if self.branch:
            return self._next_of_branch(self.branch, is_asked=is_full or is_late) == "judge"
        is_leaving = self.explores and self.trend.is_plateau
        return bool(self.stack) and (is_full or is_late or is_leaving or self._is_early())

    def _is_early(self) -> bool:
        if self.had_promotion_trial or not self.is_early:
            return False
        return is_early_trial_worth_it(
            len(self.stack),
            self.stack_sd,
            runs_left=self.machine.span.left_s,
            pairs=ANCHOR_PAIRS,
        )

    # Elsewhere

    def _goes_elsewhere(self) -> bool:
        """Do the next step on a plateau, or leave a branch. Return True if anything was done."""
        if self.branch:
            if self._next_of_branch(self.branch, is_asked=False) != "return":
                return False
            self._return()
        elif not self.trend.is_plateau:
            return False
        elif self.looks_back and self.parts and not self.is_asked:
            self.is_asked = True
            self._ablate()
        elif self.explores and (root := self.root()) is not None:
            self._go_on_from(*root)
        else:
            return False
        return True

    def root(self) -> tuple[float, bool] | None:
        """Return the true gain of the tree to branch from, and True if it is a peer's.

        It is the least used of the earlier heads close to the current one, the latest first.
        """
        now = len(self.heads) - 1
        near = [at for at in range(now) if self.heads[now] - self.heads[at] <= REACH_SD]
        if not near:
            return None
        chosen = min(near, key=lambda at: (self.tried_roots[now, at], -at))
        self.tried_roots[now, chosen] += 1
        self.arrived(chosen)
        return self.heads[chosen], False

    def arrived(self, head: int) -> None:
        """Handle a move of the working line to one of its heads."""

    def _go_on_from(self, worth: float, is_peers: bool) -> None:
        self.branches += 1
        self._note("left")
        self.branch = Branch(worth=worth, is_peers=is_peers, head_nano=self.reference_nano)
        self.stack, self.taken_out = [], []
        self._measure_reference_runs()

    def _return(self) -> None:
        self._leave_branch()
        self._measure_reference_runs()

    def _leave_branch(self) -> None:
        self._note("returned")
        self.branch, self.is_asked, self.stack = None, False, []
        self.arrived(len(self.heads) - 1)

    def _measure_reference_runs(self) -> None:
        runs = [self._run("candidate", self._worth, 0) for _ in range(self.policy.reference_runs)]
        self._set_reference_runs([self._measured(run) for run in runs])

    def _next_of_branch(self, branch: Branch, *, is_asked: bool) -> BranchMove:
        is_measured = not self._needs_reference_run()
        branch_progress = BranchProgress(
            experiments=branch.experiments,
            since_rise=since_rise(branch.heights_sd),
            lead_sd=self._height_sd(self._level_nano()) - self._height_sd(fmean(branch.head_nano))
            if is_measured
            else None,
            has_gains=bool(self.stack) or branch.is_peers,
        )
        return next_of_branch(branch_progress, is_asked=is_asked)

    def _height_sd(self, level_nano: float) -> float:
        return -level_nano / NANO / self._reading().noise.sd

    def _level_nano(self) -> int:
        """Return the level of the working line, by reference runs and screens against them."""
        reading = self._reading()
        reference_metrics, screened = (
            reading.values(self.reference_nano),
            reading.values(self.screened_nano),
        )
        return round(level_of(reference_metrics, screened, reading.noise.sd) * NANO)

    def _set_reference_runs(self, reference_nano: list[int]) -> None:
        self.reference_nano, self.screened_nano = reference_nano, []

    def _note(self, event: Event) -> None:
        self.trend = self.trend.after(event)

    # At work

    def _experiment(self) -> None:
        gain = self.propose(self.machine.chance)
        runs: list[PlannedRun] = []
        reading, level_nano = self._reading(), self._level_nano()
        while (move := next_of_trial(runs, (level_nano,) * 2, reading, is_current=True)) == "run":
            runs.append(self._run("candidate", self._worth + gain, len(runs)))
        gain_sd = reading.value(level_nano - self._measured(runs[-1])) / reading.noise.sd
        if move == "keep" and not self.may_be_kept(gain_sd):
            move = "discard"
        if self.branch:
            self.branch.experiments += 1
            self.branch.heights_sd.append(self._height_sd(level_nano))
        self._note("kept" if move == "keep" else "in_vain")
        self.screened_nano.append(self._measured(runs[0]))
        if move == "keep":
            self.stack.append(gain)
            self._set_reference_runs([self._measured(runs[-1])])
        self.stack_sd += gain_sd if move == "keep" else 0.0
        self.decided(is_kept=move == "keep", gain_sd=gain_sd, runs=len(runs))

    def may_be_kept(self, gain_sd: float) -> bool:
        """Return True if the last proposal, which passed its runs, may be kept."""
        return True

    def decided(self, *, is_kept: bool, gain_sd: float, runs: int) -> None:
        """Handle the result of the last proposal."""

    def _run_promotion_trial(self) -> None:
        worth = self._worth
        self.had_promotion_trial, self.stack_sd = True, 0.0
        confirmation = self._confirm(worth, policy=self.next_policy())
        passed = confirmation.move == "pass"
        self.judged(passed=passed, confirmation=confirmation)
        if passed:
            self._adopt(worth)
        elif self.branch:
            self._leave_branch()
        else:
            self._note("missed")
            self.arrived(len(self.heads) - 1)
        self.stack, self.taken_out = [], []
        self._reference_runs_from(confirmation)
        if self.looks_back:
            self._watch(confirmation)

    def _adopt(self, worth: float) -> None:
        """Adopt a head whose true gain is `worth`."""
        self.last_stack = [worth - self.progress.gain]
        self.parts = [*([] if self.branch else self.parts), *self.stack]
        self.progress.adopt(worth - self.progress.gain)
        self.trials = 0
        self.heads.append(worth)
        self.branch, self.is_asked, self.trend = None, False, Trend()

    def _watch(self, confirmation: Confirmation) -> None:
        """Remeasure the head if it scored worse in a missed trial than when it was adopted."""
        passed = confirmation.move == "pass"
        of_head = [pair.candidate if passed else pair.base for pair in confirmation.pairs]
        later = [(run.metric_nano or 0) / NANO for run in of_head]
        earlier, self.earlier = self.earlier, later
        if passed or not earlier or not self.last_stack or fmean(later) <= fmean(earlier):
            return
        if has_drifted(earlier, later, self._reading().noise.sd):
            self._recheck_head()

    def _recheck_head(self) -> None:
        worth, before = self.progress.gain, self.progress.gain - sum(self.last_stack)
        again = self._confirm(worth, base=before, policy=AGAIN)
        stays = again.verdict != "refuted"
        if not stays:
            self.progress.gain = before
            self.parts, self.last_stack, self.trend = [], [], Trend()
            self.heads.pop()
            self.arrived(len(self.heads) - 1)
        self._reference_runs_from(again, is_candidate=stays)

    def _ablate(self) -> None:
        """Measure the newest part of the head, and continue without it if it has no gain."""
        part = self.parts.pop()
        policy, worth = replace(POWER, alpha=DEFAULT.alpha), self._worth
        confirmation = self._confirm(worth, base=worth - part, policy=policy, anchor_pairs=0)
        if confirmation.latest and confirmation.latest.gain <= 0:
            self.taken_out.append(part)
            self._set_reference_runs(
                [pair.base.metric_nano or 0 for pair in confirmation.pairs[-2:]]
            )

    def next_policy(self) -> Policy:
        """Return the policy for the next trial, which uses up a part of the alpha budget."""
        self.trials += 1
        return replace(self.policy, alpha=trial_alpha(self.trials))

    def judged(self, *, passed: bool, confirmation: Confirmation) -> None:
        """Handle the result of a stack's trial, before the stack is adopted or dropped."""

    def _confirm(
        self,
        worth: float,
        policy: Policy | None = None,
        anchor_pairs: int = ANCHOR_PAIRS,
        base: float | None = None,
    ) -> Confirmation:
        """Try a true gain of `worth` against a base, by default the verified head."""
        base = self.progress.gain if base is None else base
        runs: list[PlannedRun] = []
        reading = replace(self._reading(), policy=policy or self.policy)
        needs_anchor = anchor_pairs > 0 and self.progress.adopted > 0
        while True:
            confirmation = next_of_confirmation(
                runs, reading, needs_anchor=needs_anchor, anchor_pairs=anchor_pairs
            )
            if confirmation.move == "pair":
                seed = len(runs)
                runs.append(self._run("base", base, seed))
                runs.append(self._run("candidate", worth, seed))
            elif confirmation.move == "anchors":
                runs += [self._run("anchor", 0.0, seed) for seed in range(ANCHOR_PAIRS)]
            else:
                break
        for role in ("base", "candidate"):
            of_role = [run for run in runs if run.role == role]
            self.groups.append([self._value(run) for run in of_role])
        return confirmation

    def _reference_runs_from(
        self, confirmation: Confirmation, *, is_candidate: bool | None = None
    ) -> None:
        """Use the last pairs as reference runs of the current head: the candidate if it passed.

        `is_candidate` overrides this choice.
        """
        of_candidate = confirmation.move == "pass" if is_candidate is None else is_candidate
        last = [pair.candidate if of_candidate else pair.base for pair in confirmation.pairs[-2:]]
        self._set_reference_runs([run.metric_nano or 0 for run in last])

    def _reading(self) -> MetricReading:
        known, noise = self.noise_then
        if noise is None or known != len(self.groups):
            noise = NoiseEstimate.from_class(SD).with_groups(self.groups)
            self.noise_then = len(self.groups), noise
        return MetricReading(sign=1, noise=noise, policy=self.policy)

    def _run(self, role: Role, worth: float, seed: int) -> PlannedRun:
        if 0 < self.machine.runs < self.runs and self.machine.is_at_beginning:
            self.machine.measure(0.0)  # the baseline's run at the start of each session
        if self.machine.runs >= self.runs:
            raise Ended
        scale = self.candidate_scale if role == "candidate" else 1.0
        nano = _LEVEL_NANO + round(self.machine.measure(-worth, scale=scale) * SD * NANO)
        run = replace(_RUN, role=role, seed=seed, metric_nano=nano, secret_nano=nano)
        outcome = StoredOutcome(run=run, log_tail="")
        return PlannedRun(job_id=0, ordinal=seed, role=role, tree=_TREE, seed=seed, outcome=outcome)

    def _measured(self, run: PlannedRun) -> int:
        assert run.outcome is not None
        assert run.outcome.run.metric_nano is not None
        return run.outcome.run.metric_nano

    def _value(self, run: PlannedRun) -> float:
        return self._measured(run) / NANO


_RUN = Run(
    seed=0,
    role="candidate",
    metric_nano=0,
    secret_nano=0,
    ms=1,
    cpu_ms=1,
    serve_ms=1,
    tokens=1,
    peak_mem_bytes=1,
    status="ok",
    flags=(),
    reason=None,
    audit=None,
)
