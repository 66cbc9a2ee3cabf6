"""Limits on connections and streams, also before a peer has identified itself.

py-libp2p 0.8.1 has five flaws, each enough for a peer to block a host. A slot for an inbound
connection stays in use after the connection ended. Half-open handshakes use the same slots. A
connection whose peer accepts no bytes cannot be closed, since closing it writes data. The swarm
dials every address that peers send. Its peer store may evict this host's own key. The data that
peers send on an open connection is bounded by `node.network.unread`.
"""

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, cast
from weakref import WeakKeyDictionary, WeakSet

import trio
from libp2p.abc import (
    IMuxedConn,
    INetConn,
    INetStream,
    INetwork,
    IRawConnection,
)
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStoreError
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from node.home.addresses import PeerId
from node.network.errors import Incidents
from node.network.guards import peer_of, reset_quietly
from node.network.patches import StreamHandler, disable_dialling, replace_connecting
from node.network.peer_budgets import BudgetVerdict, CostKind
from node.network.private import PrivateConnection
from node.network.streams import ByteStream, Libp2pStream
from node.network.tracking import Notifee
from node.network.unread import Partial, Unread

# Sockets whose peer is not identified yet; they do not count as connections.
HANDSHAKES: Final = 64
HANDSHAKES_PER_ADDRESS: Final = 16
STREAMS_PER_PEER: Final = 64
# A stream that one side has closed stays in yamux's tables until the other side closes it.
STREAMS_IN_TABLES: Final = 512
SEVER_S: Final = 2.0

Spend = Callable[[PeerId, CostKind, float], BudgetVerdict]


