"""One end of the socket between the core and a process beside it: whole messages, both ways, and
questions that wait for their answers where several are on their way."""

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

    What is written waits in a buffer of bounded size, and whoever writes more waits with it.
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
        """Return a channel over a connected socket, which is its own from now on."""
        return cls(*await asyncio.open_unix_connection(sock=end), framing)

    async def receive(self) -> M:
        """Return the next message; cancelled, it may leave a frame half read, and the rest is lost.

        Raises:
            ChannelError: the other end has gone, or what came is no message.
        """
        return await self._framing.receive(self._reader.readexactly)

    async def send(self, message: M) -> None:
        """Write a message when there is room for it; one that is cancelled before is not written.

        Raises:
            ChannelError: it is too long, or the other end has gone.
        """
        frame = self._framing.frame(message)
        async with self._turn:
            try:
                # First room, then the frame, whole: the buffer holds one more than it should.
                await self._writer.drain()
            except OSError as fault:
                raise ChannelError("the other end has gone") from fault
            self._writer.write(frame)

    async def pass_on(self, outbox: "asyncio.Queue[M]") -> NoReturn:
        """Send whatever comes into a queue, in its order; never return.

        Raises what `send` raises.
        """
        while True:
            await self.send(await outbox.get())

    def close(self) -> None:
        """End the channel now, whatever is left to write; who receives is told that it ended."""
        if not self._writer.is_closing():  # of a pipe that broke nothing is left to end
            self._writer.transport.abort()


class Calls(Generic[A]):
    """Finds whoever waits for an answer by the number of the question, from 1 on."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._open: dict[int, asyncio.Future[A]] = {}

    @contextmanager
    def open(self) -> Iterator[tuple[int, asyncio.Future[A]]]:
        """Yield a number and the answer to come, which after the block nobody waits for."""
        number = next(self._numbers)
        answer = self._open[number] = asyncio.get_running_loop().create_future()
        try:
            yield number, answer
        finally:
            del self._open[number]

    def answer(self, number: int, answer: A) -> None:
        """Give an answer to whoever waits for it, if anybody still does."""
        if (waiting := self._open.get(number)) is not None and not waiting.done():
            waiting.set_result(answer)

    def fail(self, number: int, fault: ArnodeError) -> None:
        """Raise a fault in whoever waits for an answer, if anybody still does."""
        if (waiting := self._open.get(number)) is not None and not waiting.done():
            waiting.set_exception(fault)
            waiting.exception()  # looked at: whoever called may be cancelled before it is told

    def fail_all(self, fault: ArnodeError) -> None:
        """Raise a fault in everybody who waits: no answer comes any more."""
        for number in self._open:
            self.fail(number, fault)


async def first_of(*parts: Coroutine[Any, Any, object]) -> None:
    """Run parts beside each other until one of them ends; the others are over, too, then.

    Raises what that one raised.
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
