"""Frames on a stream of bytes: a 4-byte big-endian length, then as many bytes, one message.

Pure: whoever has the stream passes in how to read it. Neither end of a channel is believed: a
length over the limit is refused before any of it is read, and what is no message ends the channel.
"""

import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgpack

from protocol.errors import ArnodeError, Rejected

LENGTH: Final = struct.Struct(">I")  # stands before each message
M = TypeVar("M")
Message: TypeAlias = (  # plain values of msgpack
    bool | int | float | str | bytes | list["Message"] | dict[str, "Message"] | None
)


class ChannelError(ArnodeError):
    """The other end has gone or said what is no message, or a message is too long to be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing(Generic[M]):
    """How the messages of a channel become bytes, and bytes messages again.

    `limit_bytes`: the most of one message, without its length. `encode` returns a message's
    bytes; `decode` the message that some bytes are, or why they are none.
    """

    limit_bytes: int
    encode: Callable[[M], bytes]
    decode: Callable[[bytes], M | Rejected]

    def frame(self, message: M) -> bytes:
        """Return the frame of a message.

        Raises:
            ChannelError: it is over the limit.
        """
        data = self.encode(message)
        if len(data) > self.limit_bytes:
            raise ChannelError(f"a frame of {len(data)} bytes", "send less at once")
        return LENGTH.pack(len(data)) + data

    async def receive(self, read: Callable[[int], Awaitable[bytes]]) -> M:
        """Return the next message. One that is cancelled may leave the stream within a frame.

        `read` returns so many bytes, no fewer, as `asyncio.StreamReader.readexactly` does.

        Raises:
            ChannelError: the stream has ended, or what came is no message.
        """
        try:
            (size,) = LENGTH.unpack(await read(LENGTH.size))
            if size > self.limit_bytes:
                raise ChannelError(f"a frame of {size} bytes")
            return self.read(await read(size))
        except (EOFError, OSError) as fault:
            raise ChannelError("the other end has gone") from fault

    def read(self, data: bytes) -> M:
        """Return the message that some bytes are.

        Raises:
            ChannelError: they are none.
        """
        message = self.decode(data)
        if isinstance(message, Rejected):
            raise ChannelError(f"a frame that is none: {message.reason}")
        return message


def plain_framing(limit_bytes: int, *, use_list: bool = True) -> Framing[Any]:
    """Return how any values of msgpack are framed; with `use_list` off, lists come as tuples."""

    def decode(data: bytes) -> Any:
        try:
            return msgpack.unpackb(data, use_list=use_list)
        except (ValueError, TypeError, msgpack.exceptions.UnpackException) as fault:
            return Rejected(f"no message: {fault}")

    return Framing(limit_bytes=limit_bytes, encode=msgpack.packb, decode=decode)
