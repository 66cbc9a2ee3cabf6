"""Streams of libp2p and of trio with the one interface that frames need and one error class."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import trio
from libp2p.abc import INetStream
from libp2p.exceptions import BaseLibp2pError
from libp2p.io.exceptions import IncompleteReadError
from libp2p.network.stream.exceptions import StreamEOF

from node.network.errors import FrameCutError

Sever = Callable[[], Awaitable[None]]


class ByteStream(Protocol):
    """The interface that frames need of a stream.

    `read` returns 1 … n bytes, or no bytes at the stream's end. All methods but `reset` raise
    `FrameCutError` when the stream breaks.
    """

    async def read(self, size_bytes: int) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None:
        """Close the stream for writing."""

    async def release(self) -> None:
        """Release the stream's resources when both sides have closed it."""

    async def reset(self) -> None:
        """Abort the stream in both directions, without waiting."""


@dataclass(frozen=True, slots=True)
class Libp2pStream:
    """A libp2p stream with the interface that frames need.

    `sever` ends the whole connection. A write that is cut short may leave half a packet of the
    Noise protocol on it, and a peer that accepts no bytes would block every later write.
    """

    stream: INetStream
    sever: Sever

    async def read(self, size_bytes: int) -> bytes:
        with _breaking():
            try:
                return await self.stream.read(size_bytes)
            except (StreamEOF, IncompleteReadError):
                return b""

    async def write(self, data: bytes) -> None:
        try:
            with _breaking():
                await self.stream.write(data)
        except trio.Cancelled:
            await self.sever()  # shields itself
            raise

    async def close(self) -> None:
        with _breaking():
            await self.stream.close()

    async def release(self) -> None:
        pass  # `close` has already done it

    async def reset(self) -> None:
        with contextlib.suppress(FrameCutError), _breaking():
            await self.stream.reset()


@dataclass(frozen=True, slots=True)
class TrioStream:
    """A trio stream with the interface that frames need."""

    stream: trio.abc.HalfCloseableStream

    async def read(self, size_bytes: int) -> bytes:
        with _breaking():
            return bytes(await self.stream.receive_some(size_bytes))

    async def write(self, data: bytes) -> None:
        with _breaking():
            await self.stream.send_all(data)

    async def close(self) -> None:
        with _breaking():
            await self.stream.send_eof()

    async def release(self) -> None:
        await self.stream.aclose()

    async def reset(self) -> None:
        await trio.aclose_forcefully(self.stream)


# A yamux connection that ends during a read raises a bare KeyError or ValueError.
_BREAKS = (
    BaseLibp2pError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    OSError,
    ValueError,
    KeyError,
)


@contextmanager
def _breaking() -> Iterator[None]:
    try:
        yield
    except FrameCutError:
        raise
    except _BREAKS as fault:
        raise FrameCutError(f"the stream broke: {type(fault).__name__}") from fault
