"""A victim, an honest peer and an attacker over loopback, and what must hold after an attack."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID

from node.home.addresses import PeerId
from node.network.building import HostSettings
from node.network.frames import FrameStream
from node.network.gossip_verdicts import PASSED_ON, MessageFate
from node.network.host import NetworkHost, running_host
from node.network.presence import GossipMessage
from node.network.router import GOSSIP_PROTOCOL
from protocol.topics import news_topic
from tests.protocol.examples import MANIFEST

TOPIC = news_topic("main", MANIFEST.id)
ECHO = "/arnode/echo/1"
PATIENCE_S = 20.0

Inbox = trio.MemoryReceiveChannel[GossipMessage]


def settings(**changes: object) -> HostSettings:
    plain = HostSettings(
        transport_seed=secrets.token_bytes(32),
        listen=("/ip4/127.0.0.1/tcp/0",),
        topics=(TOPIC,),
    )
    return replace(plain, **changes)


def run(test: Callable[[], Awaitable[None]], patience_s: float = PATIENCE_S) -> None:
    """Run one test on trio; nothing may hang."""

    async def hurried() -> None:
        with trio.fail_after(patience_s):
            await test()

    try:
        trio.run(hurried)
    except BaseExceptionGroup as group:
        raise leaf(group) from None


def leaf(fault: BaseException) -> BaseException:
    """Return the first exception in nested groups: nurseries add one at every level."""
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault


async def echo(_: PeerId, frames: FrameStream) -> None:
    while True:
        await frames.send(await frames.receive())


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    with trio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 (of what others hold there is no event)
            await trio.sleep(0.01)


async def meshed(host: NetworkHost, peer: PeerId, topic: str = TOPIC) -> None:
    """Wait until what a host publishes goes to a peer: before, nobody may get it."""
    await until(lambda: ID.from_string(peer) in host._router.mesh.get(topic, ()))


@dataclass(frozen=True)
class Arena:
    victim: NetworkHost
    honest: NetworkHost
    attacker: NetworkHost
    victim_inbox: Inbox
    honest_inbox: Inbox

    @property
    def raw(self) -> BasicHost:
        """The attacker's own libp2p, for what no honest node does."""
        return self.attacker._host

    @property
    def target(self) -> ID:
        return ID.from_string(self.victim.peer_id)

    async def stream(self, protocol: str = GOSSIP_PROTOCOL) -> INetStream:
        return await self.raw.new_stream(self.target, [TProtocol(protocol)])

    def is_attacker_dropped(self) -> bool:
        peer = self.attacker.peer_id
        return self.victim.is_banned(peer) and peer not in self.victim.peers

    async def assert_victim_serves_honest(self) -> None:
        """Gossip goes both ways with the honest peer, and streams are answered."""
        there, back = secrets.token_bytes(8), secrets.token_bytes(8)
        with trio.fail_after(8):
            await self.honest.publish(TOPIC, there)
            await expect(self.victim_inbox, there)
            await self.victim.publish(TOPIC, back)
            await expect(self.honest_inbox, back)
            async with await self.honest.open(self.victim.peer_id, ECHO) as frames:
                await frames.send({"still": "here"})
                assert await frames.receive() == {"still": "here"}


async def expect(inbox: Inbox, data: bytes) -> None:
    """Wait for a message, whatever else comes before it."""
    async for message in inbox:
        if message.data == data:
            return


def anything(_: str, __: PeerId, ___: bytes) -> MessageFate:
    return PASSED_ON


@asynccontextmanager
async def arena(**changes: object) -> AsyncIterator[Arena]:
    """Yield three hosts, both peers connected to the victim and all in one topic."""
    async with (
        running_host(settings(**changes)) as victim,
        running_host(settings()) as honest,
        running_host(settings()) as attacker,
    ):
        victim.serve(ECHO, echo)
        for host in (victim, honest, attacker):
            await host.subscribe(TOPIC, anything)
        async with trio.open_nursery() as nursery:
            for host in (honest, attacker):
                nursery.start_soon(host.connect, victim.addresses[0])
        for host in (honest, attacker):
            await meshed(victim, host.peer_id)
            await meshed(host, victim.peer_id)
        yield Arena(victim, honest, attacker, victim.messages, honest.messages)
