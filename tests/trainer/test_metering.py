"""Resource ceilings that hold, and the reason that a sandbox ended."""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Literal, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.runs import MAX_REASON
from trainer.language_model.harness import HARNESS
from trainer.measuring.metering import (
    RunFailed,
    SlowStart,
    check_start,
    held,
    metered_limit,
    next_step_s,
    restarted,
    stage,
    wall_limit,
)
from trainer.sandbox.frames import ForgedFrame, SandboxEnded
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import End, Sandbox


class Clocked:
    """A stand-in for a sandbox whose CPU clock the test sets."""

    def __init__(self, *readings_s: float) -> None:
        self.readings_s = list(readings_s)
        self.end: End | None = None
        self.output = ""
        self.ran_out_of_memory = False
        self.keeps_output = True
        self.profile = Profile(
            role="train", harness=HARNESS, memory_bytes=700 << 20, scratch_bytes=1
        )

    def metered_s(self) -> float:
        return self.readings_s.pop(0) if len(self.readings_s) > 1 else self.readings_s[0]

    def output_tail(self) -> str:
        return self.output

    async def settled(self) -> None:
        return


def as_sandbox(clocked: Clocked) -> Sandbox:
    return cast("Sandbox", clocked)


def test_the_cpu_ceiling_ends_a_block_that_never_would() -> None:
    async def block() -> None:
        async with metered_limit(as_sandbox(Clocked(5.0, 5.5, 6.0, 7.0)), 1.0, "training"):
            await asyncio.Event().wait()

    with pytest.raises(RunFailed, match=r"training used more than 1\.00 CPU seconds") as failed:
        asyncio.run(block())
    assert failed.value.status == "timeout"


def test_what_was_used_since_the_last_poll_counts() -> None:
    async def block() -> None:
        clocked = Clocked(5.0)
        async with metered_limit(as_sandbox(clocked), 1.0, "training"):
            clocked.readings_s = [6.0 + 0.01]

    with pytest.raises(RunFailed):
        asyncio.run(block())


def test_just_below_the_ceiling_is_no_failure() -> None:
    async def block() -> None:
        clocked = Clocked(5.0)
        async with metered_limit(as_sandbox(clocked), 1.0, "training"):
            clocked.readings_s = [6.0 - 0.01]
            await asyncio.sleep(0)
        async with metered_limit(as_sandbox(Clocked(0.0, 1e9)), math.inf, "training"):
            await asyncio.sleep(0)

    asyncio.run(block())


def test_a_time_out_of_somebody_else_is_no_ceiling_that_was_met() -> None:
    async def block() -> None:
        async with metered_limit(as_sandbox(Clocked(0.0)), 1.0, "training"):
            raise TimeoutError("a disk that does not answer")

    with pytest.raises(TimeoutError, match="a disk"):
        asyncio.run(block())


def test_overtime_is_asked_for_once_and_ends(with_overtime: Callable[..., None]) -> None:
    with_overtime(used_s=2.9, overtime_s=[2.0], asked=1)
    with pytest.raises(RunFailed, match=r"more than 1\.00 CPU seconds"):
        with_overtime(used_s=3.1, overtime_s=[2.0], asked=1)
    with pytest.raises(RunFailed, match=r"more than 1\.00 CPU seconds"):
        with_overtime(used_s=1.1, overtime_s=[0.0], asked=1)
    with_overtime(used_s=0.9, overtime_s=[], asked=0)


@pytest.fixture
def with_overtime() -> Callable[..., None]:
    def check(*, used_s: float, overtime_s: list[float], asked: int) -> None:
        count = len(overtime_s)

        async def block() -> None:
            clocked = Clocked(5.0)
            async with metered_limit(
                as_sandbox(clocked), 1.0, "training", overtime_s=overtime_s.pop
            ):
                clocked.readings_s = [5.0 + used_s]
                await asyncio.sleep(0)

        try:
            asyncio.run(block())
        finally:
            assert count - len(overtime_s) == asked

    return check


