"""Messages on a stream: a 4-byte big-endian length, then that many bytes of msgpack.

Each call ends within its timeout with a message or a `FrameError` (`node.network.errors`) and reads
no more than the limit, no matter what the other side does. This module does not interpret messages.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self

import trio

from node.network.errors import (
    FrameCutError,
    FrameError,
    FrameStalledError,
    FrameTooLongError,
    StreamEndedError,
)
from node.network.guards import shielded_for
from node.network.messages import (
    FRAME_LIMIT_BYTES,
    PEERS_SHAPE,
    QUESTION_LIMIT_BYTES,
    Shape,
    decode_message,
    encode_message,
)
from node.network.streams import ByteStream
from protocol.framing import LENGTH, Message

READ_TIMEOUT_S: Final = 30.0
# Longer than the 5 s that yamux waits for a window before it resets the stream. An interrupted
# write ends the whole connection, see `node.network.streams`.
WRITE_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLimits:
    """Limits on the size of frames, the time for each, and the shape of received ones."""

    read_bytes: int = FRAME_LIMIT_BYTES
    write_bytes: int = FRAME_LIMIT_BYTES
    shape: Shape = PEERS_SHAPE
    read_s: float = READ_TIMEOUT_S
    write_s: float = WRITE_TIMEOUT_S


# For streams on which peers send questions; answers may have the full size of a frame.
QUESTIONS_READ: Final = FrameLimits(read_bytes=QUESTION_LIMIT_BYTES)


class FrameStream:
    """A stream of frames. The `async with` block closes it, or resets it after an error."""

    def __init__(self, stream: ByteStream, limits: FrameLimits | None = None) -> None:
        self._stream = stream
        self._limits = limits or FrameLimits()
        self._is_done = False
        self._head = b""  # of a frame whose rest is not read yet
        self.received_bytes = 0  # of whole frames, without their length prefixes
        self.partial_bytes = 0  # received bytes of an incomplete frame

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is None:
            await self.aclose()
        else:
            await self.reset()

    async def await_next(self) -> None:
        """Wait until a message begins; `receive` then reads the rest of it.

        Raises:
            FrameError: no message begins in time, or the stream has ended.
        """
        with self._stalling("send", self._limits.read_s):
            self._head = await self._read_exact(LENGTH.size, is_between_frames=True)

    async def receive(self) -> Message:
        """Return the next message.

        Raises:
            FrameError: one of its subclasses, see `node.network.errors`.
        """
        with self._stalling("send", self._limits.read_s):
            head = self._head or await self._read_exact(LENGTH.size, is_between_frames=True)
            self._head = b""
            (size,) = LENGTH.unpack(head)
            if size > self._limits.read_bytes:
                raise FrameTooLongError(
                    f"a frame of {size} bytes, more than {self._limits.read_bytes}"
                )
            data = await self._read_exact(size, is_between_frames=False)
            self.received_bytes += size
            return decode_message(data, self._limits.shape)

    async def send(self, message: Message) -> None:
        """Write a message.

        Raises:
            FrameError: `FrameTooLongError` before anything is written, else an error of the stream.
        """
        data = encode_message(message)
        if len(data) > self._limits.write_bytes:
            raise FrameTooLongError(
                f"a message of {len(data)} bytes, more than {self._limits.write_bytes}",
                "send less at once",
            )
        with self._stalling("accept", self._limits.write_s):
            await self._stream.write(LENGTH.pack(len(data)) + data)

    async def aclose(self) -> None:
        """Close the stream and wait briefly for the other side to close it, else reset it.

        A yamux stream that only one side has closed stays in its connection's tables.
        """
        if self._is_done:
            return
        with shielded_for(CLOSE_TIMEOUT_S):
            try:
                await self._stream.close()
                if not await self._stream.read(1):
                    await self._stream.release()
                    self._is_done = True
            except FrameError:
                pass
        await self.reset()

    async def reset(self) -> None:
        """Reset the stream; do nothing if it is closed."""
        if self._is_done:
            return
        self._is_done = True
        with shielded_for(CLOSE_TIMEOUT_S):
            await self._stream.reset()

    async def _read_exact(self, size: int, *, is_between_frames: bool) -> bytes:
        data = bytearray()
        try:
            while len(data) < size:
                # Read one chunk at a time, so that a length alone reserves no memory.
                chunk = await self._stream.read(min(size - len(data), _CHUNK_BYTES))
                if not chunk:
                    if is_between_frames and not data:
                        raise StreamEndedError("the other side has closed the stream")
                    raise FrameCutError(f"the stream ended after {len(data)} of {size} bytes")
                data += chunk
                self.partial_bytes = len(data)
        finally:
            self.partial_bytes = 0
        return bytes(data)

    @contextmanager
    def _stalling(self, what: str, timeout_s: float) -> Iterator[None]:
        try:
            with trio.fail_after(timeout_s):
                yield
        except trio.TooSlowError as fault:
            raise FrameStalledError(
                f"the other side did not {what} a frame within {timeout_s:g} s"
            ) from fault
