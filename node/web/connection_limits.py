"""A limit on connections to the page that protects connections with a valid token.

At the limit a new connection replaces a connection that never sent a valid token: the one that made
the least progress. Connections that sent a valid token are not replaced, up to a second limit that
leaves room for new ones. Each stage of a connection has a time limit, so that half-sent
requests and unread answers do not pile up.
"""

import asyncio
import ipaddress
import time
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

from aiohttp import web
from aiohttp.web_request import BaseRequest

from node.web.guards import SECURITY_HEADERS
from node.web.problems import problem
from protocol.ip_addresses import embedded_ipv4, is_spelt_as_ipv6, is_this_machine

Stage: TypeAlias = Literal["silent", "idle", "answering", "streaming"]

KEEPALIVE_S: Final = 30.0  # between two requests
LINGERING_S: Final = 2.0  # to read the rest of a rejected body
_MOST_CONNECTIONS: Final = 256
_MOST_KNOWN: Final = 224  # connections with a valid token that are not replaced
_MOST_OF_ADDRESS: Final = 64  # connections of one remote machine without a valid token
_REQUEST_S: Final = 10.0  # until the first request's headers are complete
_ANSWER_S: Final = 60.0  # from there until the answer is read; not for streams
_UNREAD_S: Final = 30.0  # without any progress in reading a stream
_SWEEP_S: Final = 1.0
_NEW_S: Final = 1.0  # age below which a silent connection is replaced last
_ORDER: Final[dict[Stage, int]] = {"silent": 0, "idle": 1, "answering": 2, "streaming": 3}


class Connection(web.RequestHandler):
    """A connection with its stage, the stage's start, and whether it sent a valid token."""

    def __init__(self, limiter: "ConnectionLimiter", server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._limiter = limiter
        self.stage: Stage = "silent"
        self.since_s = limiter.clock_s()
        self.is_known = False
        self.group: str | None = None
        self._unread_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.group = _group_of(transport.get_extra_info("peername"))
        super().connection_made(transport)
        self._limiter.admit(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._limiter.forget(self)
        super().connection_lost(exc)

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self.move_to("idle")

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer invalid HTTP with a problem document, without a log entry."""
        if status >= 500:  # a bug here; `answering` has caught everything else
            response = super().handle_error(request, status, exc, message)
        else:
            response = problem(status, "this is not a valid HTTP request", "send HTTP/1.1")
            response.force_close()
        response.headers.update(SECURITY_HEADERS)
        return response

    def move_to(self, stage: Stage) -> None:
        """Set the stage that the connection has reached."""
        self.stage, self.since_s = stage, self._limiter.clock_s()

    def end(self) -> None:
        """Close the connection at once, without waiting for unsent or unread data."""
        transport = self.transport
        self.force_close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()

    def is_overdue(self, now_s: float) -> bool:
        """Return True if the connection has exceeded the time limit of its stage."""
        match self.stage:
            case "silent":
                return now_s - self.since_s > _REQUEST_S
            case "idle":
                return now_s - self.since_s > KEEPALIVE_S + LINGERING_S
            case "answering":
                return now_s - self.since_s > _ANSWER_S
            case "streaming":
                return self._is_stuck(now_s)

    def _is_stuck(self, now_s: float) -> bool:
        """Return True if data is waiting and the client has read nothing for 30 seconds."""
        transport = self.transport
        waiting = (
            transport.get_write_buffer_size()
            if isinstance(transport, asyncio.WriteTransport)
            else 0
        )
        if waiting == 0 or waiting < self._unread_bytes:
            self.since_s = now_s
        self._unread_bytes = waiting
        return now_s - self.since_s > _UNREAD_S


class ConnectionLimiter:
    """The set of open connections. It admits new ones and ends those that exceed a limit."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.clock_s = clock_s
        self._server: web.Server | None = None
        self._options: dict[str, Any] = {}
        self._held: dict[Connection, None] = {}  # oldest first
        self._is_shut = False

    def set_server(self, server: web.Server, **options: Any) -> None:
        """Set the server that handles requests, and the options of connections."""
        self._server, self._options = server, options

    def __call__(self) -> asyncio.BaseProtocol:
        """Return the asyncio protocol of a new connection."""
        if self._server is None:
            raise RuntimeError("the server has no address yet")
        loop = asyncio.get_running_loop()
        return Connection(self, self._server, loop=loop, **self._options)

    def admit(self, newcomer: Connection) -> None:
        """Add a new connection, and end another one if there are too many."""
        if self._is_shut:
            newcomer.end()
            return
        self._held[newcomer] = None
        if newcomer.group is not None:
            alike = [one for one in self._replaceable() if one.group == newcomer.group]
            if len(alike) > _MOST_OF_ADDRESS:
                self._replace(alike, newcomer)
        if len(self._held) > _MOST_CONNECTIONS:
            self._replace(self._replaceable(), newcomer)

    def forget(self, connection: Connection) -> None:
        """Remove a connection that has ended."""
        self._held.pop(connection, None)

    def on_request(self, protocol: web.RequestHandler) -> None:
        """Note that the headers of a request are complete."""
        if isinstance(protocol, Connection):
            protocol.move_to("answering")

    def on_valid_token(self, protocol: web.RequestHandler) -> None:
        """Protect a connection that sent a valid token, unless 224 are protected already."""
        if not isinstance(protocol, Connection) or protocol.is_known:
            return
        protocol.is_known = sum(one.is_known for one in self._held) < _MOST_KNOWN

    def on_stream(self, protocol: web.RequestHandler) -> None:
        """Note that the answer is an endless stream."""
        if isinstance(protocol, Connection):
            protocol.move_to("streaming")

    def sweep(self) -> None:
        """End all connections that have exceeded their time limits."""
        now_s = self.clock_s()
        for connection in [one for one in self._held if one.is_overdue(now_s)]:
            self._end(connection)

    def shut(self) -> None:
        """End all connections, and any that are still being accepted."""
        self._is_shut = True
        for connection in list(self._held):
            self._end(connection)

    async def run(self) -> None:
        """Sweep once a second, until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            self.sweep()

    def _replaceable(self) -> list[Connection]:
        return [one for one in self._held if not one.is_known]

    def _replace(self, among: list[Connection], newcomer: Connection) -> None:
        """End the connection that made the least progress; if there are several, the oldest.

        New connections are ended last, so that each has a second to send its request.
        """
        now_s = self.clock_s()

        def rank(one: Connection) -> tuple[bool, int, float]:
            is_new = one.stage == "silent" and now_s - one.since_s < _NEW_S
            return is_new, _ORDER[one.stage], one.since_s

        self._end(min((one for one in among if one is not newcomer), key=rank, default=newcomer))

    def _end(self, connection: Connection) -> None:
        self.forget(connection)
        connection.end()


def _group_of(peer: object) -> str | None:
    """Return the address group that counts as one remote machine.

    For this machine it is None, since its users share addresses. For IPv6 it is the /64, since
    one machine usually has all of its addresses.
    """
    if not isinstance(peer, tuple) or not peer:
        return None
    host = str(peer[0]).partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if is_this_machine(host):
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if is_spelt_as_ipv6(address):
        return str(embedded_ipv4(address)[0])
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))
