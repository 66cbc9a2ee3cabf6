"""The core's end of the socket to its network process: whole frames, in order, both ways.

The process at the other end reads what strangers write, so it is believed no more than they are:
a frame over the limit or that is none ends the channel. What is written waits in a buffer of
bounded size, and whoever writes more waits with it.
"""

import asyncio
import socket

from node.network.contract import CHANNEL_LIMIT_BYTES
from node.network.errors import FrameError, NetworkError
from node.network.messages import (
    CHANNEL_SHAPE,
    LENGTH,
    Message,
    decode_message,
    encode_message,
)


class Channel:
    """Frames over one socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def over(cls, end: socket.socket) -> "Channel":
        """Return a channel over a connected socket, which is its own from now on."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    async def receive(self) -> Message:
        """Return the next frame.

        Raises:
            NetworkError: the channel has ended, or what came is no frame.
        """
        try:
            (size,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
            if size > CHANNEL_LIMIT_BYTES:
                raise NetworkError(f"the network process sent a frame of {size} bytes")
            return decode_message(await self._reader.readexactly(size), CHANNEL_SHAPE)
        except (asyncio.IncompleteReadError, OSError) as fault:
            raise NetworkError("the network process has closed its channel") from fault
        except FrameError as fault:
            raise NetworkError(f"the network process sent {fault.message}") from fault

    async def send(self, message: Message) -> None:
        """Write a frame when there is room for it; one that is cancelled before is not written.

        Raises:
            NetworkError: it is too long, or the channel has ended.
        """
        data = encode_message(message)
        if len(data) > CHANNEL_LIMIT_BYTES:
            raise NetworkError(f"a frame of {len(data)} bytes", "send less at once")
        async with self._turn:
            try:
                # First room, then the frame, whole: the buffer holds one more than it should.
                await self._writer.drain()
            except OSError as fault:
                raise NetworkError("the network process has closed its channel") from fault
            self._writer.write(LENGTH.pack(len(data)) + data)

    def close(self) -> None:
        """End the channel now, whatever is left to write."""
        self._writer.transport.abort()
