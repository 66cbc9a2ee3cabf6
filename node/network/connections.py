"""Limits on connections and streams, from before a peer has said who it is.

py-libp2p 0.8.1 leaves these open, each enough to wedge a host: a slot for inbound connections
stays taken after its connection has ended; half-open handshakes take the same slots; a connection
whose peer takes no bytes cannot be closed, since closing writes; the swarm dials by itself
whatever addresses peers told it; and its store of peers evicts this host's own key. What peers
send on a connection that stands is for `node.network.unread`.
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
from node.network.patches import StreamHandler, dial_nobody, replace_connecting
from node.network.peer_budgets import BudgetVerdict, CostKind
from node.network.private import PrivateConnection
from node.network.streams import ByteStream, Libp2pStream
from node.network.tracking import Notifee
from node.network.unread import Partial, Unread

# Sockets that have not said who they are; they do not count as connections yet.
HANDSHAKES: Final = 64
HANDSHAKES_PER_ADDRESS: Final = 16
STREAMS_PER_PEER: Final = 64
# Streams that one side has closed stay in yamux's tables until the other does.
STREAMS_IN_TABLES: Final = 512
SEVER_S: Final = 2.0

Spend = Callable[[PeerId, CostKind, float], BudgetVerdict]


class Connections:
    """Limits one swarm's connections and streams. To be made before the swarm runs.

    `secret`: of a private network, whose encryption goes around every connection.
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
        self._circuits: WeakSet[IRawConnection] = WeakSet()  # that go through a relay
        self._upgrade_inbound = swarm.upgrade_inbound_raw_conn
        self._upgrade_outbound = swarm.upgrade_outbound_raw_conn
        self._add = swarm.add_conn
        replace_connecting(swarm, accept=self._accept, dial=self._dial, admit=self._admit)
        dial_nobody(swarm)  # whom to dial is for the address book to say
        swarm.register_notifee(_Forgetting())

    @property
    def open_streams(self) -> int:
        """How many streams are in the tables of all connections, whoever opened them."""
        connections = self._swarm.get_connections()
        return sum(len(getattr(one.muxed_conn, "streams", ())) for one in connections)

    def limiting(self, handler: StreamHandler) -> StreamHandler:
        """Return a handler of inbound streams that resets those over the peer's limits."""

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
        """Return a stream in the form that frames need."""
        return Libp2pStream(stream, partial(self.sever, peer_of(stream)))

    def private(self, raw: IRawConnection) -> IRawConnection:
        """Return a socket or circuit as this network speaks through it, encrypted if private."""
        return raw if self._secret is None else PrivateConnection(raw, self._secret)

    def is_relayed(self, muxed: IMuxedConn) -> bool:
        """Tell whether a connection goes through a relay."""
        return self._sockets.get(muxed) in self._circuits

    def is_direct(self, peer: PeerId) -> bool:
        """Tell whether a peer is connected, and not only through relays."""
        return any(True for _ in self._direct(peer))

    def host_of(self, peer: PeerId) -> str | None:
        """Return the IPv4 address that a peer is connected from, None if it is not or by IPv6."""
        remotes = (cast("Yamux", muxed).get_remote_address() for muxed in self._direct(peer))
        return next((remote[0] for remote in remotes if remote), None)

    async def dial_through(self, raw: RawConnection, peer: ID) -> None:
        """Make a connection of one end of a circuit."""
        self._circuits.add(raw)
        await self._dial(raw, peer)

    async def accept_through(self, raw: RawConnection, address: Multiaddr) -> None:
        """Make a connection of the other end; raises when it has ended, as for a socket."""
        self._circuits.add(raw)
        await self._accept(raw, address)

    def _direct(self, peer: PeerId) -> Iterator[IMuxedConn]:
        for connection in self._swarm.get_connections(ID.from_string(peer)):
            if not self.is_relayed(connection.muxed_conn):
                yield connection.muxed_conn

    async def sever(self, peer: PeerId) -> None:
        """End all connections with a peer, whether it takes part in that or not."""
        with trio.CancelScope(shield=True):
            for connection in self._swarm.get_connections(ID.from_string(peer)):
                await self._sever(connection)

    @contextmanager
    def severing(self, peer: PeerId, after_s: float, nursery: trio.Nursery) -> Iterator[None]:
        """Sever a peer if the block takes longer than this.

        libp2p cleans up after a timeout by writing, shielded: without socket that ends, too.
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
            # First the socket: closing a connection of yamux writes, and waits for its writers.
            socket = self._sockets.get(connection.muxed_conn)
            if socket is not None:
                with contextlib.suppress(Exception):
                    await socket.close()
            with contextlib.suppress(Exception):
                await connection.close()
        if scope.cancelled_caught:
            # A close that was begun is not begun again, and would leave it in the tables.
            self._swarm.remove_conn(cast("SwarmConn", connection))
            forget(self._swarm, connection.muxed_conn.peer_id)

    async def _accept(self, raw: IRawConnection, address: Multiaddr) -> IMuxedConn:
        """Make a connection of an inbound socket, and hold the slot no longer than it lives."""
        remote = raw.get_remote_address()  # None for IPv6: py-libp2p reads pairs only
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
        # The caller would now wait for the end of the swarm, with the slot; raised, it gives
        # the slot back and closes the socket.
        await cast("Yamux", muxed).event_closed.wait()
        raise SwarmException("the connection has ended")

    async def _dial(self, raw: IRawConnection, peer: ID, pre_scope: Any = None) -> INetConn:
        with _above(raw):
            return await self._upgrade_outbound(self.private(raw), peer, pre_scope)

    async def _admit(self, muxed: IMuxedConn, direction: str = "unknown") -> INetConn:
        if self._is_banned(PeerId(str(muxed.peer_id))):
            with trio.move_on_after(SEVER_S), contextlib.suppress(Exception):
                await muxed.close()
            raise SwarmException("this peer broke the rules lately")
        self._unread.bound(cast("Yamux", muxed))
        raw = _socket.get()
        if raw is not None:
            self._sockets[muxed] = raw
        return await self._add(muxed, direction)


class _Forgetting(Notifee):
    """Forgets what libp2p stored of a peer when its last connection has ended.

    Its store evicts beyond a thousand peers those without addresses first, and that is the entry
    with this host's own private key: whoever comes under a thousand names would end it.
    """

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        forget(cast("Swarm", network), conn.muxed_conn.peer_id)


def forget(swarm: Swarm, peer: ID) -> None:
    """Drop what is stored of a peer, unless it is connected."""
    if not swarm.get_connections(peer):
        with contextlib.suppress(PeerStoreError):  # nothing was stored
            swarm.peerstore.clear_peerdata(peer)


# The socket below the connection that a task is making.
_socket: ContextVar[IRawConnection | None] = ContextVar("socket", default=None)


@contextmanager
def _above(raw: IRawConnection) -> Iterator[None]:
    token = _socket.set(raw)
    try:
        yield
    finally:
        _socket.reset(token)
