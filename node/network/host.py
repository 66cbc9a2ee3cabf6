"""One node on the network: peers, gossip and streams of frames, with a small typed interface.

    async with running_host(settings) as host:
        await host.subscribe(topic, validator)
        host.serve("/arnode/hello/1", answer)
        peer = await host.connect("/ip4/192.0.2.1/tcp/4001/p2p/12D3…")
        async with await host.open(peer, "/arnode/hello/1") as frames:
            await frames.send({"network": "main"})

Peers are identified by their ids. A peer that breaks the rules is dropped and refused for a while.
Gossip is best effort: any message may be lost, and reconciliation recovers it.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, cast
from weakref import WeakKeyDictionary

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

from node.home.addresses import PeerId
from node.network.building import HostSettings, build_host, listen_addresses
from node.network.circuits import HOP, STOP, Circuits
from node.network.connections import Connections
from node.network.contract import REACH, check_gossip
from node.network.errors import (
    FrameCutError,
    Incidents,
    NetworkError,
    StreamEndedError,
    explaining,
    quieten_libp2p,
)
from node.network.frames import FrameLimits, FrameStream
from node.network.gossip import GuardedPubsub, Validator
from node.network.guards import guarded_service, guarding, peer_of, shielded_for
from node.network.names import places_of
from node.network.patches import stream_dispatch
from node.network.peer_budgets import Banned, BudgetVerdict, CostKind, PeerLimits
from node.network.presence import GossipMessage
from node.network.reach_prober import ReachProber
from node.network.relay import Relay, RelayLimits
from node.network.router import make_router
from node.network.tracking import PeerTracker
from protocol.errors import ConfigurationError

# libp2p's queues hold 32 messages. Of 300 messages sent at once 16 arrived; with this interval all
# 300 arrived.
PUBLISH_EVERY_S: Final = 0.005
PUBLISH_QUEUE: Final = 256
INBOX: Final = 1024  # messages of 16 KiB each at most
CONNECT_S: Final = 15.0
OPEN_S: Final = 10.0
CLOSE_S: Final = 5.0

Answer = Callable[[PeerId, FrameStream], Awaitable[None]]


class NetworkHost:
    """The libp2p host, wrapped for the rest of the network process."""

    def __init__(self, settings: HostSettings, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        # Limits on the data that peers send. Only the core can judge their questions and answers;
        # it has its own limits for them (`node.peering.service_quota`).
        self._sent_limits = PeerLimits(trio.current_time, settings.allowances)
        self._banned = Banned(trio.current_time, for_s=settings.banned_for_s)
        self._incidents = Incidents(self._count_fault, trio.current_time)
        self._topics = frozenset(settings.topics)
        self._host = build_host(settings)
        self._connections = Connections(
            self._swarm,
            self._incidents,
            secret=settings.secret,
            is_banned=self._banned.__contains__,
            spend=self._sent_limits.spend,
            drop=self.drop,
            partial=self._partial,
        )
        self.tracker = PeerTracker(
            self._swarm, self._connections.is_relayed, self._connections.host_of
        )
        self._circuits = Circuits(
            self._connections,
            self._incidents,
            open_stream=self._open_stream,
            is_banned=self._banned.__contains__,
        )
        self._host.set_stream_handler(STOP, self._circuits.handler)
        if settings.relays:
            self._relay(settings.relay)
        self._router = make_router()
        self._pubsub = GuardedPubsub(
            self._host,
            self._router,
            self._incidents,
            spend=self.spend,
            drop=self.drop,
            deliver=self._deliver,
            allowed_topics=self._topics,
        )
        self._guard_streams()
        self._open: WeakKeyDictionary[FrameStream, PeerId] = WeakKeyDictionary()
        # Gossip of all subscribed topics, without this node's own messages.
        self._inbox, self.messages = trio.open_memory_channel[GossipMessage](INBOX)
        self._outbox, self._to_publish = trio.open_memory_channel[tuple[str, bytes]](PUBLISH_QUEUE)
        self.lost_messages = 0  # arrived, but not read in time

    @property
    def peer_id(self) -> PeerId:
        """The id by which peers know this node."""
        return PeerId(str(self._host.get_id()))

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses at which this node can be dialled, each with its id."""
        return tuple(map(str, self._host.get_addrs()))

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """The connected peers."""
        return tuple(PeerId(str(peer)) for peer in self._host.get_connected_peers())

    @property
    def open_streams(self) -> int:
        """The number of streams with all peers, inbound and outbound."""
        return self._connections.open_streams

    @property
    def ignored_messages(self) -> Mapping[str, int]:
        """The number of ignored messages of peers, by reason."""
        return self._pubsub.ignored

    def is_banned(self, peer: PeerId) -> bool:
        """Return True if a peer is refused because it broke the rules."""
        return peer in self._banned

    async def connect(self, address: str) -> PeerId:
        """Connect to a peer at an address that ends in its id, and return the id.

        Raises:
            NetworkError: the address is invalid, no peer answers at it, or the peer is banned.
        """
        relay, is_relayed, _ = address.partition("/p2p-circuit/")
        with explaining(f"{address} was not reached"):
            info = info_from_p2p_addr(Multiaddr(address))
            peer = PeerId(str(info.peer_id))
        if peer in self._banned:
            raise NetworkError(
                f"{peer} is banned for breaking the rules", "connect to another peer"
            )
        if peer in self.peers:
            return peer
        # Dial only this address. `BasicHost.connect` tries every address it ever learned, waits a
        # quarter of a second at each, and refuses for a minute after a failure.
        with (
            explaining(f"{address} was not reached"),
            self.tracker.dialling(peer, address),
            trio.fail_after(CONNECT_S),
        ):
            if is_relayed:
                await self._circuits.dial(await self.connect(relay), info.peer_id)
            else:
                await self._dial(info.addrs[0], info.peer_id)
        return peer

    async def _dial(self, address: Multiaddr, peer: ID) -> None:
        """Dial one address; try a name's addresses one by one until one answers."""
        *others, last = await places_of(address)
        for place in others:
            with contextlib.suppress(SwarmException):
                await self._swarm.dial_addr(place, peer)
                return
        await self._swarm.dial_addr(last, peer)

    async def reserve(self, relay: PeerId) -> None:
        """Ask a connected relay to pass inbound connections to this node for a while.

        Raises:
            NetworkError: the peer is not a relay, or has no free reservation.
        """
        with explaining(f"{relay} does not relay to this node"):
            await self._circuits.reserve(relay)

    async def disconnect(self, peer: PeerId) -> None:
        """End all connections with a peer, even one that accepts no more bytes."""
        await self._connections.sever(peer)

    async def drop(self, peer: PeerId) -> None:
        """Disconnect a peer that broke the rules, and refuse it for a while."""
        self._banned.add(peer)
        await self._connections.sever(peer)

    def spend(self, peer: PeerId, kind: CostKind, amount: float = 1) -> BudgetVerdict:
        """Spend from a peer's budget. If this returns `DROP`, the caller must `drop` the peer."""
        return self._sent_limits.spend(peer, kind, amount)

    def report(self, peer: PeerId, what: str) -> None:
        """Count a fault against a peer; a peer with too many is dropped."""
        self._incidents.note(peer, "reported", what)

    def serve(self, protocol: str, answer: Answer, limits: FrameLimits | None = None) -> None:
        """Answer streams of a protocol. An error that `answer` raises ends only its stream."""

        async def handle(stream: INetStream) -> None:
            peer = peer_of(stream)
            async with self._frames(stream, peer, limits) as frames:
                try:
                    await answer(peer, frames)
                except (StreamEndedError, FrameCutError):
                    await frames.reset()

        self._host.set_stream_handler(
            TProtocol(protocol), guarding(handle, self._incidents, protocol)
        )

    async def open(self, peer: PeerId, protocol: str) -> FrameStream:
        """Open a stream to a connected peer.

        Raises:
            NetworkError: the peer is not connected, or does not speak the protocol.
        """
        return self._frames(await self._open_stream(peer, protocol), peer)

    async def _open_stream(self, peer: PeerId, protocol: str) -> INetStream:
        if peer not in self.peers:
            raise NetworkError(f"{peer} is not connected", "connect to it first")
        with (
            self._connections.severing(peer, OPEN_S, self._nursery),
            explaining(f"{peer} opened no {protocol} stream"),
        ):
            return await self._host.new_stream(ID.from_string(peer), [TProtocol(protocol)])

    async def subscribe(self, topic: str, validator: Validator) -> None:
        """Subscribe to a topic; its messages arrive in `messages`.

        `validator` must be fast. A message that it refuses counts against the forwarder. Refused
        and ignored messages are not passed on (`node.network.gossip_verdicts`).

        Raises:
            NetworkError: the topic is not one of this host's.
        """
        check_gossip(topic, b"", self._topics)
        self._pubsub.validate_by(topic, validator)
        await self._pubsub.subscribe(topic)

    async def publish(self, topic: str, data: bytes) -> None:
        """Queue a message; wait while the queue is full. The message may still be lost in transit.

        Raises:
            NetworkError: the message is too long, or the topic is not one of this host's.
        """
        check_gossip(topic, data, self._topics)
        await self._outbox.send((topic, data))

    async def publish_queued(self) -> None:
        """Send what `publish` queued, in order and at intervals. Never returns."""
        async for topic, data in self._to_publish:
            with trio.move_on_after(CLOSE_S):
                await self._pubsub.publish(topic, data)
            await trio.sleep(PUBLISH_EVERY_S)

    @asynccontextmanager
    async def run(self, settings: HostSettings) -> AsyncIterator[None]:
        """Run libp2p's services; listen once all of them are ready."""
        async with (
            guarded_service(self._swarm, self._incidents),
            guarded_service(self._router, self._incidents),
            guarded_service(self._pubsub, self._incidents),
        ):
            await self._pubsub.wait_until_ready()
            if settings.listen and not await self._swarm.listen(*listen_addresses(settings)):
                raise ConfigurationError(
                    f"cannot listen on {', '.join(settings.listen)}",
                    "stop the program on that port, or set `listen` to another address (`--listen`"
                    " of a bootstrap node)",
                )
            try:
                yield
            finally:
                await self._part()
                self._pubsub.seen_messages.stop()  # a thread that would otherwise never end

    @property
    def _swarm(self) -> Swarm:
        return cast("Swarm", self._host.get_network())

    def _relay(self, limits: RelayLimits) -> None:
        clock = trio.current_time
        relay = Relay(
            self._connections,
            self._incidents,
            open_stream=self._open_stream,
            limits=limits,
            clock=clock,
        )
        self._host.set_stream_handler(HOP, relay.handler)
        reach = ReachProber(self._swarm, self._connections, report=self.report, clock=clock)
        self.serve(REACH, reach.answer)

    def _frames(
        self, stream: INetStream, peer: PeerId, limits: FrameLimits | None = None
    ) -> FrameStream:
        frames = FrameStream(self._connections.bytes_of(stream), limits)
        self._open[frames] = peer
        return frames

    def _partial(self) -> Iterator[tuple[PeerId, int]]:
        yield from self._pubsub.partial
        for frames, peer in self._open.items():
            yield peer, frames.partial_bytes

    def _guard_streams(self) -> None:
        """Put the guards around every inbound stream, including those of libp2p's own handlers."""
        guarded = guarding(stream_dispatch(self._host), self._incidents, "a stream")
        self._swarm.set_stream_handler(self._connections.limiting(guarded))

    async def _part(self) -> None:
        """Sever all peers in parallel; libp2p would close the connections one by one."""
        with shielded_for(CLOSE_S):
            async with trio.open_nursery() as nursery:
                for peer in self.peers:
                    nursery.start_soon(self._connections.sever, peer)

    def _count_fault(self, peer: PeerId) -> None:
        if (
            self._sent_limits.spend(peer, CostKind.FAULTS) is BudgetVerdict.DROP
            and peer not in self._banned
        ):
            self._banned.add(peer)
            if peer in self.peers:
                self._nursery.start_soon(self.drop, peer)

    def _deliver(self, message: GossipMessage) -> None:
        try:
            self._inbox.send_nowait(message)
        except trio.WouldBlock:
            self.lost_messages += 1


@asynccontextmanager
async def running_host(settings: HostSettings) -> AsyncIterator[NetworkHost]:
    """Yield a host that listens; close everything that it opened afterwards.

    Raises:
        ConfigurationError: the settings are invalid, or the host cannot listen.
    """
    quieten_libp2p()
    async with trio.open_nursery() as nursery:
        host = NetworkHost(settings, nursery)
        async with host.run(settings):
            nursery.start_soon(host.publish_queued)
            yield host
            nursery.cancel_scope.cancel()
