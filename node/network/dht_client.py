"""A client of the DHT's servers: one question per stream, over a host that does not listen.

The host serves only libp2p's standard protocols. It has the same limits as the host of the network
process (`node.network.connections`). A server that does not answer in time is disconnected.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, cast

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.utils.varint import encode_varint_prefixed, read_varint_prefixed_bytes_limited
from multiaddr import Multiaddr

from node.home.addresses import PeerId
from node.network.building import HostSettings, build_host
from node.network.connections import Connections
from node.network.errors import Incidents, NetworkError, explaining, quieten_libp2p
from node.network.guards import guarded_service, reset_quietly
from node.network.kademlia import (
    MESSAGE_BYTES,
    PROTOCOL,
    Answer,
    DhtPeer,
    announcement_of,
    question_of,
    read_answer,
)
from node.network.patches import advertise_addresses
from node.network.peer_budgets import PeerLimits
from protocol.errors import Rejected

QUESTION_S: Final = 6.0  # including a new connection
_READ_S: Final = 1.0  # for the server to read a message that has no answer


class Client:
    """A client of DHT servers, with one connection to each. `part` closes all connections."""

    def __init__(
        self,
        host: BasicHost,
        connections: Connections,
        nursery: trio.Nursery,
        addresses: Sequence[Multiaddr],
    ) -> None:
        self._host = host
        self._addresses = addresses
        self._connections = connections
        self._nursery = nursery

    @property
    def peer(self) -> bytes:
        """The id by which servers know this node."""
        return self._host.get_id().to_bytes()

    async def ask(self, key: bytes, server: DhtPeer) -> Answer:
        """Ask for the providers of a key and for servers closer to it.

        Raises:
            NetworkError: the server does not answer, or its answer is invalid.
        """
        async with self._stream(server) as stream:
            await stream.write(encode_varint_prefixed(question_of(key)))
            data = await read_varint_prefixed_bytes_limited(stream, MESSAGE_BYTES)
        answer = read_answer(data, server_reach=server.reach)
        if isinstance(answer, Rejected):
            raise NetworkError(f"{server} sent an invalid answer: {answer.reason}")
        return answer

    async def provide(self, key: bytes, server: DhtPeer) -> None:
        """Announce that this node provides a key. There is no answer; use `ask` to check.

        Raises:
            NetworkError: the server did not accept the announcement.
        """
        async with self._stream(server) as stream:
            await stream.write(
                encode_varint_prefixed(announcement_of(key, self.peer, self._addresses))
            )
            await stream.close()
            await trio.sleep(_READ_S)

    async def part(self) -> None:
        """End all connections."""
        for peer in self._host.get_connected_peers():
            await self._connections.sever(PeerId(str(peer)))

    @asynccontextmanager
    async def _stream(self, server: DhtPeer) -> AsyncIterator[INetStream]:
        peer = PeerId(str(ID(server.peer)))
        with (
            self._connections.severing(peer, QUESTION_S, self._nursery),
            explaining(f"{server} did not answer"),
            trio.fail_after(QUESTION_S),
        ):
            stream = await self._opened(server)
            try:
                yield stream
            finally:
                await reset_quietly(stream)

    async def _opened(self, server: DhtPeer) -> INetStream:
        peer = ID(server.peer)
        swarm = cast("Swarm", self._host.get_network())
        if peer not in self._host.get_connected_peers():
            await swarm.dial_addr(server.address, peer)
        return await self._host.new_stream(peer, [TProtocol(PROTOCOL)])


@asynccontextmanager
async def running_client(
    transport_seed: bytes, addresses: Sequence[Multiaddr]
) -> AsyncIterator[Client]:
    """Yield a client whose id is derived from this seed; close its connections afterwards.

    `addresses`: this node's addresses, which the client announces to servers.
    """
    quieten_libp2p()
    settings = HostSettings(transport_seed=transport_seed, listen=(), topics=())
    host = build_host(settings)
    advertise_addresses(host, addresses)  # servers forget providers that report no addresses
    swarm = cast("Swarm", host.get_network())
    incidents = Incidents(_ignore, trio.current_time)

    async def drop(peer: PeerId) -> None:
        await connections.sever(peer)

    connections = Connections(
        swarm,
        incidents,
        secret=None,
        is_banned=lambda _: False,
        spend=PeerLimits(trio.current_time).spend,
        drop=drop,
        partial=_nothing,
    )
    async with guarded_service(swarm, incidents), trio.open_nursery() as nursery:
        client = Client(host, connections, nursery, addresses)
        try:
            yield client
        finally:
            with trio.CancelScope(shield=True):
                await client.part()
            nursery.cancel_scope.cancel()


def _ignore(peer: PeerId) -> None:
    """Ignore a server's fault: this process ends soon, and the next one may ask other servers."""


def _nothing() -> Iterator[tuple[PeerId, int]]:
    yield from ()
