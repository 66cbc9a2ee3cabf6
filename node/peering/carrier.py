"""What the core sees of the network process: peers, gossip, and questions with one answer each."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeAlias

from node.home.addresses import PeerId
from node.network.presence import Connected, Disconnected, Heard
from protocol.framing import Message

__all__ = ["Answer", "Carrier", "Connected", "Disconnected", "Event", "Heard"]

# Answers a peer's question; an ArnodeError it raises is told to nobody but ends the question.
Answer: TypeAlias = Callable[[PeerId, Message], Awaitable[Message]]


Event: TypeAlias = Connected | Disconnected


class Carrier(Protocol):
    """The network as the core needs it. It may be down at any time: nothing here waits for it."""

    @property
    def peer_id(self) -> PeerId | None:
        """The id by which peers know this node; None while the network is down."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where this node listens, each with its peer id; none while the network is down."""

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """Who is connected."""

    def events(self) -> AsyncIterator[Event]:
        """Yield who is there, then what happens. One reader; a restart does not end it."""

    async def heard(self, most: int) -> list[Heard]:
        """Return the messages of gossip that wait, `most` at most, once there is one. One reader.

        Those that find too many waiting are counted as `lost_messages`: reconciliation brings them.
        """

    @property
    def lost_messages(self) -> int:
        """How many messages of gossip arrived and were not taken in time."""

    def serve(self, protocol: str, answer: Answer) -> None:
        """Answer peers' questions of a stream protocol, one after the other on each stream."""

    async def ask(
        self, peer: PeerId, protocol: str, question: Message, *, timeout_s: float = 30.0
    ) -> Message:
        """Ask a connected peer and return its answer.

        Raises:
            NetworkError: it is not connected, does not answer in time, or refuses.
        """

    async def dial(self, address: str) -> PeerId:
        """Connect to a peer at an address that ends in its id.

        Raises:
            NetworkError: nobody answers there, or the network is down.
        """

    async def reserve(self, relay: PeerId) -> None:
        """Have a connected relay pass on who dials this node there, for an hour.

        Raises:
            NetworkError: it does not, or the network is down.
        """

    async def publish(self, topic: str, data: bytes) -> None:
        """Gossip a message; it may be lost on the way, and is while the network is down.

        Returns when it is in the queue, which paces whoever publishes much.

        Raises:
            NetworkError: it can never be sent: too long, or no topic of this network.
        """

    async def disconnect(self, peer: PeerId) -> None:
        """End the connection with a peer, which may come again."""

    async def drop(self, peer: PeerId, why: str) -> None:
        """Disconnect a peer that broke the rules, and refuse it for a while, over restarts too."""
