"""Parsing of many records in a separate process, so that a newcomer uses a second CPU core.

Parsing a record and verifying its signatures takes 0.2 ms and holds Python's lock; storing it takes
half as long. The process starts with the first large batch. It ends when no large batch came for a
while, or when the core ends. The core itself parses the batches that the process does not answer.

    question = msgpack [number, [manifest not sent before, …], [wire, …]]
    answer   = msgpack [number, [an extract without its wire, or the reason it is invalid, …]]
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from node.processes.channel import Calls, ProcessChannel
from node.processes.child import ChildProgram
from node.processes.supervisor import Supervisor
from node.store.extracts import Extract, extract
from protocol.encoding import decode
from protocol.errors import ArnodeError, Rejected
from protocol.framing import ChannelError, plain_framing
from protocol.manifest import TaskManifest

MANY: Final = 32  # records; the core itself parses fewer, in a few milliseconds
IDLE_S: Final = 30.0
ANSWERED_WITHIN_S: Final = 30.0
_READ_AT_ONCE = 64  # records in the core; 15 ms of the event loop
_FRAMING: Final = plain_framing(1 << 30, use_list=False)  # far more than peers send at once
_log = logging.getLogger(__name__)

Read = list[Extract | Rejected]


class RecordReader:
    """A parser of records like `extract`, with a separate process for large batches."""

    def __init__(self, *, hidden: Sequence[Path] = (), processors: int | None = None) -> None:
        """`hidden`: folders that the process must not see, the node's home first.

        `processors`: the number of CPU cores; by default those that this process may use.
        """
        self._hidden = tuple(hidden)
        self._has_other = (processors or len(os.sched_getaffinity(0))) > 1
        self._process: _ReaderProcess | None = None

    async def read(self, wires: Sequence[bytes], tasks: Mapping[bytes, TaskManifest]) -> Read:
        """Return the extract of each record, or its fault; `tasks`: the known tasks, by id."""
        if self._has_other and len(wires) >= MANY:
            if self._process is None or self._process.is_over:
                self._process = _ReaderProcess(self._hidden)
            try:
                async with asyncio.timeout(ANSWERED_WITHIN_S):
                    return await self._process.ask(wires, tasks)
            except (ChannelError, TimeoutError) as fault:
                _log.warning(
                    "the core reads the records, since the process that reads them failed (%r)",
                    fault,
                )
                self._has_other = False
                await self.aclose()
        read: Read = []
        for start in range(0, len(wires), _READ_AT_ONCE):
            read += [extract(wire, tasks.get) for wire in wires[start : start + _READ_AT_ONCE]]
            await asyncio.sleep(0)
        return read

    async def aclose(self) -> None:
        """End the process, if there is one; the next large batch starts another."""
        process, self._process = self._process, None
        if process is not None:
            await process.stop()


class _ReaderProcess:
    """The separate process. It parses the next batch while the event loop stores the last."""

    def __init__(self, hidden: tuple[Path, ...]) -> None:
        program = ChildProgram(
            name="the process that reads records",
            module="node.peering.record_reader",
            framing=_FRAMING,
            hidden=hidden,
            is_networked=False,
        )
        self._supervisor = Supervisor(program, self._live, on_death=self._note_death)
        self._channel: ProcessChannel[Any] | None = None
        self._is_up = asyncio.Event()  # or has ended
        self._calls: Calls[Any] = Calls()
        self._sent_tasks = set[bytes]()
        self._idle: asyncio.TimerHandle | None = None
        self.is_over = False
        self._supervisor.start()

    async def ask(self, wires: Sequence[bytes], tasks: Mapping[bytes, TaskManifest]) -> Read:
        """Return the extract or the fault of each record. Cancelling affects no other call.

        Raises:
            ChannelError: the process has ended, or cannot be started.
        """
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._end, "idle for a while")
        await self._is_up.wait()
        if self.is_over or self._channel is None:
            raise ChannelError("it is not running")
        unsent = tasks.keys() - self._sent_tasks
        with self._calls.open() as (number, answer):
            await self._channel.send((number, [tasks[one].encoded for one in unsent], wires))
            self._sent_tasks |= unsent
            return [*map(_from_message, await answer, wires)]

    async def stop(self) -> None:
        """End the process and wait for its end; its open questions fail at once."""
        self._end("it was stopped")
        await self._supervisor.stop()

    async def _live(self, channel: ProcessChannel[Any]) -> NoReturn:
        self._channel = channel
        self._is_up.set()
        while True:
            number, read = await channel.receive()
            self._calls.answer(number, read)

    def _note_death(self, why: ArnodeError, _wait_s: float) -> bool:
        self._end(why.message)
        return False

    def _end(self, why: str) -> None:
        self.is_over = True
        self._is_up.set()
        self._calls.fail_all(ChannelError(why))
        if self._idle is not None:
            self._idle.cancel()
        if self._channel is not None:
            self._channel.close()


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
    asyncio.run(_answer_all(socket.socket(fileno=sys.stdin.fileno())))


async def _answer_all(core: socket.socket) -> None:
    channel = await ProcessChannel.over(core, _FRAMING)
    tasks: dict[bytes, TaskManifest] = {}
    with contextlib.suppress(ChannelError):  # the core has gone
        while True:
            number, new_tasks, wires = await channel.receive()
            tasks |= map(_task_from, new_tasks)
            read = [_to_message(extract(wire, tasks.get)) for wire in wires]
            await channel.send((number, read))
    channel.close()
