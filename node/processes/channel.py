"""One end of a socket between the core and a child process.

It carries whole messages both ways. `Calls` matches answers to concurrent requests.
"""

import asyncio
import socket
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Generic, NoReturn, TypeVar

from protocol.errors import ArnodeError
from protocol.framing import ChannelError, Framing

A = TypeVar("A")
M = TypeVar("M")


class ProcessChannel(Generic[M]):
    """Messages over one socket, in order. One task receives; any number of tasks send.

    Unsent messages are buffered. If the buffer is full, `send` waits.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, framing: Framing[M]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._framing = framing
        self._turn = asyncio.Lock()

    @classmethod
    async def over(cls, end: socket.socket, framing: Framing[M]) -> "ProcessChannel[M]":
        """Return a channel over a connected socket, which it owns from now on."""
        return cls(*await asyncio.open_unix_connection(sock=end), framing)

    async def receive(self) -> M:
        """Return the next message. If cancelled in the middle of a frame, the channel is unusable.

        Raises:
            ChannelError: the other end has closed, or the message is invalid.
        """
        return await self._framing.receive(self._reader.readexactly)

    async def send(self, message: M) -> None:
        """Write a message once there is room. If cancelled before that, nothing is written.

        Raises:
            ChannelError: the message is too long, or the other end has closed.
        """
        frame = self._framing.frame(message)
        async with self._turn:
            try:
                # Wait for room, then write the whole frame, which may exceed the buffer's limit.
                await self._writer.drain()
            except OSError as fault:
                raise ChannelError("the other end closed the connection") from fault
            self._writer.write(frame)

    async def pass_on(self, outbox: "asyncio.Queue[M]") -> NoReturn:
        """Send all messages of a queue, in order; never return.

        Raises what `send` raises.
        """
        while True:
            await self.send(await outbox.get())

    def close(self) -> None:
        """Close the channel at once and drop unwritten data. A pending `receive` raises."""
        if not self._writer.is_closing():  # a broken pipe is closed already
            self._writer.transport.abort()


class Calls(Generic[A]):
    """Open requests by number, from 1 on, each with a future for its answer."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._open: dict[int, asyncio.Future[A]] = {}

    @contextmanager
    def open(self) -> Iterator[tuple[int, asyncio.Future[A]]]:
        """Yield a new number and the future of its answer, which is dropped after the block."""
        number = next(self._numbers)
        answer = self._open[number] = asyncio.get_running_loop().create_future()
        try:
            yield number, answer
        finally:
            del self._open[number]

    def answer(self, number: int, answer: A) -> None:
        """Set the answer of a request, if it is still open."""
        if (waiting := self._open.get(number)) is not None and not waiting.done():
            waiting.set_result(answer)

    def fail(self, number: int, fault: ArnodeError) -> None:
        """Make a request fail with an error, if it is still open."""
        if (waiting := self._open.get(number)) is not None and not waiting.done():
            waiting.set_exception(fault)
            waiting.exception()  # retrieved: a cancelled caller would leave it unread

    def fail_all(self, fault: ArnodeError) -> None:
        """Make all open requests fail, because no further answer will arrive."""
        for number in self._open:
            self.fail(number, fault)


async def first_of(*parts: Coroutine[Any, Any, object]) -> None:
    """Run coroutines concurrently until the first one ends, then cancel the others.

    Raises what the first one raised.
    """
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when="FIRST_COMPLETED")
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
