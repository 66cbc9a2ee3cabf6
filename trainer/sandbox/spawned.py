"""A process that this one starts: the first of a sandbox, or of what sandboxes are forked from."""

import asyncio
import contextlib
import os
import subprocess
from typing import Final

from trainer.sandbox.enclosure import until_ready


def spawn(
    command: list[str],
    *,
    has_lifeline: bool,
    pass_fds: tuple[int, ...],
    stdout: int = subprocess.PIPE,
) -> "subprocess.Popen[bytes]":
    """Start one with an empty environment; it lives on its lifeline, where it has one."""
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
    """One with its output and its end, and what is used here of `asyncio.subprocess.Process`.

    That starts one while others run, and whoever is cancelled meanwhile is not told of it. This is
    had before anybody else's turn comes.
    """

    peak_bytes: Final = 0  # the kernel's figure holds what we held when it was started
    written_bytes: Final = 0  # likewise: it is asked while it is there
    pages_read: Final = 0  # likewise unknown

    def __init__(self, process: "subprocess.Popen[bytes]", stdout: asyncio.StreamReader) -> None:
        self.pid = process.pid
        self.stdout = stdout
        self._process = process
        self._ended = asyncio.create_task(self._until_ended())

    @classmethod
    async def start(
        cls, command: list[str], *, has_lifeline: bool, pass_fds: tuple[int, ...]
    ) -> "SpawnedProcess":
        """Start one. Raises FileNotFoundError where there is no such program."""
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
        """How it ended, as `subprocess` has it; None while it is there."""
        return self._process.returncode

    def kill(self) -> None:
        """End it."""
        self._process.kill()

    def let_go(self) -> None:
        """Close the lifeline, for one that lives on it."""
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