class Connections:
    """Limits for one swarm's connections and streams. Create it before the swarm runs.

    `secret`: a private network's secret, which encrypts every connection; None on a public one.
    """

    def __init__(
        self,
        swarm: Swarm,
        incidents: Incidents,
        *,
        secret: bytes | None,
        is_banned: Callable[[PeerId], bool],
        spend: Spend,
        drop: Callable[[PeerId], Awaitable[None]],
        partial: Partial,
    ) -> None:
        self._swarm = swarm
        self._incidents = incidents
        self._secret = secret
        self._is_banned = is_banned
        self._spend = spend
        self._drop = drop
        self._handshakes: Counter[str] = Counter()
        self._streams: Counter[PeerId] = Counter()
        self._unread = Unread(swarm, incidents, sever=self.sever, partial=partial)
        self._sockets: WeakKeyDictionary[IMuxedConn, IRawConnection] = WeakKeyDictionary()
        self._circuits: WeakSet[IRawConnection] = WeakSet()  # those through a relay
        self._upgrade_inbound = swarm.upgrade_inbound_raw_conn
        self._upgrade_outbound = swarm.upgrade_outbound_raw_conn
        self._add = swarm.add_conn
        replace_connecting(swarm, accept=self._accept, dial=self._dial, admit=self._admit)
        disable_dialling(swarm)  # the address book decides whom to dial
        swarm.register_notifee(_Forgetting())

    @property
    def open_streams(self) -> int:
        """The number of streams in the tables of all connections, inbound and outbound."""
        connections = self._swarm.get_connections()
        return sum(len(getattr(one.muxed_conn, "streams", ())) for one in connections)

    def limiting(self, handler: StreamHandler) -> StreamHandler:
        """Return `handler`, wrapped to reset streams beyond a peer's limits on inbound streams."""

        async def limited(stream: INetStream) -> None:
            peer = peer_of(stream)
            verdict = self._spend(peer, CostKind.STREAMS, 1)
            tables = getattr(stream.muxed_conn, "streams", ())
            if verdict is BudgetVerdict.DROP or len(tables) > STREAMS_IN_TABLES:
                self._incidents.note(peer, "streams", "opened too many")
                await self._drop(peer)
                return
            if verdict is BudgetVerdict.REFUSED or self._streams[peer] >= STREAMS_PER_PEER:
                await reset_quietly(stream)
                return
            self._streams[peer] += 1
            try:
                await handler(stream)
            finally:
                self._streams[peer] -= 1
                if not self._streams[peer]:
                    del self._streams[peer]

        return limited

    def bytes_of(self, stream: INetStream) -> ByteStream:
        """Wrap a libp2p stream so that `FrameStream` can use it."""
        return Libp2pStream(stream, partial(self.sever, peer_of(stream)))

    def private(self, raw: IRawConnection) -> IRawConnection:
        """Return a socket or circuit, encrypted if the network is private."""
        return raw if self._secret is None else PrivateConnection(raw, self._secret)

    def is_relayed(self, muxed: IMuxedConn) -> bool:
        """Return True if a connection goes through a relay."""
        return self._sockets.get(muxed) in self._circuits

    def is_direct(self, peer: PeerId) -> bool:
        """Return True if a peer has a connection that goes through no relay."""
        return any(True for _ in self._direct(peer))

    def host_of(self, peer: PeerId) -> str | None:
        """Return the IPv4 address of a peer's direct connection; None if there is none."""
        remotes = (cast("Yamux", muxed).get_remote_address() for muxed in self._direct(peer))
        return next((remote[0] for remote in remotes if remote), None)

    async def dial_through(self, raw: RawConnection, peer: ID) -> None:
        """Set up a connection over the outbound end of a circuit."""
        self._circuits.add(raw)
        await self._dial(raw, peer)

    async def accept_through(self, raw: RawConnection, address: Multiaddr) -> None:
        """Run a connection over the inbound end of a circuit. Raise when it has ended."""
        self._circuits.add(raw)
        await self._accept(raw, address)

    def _direct(self, peer: PeerId) -> Iterator[IMuxedConn]:
        for connection in self._swarm.get_connections(ID.from_string(peer)):
            if not self.is_relayed(connection.muxed_conn):
                yield connection.muxed_conn

    async def sever(self, peer: PeerId) -> None:
        """End all connections with a peer, even if the peer does not cooperate."""
        with trio.CancelScope(shield=True):
            for connection in self._swarm.get_connections(ID.from_string(peer)):
                await self._sever(connection)

    @contextmanager
    def severing(self, peer: PeerId, after_s: float, nursery: trio.Nursery) -> Iterator[None]:
        """Sever a peer if the block takes longer than `after_s`.

        After a timeout libp2p cleans up with a write that cannot be cancelled. Closing the socket
        ends that write, too.
        """
        patience = trio.CancelScope()
        nursery.start_soon(self._sever_later, peer, after_s, patience)
        try:
            yield
        finally:
            patience.cancel()

    async def _sever_later(self, peer: PeerId, after_s: float, patience: trio.CancelScope) -> None:
        with patience:
            await trio.sleep(after_s)
            await self.sever(peer)

    async def _sever(self, connection: INetConn) -> None:
        with trio.move_on_after(SEVER_S) as scope:
            # Close the socket first: closing a yamux connection writes, and waits for other
            # writers.
            socket = self._sockets.get(connection.muxed_conn)
            if socket is not None:
                with contextlib.suppress(Exception):
                    await socket.close()
            with contextlib.suppress(Exception):
                await connection.close()
        if scope.cancelled_caught:
            # A second close would do nothing and leave the connection in the tables.
            self._swarm.remove_conn(cast("SwarmConn", connection))
            forget(self._swarm, connection.muxed_conn.peer_id)

    async def _accept(self, raw: IRawConnection, address: Multiaddr) -> IMuxedConn:
        """Set up a connection on an inbound socket; occupy a slot only while it is open."""
        remote = raw.get_remote_address()  # None for IPv6: py-libp2p reads only 2-tuples
        host, limit = (remote[0], HANDSHAKES_PER_ADDRESS) if remote else ("", HANDSHAKES)
        if self._handshakes[host] >= limit:
            raise SwarmException("too many handshakes at once from one address")
        self._handshakes[host] += 1
        try:
            with _above(raw):
                muxed = await self._upgrade_inbound(self.private(raw), address)
        finally:
            self._handshakes[host] -= 1
            if not self._handshakes[host]:
                del self._handshakes[host]
        # If this method returned, the caller would occupy the slot until the swarm ends. After an
        # exception the caller frees the slot and closes the socket.
        await cast("Yamux", muxed).event_closed.wait()
        raise SwarmException("the connection has ended")

    async def _dial(self, raw: IRawConnection, peer: ID, pre_scope: Any = None) -> INetConn:
        with _above(raw):
            return await self._upgrade_outbound(self.private(raw), peer, pre_scope)

    async def _admit(self, muxed: IMuxedConn, direction: str = "unknown") -> INetConn:
        if self._is_banned(PeerId(str(muxed.peer_id))):
            with trio.move_on_after(SEVER_S), contextlib.suppress(Exception):
                await muxed.close()
            raise SwarmException("this peer is banned for breaking the rules")
        self._unread.bound(cast("Yamux", muxed))
        raw = _socket.get()
        if raw is not None:
            self._sockets[muxed] = raw
        return await self._add(muxed, direction)


class _Forgetting(Notifee):
    """A listener that deletes libp2p's data about a peer after its last connection.

    Above a thousand peers libp2p's store first evicts entries without addresses. One of them is the
    entry with this host's own private key, so an attacker with many ids could crash the host.
    """

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        forget(cast("Swarm", network), conn.muxed_conn.peer_id)


def forget(swarm: Swarm, peer: ID) -> None:
    """Delete libp2p's data about a peer, unless it is connected."""
    if not swarm.get_connections(peer):
        with contextlib.suppress(PeerStoreError):  # nothing was stored
            swarm.peerstore.clear_peerdata(peer)


# The socket under the connection that the current trio task sets up.
_socket: ContextVar[IRawConnection | None] = ContextVar("socket", default=None)


@contextmanager
def _above(raw: IRawConnection) -> Iterator[None]:
    token = _socket.set(raw)
    try:
        yield
    finally:
        _socket.reset(token)
