"""Time limits for a sandbox, and the conversion of its failures to `RunFailed`.

`RunFailed` has one of the statuses that a run can end with (`protocol.runs`). All failures of a
sandbox are converted to it here, so the runner needs no other error handling.
"""

import asyncio
import contextlib
import functools
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from protocol.codecs import fit_line
from protocol.runs import MAX_REASON, Status
from trainer.measuring.causes import cause_in
from trainer.sandbox.frames import ForgedFrame, SandboxEnded
from trainer.sandbox.profile import Role
from trainer.sandbox.sandbox import Sandbox

T = TypeVar("T")

_METER_INTERVAL_S = 0.05
_LOOKED_S = 0.25  # between two checks of the loss
_FIRST_STEP_S, _STEPS_PER_DOUBLING = 0.25, 4
_MORE = {"output": "output", "threads": "threads or processes", "files": "files"}
# The message about a program that printed nothing before it ended, as after `exit()`.
_UNFINISHED: dict[Role, str] = {
    "train": "ended without exporting weights",
    "serve": "ended before its model had answered any tokens",
    "build": "ended before it was built",
    "solve": "ended without an answer",
    "judge": "the judge ended",
    "evaluate": "the evaluator ended",
}
_STARTS = 3  # a start is so short that one hiccup of the machine can double it


class RunFailed(Exception):  # noqa: N818 -- an outcome, not a fault of ours
    """A run that ended without a metric; `status` is one of the words used in records.

    `reason` may quote the candidate. `unquoted` says the same in arnode's own words alone.
    """

    def __init__(self, status: Status, reason: str, *, unquoted: str | None = None) -> None:
        super().__init__(reason)
        self.status: Status = status
        # A candidate may print characters that reverse or hide the text around them.
        shown = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in reason)
        self.reason = fit_line(shown, MAX_REASON)
        self.unquoted = self.reason if unquoted is None else unquoted


class ProgramFailed(RunFailed):
    """A failure with the end of the program's output, for people and proposers.

    `log` is empty for an instance of the secret split.
    """

    def __init__(self, failed: RunFailed, log: str) -> None:
        super().__init__(failed.status, failed.reason, unquoted=failed.unquoted)
        self.log = log


class SlowStart(RunFailed):
    """A serving script used more than its ceiling before it saw a row."""


@contextlib.asynccontextmanager
async def stage(sandbox: Sandbox, name: str) -> AsyncIterator[None]:
    """Turn the sandbox's end or a forged frame during the `with` body into RunFailed."""
    try:
        yield
    except ForgedFrame as error:
        unquoted = f"in {name}: a frame that the protocol of runs forbids"
        # The script chooses the tag and the size.
        quoting = f"in {name}: {error}" if sandbox.keeps_output else unquoted
        raise RunFailed("rejected", quoting, unquoted=unquoted) from error
    except SandboxEnded as error:
        await sandbox.settled()
        raise _why_ended(sandbox, name) from error


def _why_ended(sandbox: Sandbox, name: str) -> RunFailed:
    if not sandbox.keeps_output:
        return _why_ended_unquoted(sandbox, name)
    if sandbox.end == "memory":
        allowed = sandbox.profile.memory_bytes >> 20
        return RunFailed("oom", f"in {name}: more than the task's {allowed} MB of memory")
    if sandbox.end in _MORE:
        return RunFailed("crash", f"in {name}: more {_MORE[sandbox.end]} than allowed")
    said = cause_in(sandbox.output_tail()) or _UNFINISHED[sandbox.profile.role]
    if sandbox.ran_out_of_memory:
        ended = f"in {name}: its device had no more memory"
        return RunFailed("oom", f"in {name}: {said}", unquoted=ended)
    return RunFailed("crash", f"in {name}: {said}", unquoted=f"in {name}: it ended by itself")


def _why_ended_unquoted(sandbox: Sandbox, name: str) -> RunFailed:
    """Return the failure of a sandbox that has seen secret text.

    The script can choose how it ends, so the message gives no details.
    """
    if sandbox.end == "memory" or sandbox.ran_out_of_memory:
        return RunFailed("oom", f"in {name}: it needed more memory than it may use")
    return RunFailed("crash", f"in {name}: it ended before it had answered everything")


@contextlib.asynccontextmanager
async def given_up(is_hopeless: Callable[[], str | None]) -> AsyncIterator[None]:
    """End the block with status `stopped` once `is_hopeless` returns a reason."""
    why: str | None = None

    def is_over() -> bool:
        nonlocal why
        why = is_hopeless()
        return why is not None

    try:
        async with _cut_off(is_over, _LOOKED_S) as limit:
            yield
    except TimeoutError:
        if not limit.expired():  # another timeout's
            raise
        raise RunFailed("stopped", why or "") from None


