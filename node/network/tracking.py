"""A tracker of the peers connected to a swarm, which it records in a `Presence`.

libp2p reports a connection only after its peer could open streams on it. It does not report
connections that had to be removed from the tables by force. So its events only trigger a look at
the tables.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from libp2p.abc import IMuxedConn, INetConn, INetStream, INetwork, INotifee
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm
from libp2p.rcmgr import Direction
from multiaddr import Multiaddr

from node.home.addresses import PeerId
from node.network.patches import replace_removal
from node.network.presence import Connected, Presence


class Notifee(INotifee):
    """A listener for all events of a swarm that does nothing."""

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        """Ignore the event."""

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """Ignore the event."""

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        """Ignore the event."""

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        """Ignore the event."""

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Ignore the event."""

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Ignore the event."""


class PeerTracker(Notifee):
    """A tracker of the peers of one swarm.

    `is_relayed` returns True for a connection through a relay. `host_of` returns the IPv4 address
    from which a peer is connected, if there is one.
    """

    def __init__(
        self,
        swarm: Swarm,
        is_relayed: Callable[[IMuxedConn], bool],
        host_of: Callable[[PeerId], str | None],
    ) -> None:
        self.presence = Presence()
        self._callback: Callable[[], None] = lambda: None
        self._swarm = swarm
        self._is_relayed = is_relayed
        self._host_of = host_of
        self._connections: dict[PeerId, frozenset[INetConn]] = {}
        self._dialling: dict[PeerId, str] = {}
        self._remove = swarm.remove_conn
        replace_removal(swarm, self._removed)
        swarm.register_notifee(self)

    def on_event(self, callback: Callable[[], None]) -> None:
        """Set the function to call after each event of the swarm, when `look` has ended."""
        self._callback = callback

    @contextmanager
    def dialling(self, peer: PeerId, address: str) -> Iterator[None]:
        """Note the address by which a peer is being dialled, for the time of the block."""
        self._dialling[peer] = address
        try:
            yield
        finally:
            self._dialling.pop(peer, None)

    def look(self) -> None:
        """Update the presence. A peer has reconnected if all its connections are new."""
        now = {
            PeerId(str(peer)): frozenset(connections)
            for peer, connections in self._swarm.get_connections_map().items()
            if connections
        }
        for peer in self._connections.keys() - now.keys():
            self.presence.leave(peer)
        for peer, connections in now.items():
            if connections.isdisjoint(self._connections.get(peer, ())):
                self.presence.arrive(self._connected_event(peer, connections))
        self._connections = now

    def _connected_event(self, peer: PeerId, connections: frozenset[INetConn]) -> Connected:
        directions = {getattr(connection, "direction", None) for connection in connections}
        return Connected(
            peer=peer,
            address=self._dialling.get(peer) if Direction.OUTBOUND in directions else None,
            is_relayed=all(self._is_relayed(connection.muxed_conn) for connection in connections),
            host=self._host_of(peer),
        )

    def _on_swarm_event(self) -> None:
        self.look()
        self._callback()

    def _removed(self, connection: SwarmConn) -> None:
        self._remove(connection)
        self._on_swarm_event()

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        self._on_swarm_event()

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        self._on_swarm_event()
