"""What is told of peers: what they gossip; and which are connected, to a slow listener as
differences, never as a growing list.

However often peers come and go meanwhile, what there is to tell is bounded by the peers that the
listener believes to be here and those that are. A peer that left and came back did both.
Pure: both sides of the channel keep one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from node.home.addresses import PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A peer has connected. `address` is what was dialled, None if the peer dialled us.

    `is_relayed`: it is connected through a relay only. `host` is the IPv4 address that it is
    connected from, None if there is none.
    """

    peer: PeerId
    address: str | None
    is_relayed: bool = False
    host: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """The last connection with a peer has ended."""

    peer: PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message of a topic: new, of valid form and signature. Who forwarded it need not be its
    author."""

    topic: str
    forwarder: PeerId
    data: bytes


class Presence:
    """The peers that are connected, and those that the listener was told of."""

    def __init__(self) -> None:
        self._here: dict[PeerId, tuple[int, Connected]] = {}
        self._told: dict[PeerId, int] = {}
        self._stays = count()

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """The peers that are connected, told or not."""
        return tuple(self._here)

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._here

    def arrive(self, coming: Connected) -> None:
        """Begin a peer's stay, and end the one before if there is one."""
        self._here[coming.peer] = (next(self._stays), coming)

    def leave(self, peer: PeerId) -> None:
        """End a peer's stay, if it is here."""
        self._here.pop(peer, None)

    def clear(self) -> None:
        """End everybody's stay."""
        self._here.clear()

    def forget_told(self) -> None:
        """Tell a new listener of everybody who is here."""
        self._told.clear()

    def changes(self) -> Iterator[Connected | Disconnected]:
        """Yield what was not told yet until nothing is left; what is taken counts as told."""
        while (change := self._next()) is not None:
            yield change

    def _next(self) -> Connected | Disconnected | None:
        for peer, stay in self._told.items():
            if peer not in self._here or self._here[peer][0] != stay:
                del self._told[peer]
                return Disconnected(peer=peer)
        for peer, (stay, coming) in self._here.items():
            if peer not in self._told:
                self._told[peer] = stay
                return coming
        return None
