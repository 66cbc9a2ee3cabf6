"""Reads many records in a process beside, so that a newcomer uses a second processor.

To read a record and verify its signatures takes 0.2 ms and holds Python's lock; to store it takes
half as long. The process is started for the first large batch and ended when there was none for a
while; its pipe ends it with the core. What it does not answer is read here.

    question = length + msgpack [[manifest that was not told yet, …], [wire, …]]
    answer   = length + msgpack [an extract but for its wire, or the reason why it is none, …]
"""

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgpack

from node.network.messages import LENGTH
from node.processes.programs import BARE, program_command
from node.store.extracts import Extract, extract
from protocol.encoding import decode
from protocol.errors import Rejected
from protocol.manifest import TaskManifest

MANY: Final = 32  # records: fewer are read here, in a few milliseconds
IDLE_S: Final = 30.0
ANSWERED_WITHIN_S: Final = 30.0
_READ_AT_ONCE = 64  # here: 15 ms of the event loop
# A page's answer at once: for each part of it the thread would wait for its turn at Python's lock.
_PIPE_BYTES = 256 << 10
_log = logging.getLogger(__name__)

Read = list[Extract | Rejected]


class Reader:
    """Reads records as `extract` does, large batches in a process beside."""

    def __init__(self, *, processors: int | None = None) -> None:
        """`processors`: how many there are; those that this process may use unless told."""
        self._has_other = (processors or len(os.sched_getaffinity(0))) > 1
        self._child: _Child | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def read(self, wires: Sequence[bytes], tasks: Mapping[bytes, TaskManifest]) -> Read:
        """Return the extract of each record, or why it is none; `tasks` are those known, by id."""
        if self._has_other and len(wires) >= MANY:
            try:
                async with asyncio.timeout(ANSWERED_WITHIN_S):
                    return await self._running().ask(wires, tasks)
            except (OSError, EOFError, TimeoutError) as fault:
                _log.warning("records are read here: no process does it (%r)", fault)
                self._has_other = False
                self._retire()
        read: Read = []
        for start in range(0, len(wires), _READ_AT_ONCE):
            read += [extract(wire, tasks.get) for wire in wires[start : start + _READ_AT_ONCE]]
            await asyncio.sleep(0)
        return read

    async def aclose(self) -> None:
        """End the process, if there is one; the next large batch starts another."""
        self._retire()
        await asyncio.gather(*self._ending)

    def _retire(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self._child is not None:
            end = asyncio.create_task(asyncio.to_thread(self._child.end))
            self._ending.add(end)
            end.add_done_callback(self._ending.discard)
            self._child = None

    def _running(self) -> "_Child":
        if self._child is None:
            self._child = _Child()
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._retire)
        return self._child


class _Child:
    """The process, and a thread that waits for it: it is asked the next thing while the event loop
    stores the last.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            program_command("node.peering.reading"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pipesize=_PIPE_BYTES,
            cwd="/",
            env=BARE,
            start_new_session=True,  # an interrupt at the terminal is for the core
        )
        self._thread = ThreadPoolExecutor(1, "reading")
        self._told = set[bytes]()

    async def ask(self, wires: Sequence[bytes], tasks: Mapping[bytes, TaskManifest]) -> Read:
        untold = tasks.keys() - self._told
        self._told |= untold
        question = msgpack.packb([[tasks[one].encoded for one in untold], wires])
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._thread, self._exchange, question)
        read = msgpack.unpackb(answer, use_list=False)
        return [*map(_from_message, read, wires)]

    def end(self) -> None:
        self._process.kill()
        self._thread.shutdown()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what it did not read goes nowhere
                pipe.close()  # type: ignore[union-attr]
        self._process.wait()

    def _exchange(self, question: bytes) -> bytes:
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None  # noqa: S101 (as it is started)
        assert answers is not None  # noqa: S101
        questions.write(LENGTH.pack(len(question)) + question)
        questions.flush()
        if len(head := answers.read(LENGTH.size)) < LENGTH.size:
            raise EOFError("it has ended")
        (size,) = LENGTH.unpack(head)
        if len(answer := answers.read(size)) < size:
            raise EOFError("it has ended")
        return answer


def _from_message(one: Any, wire: bytes) -> Extract | Rejected:
    return Rejected(one) if isinstance(one, str) else Extract._make((*one, wire))


def _task_from(encoded: bytes) -> tuple[bytes, TaskManifest]:
    value = decode(encoded)
    manifest = value if isinstance(value, Rejected) else TaskManifest.from_value(value)
    assert not isinstance(manifest, Rejected)  # noqa: S101 -- the core encoded it
    return manifest.id, manifest


def _to_message(one: Extract | Rejected) -> Any:
    return one.reason if isinstance(one, Rejected) else one[:-1]


def main() -> None:
    """Answer questions on standard input until it ends."""
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    tasks: dict[bytes, TaskManifest] = {}
    while head := questions.read(LENGTH.size):
        (size,) = LENGTH.unpack(head)
        told, wires = msgpack.unpackb(questions.read(size))
        tasks |= map(_task_from, told)
        data = msgpack.packb([_to_message(extract(wire, tasks.get)) for wire in wires])
        answers.write(LENGTH.pack(len(data)) + data)
        answers.flush()
