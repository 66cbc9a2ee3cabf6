"""The JavaScript side as the tests run it: packages, and programs that talk in lines of JSON."""

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final

import pytest
import trio

from tests.installing import installed_once, run_or_skip

FOLDER: Final = Path(__file__).parent
INSTALLED: Final = FOLDER.parents[1] / "build" / "interop"
OLDEST_NODE: Final = 20
ASK_S: Final = 20
INSTALL_S: Final = 120


@cache
def node_program() -> str:
    """Return where a fitting Node is, or skip the test."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("there is no Node.js")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    major = re.match(r"v(\d+)\.", version.stdout)
    if major is None or int(major[1]) < OLDEST_NODE:
        pytest.skip(f"Node.js {version.stdout.strip()} is older than {OLDEST_NODE}")
    return program


@cache
def packages() -> Path:
    """Return the folder with the packages of the lock file, installed once, or skip the test."""
    node_program()
    lock = (FOLDER / "package-lock.json").read_bytes()
    installed = INSTALLED / hashlib.sha256(lock).hexdigest()[:16]
    return installed_once(installed, _install) / "node_modules"


def _install(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(FOLDER / name, folder)
    # A registry that never answers keeps an installation waiting for all of its time, so that one
    # package is asked for first.
    _npm(folder, ASK_S, "view", "libp2p", "version")
    # No scripts: what is downloaded runs nowhere but in the peer.
    _npm(folder, INSTALL_S, "ci", "--ignore-scripts", "--no-audit", "--no-fund")


def _npm(folder: Path, patience_s: float, *arguments: str) -> None:
    program = shutil.which("npm")
    if program is None:
        pytest.skip("there is no npm to install js-libp2p with")
    command = [program, *arguments, "--prefer-offline"]
    run_or_skip(command, patience_s, "js-libp2p", folder)


class Program:
    """A running program."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._received = b""

    async def send(self, **values: object) -> None:
        """Write one line."""
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps(values).encode() + b"\n")

    async def receive(self) -> dict[str, Any]:
        """Return the next line; an end without one is a failure."""
        assert self._process.stdout is not None
        while b"\n" not in self._received:
            chunk = await self._process.stdout.receive_some()
            assert chunk, "the program ended too early"
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said

    async def fact(self, name: str) -> dict[str, Any]:
        """Return the next line, which is to state this fact."""
        said = await self.receive()
        assert said.pop("fact") == name, said
        return said


@asynccontextmanager
async def program(folder: Path, *arguments: str) -> AsyncIterator[Program]:
    """Yield a program of a folder, which is to end by itself and without a fault.

    Its stderr is the test's: pytest shows it if that fails.
    """
    command = [node_program(), *arguments]
    start = partial(trio.run_process, command, cwd=folder, stdin=PIPE, stdout=PIPE)
    async with trio.open_nursery() as nursery:
        process = await nursery.start(start)
        yield Program(process)
