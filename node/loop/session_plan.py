"""A session that has an end is planned from it: when its last checkpoint begins, and what it is too
short for.

A session ends by the clock, whatever is open: a job stays in the store and goes on in the next one
with its evidence. So a plan that is wrong costs a verdict tonight, never its runs. Spans are in
seconds; what a run takes is measured.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median
from typing import Final, Self

from agent.proposal import Left
from node.line.baseline import BASELINE_RUNS
from node.line.trial import ANCHOR_PAIRS
from node.store.jobs import Line
from node.terminal.durations import Hours, duration_text, span_words
from protocol.rule import DEFAULT, screening_policy
from protocol.styles import Style

# Differences that are all alike pass a line's first trial in so many (`make bench PART=timing`).
_PAIRS_OF_DIFFERENCES: Final = 13
_BEFORE: Final = 4  # runs: the fewest before anything may be judged, in a line's first session
_TRIED: Final = 2  # a screen and a recheck, without which nothing is kept
_RECENT: Final = 10
_SHORTEST_RUN_S: Final = 0.001
# In simulated lines (`tools/bench/streams.py`) the first gain is then verified after half as many
# runs; a session of 672 runs, for which the trial is more than this share, would lose 3 %.
_EARLY_KEEPS: Final = 2
_EARLY_GAIN_SD: Final = 6.0
_EARLY_SHARE: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """When a session ends by itself, and when it rests; None is never.

    `hours`: those in which runs start; `when_idle`: only while others leave the machine alone.
    `is_on_demand`: a session for what is handed in to it proposes nothing of its own and ends when
    that is decided. `earlier_s`: what came before of a session that goes on, as a task's does that
    takes turns with others; `measures_the_same`: what the task measured in an earlier turn holds.
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
    """Why nothing new starts now, and when to look again."""

    why: str
    left_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """How long a session still lasts, and lasts in all."""

    left_s: float
    whole_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a session finds when it begins: how many runs it takes before it can try anything.

    `has_stack`: something waits to be judged; `needs_anchor`: its head is not the task's baseline;
    `pairs`: the fewest in which a stack passes; `tries`: the runs that it takes to keep a change.
    """

    runs: int
    has_stack: bool = False
    needs_anchor: bool = False
    pairs: int = ANCHOR_PAIRS
    tries: int = _TRIED

    @classmethod
    def of(cls, line: Line | None, *, baseline_tree: bytes, bank_size: int) -> Self:
        """Return what a session finds where its line stands."""
        if line is None:
            return cls(runs=BASELINE_RUNS)
        needs_anchor, has_stack = line.verified != baseline_tree, bool(line.stack)
        runs = 1 + (0 if has_stack else bank_size)  # one says what the baseline costs
        return cls(runs=runs, has_stack=has_stack, needs_anchor=needs_anchor)

    @property
    def least_runs(self) -> int:
        """The fewest runs after which something may be verified."""
        tried = 0 if self.has_stack else self.tries
        judged = runs_of_checkpoint(needs_anchor=self.needs_anchor, pairs=self.pairs)
        return self.runs + tried + judged


def local_time() -> datetime:
    return datetime.now().astimezone()


class SessionPlan:
    """When a session ends: after so many seconds, or with the hours in which it may work.

    With neither it has no end. `now` is the time of day, `clock_s` counts seconds from anywhere,
    also while the machine is suspended. `pairs` and `tries` are an opening's.
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

    # What it learns

    def begin(self, opening: Opening) -> None:
        """Take note of what it finds, before its first run."""
        self._opening = replace(opening, pairs=self._pairs, tries=self._tries)

    def begun(self) -> None:
        """Take note of a new experiment."""
        self._begun += 1

    def took(self, run_s: float) -> str | None:
        """Take note of what a run took that came through, as one of a pair.

        Return what to say, once, if it leaves this session too short to verify anything.
        """
        self._latest_s.append(run_s)
        opening, self._opening = self._opening, None
        return too_short(self.span, run_s, opening) if self.span and opening else None

    @property
    def run_s(self) -> float | None:
        """What a run takes here; None before the first.

        The median of the latest: one that waited for a quiet minute says nothing of the next.
        """
        return median(self._latest_s) if self._latest_s else None

    # When it ends

    def forget_hours(self) -> None:
        """Have no hours any more: somebody wants something now."""
        self._hours = None

    @property
    def left(self) -> Left:
        """What is left of the session; None of what has no end."""
        left_s = self.left_s
        seconds = None if math.isinf(left_s) else left_s
        return Left(seconds=seconds, experiments=self._experiments_left)

    @property
    def _experiments_left(self) -> int | None:
        most = self._most_experiments
        return None if most is None else max(0, most - self._begun)

    @property
    def are_all_begun(self) -> bool:
        """Whether a session of so many experiments has begun them all."""
        return self._experiments_left == 0

    @property
    def left_s(self) -> float:
        """How long until the nearer end; infinite for a session without one."""
        return self.span.left_s if self.span else math.inf

    @property
    def ends_s(self) -> float:
        """When that is, by `time.monotonic`."""
        return time.monotonic() + self.left_s

    @property
    def is_over(self) -> bool:
        """Whether a session of so many seconds has ended."""
        return self._duration_s is not None and self._duration_left_s(self._duration_s) <= 0

    @property
    def may_begin_runs(self) -> bool:
        """Whether a run may begin: the session has not ended, and it is in its hours."""
        return not self.is_over and self.rests_until is None

    @property
    def rests_until(self) -> datetime | None:
        """When its hours begin again; None within them, and for a session without."""
        if self._hours is None:
            return None
        now = self.now()
        begins, _ = self._hours.next(now)
        return begins if begins > now else None

    @property
    def span(self) -> Span | None:
        """What is left until the nearer end of the two; None for a session without an end.

        Of hours, what they had from the session's beginning on is the whole.
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
        """Say whether a line's first trial begins now, before its stack is full.

        `within_s`: it would be tried by then in any case.
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
        """Return how long a trial takes from now on, at least and at most; None before a first run.

        A gain as large as an early trial wants passes with the fewest pairs; `most_pairs`: no trial
        of this task has more.
        """
        if self.run_s is None:
            return None
        fewest = min(self._pairs, most_pairs)
        most = fewest if gain_sd >= _EARLY_GAIN_SD else most_pairs
        least_s, most_s = (
            self.run_s
            * runs_of_checkpoint(needs_anchor=needs_anchor, pairs=max(1, pairs - pairs_done))
            for pairs in (fewest, most)
        )
        return least_s, most_s

    def is_time_to_judge(self, *, needs_anchor: bool) -> bool:
        """Say whether its checkpoint begins now, if there is anything to judge."""
        span, run_s = self.span, self.run_s
        if span is None or run_s is None:
            return False
        return is_time_to_judge(
            span, run_s, needs_anchor=needs_anchor, pairs=self._pairs, tries=self._tries
        )


