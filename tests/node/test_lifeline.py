"""A process on a lifeline ends with its holder, and so do its children."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.processes.lifeline import Lifeline, remove_left, temporary_folder

ROOT = Path(__file__).parents[2]
# Deaf to being asked, like its own child in a session of its own. Both hold the standard output.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if not os.fork():
    os.setsid()
    print("at work", flush=True)
while True:
    time.sleep(1000)
"""
STARTER = """
import asyncio, os, sys
from node.processes.lifeline import Lifeline, temporary_folder
async def main(root):
    command = [sys.executable, "-c", sys.argv[1]]
    process = await Lifeline(root).start(command, env=dict(os.environ), stdout=1, stderr=2)
    await process.wait()
with temporary_folder() as root:
    (root / "work").mkdir()
    if sys.argv[1]:
        asyncio.run(main(root))
    print("begun", flush=True)
    sys.stdin.read()
"""


def starter(parent: Path, program: str) -> "subprocess.Popen[str]":
    """A process with a temporary folder; its output ends when all that it started has ended."""
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, program],
        env={**os.environ, "TMPDIR": str(parent)},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def started(lifeline: Lifeline, program: str) -> asyncio.subprocess.Process:
    """A Python program on a lifeline."""
    return await lifeline.start(
        [sys.executable, "-c", program],
        env=dict(os.environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=None,
    )


@pytest.mark.timeout(60)
def test_nobody_and_no_folder_is_left_when_the_starter_is_killed(tmp_path: Path) -> None:
    with starter(tmp_path, STUBBORN) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.kill()
        assert process.stdout.read() == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(60)
def test_a_killed_guard_takes_its_command_with_it() -> None:
    async def run() -> None:
        process = await started(Lifeline(), "print(1, flush=True); import time; time.sleep(1000)")
        assert process.stdout is not None
        assert await process.stdout.readline() == b"1\n"
        process.kill()
        assert await process.stdout.read() == b""
        await process.wait()

    asyncio.run(run())


@pytest.mark.timeout(60)
def test_a_command_is_asked_before_it_is_killed() -> None:
    program = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7));"
        "print(1, flush=True); signal.pause()"
    )

    async def run() -> int:
        lifeline = Lifeline()
        process = await started(lifeline, program)
        assert process.stdout is not None
        await process.stdout.readline()
        lifeline.cut()
        return await process.wait()

    assert asyncio.run(run()) == 7


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("raise SystemExit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", 128 + signal.SIGKILL),
        ("import os; os._exit(0) if os.fork() else os.setsid(); import time; time.sleep(1e4)", 0),
    ],
    ids=["its code", "a signal", "with a child left"],
)
@pytest.mark.timeout(60)
def test_a_guard_ends_as_its_command_did(program: str, code: int) -> None:
    async def run() -> tuple[int, bytes]:
        lifeline = Lifeline()
        process = await started(lifeline, program)
        assert process.stdout is not None
        said = await process.stdout.read()  # nobody who holds it is left
        found = await process.wait()
        lifeline.cut()
        return found, said

    assert asyncio.run(run()) == (code, b"")


def test_a_folder_that_nobody_uses_any_more_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    target = tmp_path / "else"
    target.mkdir()
    (tmp_path / "arnode-demo-link").symlink_to(target)
    (tmp_path / "arnode-demo-file").touch()
    others = set(tmp_path.iterdir())
    with starter(tmp_path, "") as ended, starter(tmp_path, "") as alive:
        for one in (ended, alive):
            assert one.stdout is not None
            assert one.stdout.readline() == "begun\n"
        assert len(set(tmp_path.iterdir()) - others) == 2
        ended.kill()
        ended.wait()
        assert len(set(tmp_path.iterdir()) - others) == 2
        with temporary_folder() as own:
            remove_left(tmp_path)
            in_use = set(tmp_path.iterdir()) - others
            assert own in in_use
            assert len(in_use) == 2
        assert own not in set(tmp_path.iterdir())
        alive.communicate("")
    assert set(tmp_path.iterdir()) == others
