"""A relay: it passes connections to peers that cannot be dialled (libp2p's circuit relay v2).

A connected peer makes a reservation; other connected peers may then open circuits to it. The relay
counts the bytes but does not interpret them. Reservations, circuits, bytes, bytes per second and
time are all bounded for every peer. The relay answers no request that arrives over a circuit.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import trio
from libp2p.abc import INetStream
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import (
    HopMessage,
    Limit,
    Reservation,
    Status,
    StopMessage,
)
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId as NamedPeer

from node.home.addresses import PeerId
from node.network.circuits import STOP, WRITE_S, OpenStream, read_message, write_message
from node.network.connections import Connections
from node.network.errors import FrameCutError, Incidents, NetworkError
from node.network.guards import ENDINGS, guarding, peer_of, reset_quietly, shielded_for
from node.network.peer_budgets import Allowance, Bucket
from node.network.streams import ByteStream

CHUNK_BYTES: Final = 16 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    """The limits of relaying. Both peers of a circuit count towards `circuits_per_peer`.

    If all circuits are busy, each direction of a circuit gets 32 KiB/s. py-libp2p gives up a write
    after 5 s, which is time for half a yamux window. Live peers say hello every 10 s, so an idle
    circuit is dead.
    """

    reservations: int = 64
    reservations_per_host: int = 16  # of those connected from one IP address
    reservation_s: float = 3600.0
    circuits: int = 64
    circuits_per_peer: int = 8
    circuit_bytes: int = 64 << 20
    circuit_s: float = 3600.0
    idle_s: float = 90.0
    bytes_per_s: float = 4 << 20  # of all circuits


class Relay:
    """A server of reservations and circuits over one host's connections."""

    def __init__(
        self,
        connections: Connections,
        incidents: Incidents,
        *,
        open_stream: OpenStream,
        limits: RelayLimits,
        clock: Callable[[], float],
    ) -> None:
        self._connections = connections
        self._incidents = incidents
        self._open_stream = open_stream
        self._limits = limits
        self._clock = clock
        self._reserved: dict[PeerId, float] = {}  # expiry times
        self._circuits: Counter[PeerId] = Counter()
        rate = limits.bytes_per_s
        self._pacer = Bucket(clock, Allowance(per_s=rate, burst=rate))
        self.handler = guarding(self._answer, incidents, "the relay")  # for `HOP`

    async def _answer(self, stream: INetStream) -> None:
        source = peer_of(stream)
        question = await read_message(stream, HopMessage)
        if self._connections.is_relayed(stream.muxed_conn):
            await self._conclude(stream, Status.PERMISSION_DENIED)
        elif question.type == HopMessage.RESERVE:
            await self._reserve(stream, source)
        elif question.type == HopMessage.CONNECT:
            await self._connect(stream, source, PeerId(str(ID(question.peer.id))))
        else:
            raise ValueError("not a request to a relay")

    async def _reserve(self, stream: INetStream, peer: PeerId) -> None:
        self._forget_gone()
        host = self._connections.host_of(peer)
        others = [one for one in self._reserved if one != peer]
        near = sum(self._connections.host_of(one) == host for one in others)
        limits = self._limits
        if len(others) >= limits.reservations or near >= limits.reservations_per_host:
            await self._conclude(stream, Status.RESERVATION_REFUSED)
            return
        self._reserved[peer] = self._clock() + limits.reservation_s
        until = Reservation(expire=int(time.time() + limits.reservation_s))
        answer = HopMessage(
            type=HopMessage.STATUS, status=Status.OK, reservation=until, limit=self._limit()
        )
        await self._end(stream, answer)

    async def _connect(self, stream: INetStream, source: PeerId, target: PeerId) -> None:
        self._forget_gone()
        if target not in self._reserved:
            await self._conclude(stream, Status.NO_RESERVATION)
            return
        busiest = max(self._circuits[source], self._circuits[target])
        is_full = self._circuits.total() >= 2 * self._limits.circuits
        if is_full or busiest >= self._limits.circuits_per_peer:
            await self._conclude(stream, Status.RESOURCE_LIMIT_EXCEEDED)
            return
        with self._counted(source, target):
            onward = await self._stop(source, target)
            if onward is None:
                await self._conclude(stream, Status.CONNECTION_FAILED)
                return
            try:
                answer = HopMessage(type=HopMessage.STATUS, status=Status.OK, limit=self._limit())
                await write_message(self._connections.bytes_of(stream), answer)
                await self._join(
                    self._connections.bytes_of(stream), self._connections.bytes_of(onward)
                )
            finally:
                await reset_quietly(onward)
                await reset_quietly(stream)

    async def _stop(self, source: PeerId, target: PeerId) -> INetStream | None:
        """Offer a circuit to a peer; return the stream to it, or None if it does not accept."""
        try:
            stream = await self._open_stream(target, STOP)
        except NetworkError:
            return None
        named = NamedPeer(id=ID.from_string(source).to_bytes())
        question = StopMessage(type=StopMessage.CONNECT, peer=named, limit=self._limit())
        try:
            await write_message(self._connections.bytes_of(stream), question)
            answer = await read_message(stream, StopMessage)
            if answer.type == StopMessage.STATUS and answer.status == Status.OK:
                return stream
        except (*ENDINGS, FrameCutError, trio.TooSlowError):
            pass  # the peer has gone, or is slow
        except Exception as fault:  # noqa: BLE001 (a supervisor: the fault is not the dialler's)
            self._incidents.note(target, "a circuit", fault)
        await reset_quietly(stream)
        return None

    async def _join(self, one: ByteStream, other: ByteStream) -> None:
        """Copy bytes both ways until either side ends or the circuit's time or bytes run out."""
        budget = _Budget(self._limits.circuit_bytes)
        with trio.move_on_after(self._limits.circuit_s):
            async with trio.open_nursery() as ways:
                for source, sink in ((one, other), (other, one)):
                    ways.start_soon(self._carry, source, sink, budget, ways.cancel_scope)

    async def _carry(
        self, source: ByteStream, sink: ByteStream, budget: "_Budget", both: trio.CancelScope
    ) -> None:
        try:
            while budget.left > 0:
                with trio.fail_after(self._limits.idle_s):
                    data = await source.read(min(CHUNK_BYTES, budget.left))
                if not data:
                    break
                budget.left -= len(data)
                await trio.sleep(self._pacer.wait_s(len(data)))
                # An interrupted write would end the connection of the peer that it goes to.
                with shielded_for(WRITE_S):
                    await sink.write(data)
        except (FrameCutError, trio.TooSlowError):
            pass
        both.cancel()

    def _forget_gone(self) -> None:
        now = self._clock()
        self._reserved = {
            peer: until
            for peer, until in self._reserved.items()
            if until > now and self._connections.is_direct(peer)
        }

    @contextmanager
    def _counted(self, *peers: PeerId) -> Iterator[None]:
        self._circuits.update(peers)
        try:
            yield
        finally:
            self._circuits.subtract(peers)
            self._circuits = +self._circuits

    async def _conclude(self, stream: INetStream, status: Status.ValueType) -> None:
        await self._end(stream, HopMessage(type=HopMessage.STATUS, status=status))

    async def _end(self, stream: INetStream, answer: HopMessage) -> None:
        await write_message(self._connections.bytes_of(stream), answer)
        await stream.close()

    def _limit(self) -> Limit:
        return Limit(duration=int(self._limits.circuit_s), data=self._limits.circuit_bytes)


@dataclass(slots=True)
class _Budget:
    """The bytes that a circuit may still carry, in both directions together."""

    left: int
