"""Guards that keep a failing task or handler from crashing the host.

In py-libp2p 0.8.1 an exception in any task of a service ends the service and with it the host. Two
guards cover all tasks. `guarding` wraps every stream handler. `GuardedManager` runs each service's
tasks; a failing task ends only the connection that it served. `node.network.gossip` guards gossip,
and `node.network.connections` guards connections.

Tests show that the host dies if any of these guards is missing. Peers that break rules are dropped
elsewhere: by `NetworkHost.drop`, according to their budgets (`peer_budgets.py`).
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import trio
from libp2p.abc import INetStream
from libp2p.exceptions import BaseLibp2pError
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.exceptions import RawConnError
from libp2p.network.stream.exceptions import StreamClosed, StreamEOF, StreamReset
from libp2p.peer.id import ID
from libp2p.tools.anyio_service.api import ServiceAPI
from libp2p.tools.anyio_service.trio_manager import TrioManager

from node.home.addresses import PeerId
from node.network.errors import Incidents
from node.network.patches import StreamHandler, set_manager

CLEAN_UP_S: Final = 2.0

# The exceptions of a stream whose peer disconnects, which is not a fault.
ENDINGS: Final = (StreamEOF, StreamReset, StreamClosed, ConnectionClosedError, RawConnError)


def guarding(handler: StreamHandler, incidents: Incidents, where: str) -> StreamHandler:
    """Return a handler that never raises: it logs a fault and resets the stream."""

    async def guarded(stream: INetStream) -> None:
        try:
            await handler(stream)
        except ENDINGS:
            await reset_quietly(stream)
        except Exception as fault:  # noqa: BLE001 (a supervisor: no stream may end the host)
            incidents.note(peer_of(stream), where, fault)
            await reset_quietly(stream)

    return guarded


@contextmanager
def shielded_for(timeout_s: float) -> Iterator[None]:
    """Protect the block from cancellation, but end it after `timeout_s`."""
    with trio.move_on_after(timeout_s) as scope:
        scope.shield = True
        yield


async def reset_quietly(stream: INetStream) -> None:
    """Reset a stream, even if the caller is cancelled.

    Give up after `CLEAN_UP_S`, because the stream's connection may accept no bytes.
    """
    with shielded_for(CLEAN_UP_S), contextlib.suppress(Exception):
        await stream.reset()


def peer_of(stream: INetStream) -> PeerId:
    """Return the peer at the other end of a stream."""
    return PeerId(str(stream.muxed_conn.peer_id))


class GuardedManager(TrioManager):
    """A runner of a service's tasks; a failing task ends only itself and its connection.

    The service's own `run` and its daemons are not guarded: without them there is no service, and
    the supervisor must restart the process.
    """

    def __init__(self, service: ServiceAPI, incidents: Incidents) -> None:
        super().__init__(service)
        self._incidents = incidents

    def run_task(
        self,
        async_fn: Callable[..., Awaitable[Any]],
        *args: Any,
        daemon: bool = False,
        name: str | None = None,
        _internal: bool = False,
    ) -> None:
        """Run a task in the background."""
        if not (daemon or _internal):
            name = name or getattr(async_fn, "__qualname__", None)
            async_fn = self._ending_alone(async_fn)
        super().run_task(async_fn, *args, daemon=daemon, name=name, _internal=_internal)

    def _ending_alone(self, task: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def run(*args: Any) -> None:
            try:
                await task(*args)
            except Exception as fault:  # noqa: BLE001 (a supervisor, as above)
                await self._settle(task, args, fault)

        return run

    async def _settle(
        self, task: Callable[..., Awaitable[Any]], args: tuple[Any, ...], fault: Exception
    ) -> None:
        owner = getattr(task, "__self__", None)
        muxed = getattr(owner, "muxed_conn", owner)
        peer = getattr(muxed, "peer_id", None)
        if not isinstance(fault, BaseLibp2pError):
            where = getattr(task, "__qualname__", "a task")
            blamed = peer or next((one for one in args if isinstance(one, ID)), "none")
            self._incidents.note(PeerId(str(blamed)), where, fault)
        if owner is not None and peer is not None:
            # Without the task that serves it, the connection would stay in the tables.
            with shielded_for(CLEAN_UP_S), contextlib.suppress(Exception):
                await owner.close()


@asynccontextmanager
async def guarded_service(service: ServiceAPI, incidents: Incidents) -> AsyncIterator[None]:
    """Run a libp2p service in the background, like libp2p's `background_trio_service`."""
    async with trio.open_nursery() as nursery:
        manager = GuardedManager(service, incidents)
        set_manager(service, manager)
        nursery.start_soon(manager.run)
        await manager.wait_started()
        try:
            yield
        finally:
            await manager.stop()
