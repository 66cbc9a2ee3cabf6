"""A process of the node's that speaks to a network: started in its profile, heard on stderr, ended
in any case. What is said over its channel is whoever's who starts it.

It runs no stranger's code, so it also runs where there is no sandbox, with a warning. Arguments
and environment hold nothing of the node; all it learns comes over the channel.
"""

import asyncio
import contextlib
import logging
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

from node.processes.programs import BARE, program_command
from protocol.errors import SafetyError
from trainer.sandbox.fence import fenced

# With its channel closed it parts from its peers, then ends by itself.
PARTING_S: Final = 2.0
TERMINATION_S: Final = 1.0
LINES_PER_MINUTE: Final = 30
LINE_LIMIT: Final = 300  # characters
_log = logging.getLogger(__name__)


class Closable(Protocol):
    """One end of a socket."""

    def close(self) -> None:
        """End it now."""
        ...


C = TypeVar("C", bound=Closable)


@dataclass(frozen=True, slots=True)
class Child(Generic[C]):
    """A process that runs, and the channel to it."""

    process: asyncio.subprocess.Process
    channel: C


def child_command(program: str, hidden: Sequence[Path]) -> list[str]:
    """Return the command of a module's `main` without sight of `hidden`. Tries the sandbox."""
    return without_sight(program_command(program), hidden, "the network process")


def without_sight(command: list[str], hidden: Sequence[Path], who: str) -> list[str]:
    """Return a command without sight of `hidden`; where there is no sandbox, as it is."""
    try:
        return fenced(command, hidden=hidden, is_networked=True)
    except SafetyError as fault:
        _warn_once(f"{who} sees the node's home: {fault.message} ({fault.hint})")
        return command


@asynccontextmanager
async def running_child(
    command: Sequence[str], over: Callable[[socket.socket], Awaitable[C]]
) -> AsyncIterator[Child[C]]:
    """Yield a child; afterwards it has ended, within seconds and whatever its state.

    `over` makes a channel of our end of the socket that is its standard input.

    Raises:
        OSError: it cannot be started.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        channel = await over(ours)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                cwd="/",
                env=BARE,
                start_new_session=True,  # an interrupt at the terminal is for the core
            )
        except BaseException:
            channel.close()
            raise
    lines = asyncio.create_task(_pass_on_lines(process.stderr))
    try:
        yield Child(process, channel)
    finally:
        channel.close()
        try:
            await _end(process)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            # What it said last is most of why it died.
            await asyncio.wait([lines], timeout=TERMINATION_S)
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


async def _pass_on_lines(stderr: asyncio.StreamReader | None) -> None:
    """Log what the child writes to stderr: short lines, not too many; the rest is counted."""
    budget = LineBudget()
    rest = ""
    while stderr is not None and (data := await stderr.read(4096)):
        *lines, rest = (rest + data.decode("utf-8", "replace")).split("\n")
        rest = rest[-LINE_LIMIT:]
        for line in lines:
            if budget.allows(time.monotonic()):
                _log.warning("%s", printable(line))
    if rest:
        _log.warning("%s", printable(rest))


class LineBudget:
    """How many lines may be written in each minute. Pure: the clock is passed in."""

    def __init__(self, per_minute: int = LINES_PER_MINUTE) -> None:
        self._per_minute = per_minute
        self._since = float("-inf")
        self._count = 0

    def allows(self, now: float) -> bool:
        """Count a line, and tell whether it is to be written."""
        if now - self._since >= 60:
            if self._count > self._per_minute:
                _log.warning("%d more lines were not written", self._count - self._per_minute)
            self._since, self._count = now, 0
        self._count += 1
        return self._count <= self._per_minute


def printable(line: str) -> str:
    """Return what of a line may go to a terminal."""
    return re.sub(r"[^\x20-\x7e]+", " ", line)[:LINE_LIMIT]


_warned: set[str] = set()


def _warn_once(text: str) -> None:
    if text not in _warned:
        _warned.add(text)
        _log.warning("%s", text)