@contextlib.asynccontextmanager
async def wall_limit(limit_s: float, name: str) -> AsyncIterator[None]:
    """End the block with status `timeout` after `limit_s` seconds by this node's clock."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise RunFailed("timeout", f"{name} took more than {limit_s:.0f} s") from error


@contextlib.asynccontextmanager
async def metered_limit(
    sandbox: Sandbox,
    ceiling_s: float,
    name: str,
    *,
    overtime_s: Callable[[], float] = lambda: 0.0,
) -> AsyncIterator[None]:
    """End the block with status `timeout` once the sandbox has used `ceiling_s` metered seconds.

    `overtime_s` is called when they are used up. It returns how many more seconds are allowed.
    """
    before_s, more_s = sandbox.metered_s(), functools.cache(overtime_s)

    def is_over() -> bool:
        used_s = sandbox.metered_s() - before_s
        return used_s > ceiling_s and used_s > ceiling_s + more_s()

    try:
        async with _cut_off(is_over, _METER_INTERVAL_S) as limit:
            yield
        if not is_over():  # the watcher polls: the last interval counts as well
            return
    except TimeoutError:
        if not limit.expired():  # another timeout's
            raise
    raise RunFailed("timeout", too_much(ceiling_s, name, by_clock=bool(sandbox.profile.card)))


@contextlib.asynccontextmanager
async def _cut_off(is_over: Callable[[], bool], every_s: float) -> AsyncIterator[asyncio.Timeout]:
    """End the `with` body with TimeoutError once `is_over` returns True; yield the timeout."""

    async def watch(limit: asyncio.Timeout) -> None:
        while not is_over():  # noqa: ASYNC110
            await asyncio.sleep(every_s)  # neither a clock nor a curve raises an event
        limit.reschedule(0)

    async with asyncio.timeout(None) as limit:
        watcher = asyncio.create_task(watch(limit))
        try:
            yield limit
        finally:
            if watcher.done():
                watcher.result()  # raises what `is_over` raised
            watcher.cancel()


def check_start(
    sandbox: Sandbox, used_s: float, ceiling_s: float, name: str, *, has_rows: bool
) -> None:
    """Raise SlowStart if a stage's start used more than its ceiling, or RunFailed if `has_rows`."""
    if used_s > ceiling_s:
        failure = RunFailed if has_rows else SlowStart
        raise failure("timeout", too_much(ceiling_s, name, by_clock=bool(sandbox.profile.card)))


def too_much(ceiling_s: float, name: str, *, by_clock: bool) -> str:
    """Return the message about a stage that used more than its ceiling."""
    unit = "seconds" if by_clock else "CPU seconds"
    return f"{name} used more than {ceiling_s:.2f} {unit}, the task's ceiling here"


@contextlib.asynccontextmanager
async def held() -> AsyncIterator[None]:
    """Delay the end of the `with` body to the next of a few time steps, even after an error.

    A script that sees secret text can choose when it ends, and so leak bits of that text. Without
    steps, the run's figures, its record's time and the next run's start would reveal that time. The
    steps grow by 2 ** ¼ from a quarter of a second on. There are 37 up to a serving script's
    wall-clock limit, which is 5.2 bits, and they make a stage 9 % longer on average.
    """
    began_s = time.monotonic()
    try:
        yield
    except asyncio.CancelledError:  # the node ends: nothing is published
        raise
    except BaseException:
        await _until_next_step(began_s)
        raise
    await _until_next_step(began_s)


async def _until_next_step(began_s: float) -> None:
    lasted_s = time.monotonic() - began_s
    await asyncio.sleep(next_step_s(lasted_s) - lasted_s)


def next_step_s(lasted_s: float) -> float:
    """Return the first of the fixed reporting times that is at or after `lasted_s`, in seconds."""
    steps = math.ceil(_STEPS_PER_DOUBLING * math.log2(max(lasted_s, _FIRST_STEP_S) / _FIRST_STEP_S))
    return float(max(lasted_s, _FIRST_STEP_S * 2 ** (steps / _STEPS_PER_DOUBLING)))


async def restarted(stage: Callable[[], Awaitable[T]]) -> T:
    """Run a stage that serves a model; run it again in a fresh sandbox if it started too slowly.

    After three starts that are too slow, raise SlowStart. Each start gets the same weights and is
    ended before it has seen a row, so a restart cannot select a better result.
    """
    for _ in range(_STARTS - 1):
        with contextlib.suppress(SlowStart):
            return await stage()
    return await stage()
