"""Verifies many signatures in a process beside, so that a newcomer uses a second processor.

An Ed25519 signature takes 0.13 ms, as much as all else about a new record, and holds Python's
lock. The process is started for the first large batch and ended when there was none for a while;
its pipe ends it with the core. What it does not answer is verified here.

    question = length + msgpack [[public, message, signature], …]
    answer   = a byte for each, 1 if it holds
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgpack

from node.network.messages import LENGTH, encode_message
from node.peering.programs import BARE, program_command
from protocol.keys import Signature

MANY: Final = 32  # signatures: fewer are verified here, in a few milliseconds
IDLE_S: Final = 30.0
ANSWERED_WITHIN_S: Final = 30.0
_log = logging.getLogger(__name__)


class Verifier:
    """Tells which signatures hold."""

    def __init__(self, *, processors: int | None = None) -> None:
        """`processors`: how many there are; those that this process may use unless told."""
        self._has_other = (processors or len(os.sched_getaffinity(0))) > 1
        self._child: _Child | None = None
        self._turn = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def verdicts(self, signatures: Sequence[Signature]) -> list[bool]:
        """Tell of each signature whether it holds."""
        if self._has_other and len(signatures) >= MANY:
            try:
                async with asyncio.timeout(ANSWERED_WITHIN_S):
                    return await (await self._running()).ask(signatures)
            except (OSError, EOFError, TimeoutError) as fault:
                _log.warning("signatures are verified here: no process does it (%r)", fault)
                self._has_other = False
                self._retire()
        return [one.holds() for one in signatures]

    async def aclose(self) -> None:
        """End the process, if there is one; the next large batch starts another."""
        self._retire()
        await asyncio.gather(*self._ending)

    def _retire(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self._child is not None:
            end = asyncio.create_task(self._child.end())
            self._ending.add(end)
            end.add_done_callback(self._ending.discard)
            self._child = None

    async def _running(self) -> "_Child":
        async with self._turn:
            if self._child is None:
                self._child = await _Child.start()
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._retire)
        return self._child


class _Child:
    """The process, its answers in the order of the questions."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None  # noqa: S101 (as it is started)
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._questions, self._answers = process.stdin, process.stdout
        self._waiting: deque[tuple[int, asyncio.Future[list[bool]]]] = deque()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls) -> "_Child":
        process = await asyncio.create_subprocess_exec(
            *program_command("node.peering.verifying"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd="/",
            env=BARE,
            start_new_session=True,  # an interrupt at the terminal is for the core
        )
        return cls(process)

    async def ask(self, signatures: Sequence[Signature]) -> list[bool]:
        if self._reading.done():
            raise EOFError("it has ended")
        told: asyncio.Future[list[bool]] = asyncio.get_running_loop().create_future()
        self._waiting.append((len(signatures), told))
        data = encode_message([[*one] for one in signatures])
        self._questions.write(LENGTH.pack(len(data)) + data)
        await self._questions.drain()
        return await told

    async def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        try:
            while first := await self._answers.read(1):
                count, told = self._waiting[0]
                answer = first + await self._answers.readexactly(count - 1)
                self._waiting.popleft()
                if not told.done():  # else nobody waits any more
                    told.set_result([byte == 1 for byte in answer])
        except (OSError, EOFError) as fault:
            _log.debug("the verifying process: %r", fault)
        finally:
            for _, told in self._waiting:
                if not told.done():
                    told.set_exception(EOFError("it has ended"))


def main() -> None:
    """Answer questions on standard input until it ends."""
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    while head := questions.read(LENGTH.size):
        (size,) = LENGTH.unpack(head)
        asked: list[list[bytes]] = msgpack.unpackb(questions.read(size))
        answers.write(bytes(Signature(*one).holds() for one in asked))
        answers.flush()
