"""Requests over a channel to a process that may die, and the next process after it."""

import asyncio
import signal
import socket
import sys
from typing import NoReturn

import pytest

from node.processes import child
from node.processes.channel import Calls, ProcessChannel
from node.processes.child import ChildProgram, ended_after
from node.processes.supervisor import Supervisor
from protocol.errors import ArnodeError
from protocol.framing import ChannelError, Framing

FRAMING: Framing[bytes] = Framing(limit_bytes=8, encode=bytes, decode=bytes)
PROGRAM = ChildProgram(name="the echo", module="tests.nowhere", framing=FRAMING, hidden=None)
ECHO = "import os\nwhile data := os.read(0, 12): os.write(0, data)"


def test_an_answer_reaches_who_asked_and_one_that_comes_too_late_nobody() -> None:
    async def test() -> None:
        calls: Calls[str] = Calls()
        with calls.open() as (first, one), calls.open() as (second, other):
            assert first != second
            calls.answer(second, "two")
            calls.answer(second, "twice")
            calls.fail(first, ArnodeError("broken"))
            assert await other == "two"
            with pytest.raises(ArnodeError, match="broken"):
                await one
        calls.answer(first, "late")
        with calls.open() as (third, one):
            assert third not in (first, second)
            calls.fail_all(ChannelError("gone"))
            with pytest.raises(ChannelError, match="gone"):
                await one

    asyncio.run(test())


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("pass", "the echo died (the other end closed the connection)"),
        ("import os; os.write(0, b'\\xff' * 4); os.read(0, 1)", "the echo died (a frame of 42"),
        (ECHO, "enough"),
        (None, "the echo cannot be run: FileNotFoundError"),
    ],
)
def test_whatever_ends_a_process_the_next_one_starts_as_long_as_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, program: str | None, why: str
) -> None:
    command = ["/nowhere/python"] if program is None else [sys.executable, "-c", program]
    monkeypatch.setattr(ChildProgram, "command", lambda _: command)
    deaths: list[tuple[str, float]] = []

    async def live(channel: ProcessChannel[bytes]) -> NoReturn:
        await channel.send(b"12345678")
        assert await channel.receive() == b"12345678"
        raise ArnodeError("enough")

    def note(fault: ArnodeError, wait_s: float) -> bool:
        deaths.append((fault.message, wait_s))
        return len(deaths) < 2

    async def test() -> None:
        async with asyncio.timeout(60):
            await Supervisor(PROGRAM, live, on_death=note).run()

    asyncio.run(test())
    assert [wait_s for _, wait_s in deaths] == [0.5, 1.0]
    assert all(said.startswith(why) for said, _ in deaths), deaths


def test_one_whose_end_is_not_waited_for_has_ended_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ignores a closed channel and a request to end."""
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(1, flush=True)"
    )
    monkeypatch.setattr(child, "PARTING_S", 60.0)
    started: list[asyncio.subprocess.Process] = []

    async def test(is_ending: asyncio.Event) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", f"{deaf}; time.sleep(60)"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert await process.stdout.readline()
        started.append(process)
        ours, theirs = socket.socketpair()
        with theirs:
            async with ended_after(process, await ProcessChannel.over(ours, FRAMING)):
                is_ending.set()

    async def cancelled() -> None:
        is_ending = asyncio.Event()
        ending = asyncio.create_task(test(is_ending))
        await is_ending.wait()
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        assert started[0].returncode == -signal.SIGKILL

    asyncio.run(cancelled())


def test_one_that_is_stopped_ends_its_process_and_starts_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ChildProgram, "command", lambda _: [sys.executable, "-c", ECHO])

    async def test() -> None:
        channels: asyncio.Queue[ProcessChannel[bytes]] = asyncio.Queue()

        async def live(channel: ProcessChannel[bytes]) -> NoReturn:
            channels.put_nowait(channel)
            await asyncio.Event().wait()
            raise AssertionError("nobody set it")

        supervisor = Supervisor(PROGRAM, live, on_death=lambda *_: True)
        await supervisor.stop()
        supervisor.start()
        supervisor.start()
        channel = await channels.get()
        await supervisor.stop()
        assert channels.empty()
        with pytest.raises(ChannelError):
            await channel.receive()

    asyncio.run(test())
