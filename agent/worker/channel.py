"""The socket between the core and the worker that asks a model: whole frames, both ways.

Neither end is believed: a frame that is too long or none ends the channel.
"""

import asyncio
import socket

from agent.worker.messages import (
    FRAME_BYTES,
    LENGTH,
    FromCore,
    FromWorker,
    decode_frame,
    encode_frame,
)
from protocol.errors import ArnodeError, Rejected


class ChannelClosedError(ArnodeError):
    """The other end has gone, or said what is no frame."""


class WorkerChannel:
    """Frames over one socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> "WorkerChannel":
        """Return a channel over a connected socket, which is its own from now on."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    async def receive(self) -> FromCore | FromWorker:
        """Return the next message.

        Raises:
            ChannelClosedError: there is none.
        """
        try:
            (size,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
            if size > FRAME_BYTES:
                raise ChannelClosedError(f"a frame of {size} bytes")
            message = decode_frame(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, OSError) as fault:
            raise ChannelClosedError("the other end has gone") from fault
        if isinstance(message, Rejected):
            raise ChannelClosedError(f"a frame that is none: {message.reason}")
        return message

    async def send(self, message: FromCore | FromWorker) -> None:
        """Write a message, whole; return when there is room for more.

        Raises:
            ChannelClosedError: the other end has gone.
        """
        try:
            self._writer.write(encode_frame(message))
            await self._writer.drain()
        except OSError as fault:
            raise ChannelClosedError("the other end has gone") from fault

    def close(self) -> None:
        """End the channel now, whatever is left to write."""
        self._writer.transport.abort()
