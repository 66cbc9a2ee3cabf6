"""Checks of every request: its host, its origin and the rights of its sender.

Any web page can make a browser send requests to 127.0.0.1. A host name that points there makes such
requests look like same-origin ones (DNS rebinding). So the Host must name this server, and an
Origin, if present, must be this server's own. The token is known to no other page, and must come in
a header that no form or image can send.
"""

import ipaddress
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_request import BaseRequest

from node.web.problems import HttpFault, problem, problem_of
from node.web.tokens import Right
from protocol.errors import ArnodeError

# Returns the rights that an `Authorization` header gives for a request such as "GET /path?query".
RightsOf: TypeAlias = Callable[[str, str], frozenset[Right]]

RequestHandler: TypeAlias = Callable[[BaseRequest], Awaitable[web.StreamResponse]]

# These limit what the page may load and who may embed it.
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
RIGHTS: Final = web.RequestKey("rights", frozenset)
_CONTINUE: Final = "100-continue"
_log = logging.getLogger("node")


def answering(handle: RequestHandler) -> RequestHandler:
    """Wrap a handler so that every failure, also in routing, becomes a problem document.

    A connection with an unread request body is closed.
    """

    async def answer(request: BaseRequest) -> web.StreamResponse:
        response = await _answer(request, handle)
        if request.body_exists and not request.content.is_eof():
            response.force_close()
        return response

    return answer


async def _answer(request: BaseRequest, handle: RequestHandler) -> web.StreamResponse:
    response: web.StreamResponse
    try:
        if request.headers.get("Expect", _CONTINUE).lower() == _CONTINUE:
            return await handle(request)
        response = problem(
            417, "the only supported value of Expect is 100-continue", "leave out the Expect header"
        )
    except HttpFault as fault:
        response = problem(fault.status, fault.detail, fault.hint)
    except ArnodeError as fault:
        response = problem_of(fault)
    except web.HTTPException as fault:
        response = problem(fault.status, fault.reason)
        if "Allow" in fault.headers:
            response.headers["Allow"] = fault.headers["Allow"]
    except Exception as fault:  # one bad request must not stop the node
        if isinstance(fault, ConnectionError) and not request.protocol.connected:
            raise  # the client is gone
        _log.exception("a request failed")
        response = problem(500, "internal error", "see `arnode home logs`")
    response.headers.update(SECURITY_HEADERS)
    return response


def noting(on_request: Callable[[web.RequestHandler], None]) -> Middleware:
    """Return a guard that calls `on_request` with the connection of each request."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        on_request(request.protocol)
        return await handler(request)

    return guard


def at_home(*, is_public: bool, name: str | None = None) -> Middleware:
    """Return a guard that passes only requests for this server, from its own pages.

    `name` is the host name that browsers use for this server. A public server may have any name.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_public and not _is_own(request.host, name):
            raise HttpFault(
                421,
                "the Host header does not match this server",
                "use the address that the server prints",
            )
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"{request.scheme}://{request.host}":
            raise HttpFault(
                403, "the request comes from another site", "open the address that the node prints"
            )
        return await handler(request)

    return guard


def knowing(
    rights_of: RightsOf | None, on_valid_token: Callable[[web.RequestHandler], None]
) -> Middleware:
    """Return a guard that sets the rights of a request. Without `rights_of` anyone may read."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        rights: frozenset[Right] = frozenset({"read"})
        if rights_of is not None:
            asked = f"{request.method} {request.raw_path}"
            rights = rights_of(request.headers.get("Authorization", ""), asked)
            if rights:
                on_valid_token(request.protocol)
        request[RIGHTS] = rights
        return await handler(request)

    return guard


def require(request: web.Request, right: Right) -> None:
    """Raise HttpFault unless a request has a right."""
    rights = request[RIGHTS]
    if right in rights:
        return
    if rights:
        raise HttpFault(
            403, "this token can only read", "`arnode view --token steer` prints one that can steer"
        )
    raise HttpFault(
        401,
        "the request has no valid token",
        "`arnode view` prints a link, `arnode view --token read` a token",
    )


def _is_own(host: str, own: str | None) -> bool:
    """Return True if a Host is an IP address, `localhost`, or this server's own name.

    Browsers ask no DNS server for any of these, so DNS rebinding cannot use them.
    """
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.removeprefix("[").removesuffix("]")
    if name == "localhost" or (own is not None and name == own):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def add_security_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Add the security headers to any response before it starts, streams and errors included."""
    response.headers.update(SECURITY_HEADERS)
