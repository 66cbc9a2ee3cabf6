"""Serving of a site at an address for the length of a block, with bounded connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from node.web.connection_limits import KEEPALIVE_S, LINGERING_S, ConnectionLimiter
from node.web.events import Events
from node.web.guards import answering
from node.web.listening import Listener
from node.web.reading import Library
from node.web.site import Site
from node.web.tokens import Right
from node.web.watching import ChangeWatch

_CLOSING_S: Final = 5.0  # for unfinished answers when the server closes


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A site that is being served."""

    site: Site
    listener: Listener

    @property
    def url(self) -> str:
        """The address for programs."""
        return self.listener.url

    @property
    def port(self) -> int:
        """The port of that address."""
        return self.listener.port

    def link(self, right: Right) -> str:
        """Return a link that works once, within an hour, and gives the browser this right."""
        return f"{self.listener.browser_url}#{self.site.codes.issue(right)}"


@contextlib.asynccontextmanager
async def serving(site: Site, listener: Listener) -> AsyncIterator[Served]:
    """Serve a site for the length of a block. The listener stays open afterwards."""
    library = Library(site.home, site.net, site.recorded_ms)
    async with library, contextlib.AsyncExitStack() as stack:
        events = Events(ChangeWatch(library, site.now))
        limiter = ConnectionLimiter()
        app = site.app(library, events, limiter, name=listener.name)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSING_S)
        await runner.setup()
        stack.callback(limiter.shut)
        stack.push_async_callback(runner.cleanup)
        assert runner.server is not None  # noqa: S101 (`setup` makes it)
        runner.server.request_handler = answering(runner.server.request_handler)
        limiter.set_server(
            runner.server,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGERING_S,
        )
        loop = asyncio.get_running_loop()
        for one in listener.sockets:
            server = await loop.create_server(limiter, sock=one.dup())
            stack.push_async_callback(_close, server)
        for work in (events.run(), limiter.run()):
            stack.callback(asyncio.create_task(work).cancel)
        stack.callback(events.end)
        yield Served(site=site, listener=listener)


async def _close(server: asyncio.Server) -> None:
    """Stop accepting connections, then close the server.

    The server closes one step later, so that connections accepted just before get their protocol.
    Otherwise Python 3.11 would leave them open and unanswered.
    """
    loop = asyncio.get_running_loop()
    for one in server.sockets:
        loop.remove_reader(one.fileno())
    try:
        await asyncio.sleep(0)
    finally:
        server.close()
