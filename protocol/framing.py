"""Frames on a byte stream: a 4-byte big-endian length, then one message of that many bytes.

Pure: the owner of the stream passes in a function that reads it. Neither end trusts the other. A
length over the limit is refused before any of the message is read, and an invalid message ends the
channel.
"""

import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgpack

from protocol.errors import ArnodeError, Rejected

LENGTH: Final = struct.Struct(">I")  # the header of each message
M = TypeVar("M")
Message: TypeAlias = (  # plain msgpack values
    bool | int | float | str | bytes | list["Message"] | dict[str, "Message"] | None
)


class ChannelError(ArnodeError):
    """A closed channel, an invalid message from the other end, or a message over the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing(Generic[M]):
    """The conversion between a channel's messages and frames of bytes.

    `limit_bytes` is the largest message, without its length. `encode` returns a message's bytes.
    `decode` returns the message in some bytes, or the reason they are invalid.
    """

    limit_bytes: int
    encode: Callable[[M], bytes]
    decode: Callable[[bytes], M | Rejected]

    def frame(self, message: M) -> bytes:
        """Return the frame of a message.

        Raises:
            ChannelError: the message is over the limit.
        """
        data = self.encode(message)
        if len(data) > self.limit_bytes:
            raise ChannelError(
                f"a frame of {len(data)} bytes, more than {self.limit_bytes}", "send less at once"
            )
        return LENGTH.pack(len(data)) + data

    async def receive(self, read: Callable[[int], Awaitable[bytes]]) -> M:
        """Return the next message; if cancelled, it may leave the stream in the middle of a frame.

        `read` returns exactly the requested number of bytes, as
        `asyncio.StreamReader.readexactly` does.

        Raises:
            ChannelError: the stream has ended, or the message is invalid or over the limit.
        """
        try:
            (size,) = LENGTH.unpack(await read(LENGTH.size))
            if size > self.limit_bytes:
                raise ChannelError(f"a frame of {size} bytes, more than {self.limit_bytes}")
            return self.read(await read(size))
        except (EOFError, OSError) as fault:
            raise ChannelError("the other end closed the connection") from fault

    def read(self, data: bytes) -> M:
        """Return the message in `data`.

        Raises:
            ChannelError: `data` is not a valid message.
        """
        message = self.decode(data)
        if isinstance(message, Rejected):
            raise ChannelError(f"an invalid frame: {message.reason}")
        return message


def plain_framing(limit_bytes: int, *, use_list: bool = True) -> Framing[Any]:
    """Return a framing for any msgpack values; with `use_list` off, arrays become tuples."""

    def decode(data: bytes) -> Any:
        try:
            return msgpack.unpackb(data, use_list=use_list)
        except (ValueError, TypeError, msgpack.exceptions.UnpackException) as fault:
            return Rejected(f"not msgpack: {fault}")

    return Framing(limit_bytes=limit_bytes, encode=msgpack.packb, decode=decode)
