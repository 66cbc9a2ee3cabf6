"""A core as the network process sees it: the other end of its socket."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from node.home.addresses import PeerId
from node.network.contract import NetworkSettings
from node.network.errors import StreamEndedError
from node.network.frames import FrameStream
from node.network.program import PATIENT, serve_core
from node.network.streams import TrioStream
from protocol.framing import Message
from tests.network.arena import ECHO, TOPIC


@dataclass
class Core:
    """Reads frames only when a test asks for one; the sender waits meanwhile."""

    frames: FrameStream
    peer_id: PeerId | None = None
    address: str = ""
    ended_well: bool | None = None
    seen: list[Message] = field(default_factory=list)

    async def call(self, name: str, *arguments: Message) -> Message:
        """Call, and return the frame with the result."""
        await self.frames.send([name, 7, *arguments])
        while True:
            frame = await self.frames.receive()
            if isinstance(frame, list) and frame[0] in {"done", "failed"}:
                return frame
            self.seen.append(frame)

    async def next(self, name: str) -> list[Message]:
        """Return the next frame of a kind; others are kept as seen."""
        while True:
            frame = await self.frames.receive()
            assert isinstance(frame, list)
            self.seen.append(frame)
            if frame[0] == name:
                return frame


def settings(**changes: object) -> NetworkSettings:
    plain: dict[str, object] = {
        "transport_seed": b"s" * 32,
        "listen": ("/ip4/127.0.0.1/tcp/0",),
        "topics": (TOPIC,),
        "protocols": (ECHO,),
    }
    return NetworkSettings(**(plain | changes))


@asynccontextmanager
async def served(first: Message, buffer_bytes: int | None = None) -> AsyncIterator[Core]:
    """Yield a core whose network process runs as a task, with `first` as its first frame."""
    ours, theirs = socket.socketpair()
    if buffer_bytes is not None:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
    core = Core(
        FrameStream(TrioStream(trio.SocketStream(trio.socket.from_stdlib_socket(ours))), PATIENT)
    )

    async def serve() -> None:
        core.ended_well = await serve_core(theirs)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        try:
            await core.frames.send(first)
            yield core
        finally:
            await core.frames.reset()


@asynccontextmanager
async def running_core(buffer_bytes: int | None = None, **changes: object) -> AsyncIterator[Core]:
    """Yield a core whose network process listens."""
    async with served(settings(**changes).to_value(), buffer_bytes) as core:
        _, core.peer_id, addresses = await core.next("up")
        core.address = addresses[0]
        yield core


async def ended(core: Core) -> bool:
    """Return whether the process closes the channel, after any last frames."""
    try:
        while True:
            core.seen.append(await core.frames.receive())
    except StreamEndedError:
        return True
