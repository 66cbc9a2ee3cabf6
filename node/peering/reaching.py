"""Detection of how peers reach this node: at an address of its own, else through relays.

The node asks peers to dial it, but only peers that the user chose (in the network definition, by a
flag, by an invite) and that the node itself dialled. It asks soon after the hello and again every
ten minutes. A node that was reached from outside needs no relay. If no peer reached it, it makes
reservations at two relays at most. A lying peer does little harm: other peers dial a wrong address,
or this node announces one address less.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

from node.home.addresses import Address, PeerId, make_address, parse_address
from node.network.contract import MAX_PORTS, REACH, Reached, ReachQuestion
from node.network.errors import NetworkError
from node.peering.carrier import Carrier
from node.peering.messages import ask
from protocol.errors import Rejected

ASKED_EVERY_S: Final = 600.0  # arnode's relays keep a reservation for an hour, others for longer
AGAIN_S: Final = 90.0  # after no answer; relays refuse a second question within a minute
MOST_RELAYS: Final = 2
_LOOKED_S = 1.0
_log = logging.getLogger("node.peering")


class Reaching:
    """A search for this node's reachable addresses, and its reservations at relays.

    `chosen`: the greeted peers to ask, each with the address at which it was dialled. `on_change`
    is called when this node's addresses change. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        carrier: Carrier,
        *,
        chosen: Callable[[], Mapping[PeerId, Address]],
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float],
    ) -> None:
        self._carrier = carrier
        self._chosen = chosen
        self._on_change = on_change
        self._clock = clock
        self._ask_at_s: dict[PeerId, float] = {}
        self._found: dict[PeerId, str] = {}  # where this node answered, by asked peer
        self._through: dict[PeerId, str] = {}

    @property
    def kind(self) -> Literal["direct", "relay", "unknown"]:
        """How this node can be reached from outside, as far as known."""
        if self._found:
            return "direct"
        return "relay" if self._through else "unknown"

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses at which peers reached this node, and its addresses through relays."""
        return tuple(dict.fromkeys((*self._found.values(), *self._through.values())))

    async def run(self) -> None:
        """Ask the peers that are due, one after the other. Never returns."""
        while True:
            for peer in self.due():
                await self.ask(peer)
            await asyncio.sleep(_LOOKED_S)

    def due(self) -> list[PeerId]:
        """Return the peers to ask now."""
        now_s = self._clock()
        return [peer for peer in self._chosen() if now_s >= self._ask_at_s.get(peer, now_s)]

    async def ask(self, peer: PeerId) -> None:
        """Ask a peer to dial this node; if no peer reached this node, make a reservation at it."""
        self._ask_at_s[peer] = self._clock() + AGAIN_S
        address = self._chosen().get(peer)
        found = await self._reached_by(peer)
        if address is None or isinstance(found, NetworkError):
            return
        self._ask_at_s[peer] = self._clock() + ASKED_EVERY_S
        before = self.addresses
        self._found.pop(peer, None)
        self._through.pop(peer, None)
        if found is not None:
            self._found[peer] = str(found)
            self._through.clear()
        elif not self._found and len(self._through) < MOST_RELAYS:
            await self._reserve(peer, address)
        if self.addresses != before:
            self._on_change()

    def on_disconnect(self, peer: PeerId) -> None:
        """Delete the state of a closed connection."""
        for kept in (self._ask_at_s, self._found, self._through):
            kept.pop(peer, None)

    async def _reached_by(self, peer: PeerId) -> Address | NetworkError | None:
        """Return the address at which a peer reached this node, or None, or the fault."""
        ports = tuple(dict.fromkeys(self._ports()))[:MAX_PORTS]
        if not ports:
            return None
        try:
            reached = await ask(self._carrier, peer, REACH, ReachQuestion(ports=ports), Reached)
        except NetworkError as fault:  # it is no relay, has gone, or is asked too often
            return fault
        if isinstance(reached, Rejected):
            return NetworkError(f"{peer} sent an invalid answer: {reached.reason}")
        if reached.address is None:
            return None
        found = parse_address(f"{reached.address}/p2p/{self._carrier.peer_id}")
        if isinstance(found, Rejected) or found.port not in ports:
            return NetworkError(f"{peer} answered with an address that is not this node's")
        return found

    def _ports(self) -> Iterator[int]:
        for text in self._carrier.addresses:
            match text.split("/"):
                case ["", _, _, "tcp", port, "p2p", _] if port.isdecimal():
                    yield int(port)

    async def _reserve(self, peer: PeerId, address: Address) -> None:
        try:
            await self._carrier.reserve(peer)
        except NetworkError as fault:
            _log.info("%s", fault.message)
            return
        own = make_address(
            kind=address.kind,
            host=address.host,
            port=str(address.port),
            peer=str(self._carrier.peer_id),
            relay=peer,
        )
        if isinstance(own, Address) and peer in self._chosen():  # else it has gone meanwhile
            self._through[peer] = str(own)
