"""Connections through a relay (libp2p's circuit relay v2), outbound and inbound.

A circuit is a stream to the relay that carries a whole connection, encrypted end to end. The relay
sees how many bytes pass and can end the circuit, but nothing else. On a private network the
network's secret also encrypts circuits, as it encrypts sockets. `node.network.relay` implements the
relay.

This module uses the messages and raw connections of py-libp2p 0.8.1, but not its services. Those
services make reservations for any peer that a message names, cannot tell two circuits of one peer
apart, and dial addresses that they stored.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

import trio
from google.protobuf.message import Message
from libp2p.abc import INetStream
from libp2p.connection_types import ConnectionType
from libp2p.custom_types import TProtocol
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, Status, StopMessage
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId as NamedPeer
from libp2p.relay.circuit_v2.utils import read_delimited_msg
from libp2p.utils.varint import encode_varint_prefixed
from multiaddr import Multiaddr

from node.home.addresses import PeerId
from node.network.connections import Connections
from node.network.errors import FrameCutError, Incidents, NetworkError
from node.network.guards import guarding, peer_of, reset_quietly, shielded_for
from node.network.streams import ByteStream

HOP: Final = TProtocol("/libp2p/circuit/relay/0.2.0/hop")
STOP: Final = TProtocol("/libp2p/circuit/relay/0.2.0/stop")
# The time for one message. A relay asks the other peer before it answers.
MESSAGE_S: Final = 10.0
READ_BYTES: Final = 64 << 10
# Longer than yamux waits for a window, so that a write times out only if the socket accepts no
# bytes.
WRITE_S: Final = 8.0

M = TypeVar("M", HopMessage, StopMessage)
OpenStream = Callable[[PeerId, str], Awaitable[INetStream]]


class Circuits:
    """The circuits that start or end at this host."""

    def __init__(
        self,
        connections: Connections,
        incidents: Incidents,
        *,
        open_stream: OpenStream,
        is_banned: Callable[[PeerId], bool],
    ) -> None:
        self._connections = connections
        self._open_stream = open_stream
        self._is_banned = is_banned
        self._relays: set[PeerId] = set()
        self.handler = guarding(self._take, incidents, "a circuit")  # for `STOP`

    async def reserve(self, relay: PeerId) -> None:
        """Ask a connected relay to pass circuits to this node for a while.

        Raises:
            NetworkError: the peer is not a relay, or has no free reservation.
        """
        stream = await self._open_stream(relay, HOP)
        try:
            await self._agree(stream, HopMessage(type=HopMessage.RESERVE))
        finally:
            await reset_quietly(stream)
        self._relays.add(relay)

    async def dial(self, relay: PeerId, target: ID) -> None:
        """Connect to a peer through a connected relay at which the peer has a reservation.

        Raises:
            NetworkError: the relay refuses. Errors of libp2p are passed on.
        """
        stream = await self._open_stream(relay, HOP)
        try:
            named = NamedPeer(id=target.to_bytes())
            await self._agree(stream, HopMessage(type=HopMessage.CONNECT, peer=named))
            await self._connections.dial_through(self._raw(stream, is_initiator=True), target)
        except BaseException:
            await reset_quietly(stream)
            raise

    async def _agree(self, stream: INetStream, question: HopMessage) -> None:
        await write_message(self._connections.bytes_of(stream), question)
        answer = await read_message(stream, HopMessage)
        if answer.type != HopMessage.STATUS or answer.status != Status.OK:
            raise NetworkError(
                f"the relay refuses ({answer.status})", "try another relay, or try again later"
            )

    async def _take(self, stream: INetStream) -> None:
        """Accept or refuse a circuit that a relay offers; return when an accepted one has ended."""
        relay = peer_of(stream)
        question = await read_message(stream, StopMessage)
        if question.type != StopMessage.CONNECT:
            raise ValueError("not a relay's request")
        dialler = PeerId(str(ID(question.peer.id)))
        is_wanted = relay in self._relays and not self._is_banned(dialler)
        status = Status.OK if is_wanted else Status.PERMISSION_DENIED
        await write_message(
            self._connections.bytes_of(stream), StopMessage(type=StopMessage.STATUS, status=status)
        )
        if not is_wanted:
            await stream.close()
            return
        # The relay is not to blame for what the dialler does. The connection ends with the stream.
        with contextlib.suppress(Exception):
            raw = self._raw(stream, is_initiator=False)
            await self._connections.accept_through(raw, Multiaddr(f"/p2p/{relay}/p2p-circuit"))
        await reset_quietly(stream)

    def _raw(self, stream: INetStream, *, is_initiator: bool) -> RawConnection:
        return RawConnection(
            _Socket(stream, self._connections.bytes_of(stream)),
            is_initiator,
            ConnectionType.RELAYED,
            [],
        )


async def write_message(stream: ByteStream, message: Message) -> None:
    """Write a message of the relay's protocols."""
    with trio.fail_after(MESSAGE_S):
        await stream.write(encode_varint_prefixed(message.SerializeToString()))


async def read_message(stream: INetStream, kind: type[M]) -> M:
    """Read a message of the relay's protocols, of at most 64 KiB."""
    with trio.fail_after(MESSAGE_S):
        return await read_delimited_msg(stream, kind)


class _Socket(ReadWriteCloser):
    """A stream to a relay, with the interface of a libp2p socket."""

    def __init__(self, stream: INetStream, data: ByteStream) -> None:
        self._stream = stream
        self._data = data

    async def read(self, n: int | None = None) -> bytes:
        with _closing():
            return await self._data.read(READ_BYTES if n is None else n)

    async def write(self, data: bytes) -> None:
        # Shield the write from cancellation: half a packet would remain on the relay's connection.
        with _closing(), shielded_for(WRITE_S):
            await self._data.write(data)

    async def close(self) -> None:
        await self._data.reset()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Return the relay's address, so that handshakes through one relay share one limit."""
        return self._stream.get_remote_address()


@contextlib.contextmanager
def _closing() -> Iterator[None]:
    try:
        yield
    except FrameCutError as fault:
        raise ConnectionClosedError(fault.message, transport="relay") from fault
