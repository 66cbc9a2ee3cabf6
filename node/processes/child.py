"""The node's own programs that run as child processes, each with its own sandbox settings.

The node talks to them over a channel, logs what they write to stderr, and always ends them. They
run no untrusted code, so they also run where there is no sandbox, with a warning. Arguments and
environment contain nothing about the node. A program gets all data over its channel, which is its
standard input. The channel closes when the core ends, for whatever reason.
"""

import asyncio
import contextlib
import functools
import logging
import os
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from node.processes.channel import ProcessChannel
from protocol.errors import SafetyError
from protocol.framing import Framing
from trainer.host.interpreter import program_command
from trainer.sandbox.masked_home import with_masked_home

# After its channel closes, the process disconnects from its peers and ends by itself.
PARTING_S: Final = 2.0
TERMINATION_S: Final = 1.0
LINES_PER_MINUTE: Final = 30
LINE_LIMIT: Final = 300  # characters
_log = logging.getLogger(__name__)
M = TypeVar("M")
BARE: Final = {"PATH": os.defpath}  # an environment without data about the node


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildProgram(Generic[M]):
    """A program that runs as a child process, and the messages it exchanges with the node.

    `name`: its name in messages, such as "the network process". `module`: the module whose `main`
    it runs. `framing`: the framing of messages in both directions. `hidden`: folders that it must
    not see, the node's home first; None runs it without a sandbox, with all rights of the user. A
    sandboxed process cannot write files. `is_networked`: a sandboxed process may open sockets.
    `is_cached`: without a sandbox, Python may write bytecode files.
    """

    name: str
    module: str
    framing: Framing[M]
    hidden: tuple[Path, ...] | None
    is_networked: bool = True
    is_cached: bool = False

    def command(self) -> list[str]:
        """Return the command that runs the program. This may first test the sandbox (slow)."""
        command = program_command(self.module, flags=() if self.is_cached else ("-B",))
        if self.hidden is None:
            return command
        try:
            return with_masked_home(command, hidden=self.hidden, is_networked=self.is_networked)
        except SafetyError as fault:
            _warn_once(f"{self.name} can read the node's home: {fault.message} ({fault.hint})")
            return command

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ProcessChannel[M]]:
        """Run a process during a block, and yield the channel to it.

        After the block, the process ends within seconds, even if the block was cancelled. First its
        channel is closed, then it gets SIGTERM, then SIGKILL.

        Raises:
            OSError: the process cannot be started.
        """
        command = await asyncio.to_thread(self.command)
        ours, theirs = socket.socketpair()
        with theirs:
            channel = await ProcessChannel.over(ours, self.framing)
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=theirs.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.PIPE,
                    cwd="/",
                    env=BARE,
                    start_new_session=True,  # Ctrl-C at the terminal must reach only the core
                )
            except BaseException:
                channel.close()
                raise
        async with ended_after(process, channel):
            yield channel


@asynccontextmanager
async def ended_after(
    process: asyncio.subprocess.Process, channel: ProcessChannel[M], *, whose: str = ""
) -> AsyncIterator[None]:
    """Make sure that a process has ended after the block, and log what it writes to stderr.

    `channel` connects to the process; `whose` is the prefix of its lines in the log.
    """
    lines = asyncio.create_task(_pass_on_lines(process.stderr, whose=whose))
    try:
        yield
    finally:
        channel.close()
        try:
            await _end(process)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            # The process's last lines most likely say why it died.
            ended = asyncio.create_task(process.wait())
            await asyncio.wait([lines, ended], timeout=TERMINATION_S)
            lines.cancel()


async def _end(process: asyncio.subprocess.Process) -> None:
    for signal_it, patience_s in ((None, PARTING_S), (process.terminate, TERMINATION_S)):
        if signal_it is not None:
            with contextlib.suppress(ProcessLookupError):
                signal_it()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await process.wait()
                return
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _pass_on_lines(stderr: asyncio.StreamReader | None, *, whose: str = "") -> None:
    """Log the text that a child writes to stderr, prefixed with `whose`.

    Lines are shortened. Lines beyond the budget are only counted.
    """
    budget = LineBudget()
    rest = ""
    while stderr is not None and (data := await stderr.read(4096)):
        *lines, rest = (rest + data.decode("utf-8", "replace")).split("\n")
        rest = rest[-LINE_LIMIT:]
        for line in lines:
            if budget.allows(time.monotonic()):
                _log.warning("%s%s", whose, printable(line))
    if rest:
        _log.warning("%s%s", whose, printable(rest))


class LineBudget:
    """A limit on log lines per minute. The caller passes the time."""

    def __init__(self, per_minute: int = LINES_PER_MINUTE) -> None:
        self._per_minute = per_minute
        self._since = float("-inf")
        self._count = 0

    def allows(self, now: float) -> bool:
        """Count a log line; return True if it may be written."""
        if now - self._since >= 60:
            if self._count > self._per_minute:
                _log.warning("%d more lines were not written", self._count - self._per_minute)
            self._since, self._count = now, 0
        self._count += 1
        return self._count <= self._per_minute


def printable(line: str) -> str:
    """Return a line cut to `LINE_LIMIT`, with unprintable characters replaced by spaces."""
    return re.sub(r"[^\x20-\x7e]+", " ", line)[:LINE_LIMIT]


@functools.cache
def _warn_once(text: str) -> None:
    _log.warning("%s", text)
