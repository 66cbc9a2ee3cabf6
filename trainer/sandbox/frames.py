"""Sends frames to a harness and receives its frames, which are untrusted.

The other end is `trainer.sandbox.inside.channel`. This module is independent of sandboxes, because
a sandbox may have several sockets.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping

from trainer.sandbox.backend import until_ready
from trainer.sandbox.inside.channel import HEADER


class SandboxEnded(Exception):  # noqa: N818 -- an event the runner turns into a run's status
    """The other end closed, or a limit ended the sandbox, before the frame was complete."""


class ForgedFrame(Exception):  # noqa: N818 -- likewise
    """A frame that the protocol does not allow here."""


class Frames:
    """The node's end of a socket pair, in non-blocking mode."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._sending = asyncio.Lock()

    async def send(self, tag: bytes, payload: bytes = b"", descriptor: int | None = None) -> None:
        """Send a complete frame, even if other tasks send at the same time.

        A descriptor is sent with the first bytes. Raises SandboxEnded.
        """
        loop = asyncio.get_running_loop()
        data = HEADER.pack(tag, len(payload))
        try:
            async with self._sending:
                if descriptor is not None:
                    await until_ready(self._channel.fileno(), to_write=True)
                    data = data[socket.send_fds(self._channel, [data], [descriptor]) :]
                if data := data + payload:  # once all is sent, the other end may be closed
                    await loop.sock_sendall(self._channel, data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise SandboxEnded from error
        except OSError as error:
            if self._channel.fileno() >= 0:
                raise
            raise SandboxEnded from error  # it was closed here while this call waited

    async def receive(self, tag: bytes, size: int = 0) -> bytes:
        """Return the payload of the next frame, which must have this tag and size.

        Raises ForgedFrame for another tag or size, SandboxEnded if the other end closes first.
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
        """Return tag and payload of the next frame.

        `expected` maps each allowed tag to the largest allowed size in bytes. `on_begun` is called
        with the tag when the header has arrived. Raises as `receive` does.
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