def fewest_pairs(style: Style) -> int:
    """Return the fewest pairs in which a stack of a task of this style passes."""
    if style.name != "differences":
        return ANCHOR_PAIRS
    return max(_PAIRS_OF_DIFFERENCES, style.least_pairs)


def runs_to_keep(style: Style) -> int:
    """Return the runs that one kept change takes, those of its base beside it among them."""
    rechecks = len(screening_policy(style, DEFAULT).rechecks_sd)
    return 1 + rechecks * (2 if style.name == "differences" else 1)


def runs_of_checkpoint(*, needs_anchor: bool, pairs: int = ANCHOR_PAIRS) -> int:
    """Return the fewest runs in which a stack is adopted: boards want the baseline beside it."""
    return 2 * pairs + (min(ANCHOR_PAIRS, pairs) if needs_anchor else 0)


def is_time_to_judge(
    span: Span, run_s: float, *, needs_anchor: bool, pairs: int = ANCHOR_PAIRS, tries: int = _TRIED
) -> bool:
    """Say whether a session's checkpoint begins now, if there is anything to judge.

    It begins so early that it fits: as many runs before it must as it takes to keep a change, since
    one that has begun goes before it; but not before the session is half over, unless it does not
    fit any more then. What is kept later than that waits for the next
    session, which can judge it together with more. A session too short for one of its own begins
    with what earlier ones kept; there is no bank to measure for that, and it goes on in the next.
    """
    least = runs_of_checkpoint(needs_anchor=needs_anchor, pairs=pairs)
    if span.whole_s < (least + _BEFORE) * run_s:
        return span.left_s >= span.whole_s - 1.5 * run_s  # one says what the baseline costs
    # Nobody asks while a run is made: a span as short as one could go by unseen.
    latest_s = (least + max(1, tries // 2)) * run_s
    begins_s = max(latest_s, min((least + tries) * run_s, span.whole_s / 2))
    # The last of its runs may begin as late as the session's last moment.
    return (least - 1) * run_s < span.left_s <= begins_s


def is_early_trial_worth_it(keeps: int, gain_sd: float, *, runs_left: float, pairs: int) -> bool:
    """Return whether a line's first trial begins before its stack is full.

    `gain_sd` is what the stack's patches gained by the runs that kept them, in standard deviations
    of one run; `pairs` the fewest in which it passes. The trial must be likely to pass soon, and
    cost little of what the session can still do. With long runs a full stack comes first.
    """
    cost = runs_of_checkpoint(needs_anchor=False, pairs=pairs)
    is_likely = keeps >= _EARLY_KEEPS and gain_sd >= _EARLY_GAIN_SD
    return is_likely and cost <= _EARLY_SHARE * runs_left


def too_short(span: Span, run_s: float, opening: Opening) -> str | None:
    """Return what to say of a session in which nothing can be verified; None of any other."""
    least = opening.least_runs
    if span.whole_s >= least * run_s:
        return None
    runs = math.floor(span.whole_s / run_s)  # as no run takes no time
    shortest = duration_text(least * run_s)
    return (
        f"{span_words(span.whole_s)} are too short to verify anything: {runs} runs of "
        f"{span_words(run_s)}, where {least} are the fewest (`--for {shortest}`); what is kept is "
        "judged in a later session"
    )
