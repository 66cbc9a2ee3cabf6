"""Lanes whose programs are started by commands, such as ssh: one local process for each lane.

The process's standard input and output carry the lane's messages. A process that ends is restarted.
If processes end soon after their start, the waits between restarts grow.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import NoReturn

from node.processes.channel import ProcessChannel, first_of
from node.processes.child import ended_after
from node.processes.supervisor import Backoff
from node.remote.contract import FRAMING
from node.remote.lanes import RemoteLanes
from protocol.framing import ChannelError, Message


class CommandLink:
    """A link to lanes, one for each command."""

    def __init__(self, commands: Sequence[Sequence[str]]) -> None:
        self._commands = commands
        self._outboxes: list[asyncio.Queue[Message]] = [asyncio.Queue() for _ in commands]
        self._again = [asyncio.Event() for _ in commands]

    async def run(self, lanes: RemoteLanes) -> NoReturn:
        """Start the lanes and pass their messages to `lanes`. Never returns."""
        async with asyncio.TaskGroup() as keeping:
            for number in range(len(self._commands)):
                keeping.create_task(self._keep(number, lanes))
        raise AssertionError  # none of the tasks ends

    def send(self, lane: int, message: Message) -> None:
        """Send a message to a lane; drop it if the lane is disconnected."""
        self._outboxes[lane].put_nowait(message)

    def restart(self, lane: int) -> None:
        """End a lane's program, and restart it after a while."""
        self._again[lane].set()

    async def _keep(self, number: int, lanes: RemoteLanes) -> NoReturn:
        backoff = Backoff()
        while True:
            born_s = time.monotonic()
            try:
                await self._live(number, lanes)
            except (ChannelError, OSError) as fault:
                lanes.on_lost(number, str(fault))
            await asyncio.sleep(backoff.wait_s(time.monotonic() - born_s))

    async def _live(self, number: int, lanes: RemoteLanes) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._commands[number],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # an interrupt at the terminal is for the node only
        )
        assert process.stdin is not None  # noqa: S101 -- pipes were requested
        assert process.stdout is not None  # noqa: S101
        channel = ProcessChannel(process.stdout, process.stdin, FRAMING)
        outbox = self._outboxes[number] = asyncio.Queue()
        again = self._again[number]
        again.clear()
        async with ended_after(process, channel, whose=f"lane {number}: "):
            receiving = _receive(channel, number, lanes)
            await first_of(channel.pass_on(outbox), receiving, again.wait())


async def _receive(channel: ProcessChannel[Message], number: int, lanes: RemoteLanes) -> NoReturn:
    while True:
        lanes.on_message(number, await channel.receive())
