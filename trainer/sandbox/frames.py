"""Frames to and from a harness, as seen from outside: every one is taken as a stranger's word.

The other end is `trainer.sandbox.inside.channel`. Knows no sandbox: one may have several sockets.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping

from trainer.sandbox.enclosure import until_ready
from trainer.sandbox.inside.channel import HEADER


class SandboxEnded(Exception):  # noqa: N818 -- an event the runner turns into a run's status
    """The other end closed, or a limit ended the sandbox, before the expected frame was whole."""


class ForgedFrame(Exception):  # noqa: N818 -- likewise
    """A frame that the protocol does not allow here."""


class Frames:
    """Our end of a socket pair, which does not block."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._sending = asyncio.Lock()

    async def send(self, tag: bytes, payload: bytes = b"", descriptor: int | None = None) -> None:
        """Send a frame, whole, whoever else sends; a descriptor travels beside its first bytes.

        Raises SandboxEnded.
        """
        loop = asyncio.get_running_loop()
        data = HEADER.pack(tag, len(payload))
        try:
            async with self._sending:
                if descriptor is not None:
                    await until_ready(self._channel.fileno(), to_write=True)
                    data = data[socket.send_fds(self._channel, [data], [descriptor]) :]
                if data := data + payload:  # nothing more may be for nobody any more
                    await loop.sock_sendall(self._channel, data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise SandboxEnded from error
        except OSError as error:
            if self._channel.fileno() >= 0:
                raise
            raise SandboxEnded from error  # it was closed here while this one waited for its turn

    async def receive(self, tag: bytes, size: int = 0) -> bytes:
        """Return the next frame's payload, of so many bytes.

        Raises ForgedFrame for another tag or size, SandboxEnded when the other end closes first.
        """
        payload = (await self.receive_one({tag: size}))[1]
        if len(payload) != size:
            raise ForgedFrame(f"a frame of {len(payload)} bytes where {size} are allowed")
        return payload

    async def receive_one(
        self,
        expected: Mapping[bytes, int],
        *,
        on_begun: Callable[[bytes], None] = lambda _tag: None,
    ) -> tuple[bytes, bytes]:
        """Return tag and payload of the next frame, one of the `expected` (tag → most bytes).

        `on_begun` is called with the tag when the header is there. Raises as `receive` does.
        """
        tag, size = HEADER.unpack(await self._read(HEADER.size))
        if tag not in expected:
            wanted = " or ".join(one.decode() for one in expected)
            raise ForgedFrame(f"expected frame {wanted}, got {tag!r}")
        if size > expected[tag]:
            raise ForgedFrame(f"a frame of {size} bytes where {expected[tag]} are allowed")
        on_begun(tag)
        return tag, await self._read(size)

    async def _read(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size:
            try:
                got = await loop.sock_recv_into(self._channel, view[filled:])
            except ConnectionResetError as error:
                raise SandboxEnded from error
            if not got:
                raise SandboxEnded
            filled += got
        return bytes(data)
