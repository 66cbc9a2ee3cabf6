"""The exchange of hellos: which peers are connected, what they have, and if they still answer.

The side that dialled asks for a hello every 10 s. The other side asks only if it got no hello for
30 s, so that both sides notice a peer that hangs. The hello also serves as a ping.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from node.home.addresses import PeerId
from node.network.errors import NetworkError
from node.peering.carrier import Carrier
from node.peering.messages import HELLO, Hello, read, write
from node.peering.service_quota import Misbehaviour, wait_for
from protocol.errors import Rejected
from protocol.framing import Message
from protocol.records import VERSION, other_version

REPEATED_S = 10.0
_ANSWERER_WAITS_S = 3 * REPEATED_S
_ANSWERED_WITHIN_S = 10.0
_MOST_UNANSWERED = 2
_LOOKED_S = 1.0
_log = logging.getLogger("node.peering")


@dataclass(kw_only=True)
class ConnectedPeer:
    """A connected peer: its address, last hello, latency, and when to ask next."""

    dialled: bool
    relayed: bool = False
    host: str | None = None
    ask_at_s: float
    hello: Hello | None = None
    latency_s: float | None = None
    unanswered: int = 0
    is_asked: bool = False


class Greeter:
    """The exchange of hellos.

    `own` returns this node's hello. `on_hello` receives each hello of a peer of the same network.
    """

    def __init__(
        self,
        carrier: Carrier,
        misbehaviour: Misbehaviour,
        *,
        own: Callable[[], Hello],
        on_hello: Callable[[PeerId, Hello], None],
        clock: Callable[[], float],
    ) -> None:
        self._carrier = carrier
        self._misbehaviour = misbehaviour
        self._own = own
        self._on_hello = on_hello
        self._clock = clock
        self._peers: dict[PeerId, ConnectedPeer] = {}
        self._is_due = asyncio.Event()
        self._parting = set[asyncio.Task[None]]()

    @property
    def peers(self) -> dict[PeerId, ConnectedPeer]:
        """The connected peers, for reading only."""
        return self._peers

    def is_greeted(self, peer: PeerId) -> bool:
        """Return True if a peer of this network has said hello. Other peers get no answers."""
        known = self._peers.get(peer)
        return known is not None and known.hello is not None

    def host_of(self, peer: PeerId) -> str | None:
        """Return the IPv4 address from which a peer is connected, if known."""
        known = self._peers.get(peer)
        return None if known is None else known.host

    def on_connect(
        self, peer: PeerId, *, dialled: bool, relayed: bool = False, host: str | None = None
    ) -> None:
        """Record that a peer is connected. `host`: its IPv4 address; `relayed`: only by a relay."""
        wait_s = 0.0 if dialled else REPEATED_S
        known = self._peers.get(peer)
        if known is None:
            ask_at_s = self._clock() + wait_s
            self._peers[peer] = ConnectedPeer(
                dialled=dialled, relayed=relayed, host=host, ask_at_s=ask_at_s
            )
            self._is_due.set()
        else:  # its hello arrived before the event of its connection
            known.dialled = known.dialled or dialled
            known.relayed = known.relayed or relayed
            known.host = host or known.host

    def on_disconnect(self, peer: PeerId) -> None:
        """Record that a peer is no longer connected."""
        self._peers.pop(peer, None)

    async def answer(self, peer: PeerId, question: Message) -> Message:
        """Answer a hello with this node's hello; drop a peer of another network or version.

        The dropped peer can see the reason in the answer.
        """
        if (version := other_version(question)) is not None:
            self._part_soon(peer, _of_version(version))
            return write(self._own())
        hello = await self._misbehaviour.checked(peer, "a hello", read(Hello, question))
        own = self._own()
        if hello.net == own.net:
            self.on_connect(peer, dialled=False)
            self._note(peer, hello)
        else:
            self._part_soon(peer, _of_network(hello.net, own.net))
        return write(own)

    async def greet(self, peer: PeerId) -> None:
        """Ask a peer for its hello.

        Drop a peer of another network or version. Disconnect a peer that did not answer twice in a
        row.
        """
        known = self._peers.get(peer)
        if known is None or known.is_asked:
            return
        own, known.is_asked = self._own(), True
        started_s = self._clock()
        try:
            answer = await self._carrier.ask(peer, HELLO, write(own), timeout_s=_ANSWERED_WITHIN_S)
        except NetworkError as fault:
            await self._unanswered(peer, known, fault.message)
            return
        finally:
            known.is_asked = False
            known.ask_at_s = self._clock() + (REPEATED_S if known.dialled else _ANSWERER_WAITS_S)
        hello = read(Hello, answer)
        if (version := other_version(answer)) is not None:
            await self._part(peer, _of_version(version))
        elif isinstance(hello, Rejected):
            why = f"its hello is invalid: {hello.reason}"
            await self._misbehaviour.blame(peer, why)
            await self._unanswered(peer, known, why)
        elif hello.net != own.net:
            await self._part(peer, _of_network(hello.net, own.net))
        else:
            known.latency_s = self._clock() - started_s
            self._note(peer, hello)

    def repeat_soon(self) -> None:
        """Send this node's hello again soon to every peer that said hello, since it has changed."""
        for known in self._peers.values():
            if known.hello is not None:
                known.ask_at_s = self._clock()
        self._is_due.set()

    async def run(self) -> None:
        """Ask the peers that are due for a hello. Never returns."""
        async with asyncio.TaskGroup() as asking:
            while True:
                for peer in self.due():
                    asking.create_task(self.greet(peer))
                self._is_due.clear()
                await wait_for(self._is_due, _LOOKED_S)

    def due(self) -> list[PeerId]:
        """Return the peers to ask now."""
        now_s = self._clock()
        return [
            peer
            for peer, known in self._peers.items()
            if not known.is_asked and known.ask_at_s <= now_s
        ]

    def _note(self, peer: PeerId, hello: Hello) -> None:
        known = self._peers.get(peer)
        if known is None:  # it has gone meanwhile
            return
        known.hello = hello
        known.unanswered = 0
        if not known.dialled:
            known.ask_at_s = self._clock() + _ANSWERER_WAITS_S
        self._on_hello(peer, hello)

    def _part_soon(self, peer: PeerId, why: str) -> None:
        """Drop a peer in a new task, so that the caller can first send its answer to the peer."""
        parting = asyncio.create_task(self._part(peer, why))
        self._parting.add(parting)
        parting.add_done_callback(self._parting.discard)

    async def _part(self, peer: PeerId, why: str) -> None:
        _log.info("peer %s: %s", peer, why)
        self.on_disconnect(peer)
        await self._carrier.drop(peer, why)

    async def _unanswered(self, peer: PeerId, known: ConnectedPeer, why: str) -> None:
        known.unanswered += 1
        if known.unanswered >= _MOST_UNANSWERED:
            # The peer may only be slow or suspended, so it may reconnect.
            _log.info("peer %s: no answer to %d hellos: %s", peer, known.unanswered, why)
            self.on_disconnect(peer)
            await self._carrier.disconnect(peer)


def _of_network(net: str, own: str) -> str:
    return f"it is in the network {net}, this node in {own}"


def _of_version(version: int) -> str:
    return f"it speaks network version {version}, this node {VERSION}"