@pytest.mark.parametrize(("has_rows", "failure"), [(False, SlowStart), (True, RunFailed)])
def test_a_start_has_a_ceiling_of_its_own(has_rows: bool, failure: type[RunFailed]) -> None:
    sandbox = as_sandbox(Clocked(0.0))
    check_start(sandbox, 0.2, 0.2, "the start of scoring", has_rows=has_rows)
    with pytest.raises(RunFailed, match=r"the start of scoring used more than 0\.20 CPU") as failed:
        check_start(sandbox, 0.21, 0.2, "the start of scoring", has_rows=has_rows)
    assert type(failed.value) is failure


def test_only_what_saw_no_row_starts_again() -> None:
    async def started(*failures: RunFailed) -> int:
        left, starts = list(failures), 0

        async def stage() -> None:
            nonlocal starts
            starts += 1
            if left:
                raise left.pop(0)

        with contextlib.suppress(RunFailed):
            await restarted(stage)
        return starts

    slow, over = SlowStart("timeout", "x"), RunFailed("timeout", "x")
    assert asyncio.run(started()) == 1
    assert asyncio.run(started(slow, slow)) == 3
    assert asyncio.run(started(slow, slow, slow, slow)) == 3
    assert asyncio.run(started(over)) == 1
    assert asyncio.run(started(slow, over, over)) == 2


def test_a_cancelled_run_stays_cancelled_inside_its_limits() -> None:
    async def limited() -> None:
        async with (
            wall_limit(60, "training"),
            metered_limit(as_sandbox(Clocked(0.0)), 1.0, "training"),
        ):
            await asyncio.Event().wait()

    async def block() -> None:
        task = asyncio.create_task(limited())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(block())


def test_both_limits_at_once_are_one_timeout() -> None:
    async def block() -> None:
        for _ in range(20):
            clocked = as_sandbox(Clocked(0.0, 9.0))
            with pytest.raises(RunFailed) as failed:
                async with wall_limit(0, "x"), metered_limit(clocked, 1.0, "x"):
                    await asyncio.Event().wait()
            assert failed.value.status == "timeout"
            await asyncio.sleep(0)  # the cancellation leaves nothing behind

    asyncio.run(block())


def test_the_wall_limit_is_by_our_clock() -> None:
    async def block() -> None:
        async with wall_limit(0.05, "scoring"):
            await asyncio.Event().wait()

    started_s = time.monotonic()
    with pytest.raises(RunFailed, match="scoring took more than 0 s"):
        asyncio.run(block())
    assert time.monotonic() - started_s < 5


@pytest.mark.parametrize(
    ("end", "output", "status", "reason"),
    [
        ("memory", "", "oom", "in training: more than the task's 700 MB of memory"),
        ("output", "spam", "crash", "in training: more output than allowed"),
        ("threads", "", "crash", "in training: more threads or processes than allowed"),
        (None, "a\n\nValueError: no\n \n", "crash", "in training: ValueError: no"),
        (None, "", "crash", "in training: ended without exporting weights"),
        ("killed", "", "crash", "in training: ended without exporting weights"),
        ("device", "of 8 GiB none is free", "oom", "in training: of 8 GiB none is free"),
    ],
)
def test_each_end_has_its_status(
    end: End | Literal["device"] | None, output: str, status: str, reason: str
) -> None:
    async def block() -> None:
        clocked = Clocked(0.0)
        clocked.output, clocked.ran_out_of_memory = output, end == "device"
        clocked.end = None if end == "device" else end
        async with stage(as_sandbox(clocked), "training"):
            raise SandboxEnded

    with pytest.raises(RunFailed) as failed:
        asyncio.run(block())
    assert (failed.value.status, failed.value.reason) == (status, reason)


def test_a_silent_end_before_scoring_brings_no_hint_to_export_weights() -> None:
    async def block() -> None:
        clocked = Clocked(0.0)
        clocked.profile = replace(clocked.profile, role="serve")
        async with stage(as_sandbox(clocked), "scoring"):
            raise SandboxEnded

    with pytest.raises(RunFailed) as failed:
        asyncio.run(block())
    assert failed.value.reason == "in scoring: ended before its model had answered any tokens"


