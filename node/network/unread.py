"""Bounds on the unread data of all peers together, and on the rate of their frames.

py-libp2p 0.8.1 enforces no yamux window. It handles frames as fast as they arrive and lets no other
task run while a packet still contains frames. If a few hundred peers each used up the limit of
their connection, the process would run out of memory. So above a total bound, the peer with the
most unread data is disconnected. A peer that sends whole messages has almost no unread data.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Final
from weakref import WeakKeyDictionary

import trio
from libp2p.network.swarm import Swarm
from libp2p.stream_muxer.yamux.yamux import HEADER_SIZE, Yamux

from node.home.addresses import PeerId
from node.network.errors import Incidents
from node.network.patches import reads_of, replace_reads
from node.network.peer_budgets import ALLOWANCES, Buckets, CostKind

# For one connection. Enough for an honest peer: windows of 256 KiB for a few dozen streams.
UNREAD_BYTES: Final = 8 << 20
# For all peers together, including incomplete questions, answers and RPCs.
HELD_BYTES: Final = 64 << 20
_LOOKED_AT_EVERY_BYTES = 1 << 20

# Returns the peers with incomplete messages, and the number of bytes received of these.
Partial = Callable[[], Iterable[tuple[PeerId, int]]]


class Unread:
    """Bounds on the unread bytes of a swarm's connections."""

    def __init__(
        self,
        swarm: Swarm,
        incidents: Incidents,
        *,
        sever: Callable[[PeerId], Awaitable[None]],
        partial: Partial,
    ) -> None:
        self._swarm = swarm
        self._incidents = incidents
        self._sever = sever
        self._partial = partial
        self._pacers = Buckets[PeerId](trio.current_time, ALLOWANCES[CostKind.FRAMES])
        self._being_read: WeakKeyDictionary[Yamux, int] = WeakKeyDictionary()
        self._arrived_bytes = 0  # since the last check of the total

    def bound(self, yamux: Yamux) -> None:
        """Guard a connection from its first frame on."""
        peer = PeerId(str(yamux.peer_id))
        read, read_body = reads_of(yamux)

        async def read_in_turn(size: int | None = None) -> bytes:
            if size == HEADER_SIZE:
                await trio.sleep(self._pacers[peer].wait_s())
            return await read(size)

        async def read_bounded(length: int) -> bytes:
            self._being_read[yamux] = length
            try:
                if unread_of(yamux) + length > UNREAD_BYTES or await self._is_to_go(peer, length):
                    # The one exception that `handle_incoming` treats as the end of the connection.
                    raise trio.TooSlowError
                return await read_body(length)
            finally:
                del self._being_read[yamux]

        replace_reads(yamux, read_in_turn, read_bounded)

    async def _is_to_go(self, peer: PeerId, arriving_bytes: int) -> bool:
        """Check now and then if too many bytes are unread; if so, sever the peer with the most.

        If that peer is `peer`, return True instead, and the caller ends the connection.
        """
        self._arrived_bytes += arriving_bytes
        if self._arrived_bytes < _LOOKED_AT_EVERY_BYTES:
            return False
        self._arrived_bytes = 0
        held = self.held()
        if held.total() <= HELD_BYTES:
            return False
        ((most, size),) = held.most_common(1)
        self._incidents.note(most, "unread", f"sent {size} of {held.total()} unread bytes")
        if most == peer:
            return True
        await self._sever(most)
        return False

    def held(self) -> Counter[PeerId]:
        """Return the number of unread bytes of each peer."""
        held: Counter[PeerId] = Counter()
        for peer_id, connections in self._swarm.get_connections_map().items():
            for connection in connections:
                yamux = connection.muxed_conn
                if isinstance(yamux, Yamux):
                    held[PeerId(str(peer_id))] += unread_of(yamux) + self._being_read.get(yamux, 0)
        for peer, size in self._partial():
            held[peer] += size
        return held


def unread_of(yamux: Yamux) -> int:
    """Return the number of unread bytes on a connection's streams."""
    return sum(map(len, yamux.stream_buffers.values()))
