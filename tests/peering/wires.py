"""The network process of several nodes, in memory: it carries bytes, and can do so badly.

It imitates nothing of the core. Requests and answers go through msgpack and the frame limit, as on
a stream. `tamper` may delay, change or lose an answer.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import msgpack

from node.home.addresses import PeerId
from node.network.errors import FrameError, NetworkError
from node.network.messages import (
    FRAME_LIMIT_BYTES,
    QUESTION_LIMIT_BYTES,
    decode_message,
)
from node.peering.carrier import Answer, Connected, Disconnected, Event, GossipMessage, Message
from protocol.errors import ArnodeError

# Maps protocol, request and answer to the answer that arrives; raises NetworkError to lose it.
Tamper = Callable[[str, Message, Message], Awaitable[Message]]


async def faithful(_protocol: str, _question: Message, answer: Message) -> Message:
    return answer


class Wires:
    """The connections between the carriers of one test."""

    def __init__(self) -> None:
        self.carriers: dict[PeerId, MemoryCarrier] = {}
        self.bytes: Counter[str] = Counter()  # by protocol, both ways
        self.questions: Counter[str] = Counter()

    def carrier(self, name: str) -> "MemoryCarrier":
        """Return a new node's carrier."""
        carrier = MemoryCarrier(self, PeerId(name))
        self.carriers[PeerId(name)] = carrier
        return carrier

    def connect(self, dialler: "MemoryCarrier", other: "MemoryCarrier") -> None:
        dialler.met(other.peer_id, f"/memory/p2p/{other.peer_id}")
        other.met(dialler.peer_id, None)

    def cut(self, one: "MemoryCarrier", other: "MemoryCarrier") -> None:
        one.lost(other.peer_id)
        other.lost(one.peer_id)

    def carried(self, protocol: str, message: Message, limit_bytes: int) -> Message:
        packed = msgpack.packb(message)
        self.bytes[protocol] += len(packed)
        if len(packed) > limit_bytes:
            raise NetworkError("a frame that is too long", "send less")
        try:
            return decode_message(packed)
        except FrameError as fault:
            raise NetworkError(fault.message) from fault


class MemoryCarrier:
    """One node's end of the wires."""

    def __init__(self, wires: Wires, peer_id: PeerId) -> None:
        self.tamper: Tamper = faithful
        self.dropped: dict[PeerId, str] = {}
        self.disconnected: list[PeerId] = []
        self.published: list[tuple[str, bytes]] = []
        self.reserved: list[PeerId] = []
        self.is_silent = False
        self.has_room = True  # for relay reservations
        self._wires = wires
        self._id = peer_id
        self._peers: list[PeerId] = []
        self._answers: dict[str, Answer] = {}
        self.lost_messages = 0
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._gossip: asyncio.Queue[GossipMessage] = asyncio.Queue()

    @property
    def peer_id(self) -> PeerId:
        return self._id

    @property
    def addresses(self) -> tuple[str, ...]:
        return (f"/memory/p2p/{self._id}",)

    @property
    def peers(self) -> tuple[PeerId, ...]:
        return tuple(self._peers)

    async def events(self) -> AsyncIterator[Event]:
        while True:
            yield await self._events.get()

    async def receive_gossip(self, most: int) -> list[GossipMessage]:
        gossip = [await self._gossip.get()]
        while len(gossip) < most and not self._gossip.empty():
            gossip.append(self._gossip.get_nowait())
        return gossip

    def serve(self, protocol: str, answer: Answer) -> None:
        self._answers[protocol] = answer

    async def ask(
        self, peer: PeerId, protocol: str, question: Message, *, timeout_s: float = 30.0
    ) -> Message:
        await asyncio.sleep(0)
        if peer not in self._peers:
            raise NetworkError(f"{peer} is not connected", "dial it")
        self._wires.questions[protocol] += 1
        other = self._wires.carriers[peer]
        asked = self._wires.carried(protocol, question, QUESTION_LIMIT_BYTES)
        if other.is_silent or protocol not in other._answers:
            raise NetworkError(f"no answer within {timeout_s} s", "try another peer")
        try:
            answer = await other._answers[protocol](self._id, asked)
        except ArnodeError as fault:
            raise NetworkError("the stream was reset", "try another peer") from fault
        answer = await other.tamper(protocol, asked, answer)
        return self._wires.carried(protocol, answer, FRAME_LIMIT_BYTES)

    async def dial(self, address: str) -> PeerId:
        peer = PeerId(address.rpartition("/")[2])
        if peer not in self._wires.carriers:
            raise NetworkError(f"nobody answers at {address}", "try another address")
        self._wires.connect(self, self._wires.carriers[peer])
        return peer

    async def reserve(self, relay: PeerId) -> None:
        await asyncio.sleep(0)
        if relay not in self._peers or not self._wires.carriers[relay].has_room:
            raise NetworkError(f"{relay} passes nothing on", "try another")
        self.reserved.append(relay)

    async def publish(self, topic: str, data: bytes) -> None:
        self.published.append((topic, data))
        for peer in self._peers:
            gossip = GossipMessage(topic=topic, forwarder=self._id, data=data)
            self._wires.carriers[peer]._gossip.put_nowait(gossip)

    async def disconnect(self, peer: PeerId) -> None:
        self.disconnected.append(peer)
        if peer in self._peers:
            self._wires.cut(self, self._wires.carriers[peer])

    async def drop(self, peer: PeerId, why: str) -> None:
        self.dropped[peer] = why
        if peer in self._peers:
            self._wires.cut(self, self._wires.carriers[peer])

    def met(self, peer: PeerId, address: str | None) -> None:
        self._peers.append(peer)
        self._events.put_nowait(Connected(peer=peer, address=address))

    def lost(self, peer: PeerId) -> None:
        self._peers.remove(peer)
        self._events.put_nowait(Disconnected(peer=peer))
