"""Runs without walls, for proofs that need thousands of runs of sources that are our own.

A run is the production runner's: the harness, the data by descriptor, scoring in a fresh process,
ceilings in CPU seconds. Only its processes fork from one that has imported torch already instead of
importing it behind walls, which would be three quarters of the work. Never for others' code.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from unittest import mock

from tools.paths import ROOT
from trainer.host.processes import family_of
from trainer.language_model.harness import boot
from trainer.sandbox import sandbox
from trainer.sandbox.enclosure import Enclosure
from trainer.sandbox.profile import Profile

_MOST_BYTES = 4096


@contextmanager
def forked_runs() -> Iterator[None]:
    """Until the end, what would start a sandbox forks from a warm process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tools.soak.warm", str(theirs.fileno())]
    environment = {"PATH": os.defpath, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with (
        ours,
        theirs,
        subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[theirs.fileno()]) as warm,
        mock.patch.object(sandbox, "enclose", lambda profile: _Fork(profile, ours)),
    ):
        try:
            yield
        finally:
            warm.terminate()


class _Fork(Enclosure):
    """No walls: a process in a folder of its own."""

    def __init__(self, profile: Profile, warm: socket.socket) -> None:
        super().__init__(profile)
        self._warm = warm
        self._folder = Path(tempfile.mkdtemp(prefix="arnode-fork-"))
        self._process: _Process | None = None

    async def start(self, channel: int) -> asyncio.subprocess.Process:
        """Fork it."""
        output, theirs = os.pipe()
        asked = f"{self.profile.role} {self._folder}".encode()
        socket.send_fds(self._warm, [asked], [channel, theirs])
        os.close(theirs)
        pid = int(self._warm.recv(_MOST_BYTES))
        stream = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(output, "rb", 0)
        )
        self._process = _Process(pid, stream)
        # It has what the sandbox reads of a process.
        return cast("asyncio.subprocess.Process", self._process)

    def attach(self, pid: int) -> None:
        """Nothing to note: it is the one that was forked."""

    def kill(self) -> None:
        """Kill it; a task with a budget of tokens has no children."""
        if self._process is not None:
            for pid in family_of(self._process.pid):
                os.kill(pid, signal.SIGKILL)

    async def emptied(self) -> None:
        """Wait for its end and clear its folder."""
        if self._process is not None:
            await self._process.wait()
        shutil.rmtree(self._folder)

    def is_overfull(self) -> bool:
        """Our own sources write nothing."""
        return False


class _Process:
    """A process that is another one's child, seen through its pidfd."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._descriptor = os.pidfd_open(pid)
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._descriptor, self._end)

    async def wait(self) -> int:
        """Return 0 at its end: how it ended only its parent knows."""
        await self._ended.wait()
        return 0

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self.returncode = 0
        self._ended.set()


def _serve(asked: socket.socket) -> None:
    """Import torch, then fork a process for every request until nobody asks any more."""
    boot._warm(with_optimiser=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, descriptors, _, _ = socket.recv_fds(asked, _MOST_BYTES, 2)
        if not request:
            return
        role, folder = request.decode().split(" ", 1)
        pid = os.fork()
        if pid == 0:
            asked.close()
            _become(role, folder, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        asked.send(str(pid).encode())


def _become(role: str, folder: str, channel: int, output: int) -> None:
    """Go on as a process that the harness's first program has warmed up."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(folder)
    sys.argv = ["boot", str(channel), role]
    with mock.patch.object(boot, "_warm"):
        boot.main()


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
