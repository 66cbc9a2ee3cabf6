"""Dialling of peers from the address book, and requests for more addresses (`/arnode/peers/1`).

An address from a peer is hearsay (`node.peering.book`): bounded, rarely tried, and trusted only
once a peer answers there.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Sequence

from node.home.addresses import Address, PeerId, Reach, parse_address
from node.network.errors import NetworkError
from node.peering.book import TARGET_OUTBOUND, AddressBook, AddressSource
from node.peering.carrier import Carrier
from node.peering.messages import (
    MAX_PEER_ADDRESSES,
    PEERS,
    Hello,
    Known,
    PeerAddresses,
    ask,
    read,
    write,
)
from node.peering.service_quota import Misbehaviour
from protocol.errors import ArnodeError, Rejected
from protocol.framing import Message

_LOOKED_S = 1.0
_LOOKED_WHILE_DOWN_S = 0.05  # short, since the network is soon up after a start
_SETTLED_S = 10.0
_KEPT_S = 60.0
_ASKED_AGAIN_S = 600.0
_log = logging.getLogger("node.peering")


class Dialler:
    """A dialler that keeps this node connected.

    `keep` writes the address book to disk; `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        carrier: Carrier,
        book: AddressBook,
        misbehaviour: Misbehaviour,
        *,
        keep: Callable[[AddressBook], None],
        chance: random.Random,
        clock: Callable[[], float],
    ) -> None:
        self._carrier = carrier
        self._book = book
        self._misbehaviour = misbehaviour
        self._keep = keep
        self._chance = chance
        self._clock = clock
        self._dialling: set[PeerId] = set()
        self._dialled: dict[PeerId, Address] = {}
        self._dialled_s: dict[PeerId, float] = {}
        self._announced: dict[PeerId, tuple[Address, ...]] = {}  # peers' own addresses
        self._asked_s: dict[PeerId, float] = {}

    async def run(self) -> None:
        """Dial peers that are due and ask peers for addresses. Never returns."""
        kept_s = self._clock()
        async with asyncio.TaskGroup() as errands:
            while True:
                if self._carrier.peer_id is not None:
                    for address in self._due():
                        self._dialling.add(address.peer)
                        errands.create_task(self._dial(address))
                    for peer in self._to_ask():
                        self._asked_s[peer] = self._clock()
                        errands.create_task(self._ask(peer))
                if self._clock() >= kept_s + _KEPT_S:
                    kept_s = self._clock()
                    self.keep()
                is_down = self._carrier.peer_id is None
                await asyncio.sleep(_LOOKED_WHILE_DOWN_S if is_down else _LOOKED_S)

    def keep(self) -> None:
        """Write the book. A failure is only logged: it costs a few dials after the next start."""
        try:
            self._keep(self._book)
        except ArnodeError as fault:
            _log.warning("the address book was not saved: %s (%s)", fault.message, fault.hint)

    def on_hello(self, peer: PeerId, hello: Hello) -> None:
        """Add the addresses in a peer's hello, which shows that the peer accepts this node."""
        if peer in self._dialled:
            self._book.note_success(self._dialled[peer])
        self._announced[peer] = self._learn(peer, hello.addresses)

    def learn_neighbour(self, address: Address) -> None:
        """Add an address that a node on the local network announces."""
        self._book.learn(address, AddressSource.MDNS)

    def replace_from(self, source: AddressSource, addresses: Sequence[Address]) -> None:
        """Add addresses of this network's nodes from the DHT or the lists."""
        self._book.replace_from(source, addresses)

    def on_disconnect(self, peer: PeerId) -> None:
        """Delete a closed connection's state. If it ended soon, count its dial as a failure.

        A peer that is full or refuses this node first accepts a connection and then closes it.
        """
        address = self._dialled.get(peer)
        if address is not None and self._clock() < self._dialled_s[peer] + _SETTLED_S:
            self._book.note_failure(address)
        for kept in (self._dialled, self._dialled_s, self._announced, self._asked_s):
            kept.pop(peer, None)

    def chosen(self) -> dict[PeerId, Address]:
        """Return the peers reached at an address that the user chose, each with that address."""
        chosen = {entry.address for entry in self._book.entries if entry.is_chosen}
        return {peer: one for peer, one in self._dialled.items() if one in chosen}

    async def answer(self, peer: PeerId, question: Message) -> Message:
        """Return other peers' addresses: those where they answered and those that they announce."""
        asked = await self._misbehaviour.checked(peer, "a request for peers", read(Known, question))
        others = [str(address) for address in self._shareable(peer)]
        self._chance.shuffle(others)
        return write(PeerAddresses(addresses=tuple(others[: asked.known])))

    def _due(self) -> list[Address]:
        connected = self._carrier.peers
        for peer in self._dialled.keys() - set(connected):  # disconnected before the event arrived
            self.on_disconnect(peer)
        return self._book.next_to_dial(
            connected=connected,
            outbound=sum(peer in self._dialled for peer in connected),
            dialling=self._dialling,
            own=self._carrier.peer_id,
        )

    async def _dial(self, address: Address) -> None:
        try:
            peer = await self._carrier.dial(str(address))
        except NetworkError as fault:
            _log.debug("%s", fault.message)
            self._book.note_failure(address)
        else:
            self._dialled[peer], self._dialled_s[peer] = address, self._clock()
        finally:
            self._dialling.discard(address.peer)

    def _to_ask(self) -> Iterator[PeerId]:
        """Yield the greeted peers to ask for addresses, as long as few peers are connected."""
        if len(self._carrier.peers) >= TARGET_OUTBOUND:
            return
        for peer in self._announced:
            asked_s = self._asked_s.get(peer)
            if asked_s is None or self._clock() >= asked_s + _ASKED_AGAIN_S:
                yield peer

    async def _ask(self, peer: PeerId) -> None:
        try:
            answer = await ask(
                self._carrier, peer, PEERS, Known(known=MAX_PEER_ADDRESSES), PeerAddresses
            )
        except NetworkError:  # it has gone, or does not answer
            return
        if isinstance(answer, Rejected):
            await self._misbehaviour.blame(peer, f"invalid addresses: {answer.reason}")
            return
        self._learn(peer, answer.addresses)

    def _learn(self, sent_by: PeerId, texts: Iterable[str]) -> tuple[Address, ...]:
        reached = self._dialled.get(sent_by)
        reach = reached.reach if reached else None
        learned: list[Address] = []
        for text in texts:
            # Other versions may use other forms of addresses, so these are not a fault.
            if isinstance(address := parse_address(text), Address):
                self._book.learn_from_peer(address, sent_by=sent_by, sender_reach=reach)
                learned.append(address)
        return tuple(learned)

    def _shareable(self, asker: PeerId) -> Iterator[Address]:
        for peer in self._carrier.peers:
            if peer == asker:
                continue
            own = [one for one in self._announced.get(peer, ()) if one.peer == peer]
            for address in dict.fromkeys([self._dialled.get(peer), *own]):
                if address is not None and address.reach not in (Reach.NAME, Reach.NOWHERE):
                    yield address
