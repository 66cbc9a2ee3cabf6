"""Several tasks on one node: each has its own line, and uses the devices for part of the time.

A turn ends only after its open jobs are decided, so never inside a pair. Like every session, each
turn measures the cost of its task's baseline. A turn also repeats the reference runs, unless the
task's scores are bit-identical each time.
"""

import asyncio
import math
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from node.home.clock import boottime_s, clock_ms
from node.loop.research import Research
from node.loop.session_plan import Goal
from protocol.errors import ArnodeError, UsageError
from trainer.task_folder.task import Task
from trainer.task_kinds import kind_of, load_task

TURN_S: Final = 600.0  # for one part
# A turn on a ladder lasts this many runs of the task, since its first three runs only measure the
# base. It lasts at least some minutes, since starting a node also takes time.
_LADDER_RUNS: Final = 20
_LEAST_LADDER_S: Final = 120.0
_LOOKED_S: Final = 15.0  # between computations of a turn's length, which may change meanwhile
# A lower rung ends its turn once nothing was kept during this fraction of it. Its gains count only
# once they pass on the next rung (the marginal value theorem: Charnov, *Optimal foraging*, 1976).
_DRY: Final = 1 / 3
_SHARED = re.compile(r"(.+):([0-9]{1,3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeShare:
    """A task, as `--task` names it, and its weight `parts`.

    A task with 2 parts gets twice the time of a task with 1 part.
    """

    task: str
    parts: int


def shares_of(flags: Sequence[str]) -> tuple[TimeShare, ...]:
    """Parse several `--task NAME[:PARTS]`; without PARTS a task has 1 part.

    Raises UsageError if PARTS is 0 or a task is repeated.
    """
    shares = []
    for flag in flags:
        found = _SHARED.fullmatch(flag)
        name, parts = (found[1], int(found[2])) if found else (flag, 1)
        if parts < 1:
            raise UsageError(
                f"--task {flag}: the number of parts must be at least 1",
                f"for 1 part: --task {name}",
            )
        shares.append(TimeShare(task=name, parts=parts))
    names = [share.task for share in shares]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"--task {name} is given twice", f"for twice the time: --task {name}:2"
            )
    return tuple(shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Tasks that take turns, in order, with the `names` that the user's flags give them.

    `length_s` returns the length of a turn in seconds, as far as it is known now. Its arguments are
    the task's index and the time when the turn began, in milliseconds since 1970.
    """

    tasks: tuple[Task, ...]
    names: tuple[str, ...]
    length_s: Callable[[int, int], float]

    @classmethod
    def of_shares(
        cls, tasks: Sequence[Task], shares: Sequence[TimeShare], turn_s: float
    ) -> "Turns":
        """Return turns that last `turn_s` seconds for each part of their task."""
        lengths = [share.parts * turn_s for share in shares]
        names = tuple(share.task for share in shares)
        return cls(tasks=tuple(tasks), names=names, length_s=lambda number, _: lengths[number])

    @classmethod
    def of_ladder(
        cls,
        rungs: Sequence[tuple[str, Task]],
        *,
        run_s: Callable[[], float | None],
        turn_s: float | None,
        share_below: Callable[[float | None], float],
        kept_ms: Callable[[bytes], int | None],
    ) -> "Turns":
        """Return the turns of a ladder. `rungs` are tasks with their names, the lowest first.

        - `run_s()`: the seconds of a run of the highest rung; None before the first run.
        - `turn_s`: half the longest duration of one round of all rungs, in seconds. None: computed
          from `run_s()`.
        - `share_below(run_s())`: the fraction of the time for all lower rungs together.
        - `kept_ms(task_id)`: the time when a patch was last kept on that rung, in milliseconds
          since 1970; None if never.
        """
        below = len(rungs) - 1

        def usual_s(took_s: float | None) -> float:
            return TURN_S if took_s is None else max(_LEAST_LADDER_S, _LADDER_RUNS * took_s)

        def length_s(number: int, began_ms: int) -> float:
            took_s = run_s()
            share = share_below(took_s)
            part = share / below if number < below else 1 - share
            longest_s = 2 * part * (turn_s or usual_s(took_s))
            last_ms = kept_ms(rungs[number][1].id)
            if number == below or last_ms is None or last_ms <= began_ms:
                return longest_s
            return min(longest_s, (last_ms - began_ms) / 1000 + _DRY * longest_s)

        return cls(
            tasks=tuple(task for _, task in rungs),
            names=tuple(name for name, _ in rungs),
            length_s=length_s,
        )


def rungs_of(task: Task, name: str, below: int, data_dir: Path) -> list[tuple[str, Task]]:
    """Return a task, called `name`, and at most `below` rungs below it, the lowest first.

    Raises UsageError if the task names no rung below it, and what `load_task` raises.
    """
    rungs = [(name, task)]
    while len(rungs) <= below and (lower := rungs[0][1].rung_below) is not None:
        rungs.insert(0, (lower, load_task(lower, data_dir=data_dir)))
    if len(rungs) == 1:
        raise UsageError(
            f"{task.name} has no rung below it",
            "leave out --ladder, or name a lower rung in the [ladder] section of its task.toml",
        )
    return rungs


class Turn(NamedTuple):
    """The current length of a task's turn, and the name of the task that follows."""

    length_s: Callable[[], float]
    following: str


RunOne: TypeAlias = Callable[[Task, str, Goal, Research | None, Turn | None], Awaitable[Research]]


async def run_in_turn(turns: Turns, goal: Goal, run: RunOne, say: Callable[[str], None]) -> None:
    """Run tasks in turns, round after round.

    A task with nothing more to do gets no more turns. A task that cannot be measured here gets no
    more turns either, and `say` reports the reason: a faulty judge of a peer's task cannot end the
    work on the other tasks. All tasks share one goal. `run` gets a task and its name, the rest of
    the goal, the previous task's loop, and the turn; the turn is None if no other task waits.
    """
    waiting, before = deque(range(len(turns.tasks))), None
    had_turns: set[int] = set()
    ends_s = math.inf if goal.duration_s is None else boottime_s() + goal.duration_s
    while waiting and (left_s := ends_s - boottime_s()) > 0:
        number = waiting.popleft()
        task = turns.tasks[number]
        has_same_bits = kind_of(task.manifest).may_run_alongside(task.manifest)
        left = replace(goal, measures_the_same=number in had_turns and has_same_bits)
        had_turns.add(number)
        if goal.duration_s is not None:
            left = replace(left, duration_s=left_s, earlier_s=goal.duration_s - left_s)
        turn = None
        if waiting:
            turn = Turn(partial(turns.length_s, number, clock_ms()), turns.tasks[waiting[0]].name)
        try:
            before = await run(task, turns.names[number], left, before, turn)
        except ArnodeError as fault:
            if not waiting:
                raise
            say(f"task {task.name} has no more turns: {fault.message} ({fault.hint})")
            continue
        if before.is_stopped:
            return
        if before.has_given_way:
            waiting.append(number)


@asynccontextmanager
async def for_a_turn(research: Research, turn: Turn) -> AsyncIterator[None]:
    """Make the session end once its turn is over, so that the next task can run."""

    async def wait() -> None:
        began_s = boottime_s()
        while True:
            left_s = await asyncio.to_thread(turn.length_s) - (boottime_s() - began_s)
            if left_s <= 0:
                break
            await asyncio.sleep(min(left_s, _LOOKED_S))
        following = turn.following
        research.make_way(
            f"this task's turn is over: {following} is next, once open experiments are decided"
        )

    waiting = asyncio.create_task(wait())
    try:
        yield
    finally:
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
