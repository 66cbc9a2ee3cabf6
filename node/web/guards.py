"""Checks that every request passes: which host and page it is for, and what its sender may do.

A page elsewhere can make a browser send requests to 127.0.0.1, and a name that its owner points
there can make such requests look like one's own (DNS rebinding). So the Host must be one that this
server is, and an Origin, where there is one, its own; a token, which no other page has, must come
in a header that no form or image sends.
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

# Returns what an `Authorization` allows for a method and a path, such as "GET /path?query".
RightsOf: TypeAlias = Callable[[str, str], frozenset[Right]]

RequestHandler: TypeAlias = Callable[[BaseRequest], Awaitable[web.StreamResponse]]

# What a page from here may load, and who may embed it.
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
    """Return what turns every failure of an application into a problem, its routing included.

    A connection on which a body is left unread is closed.
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
        response = problem(417, "only 100-continue can be expected", "leave out Expect")
    except HttpFault as fault:
        response = problem(fault.status, fault.detail, fault.hint)
    except ArnodeError as fault:
        response = problem_of(fault)
    except web.HTTPException as fault:
        response = problem(fault.status, fault.reason)
        if "Allow" in fault.headers:
            response.headers["Allow"] = fault.headers["Allow"]
    except Exception as fault:  # one bad request must not end the node
        if isinstance(fault, ConnectionError) and not request.protocol.connected:
            raise  # nobody is left to answer
        _log.exception("a request failed")
        response = problem(500, "the node failed at this", "see `arnode logs`")
    response.headers.update(SECURITY_HEADERS)
    return response


def noting(on_request: Callable[[web.RequestHandler], None]) -> Middleware:
    """Return a guard that reports which connections have sent a request."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        on_request(request.protocol)
        return await handler(request)

    return guard


def at_home(*, is_public: bool, name: str | None = None) -> Middleware:
    """Return a guard that passes only requests for this server.

    `name` is the one that browsers use for this run. A public server has many names.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_public and not _is_own(request.host, name):
            raise HttpFault(421, "this server has no such name", "use the address that it prints")
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"{request.scheme}://{request.host}":
            raise HttpFault(403, "another page asks", "open the address that the node prints")
        return await handler(request)

    return guard


def knowing(
    rights_of: RightsOf | None, on_valid_token: Callable[[web.RequestHandler], None]
) -> Middleware:
    """Return a guard that finds what a request may do; without `rights_of` everybody may read."""

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
    """Raise HttpFault unless a request may do that."""
    rights = request[RIGHTS]
    if right in rights:
        return
    if rights:
        raise HttpFault(403, "this token only reads", "`arnode view --token steer` has the other")
    raise HttpFault(401, "a token is needed", "`arnode view` prints a link, `--token` a token")


def _is_own(host: str, own: str | None) -> bool:
    """Return whether a Host is an address, or a name that no DNS server answers for."""
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
    """Add them before a response begins: to documents, files, streams and errors alike."""
    response.headers.update(SECURITY_HEADERS)
