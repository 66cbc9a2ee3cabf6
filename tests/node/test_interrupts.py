"""The first interrupt asks the work to end, the second ends it, a third does nothing."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from node.home.home import Home
from node.running.served import run_node
from node.terminal.interrupts import until_interrupted


def test_work_that_nobody_interrupts_comes_to_its_end() -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("done")

    assert asyncio.run(until_interrupted(work(), first=lambda: done.append("first"))) == 0
    assert done == ["done"]


def test_the_first_interrupt_is_reported_and_the_work_ends_by_itself() -> None:
    async def within() -> tuple[int, bool]:
        stopping = asyncio.Event()
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGTERM)
        async with asyncio.timeout(10):
            return await until_interrupted(_wait(stopping), first=stopping.set), stopping.is_set()

    assert asyncio.run(within()) == (1, True)


def test_the_second_interrupt_ends_it_at_once() -> None:
    reported: list[str] = []

    async def within() -> int:
        loop = asyncio.get_running_loop()
        for _ in range(2):
            loop.call_later(0.01, signal.raise_signal, signal.SIGINT)
        async with asyncio.timeout(10):
            return await until_interrupted(
                _wait(asyncio.Event()), first=lambda: reported.append("1")
            )

    assert asyncio.run(within()) == 2
    assert reported == ["1"]


def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(until_interrupted(work(), first=lambda: None))


@pytest.mark.parametrize(
    ("number", "stops_by"),
    [(signal.SIGINT, ["interrupt", "shown"]), (signal.SIGTERM, ["terminate"])],
)
def test_only_a_ctrl_c_is_answered_with_what_the_next_one_does(
    home: Home, number: signal.Signals, stops_by: list[str]
) -> None:
    done: list[str] = []

    async def within() -> None:
        stopping = asyncio.Event()

        def stops(how: str) -> Callable[[], None]:
            return lambda: (done.append(how), stopping.set())[-1]

        research = SimpleNamespace(
            run=stopping.wait, interrupt=stops("interrupt"), terminate=stops("terminate")
        )
        node = SimpleNamespace(home=home, research=research)
        asyncio.get_running_loop().call_later(0.01, signal.raise_signal, number)
        async with asyncio.timeout(10):
            await run_node(node, {}, on_interrupt=lambda: done.append("shown"))  # type: ignore[arg-type]

    home.prepare()
    asyncio.run(within())
    assert done == stops_by


_SIGNALLED_AT_AN_IMPORT = """
import atexit, os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)
moment, number, *words = sys.argv[1:]


def interrupt():
    os.kill(os.getpid(), int(number))


class Finder:
    def find_spec(self, name, *_):
        if name == moment:
            interrupt()


if moment == "exit":
    atexit.register(interrupt)
sys.meta_path.insert(0, Finder())
sys.argv = ["arnode", *words]
from node.__main__ import main
main()
"""


def _signalled(moment: str, number: signal.Signals, *words: str) -> tuple[int, str]:
    """Run a command that gets a signal at the import of a module or at its exit."""
    program = [sys.executable, "-c", _SIGNALLED_AT_AN_IMPORT, moment, str(int(number)), *words]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip()


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("node.commands.signals", signal.SIGINT),  # the first module
        ("node.commands.cli", signal.SIGTERM),
        ("node.commands.history", signal.SIGINT),  # the command's module
        ("node.commands.leaderboard", signal.SIGINT),  # other commands, for the hint
        ("node.commands.leaderboard", signal.SIGTERM),
    ],
)
def test_an_interrupt_at_any_moment_is_one_line(moment: str, number: signal.Signals) -> None:
    assert _signalled(moment, number, "log", "--nope") == (130, "arnode: interrupted")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_of_the_exit_prints_nothing(number: signal.Signals) -> None:
    assert _signalled("exit", number, "--version") == (-number, "")


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
