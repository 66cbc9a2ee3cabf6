"""What a swarm tells of its connections, for those who want to hear only some of it."""

from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from multiaddr import Multiaddr


class Notifee(INotifee):
    """Hears everything and does nothing."""

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        """Stand for an interest in connections."""

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """Stand for an interest in their ends."""

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        """Stand for an interest in streams."""

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        """Stand for an interest in their ends."""

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Stand for an interest in addresses."""

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Stand for an interest in their ends."""
