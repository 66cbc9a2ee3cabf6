"""What stands before every request: whose host and page it is for, who asks, how much at once.

A page elsewhere can make a browser send requests to 127.0.0.1, and a name that its owner points
there can make such requests look like one's own (DNS rebinding). So the Host must be one that this
server is, and an Origin, where there is one, its own; a token, which no other page has, must come
in a header that no form or image sends.
"""

import ipaddress
import logging
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from node.web.problems import HttpFault, problem, problem_of
from node.web.tokens import Right, Tokens
from protocol.errors import ArnodeError

RIGHTS: Final = web.RequestKey("rights", frozenset)
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_BEARER: Final = "Bearer "
_log = logging.getLogger("node")


@web.middleware
async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever goes wrong into a problem, and say with each answer what a page may do."""
    try:
        response = await handler(request)
    except HttpFault as fault:
        response = problem(fault.status, fault.detail, fault.mend)
    except ArnodeError as fault:
        response = problem_of(fault)
    except web.HTTPException as fault:
        response = problem(fault.status, fault.reason)
        if "Allow" in fault.headers:
            response.headers["Allow"] = fault.headers["Allow"]
    except Exception:  # noqa: BLE001 (a supervisor: one bad request must not end the node)
        _log.exception("a request failed")
        response = problem(500, "the node failed at this", "see `arnode logs`")
    if not response.prepared:
        response.headers.update(HEADERS)
    return response


def hearing(heard: Callable[[web.RequestHandler], None]) -> Middleware:
    """Return what tells which connections have asked for something."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        heard(request.protocol)
        return await handler(request)

    return guard


def at_home(*, is_public: bool) -> Middleware:
    """Return what lets requests pass that are for this server; a public one has many names."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_public and not _is_own(request.host):
            raise HttpFault(421, "this server has no such name", "use the address that it prints")
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"{request.scheme}://{request.host}":
            raise HttpFault(403, "another page asks", "open the address that the node prints")
        return await handler(request)

    return guard


def knowing(tokens: Tokens | None) -> Middleware:
    """Return what finds out what a request may; without tokens everybody may read."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        rights: frozenset[Right] = frozenset() if tokens is not None else frozenset({"read"})
        if tokens is not None and given.startswith(_BEARER):
            rights = tokens.rights(given.removeprefix(_BEARER))
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


def _is_own(host: str) -> bool:
    """Whether a Host is an address, or the one name that no DNS server answers for."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    name = name.removeprefix("[").removesuffix("]")
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
