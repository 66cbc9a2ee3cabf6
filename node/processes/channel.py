"""One end of the socket between the core and a process beside it: whole messages, both ways."""

import asyncio
import socket
from typing import Generic, TypeVar

from protocol.framing import ChannelError, Framing

M = TypeVar("M")


class Channel(Generic[M]):
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
    async def over(cls, end: socket.socket, framing: Framing[M]) -> "Channel[M]":
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

    def close(self) -> None:
        """End the channel now, whatever is left to write; who receives is told that it ended."""
        self._writer.transport.abort()
