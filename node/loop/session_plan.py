"""The plan of a session with an end: whether and when its last promotion trial begins.

A session ends by the clock, even if jobs are open. An open job stays in the store and continues in
the next session with its evidence. So a wrong plan delays a verdict, but loses no runs. Times are
in seconds, and durations of runs are measured.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Final, Self

from agent.proposal import Left
from node.line.baseline import BASELINE_RUNS
from node.line.trial import ANCHOR_PAIRS
from node.store.jobs import Line
from node.terminal.durations import Hours, duration_text, span_words
from node.terminal.vocabulary import many
from protocol.rule import DEFAULT, screening_policy
from protocol.styles import Style

# Identical differences pass a line's first trial in this many pairs (`make bench PART=timing`).
_PAIRS_OF_DIFFERENCES: Final = 13
_BEFORE: Final = 4  # runs: the fewest before anything may be judged, in a line's first session
_TRIED: Final = 2  # a screen and a recheck, without which nothing is kept
_RECENT: Final = 10
_SHORTEST_RUN_S: Final = 0.001
_LONG_RUN_S: Final = 20.0  # starting processes takes a few seconds, little of such a run
# In simulated lines (`tools/bench/streams.py`) the first gain is then verified after half as many
# runs. A session of 672 runs, in which the trial is more than this share, would lose 3 %.
_EARLY_KEEPS: Final = 2
_EARLY_GAIN_SD: Final = 6.0
_EARLY_SHARE: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The conditions under which a session ends by itself, or rests. None: no such condition.

    - `hours`: the hours of the day in which runs may start.
    - `when_idle`: run only while other programs leave the machine alone.
    - `is_on_demand`: a session for submitted work. It proposes nothing of its own and ends when
      that work is decided.
    - `earlier_s`: seconds of earlier turns of the same session, for a task that takes turns.
    - `measures_the_same`: the task's measurements in an earlier turn are still valid.
    """

    max_experiments: int | None = None
    duration_s: float | None = None
    earlier_s: float = 0.0
    hours: Hours | None = None
    when_idle: bool = False
    is_on_demand: bool = False
    measures_the_same: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """The reason why nothing new starts now, and the seconds until the next check."""

    why: str
    left_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A session's remaining time, and its total time."""

    left_s: float
    whole_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The state of a line when a session begins.

    - `runs`: the number of runs before the session can try anything.
    - `has_stack`: kept patches wait for a promotion trial.
    - `needs_anchor`: the head is not the baseline, so a trial also runs the baseline.
    - `pairs`: the smallest number of pairs with which a stack can pass.
    - `tries`: the number of runs that it takes to keep a patch.
    """

    runs: int
    has_stack: bool = False
    needs_anchor: bool = False
    pairs: int = ANCHOR_PAIRS
    tries: int = _TRIED

    @classmethod
    def of(cls, line: Line | None, *, baseline_tree: bytes, reference_runs: int) -> Self:
        """Return the opening of a session on this line."""
        if line is None:
            return cls(runs=BASELINE_RUNS)
        needs_anchor, has_stack = line.verified != baseline_tree, bool(line.stack)
        runs = 1 + (0 if has_stack else reference_runs)  # one measures the cost of the baseline
        return cls(runs=runs, has_stack=has_stack, needs_anchor=needs_anchor)

    @property
    def least_runs(self) -> int:
        """The fewest runs after which something may be verified."""
        tried = 0 if self.has_stack else self.tries
        judged = runs_of_promotion_trial(needs_anchor=self.needs_anchor, pairs=self.pairs)
        return self.runs + tried + judged


def local_time() -> datetime:
    return datetime.now().astimezone()


class SessionPlan:
    """A session's plan: its end, and the time to begin its last promotion trial.

    The end is that of the session's duration or of the daily hours in which it may work, whichever
    is sooner. A session without either has no end. `now` returns the time of day. `clock_s` counts
    seconds from an arbitrary start, also while the machine is suspended. `pairs` and `tries` are as
    in `Opening`.
    """

    def __init__(
        self,
        goal: Goal,
        *,
        now: Callable[[], datetime],
        clock_s: Callable[[], float],
        pairs: int = ANCHOR_PAIRS,
        tries: int = _TRIED,
    ) -> None:
        self.now, self.clock_s = now, clock_s
        self._pairs, self._tries = pairs, tries
        self._most_experiments = goal.max_experiments
        self._begun = 0
        self._duration_s = goal.duration_s
        self._earlier_s = goal.earlier_s
        self._hours = goal.hours
        self._began = now()
        self._began_s = clock_s()
        self._opening: Opening | None = None
        self._latest_s: deque[float] = deque(maxlen=_RECENT)
        self._ended_s: deque[float] = deque(maxlen=_RECENT)

    # Recording

    def begin(self, opening: Opening) -> None:
        """Record the state of the line before the first run."""
        self._opening = replace(opening, pairs=self._pairs, tries=self._tries)

    def begun(self) -> None:
        """Count a new experiment."""
        self._begun += 1

    def took(self, run_s: float) -> str | None:
        """Record the duration of a successful run, less half of the time that its scoring took.

        In a pair, the second run trains while the first is scored. Return a warning, once, if this
        session is too short to verify anything. The first run of a session also starts processes,
        which is much of a short run, so the second one is awaited then.
        """
        self._latest_s.append(run_s)
        self._ended_s.append(self.clock_s())
        if len(self._latest_s) == 1 and run_s < _LONG_RUN_S:
            return None
        opening, self._opening = self._opening, None
        fastest_s = min(self._latest_s)
        return too_short(self.span, fastest_s, opening) if self.span and opening else None

    @property
    def run_s(self) -> float | None:
        """The seconds that a run takes here; None before the first run.

        It is the median of the latest runs, since some runs wait for an idle machine.
        """
        return median(self._latest_s) if self._latest_s else None

    @property
    def _gap_s(self) -> float:
        """The usual time between the ends of two runs, which includes what happens between runs."""
        gaps_s = [after - before for before, after in pairwise(self._ended_s)]
        return median(gaps_s) if gaps_s else 0.0

    # The end

    def forget_hours(self) -> None:
        """Ignore the hours from now on, since a user made a request."""
        self._hours = None

    @property
    def left(self) -> Left:
        """The remaining time and experiments of the session; None for each without a limit."""
        left_s = self.left_s
        seconds = None if math.isinf(left_s) else left_s
        return Left(seconds=seconds, experiments=self._experiments_left)

    @property
    def _experiments_left(self) -> int | None:
        most = self._most_experiments
        return None if most is None else max(0, most - self._begun)

    @property
    def are_all_begun(self) -> bool:
        """True if a session with a fixed number of experiments has begun all of them."""
        return self._experiments_left == 0

    @property
    def left_s(self) -> float:
        """The seconds until the plan's end; infinite for a session without an end."""
        return self.span.left_s if self.span else math.inf

    @property
    def ends_s(self) -> float:
        """The time of the plan's end, by `time.monotonic`; infinite without an end."""
        return time.monotonic() + self.left_s

    @property
    def is_over(self) -> bool:
        """True if a session with a fixed duration has ended."""
        return self._duration_s is not None and self._duration_left_s(self._duration_s) <= 0

    @property
    def may_begin_runs(self) -> bool:
        """True if a run may begin: the session has not ended, and it is within its hours."""
        return not self.is_over and self.rests_until is None

    @property
    def rests_until(self) -> datetime | None:
        """The time when the session's hours begin again; None within them, or without hours."""
        if self._hours is None:
            return None
        now = self.now()
        begins, _ = self._hours.next(now)
        return begins if begins > now else None

    @property
    def span(self) -> Span | None:
        """The remaining and the total time until the plan's end; None for a session without an end.

        If the hours end before the duration, the total is the time from the session's beginning, or
        from the beginning of the hours if that is later, to the end of the hours.
        """
        spans = []
        if self._duration_s is not None:
            left_s = self._duration_left_s(self._duration_s)
            spans.append(Span(left_s=left_s, whole_s=self._earlier_s + self._duration_s))
        if self._hours is not None:
            now = self.now()
            begins, ends = self._hours.next(now)
            whole_s = (ends - max(begins, self._began)).total_seconds()
            spans.append(Span(left_s=(ends - now).total_seconds(), whole_s=whole_s))
        return min(spans, key=lambda span: span.left_s, default=None)

    def _duration_left_s(self, duration_s: float) -> float:
        return self._began_s + duration_s - self.clock_s()

    def is_early_trial_worth_it(self, keeps: int, gain_sd: float, *, within_s: float) -> bool:
        """Return True if a line's first trial begins now, before its stack is full.

        The stack is the list of kept patches that are not yet promoted; `keeps` is their number.
        `within_s`: the seconds after which a trial begins in any case.
        """
        if self.run_s is None:
            return False
        runs_left = min(self.left_s, within_s) / max(self.run_s, _SHORTEST_RUN_S)
        if (experiments_left := self._experiments_left) is not None:
            runs_left = min(runs_left, experiments_left)
        return is_early_trial_worth_it(keeps, gain_sd, runs_left=runs_left, pairs=self._pairs)

    def trial_s(
        self, gain_sd: float, *, needs_anchor: bool, most_pairs: int, pairs_done: int
    ) -> tuple[float, float] | None:
        """Return the least and most seconds that a trial takes from now. None before a first run.

        A gain large enough for an early trial passes with the fewest pairs. `most_pairs` is the
        limit of this task's trials.
        """
        if self.run_s is None:
            return None
        fewest = min(self._pairs, most_pairs)
        most = fewest if gain_sd >= _EARLY_GAIN_SD else most_pairs
        least_s, most_s = (
            self.run_s
            * runs_of_promotion_trial(needs_anchor=needs_anchor, pairs=max(1, pairs - pairs_done))
            for pairs in (fewest, most)
        )
        return least_s, most_s

    def is_time_to_judge(self, *, needs_anchor: bool) -> bool:
        """Return True if the session's trial should begin now, if there are patches to judge."""
        span, run_s = self.span, self.run_s
        if span is None or run_s is None:
            return False
        return is_time_to_judge(
            span,
            run_s,
            needs_anchor=needs_anchor,
            pairs=self._pairs,
            tries=self._tries,
            gap_s=self._gap_s,
        )


