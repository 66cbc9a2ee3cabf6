"""A route of the API: its arguments, its answer and the required right.

`openapi` generates the API's description from the routes. `node.web.site` lists them all, from
`reading` and the table in `commands`.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeVar

import aiohttp
import msgspec
from aiohttp import web

from node.reporting.queries import Nothing
from node.web.guards import RIGHTS, require
from node.web.problems import HttpFault
from node.web.tokens import Right

T = TypeVar("T")
Method: TypeAlias = Literal["GET", "POST"]

API: Final = "/api/v1"
BODY_LIMIT_BYTES: Final = 1 << 20
_BODY_S: Final = 10.0  # until the whole body must have arrived
_NAMED: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """A parsed request: its arguments in the route's type, and its sender's rights."""

    asked: Any
    rights: frozenset[Right]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method and a path below `API`.

    `asks` is the type of the arguments. Fields that the path names are taken from the path. All
    others come from the query of a GET, or from the body of a POST of at most `most_bytes`.
    `answer` is the type of the document, to which `"v": 1` is added. `needs` is the right that the
    token must give (None: no token). The token is checked before the body is read.
    """

    method: Method
    path: str
    summary: str
    answer: Any
    handle: Callable[[ApiRequest], Awaitable[Any]]
    asks: type[msgspec.Struct] = Nothing
    most_bytes: int = BODY_LIMIT_BYTES
    needs: Right | None = "read"

    @property
    def names(self) -> list[str]:
        """The arguments that are part of the path."""
        return _NAMED.findall(self.path)

    async def respond(self, request: web.Request) -> web.Response:
        """Answer a request. Raises HttpFault and ArnodeError."""
        if self.needs is not None:
            require(request, self.needs)
        asked = await self._asked(request)
        return _tagged(request, await self.handle(ApiRequest(asked=asked, rights=request[RIGHTS])))

    async def _asked(self, request: web.Request) -> msgspec.Struct:
        """Parse the arguments of a request. Raises HttpFault if they do not fit the route."""
        kinds = {one.encode_name: one.type for one in msgspec.structs.fields(self.asks)}
        words = {name: _named(name, word, kinds) for name, word in request.match_info.items()}
        query = _query(request)
        is_read = self.method == "GET"
        more = query if is_read else await _body(request, self.most_bytes)
        out_of_place = set() if is_read else set(query)
        if odd := sorted(out_of_place | (words.keys() & more.keys())):
            raise HttpFault(
                400, f"{odd[0]} is not a parameter of this route", f"see {API}/openapi.json"
            )
        return _converted({**more, **words}, self.asks, strict=not is_read)


def _named(name: str, word: str, kinds: Mapping[str, Any]) -> Any:
    """Return an argument that the path names. Raises HttpFault if it is invalid."""
    fault = HttpFault(404, f"this is not a valid {name}", "use one that the API returned")
    if not word.isprintable():  # `$` in a pattern also matches before a final newline
        raise fault
    try:
        return msgspec.convert(word, kinds[name], strict=False)
    except msgspec.ValidationError as invalid:
        raise fault from invalid


def _query(request: web.Request) -> dict[str, str]:
    names = set(request.query)
    if twice := [name for name in sorted(names) if len(request.query.getall(name)) > 1]:
        raise HttpFault(400, f"{twice[0]} is given more than once", "give it once")
    return dict(request.query)


def _converted(given: dict[str, Any], kind: type[T], *, strict: bool) -> T:
    try:
        return msgspec.convert(given, kind, strict=strict)
    except msgspec.ValidationError as fault:
        raise HttpFault(400, str(fault), f"see {API}/openapi.json") from fault


async def _body(request: web.Request, most_bytes: int) -> dict[str, Any]:
    if request.content_type != "application/json":
        raise HttpFault(415, "the body must be JSON", "set Content-Type: application/json")
    try:
        async with asyncio.timeout(_BODY_S):
            data = await _read(request, most_bytes)
    except TimeoutError as fault:
        late = f"the body did not arrive within {_BODY_S:g} s"
        raise HttpFault(408, late, "send the body without delay") from fault
    except (web.RequestPayloadError, aiohttp.ClientPayloadError) as fault:
        raise HttpFault(
            400, "the body does not match its headers", "send the whole body"
        ) from fault
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as fault:
        raise HttpFault(400, str(fault), f"see {API}/openapi.json") from fault


async def _read(request: web.Request, most_bytes: int) -> bytes:
    """Read a body. Raises HttpFault if it is too long, aiohttp's errors if it is broken."""
    data = bytearray()
    if (request.content_length or 0) <= most_bytes:
        async for part in request.content.iter_any():
            data += part
            if len(data) > most_bytes:
                break
        else:
            return bytes(data)
    raise HttpFault(413, f"the body is over {most_bytes} bytes", "send a smaller body")


def _tagged(request: web.Request, document: Mapping[str, Any]) -> web.Response:
    """Return a document as JSON with an ETag, or status 304 if the client has it already."""
    data = msgspec.json.encode({"v": 1, **document})
    tag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.method == "GET" and tag in request.headers.get("If-None-Match", "").split(", "):
        return web.Response(status=304, headers=headers)
    return web.Response(body=data, content_type="application/json", headers=headers)
