"""The core's interface to the network process: peers, gossip, questions with one answer."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeAlias

from node.home.addresses import PeerId
from node.network.presence import Connected, Disconnected, GossipMessage
from protocol.framing import Message

__all__ = ["Answer", "Carrier", "Connected", "Disconnected", "Event", "GossipMessage"]

# Answers a peer's question. An ArnodeError ends the question; no peer sees the error.
Answer: TypeAlias = Callable[[PeerId, Message], Awaitable[Message]]


Event: TypeAlias = Connected | Disconnected


class Carrier(Protocol):
    """The network as the core uses it. It may be down; no method waits until it is up again."""

    @property
    def peer_id(self) -> PeerId | None:
        """The id by which peers know this node; None while the network is down."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """This node's listen addresses, with its id; empty while the network is down."""

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """The connected peers."""

    def events(self) -> AsyncIterator[Event]:
        """Yield the connected peers, then each change, also after restarts. One caller only."""

    async def receive_gossip(self, most: int) -> list[GossipMessage]:
        """Wait for gossip messages and return at most `most` of them. One caller only.

        Messages that do not fit into the queue are counted as `lost_messages`; reconciliation
        brings them.
        """

    @property
    def lost_messages(self) -> int:
        """The number of gossip messages that arrived but were not read in time."""

    def serve(self, protocol: str, answer: Answer) -> None:
        """Answer peers' questions of a stream protocol, one after the other on each stream."""

    async def ask(
        self, peer: PeerId, protocol: str, question: Message, *, timeout_s: float = 30.0
    ) -> Message:
        """Ask a connected peer and return its answer.

        Raises:
            NetworkError: the peer is not connected, does not answer in time, or refuses.
        """

    async def dial(self, address: str) -> PeerId:
        """Connect to a peer at an address that ends in its id.

        Raises:
            NetworkError: no peer answers at the address, or the network is down.
        """

    async def reserve(self, relay: PeerId) -> None:
        """Ask a connected relay to pass inbound connections to this node for an hour.

        Raises:
            NetworkError: the relay refuses, or the network is down.
        """

    async def publish(self, topic: str, data: bytes) -> None:
        """Gossip a message. It may be lost in transit, and is lost while the network is down.

        Return when the message is queued, so that a caller that publishes much is slowed down.

        Raises:
            NetworkError: the message is too long, or the topic is not one of this network.
        """

    async def disconnect(self, peer: PeerId) -> None:
        """End the connection with a peer, which may reconnect."""

    async def drop(self, peer: PeerId, why: str) -> None:
        """Disconnect a peer that broke the rules; refuse it for a while, even after a restart."""
