"""Child processes of this process: the first process of a sandbox or of a zygote."""

import asyncio
import contextlib
import os
import subprocess
from typing import Final

from trainer.sandbox.backend import until_ready


def spawn(
    command: list[str],
    *,
    has_lifeline: bool,
    pass_fds: tuple[int, ...],
    stdout: int = subprocess.PIPE,
) -> "subprocess.Popen[bytes]":
    """Start a process with an empty environment.

    With `has_lifeline` its standard input is a pipe; the command must end when that is closed.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE if has_lifeline else subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        env={"PATH": os.defpath},
        cwd="/",
        start_new_session=True,  # a terminal's Ctrl-C is for the node, not for its runs
        pass_fds=pass_fds,
    )


class SpawnedProcess:
    """A child process with its output, and some of the methods of `asyncio.subprocess.Process`.

    While asyncio starts a process, other tasks run, and a caller that is cancelled then loses the
    process. Here the caller has the process before any other task runs.
    """

    peak_bytes: Final = 0  # unknown: the kernel's figure includes this process's own memory
    written_bytes: Final = 0  # unknown as well: it is read only while the process exists
    pages_read: Final = 0  # unknown as well

    def __init__(self, process: "subprocess.Popen[bytes]", stdout: asyncio.StreamReader) -> None:
        self.pid = process.pid
        self.stdout = stdout
        self._process = process
        self._ended = asyncio.create_task(self._until_ended())

    @classmethod
    async def start(
        cls, command: list[str], *, has_lifeline: bool, pass_fds: tuple[int, ...]
    ) -> "SpawnedProcess":
        """Start a process. Raises FileNotFoundError if there is no such program."""
        output, printed = os.pipe()
        stdout = asyncio.StreamReader()
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, printed)
            reading, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(stdout), os.fdopen(output, "rb")
            )
            kept = stack.enter_context(contextlib.ExitStack())
            kept.callback(reading.close)
            process = spawn(command, has_lifeline=has_lifeline, pass_fds=pass_fds, stdout=printed)
            kept.pop_all()
            return cls(process, stdout)

    @property
    def returncode(self) -> int | None:
        """The exit status, as in `subprocess`; None while it runs."""
        return self._process.returncode

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()

    def let_go(self) -> None:
        """Close the lifeline, if there is one."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def wait(self) -> int:
        """Wait until it has ended; return its exit status."""
        return await asyncio.shield(self._ended)

    async def _until_ended(self) -> int:
        pidfd = os.pidfd_open(self.pid)
        try:
            await until_ready(pidfd)
        finally:
            os.close(pidfd)
        self.let_go()
        return self._process.wait()
