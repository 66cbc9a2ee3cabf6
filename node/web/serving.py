"""A site at an address: for the length of a block, bounded in what it takes on at once."""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from node.settings.values import FREE_PAGE
from node.web.events import Events
from node.web.library import Library
from node.web.site import Site
from node.web.tokens import Right
from node.web.watching import Watch
from protocol.errors import ConfigurationError

DEFAULT_PORT: Final = 7842
LOOPBACK: Final = "127.0.0.1"
_MOST_CONNECTIONS: Final = 256
_IDLE_S: Final = 30.0  # between two requests


class _Refused(asyncio.Protocol):
    """A connection too many: it is closed at once, which costs next to nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A site that answers."""

    site: Site
    host: str
    port: int

    @property
    def url(self) -> str:
        """Where the page is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    def link(self, right: Right) -> str:
        """Return a link that gives a right to whoever opens it first, within an hour."""
        return f"{self.url}#{self.site.codes.issue(right)}"


def address_of(setting: str) -> tuple[str, int | None]:
    """Return the host and the port that a setting means; None: the usual port, or a free one."""
    if setting == FREE_PAGE:
        return LOOPBACK, None
    host, _, port = setting.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


@contextlib.asynccontextmanager
async def serving(site: Site, host: str, port: int | None) -> AsyncIterator[Served]:
    """Serve a site at a host and a port while a block lasts.

    Without a port it is the usual one, or a free one where that is taken. Raises
    ConfigurationError if nobody may listen there, or somebody does.
    """
    async with Library(site.home) as library, contextlib.AsyncExitStack() as stack:
        events = Events(Watch(library, site.now))
        door = _Door()
        app = site.app(library, events, heard=door.heard)
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=_IDLE_S)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        door.lead_to(runner)
        server = await _listening(door, host, port)
        stack.callback(server.close)
        watching = asyncio.create_task(events.run())
        stack.callback(watching.cancel)
        stack.callback(events.end)
        found: int = server.sockets[0].getsockname()[1]
        yield Served(site=site, host=host, port=found)


class _Door:
    """Lets so many connections in; for one more it shows out whoever has asked for nothing yet.

    Another user of the machine may open 10,000 and say nothing; aiohttp ends those only when it has
    waited as long as between two requests.
    """

    def __init__(self) -> None:
        self._server: web.Server | None = None
        self._silent: dict[web.RequestHandler, None] = {}  # the oldest first

    def lead_to(self, runner: web.AppRunner) -> None:
        """Say who answers behind it."""
        self._server = runner.server

    def __call__(self) -> asyncio.BaseProtocol:
        if self._server is None:
            return _Refused()
        if len(self._server.connections) >= _MOST_CONNECTIONS:
            if not self._silent:
                return _Refused()
            oldest = next(iter(self._silent))
            del self._silent[oldest]
            oldest.force_close()
        guest = self._server()
        self._silent[guest] = None
        while len(self._silent) > _MOST_CONNECTIONS:  # those that went by themselves
            del self._silent[next(iter(self._silent))]
        return guest

    def heard(self, guest: web.RequestHandler) -> None:
        """Note that a connection has asked for something."""
        self._silent.pop(guest, None)


async def _listening(door: _Door, host: str, port: int | None) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    for wanted in (DEFAULT_PORT, 0) if port is None else (port,):
        try:
            return await loop.create_server(door, host, wanted)
        except OSError as fault:
            if port is None and wanted and fault.errno == errno.EADDRINUSE:
                continue
            raise ConfigurationError(
                f"{host}:{wanted} cannot be listened on: {(fault.strerror or 'refused').lower()}",
                'set `web` to another address, "auto" or "none"',
            ) from fault
    raise AssertionError("a free port is always found, or refused")