def fewest_pairs(style: Style) -> int:
    """Return the fewest pairs with which a promotion trial can pass by the rules of `style`."""
    if style.name != "differences":
        return style.anchor_pairs(ANCHOR_PAIRS)
    return max(_PAIRS_OF_DIFFERENCES, style.least_pairs)


def runs_to_keep(style: Style) -> int:
    """Return the number of runs that it takes to keep a patch.

    If rechecks are made in pairs, the runs of the base count too.
    """
    rechecks = len(screening_policy(style, DEFAULT).rechecks_sd)
    return 1 + rechecks * (2 if style.name == "differences" else 1)


def runs_of_promotion_trial(*, needs_anchor: bool, pairs: int = ANCHOR_PAIRS) -> int:
    """Return the fewest runs to promote a stack.

    `needs_anchor`: the baseline runs too, since leaderboards need its runs.
    """
    return 2 * pairs + (min(ANCHOR_PAIRS, pairs) if needs_anchor else 0)


def is_time_to_judge(
    span: Span,
    run_s: float,
    *,
    needs_anchor: bool,
    pairs: int = ANCHOR_PAIRS,
    tries: int = _TRIED,
    gap_s: float = 0.0,
) -> bool:
    """Return True if a session should begin its promotion trial now, if there are patches to judge.

    The trial begins early enough to end in time, allowing for an experiment that has begun. It does
    not begin in the first half of the session, unless it would not fit later. Patches kept after it
    wait for the next session. A session too short for a whole trial begins with a trial of patches
    kept earlier. Such a trial needs no reference runs, and it continues in the next session.
    """
    least = runs_of_promotion_trial(needs_anchor=needs_anchor, pairs=pairs)
    if span.whole_s < (least + _BEFORE) * run_s:
        return span.left_s >= span.whole_s - 1.5 * run_s  # one measures the cost of the baseline
    # Nothing checks during a run: a span as short as one run, or as the gap between the ends of two
    # runs (`gap_s`), could be missed.
    latest_s = least * run_s + max(max(1, tries // 2) * run_s, 2 * gap_s)
    begins_s = max(latest_s, min((least + tries) * run_s, span.whole_s / 2))
    # The last of its runs may begin at the session's last moment.
    return (least - 1) * run_s < span.left_s <= begins_s


def is_early_trial_worth_it(keeps: int, gain_sd: float, *, runs_left: float, pairs: int) -> bool:
    """Return True if a line's first trial begins before its stack is full.

    `gain_sd` is the gain of the stack's patches by the runs that kept them, in standard deviations
    of one run. `pairs` is the smallest number with which it can pass. The trial must be likely to
    pass soon, and take only a small fraction of the session's remaining runs. A session with long
    runs has too few of them, so the trial waits for a full stack.
    """
    cost = runs_of_promotion_trial(needs_anchor=False, pairs=pairs)
    is_likely = keeps >= _EARLY_KEEPS and gain_sd >= _EARLY_GAIN_SD
    return is_likely and cost <= _EARLY_SHARE * runs_left


def too_short(span: Span, run_s: float, opening: Opening) -> str | None:
    """Return a warning for a session in which nothing can be verified; None for any other."""
    least = opening.least_runs
    if span.whole_s >= least * run_s:
        return None
    runs = math.floor(span.whole_s / run_s)  # no division by zero: every run takes time
    shortest = duration_text(least * run_s)
    return (
        f"{span_words(span.whole_s)} is too short to verify anything: {many(runs, 'run')} of "
        f"{span_words(run_s)}, but at least {least} are needed (`--for {shortest}`); kept patches "
        "are judged in a later session"
    )
