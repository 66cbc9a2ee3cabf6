"""Tests, at peers' request, whether they can be dialled from outside (`/arnode/reach/1`).

The question is {ports: [1 … 4 ports]}, the answer is {address: text | nil}. Only the IP address
from which the peer is connected is dialled, so no peer can make this node dial another machine. A
peer is tested at most once a minute, and the test connection is closed. IPv4 only, since py-libp2p
reports no IPv6 hosts.
"""

import contextlib
from collections.abc import Callable
from typing import Final, cast

import trio
from libp2p.abc import IRawConnection
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from node.home.addresses import PeerId
from node.network.connections import Connections
from node.network.contract import ReachQuestion
from node.network.frames import FrameStream
from node.network.guards import shielded_for
from node.network.peer_budgets import PEERS_TRACKED, Recent
from protocol.encoding import Value
from protocol.errors import Rejected

TRY_S: Final = 5.0
TRIED_EVERY_S: Final = 60.0
TRIES_AT_ONCE: Final = 8
_CLOSE_S = 1.0


class ReachProber:
    """A prober of peers' hosts. `report` counts an invalid question against its peer."""

    def __init__(
        self,
        swarm: Swarm,
        connections: Connections,
        *,
        report: Callable[[PeerId, str], None],
        clock: Callable[[], float],
    ) -> None:
        self._swarm = swarm
        self._connections = connections
        self._report = report
        self._clock = clock
        self._tried_at: Recent[PeerId, float] = Recent(PEERS_TRACKED)
        self._tries = 0

    async def answer(self, peer: PeerId, frames: FrameStream) -> None:
        """Answer one question, unless the peer asks too often or too many tests are running."""
        question = ReachQuestion.from_value(cast("Value", await frames.receive()))
        if isinstance(question, Rejected):
            self._report(peer, "an invalid request for a reach test")
        elif self._may_try(peer):
            self._tries += 1
            try:
                address = await self._reached(peer, question.ports)
            finally:
                self._tries -= 1
            await frames.send({"address": address})
            return
        await frames.reset()

    def _may_try(self, peer: PeerId) -> bool:
        tried_at = self._tried_at.get(peer)
        now = self._clock()
        if tried_at is not None and now < tried_at + TRIED_EVERY_S:
            return False
        if self._tries >= TRIES_AT_ONCE:
            return False
        self._tried_at[peer] = now
        return True

    async def _reached(self, peer: PeerId, ports: tuple[int, ...]) -> str | None:
        host = self._connections.host_of(peer)
        if host is None:
            return None
        for port in ports:
            address = f"/ip4/{host}/tcp/{port}"
            if await self._answers(Multiaddr(address), ID.from_string(peer)):
                return address
        return None

    async def _answers(self, address: Multiaddr, peer: ID) -> bool:
        """Return True if this very peer answers at an address."""
        raw: IRawConnection | None = None
        try:
            with trio.fail_after(TRY_S):
                transport = self._swarm.transport_manager.transport_for_dialing(address)
                if transport is None:
                    return False
                raw = await transport.dial(address)
                raw = self._connections.private(raw)
                await self._swarm.upgrader.upgrade_security(raw, True, peer)
        except Exception:  # noqa: BLE001 (whatever answers there is not the peer)
            return False
        finally:
            if raw is not None:
                with shielded_for(_CLOSE_S), contextlib.suppress(Exception):
                    await raw.close()
        return True
