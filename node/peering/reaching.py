"""Finds out how others reach this node: at an address of its own, else through relays.

Asked is whomever the user chose (a definition, a flag, an invite) and this node has dialled, soon
after the hello and again every ten minutes. One that answers from outside needs no relay; where
none of them reached it, it keeps a place at two of them at most. They can only be wrong about
their own view: a lie costs peers a dial that fails, or this node an address too few.
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

ASKED_EVERY_S: Final = 600.0  # a place is kept for an hour by arnode's relays, by others for longer
AGAIN_S: Final = 90.0  # of whom gave no answer: to come back within a minute is too early
MOST_RELAYS: Final = 2
_LOOKED_S = 1.0
_log = logging.getLogger("node.peering")


class Reaching:
    """Has peers try this node's addresses, and keeps places at relays.

    `chosen`: whom of those that said hello to ask, and where each was dialled; `on_change` is
    called when there is another address to tell; `clock`: seconds from anywhere.
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
        self._found: dict[PeerId, str] = {}  # by whom: where this node answered
        self._through: dict[PeerId, str] = {}

    @property
    def kind(self) -> Literal["direct", "relay", "unknown"]:
        """How this node is reached from outside, as far as it was found out."""
        if self._found:
            return "direct"
        return "relay" if self._through else "unknown"

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses where this node answered, and those through relays."""
        return tuple(dict.fromkeys((*self._found.values(), *self._through.values())))

    async def run(self) -> None:
        """Ask whoever is due, one after the other; never return."""
        while True:
            for peer in self.due():
                await self.ask(peer)
            await asyncio.sleep(_LOOKED_S)

    def due(self) -> list[PeerId]:
        """Return whom to ask now."""
        now_s = self._clock()
        return [peer for peer in self._chosen() if now_s >= self._ask_at_s.get(peer, now_s)]

    async def ask(self, peer: PeerId) -> None:
        """Have a peer try whether this node answers; if nobody reaches it, reserve a place."""
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

    def went(self, peer: PeerId) -> None:
        """Forget what came of a connection that has ended."""
        for kept in (self._ask_at_s, self._found, self._through):
            kept.pop(peer, None)

    async def _reached_by(self, peer: PeerId) -> Address | NetworkError | None:
        """Return where a peer reached this node, None if nowhere, the fault if it does not say."""
        ports = tuple(dict.fromkeys(self._ports()))[:MAX_PORTS]
        if not ports:
            return None
        try:
            reached = await ask(self._carrier, peer, REACH, ReachQuestion(ports=ports), Reached)
        except NetworkError as fault:  # it is no relay, has gone, or is asked too often
            return fault
        if isinstance(reached, Rejected):
            return NetworkError(f"{peer} answered {reached.reason}")
        if reached.address is None:
            return None
        found = parse_address(f"{reached.address}/p2p/{self._carrier.peer_id}")
        if isinstance(found, Rejected) or found.port not in ports:
            return NetworkError(f"{peer} reached somebody else")
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
