"""Reports about peers: their gossip, and which of them are connected.

Only the difference between the connected peers and those last reported is pending. So the number of
pending reports is bounded by the number of peers that are connected or were reported as connected,
however slow the listener is and however often peers reconnect. A peer that reconnected is reported
as disconnected and then as connected. Pure; both ends of the channel have a `Presence`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from node.home.addresses import PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A report that a peer connected. `address` is the dialled one; None if the peer dialled.

    `is_relayed`: the peer is connected only through a relay. `host`: the peer's IPv4 address, if it
    is known.
    """

    peer: PeerId
    address: str | None
    is_relayed: bool = False
    host: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """A report that the last connection with a peer ended."""

    peer: PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipMessage:
    """A new, validly signed message of a topic. Its forwarder may not be its author."""

    topic: str
    forwarder: PeerId
    data: bytes


class Presence:
    """The connected peers, and those last reported to the listener as connected."""

    def __init__(self) -> None:
        self._here: dict[PeerId, tuple[int, Connected]] = {}
        self._reported: dict[PeerId, int] = {}
        self._stays = count()

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """The connected peers, reported or not."""
        return tuple(self._here)

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._here

    def arrive(self, connected: Connected) -> None:
        """Record that a peer connected, or reconnected if it is listed."""
        self._here[connected.peer] = (next(self._stays), connected)

    def leave(self, peer: PeerId) -> None:
        """Record that a peer disconnected."""
        self._here.pop(peer, None)

    def clear(self) -> None:
        """Record that all peers disconnected."""
        self._here.clear()

    def forget_reported(self) -> None:
        """Prepare for a new listener: report all connected peers again."""
        self._reported.clear()

    def changes(self) -> Iterator[Connected | Disconnected]:
        """Yield unreported changes until none is left; a yielded change counts as reported."""
        while (change := self._next()) is not None:
            yield change

    def _next(self) -> Connected | Disconnected | None:
        for peer, stay in self._reported.items():
            if peer not in self._here or self._here[peer][0] != stay:
                del self._reported[peer]
                return Disconnected(peer=peer)
        for peer, (stay, connected) in self._here.items():
            if peer not in self._reported:
                self._reported[peer] = stay
                return connected
        return None