def test_a_forged_frame_is_a_rejection() -> None:
    async def block() -> None:
        async with stage(as_sandbox(Clocked(0.0)), "scoring"):
            raise ForgedFrame("expected frame S, got b'\\x00'")

    with pytest.raises(RunFailed) as failed:
        asyncio.run(block())
    assert failed.value.status == "rejected"


@pytest.mark.parametrize(
    "said",
    [
        "\x1b[2J\x1b]0;owned\x07",
        "x" * 10_000,
        "a\rb\tc\x0bd\x85e",
        "\ud800",
        "e\u0301" * 300,
        "a\u202eb\u200bc",
    ],
)
def test_a_reason_is_one_line_whatever_was_printed(said: str) -> None:
    reason = RunFailed("crash", said).reason
    assert len(reason) <= MAX_REASON
    assert "\n" not in reason
    assert all(character.isprintable() for character in reason)


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (None, "crash"),
        ("output", "crash"),
        ("threads", "crash"),
        ("files", "crash"),
        ("killed", "crash"),
        ("memory", "oom"),
        ("device", "oom"),
    ],
)
def test_once_it_saw_secret_text_its_end_is_one_of_two_words(
    end: End | Literal["device"] | None, status: str
) -> None:
    """The program can choose how it ends, at which limit, and with which output."""
    words = {"crash": "it ended before it had answered everything"}
    words["oom"] = "it needed more memory than it may use"
    clocked = Clocked(0.0)
    clocked.keeps_output, clocked.output = False, "ValueError: 12 7 3"
    clocked.ran_out_of_memory = end == "device"
    clocked.end = None if end == "device" else end

    async def block() -> None:
        async with stage(as_sandbox(clocked), "scoring"):
            raise SandboxEnded

    with pytest.raises(RunFailed) as failed:
        asyncio.run(block())
    assert failed.value.status == status
    assert failed.value.reason == failed.value.unquoted == f"in scoring: {words[status]}"


def test_a_forged_frame_says_nothing_once_secret_text_was_seen() -> None:
    """The script chooses the frame's tag, which is five bytes, and its size, another eight."""
    clocked = Clocked(0.0)
    clocked.keeps_output = False

    async def block() -> None:
        async with stage(as_sandbox(clocked), "scoring"):
            raise ForgedFrame("a frame of 123456789 bytes where 4 are allowed")

    with pytest.raises(RunFailed) as failed:
        asyncio.run(block())
    assert failed.value.reason == "in scoring: a frame that the protocol of runs forbids"


@given(st.floats(0, 128))
def test_a_stage_lasts_one_of_few_steps(lasted_s: float) -> None:
    steps_s = [0.25 * 2 ** (number / 4) for number in range(37)]
    step_s = next_step_s(lasted_s)
    assert step_s >= lasted_s
    assert min(abs(step_s - one) for one in steps_s) < 1e-6
    assert step_s <= max(0.25, lasted_s * 2**0.25 + 1e-6)


@pytest.mark.parametrize("fails", [False, True])
def test_a_held_block_ends_with_a_step_however_it_ends(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    waited_s: list[float] = []

    async def sleep(seconds: float) -> None:
        waited_s.append(seconds)

    monkeypatch.setattr("trainer.measuring.metering.asyncio.sleep", sleep)
    clock = iter([10.0, 10.6])
    monkeypatch.setattr(
        "trainer.measuring.metering.time", SimpleNamespace(monotonic=lambda: next(clock))
    )

    async def block() -> None:
        async with held():
            if fails:
                raise RunFailed("crash", "now")

    if fails:
        with pytest.raises(RunFailed):
            asyncio.run(block())
    else:
        asyncio.run(block())
    assert waited_s == [pytest.approx(next_step_s(0.6) - 0.6)]
