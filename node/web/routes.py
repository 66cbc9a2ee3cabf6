"""One route of the API: what it takes, what it answers, who may use it. OpenAPI follows from it."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import aiohttp
import msgspec
from aiohttp import web

from node.web.guards import RIGHTS, require
from node.web.problems import HttpFault
from node.web.tokens import Right

Method: TypeAlias = Literal["GET", "POST"]

API: Final = "/api/v1"
ID: Final = "^[0-9a-f]{4,64}$"
BODY_LIMIT_BYTES: Final = 1 << 20
_BODY_S: Final = 10.0  # for all of it to arrive
_NAMED: Final = re.compile(r"\{(\w+)\}")


class Nothing(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A query, or a body, that has nothing in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a request asks: the words of its path, its query and its body, both as declared."""

    path: Mapping[str, str]
    query: Any
    body: Any
    rights: frozenset[Right]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method and a path below `API`.

    `answer` is the type of the document, which comes with `"v": 1`. `needs` is what a token must
    give (None: nothing). A body may have `most_bytes`. A token is checked before a body is read.
    `words` are patterns of those in the path.
    """

    method: Method
    path: str
    summary: str
    answer: Any
    handle: Callable[[Ask], Awaitable[Any]]
    query: type[msgspec.Struct] = Nothing
    body: type[msgspec.Struct] | None = None
    most_bytes: int = BODY_LIMIT_BYTES
    needs: Right | None = "read"
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The words of the path that a request fills in."""
        return _NAMED.findall(self.path)

    async def respond(self, request: web.Request) -> web.Response:
        """Answer a request. Raises HttpFault and ArnodeError."""
        if self.needs is not None:
            require(request, self.needs)
        asked = Ask(
            path=self._path(request),
            query=_query(request, self.query),
            body=None if self.body is None else await _body(request, self.body, self.most_bytes),
            rights=request[RIGHTS],
        )
        return _tagged(request, await self.handle(asked))

    def _path(self, request: web.Request) -> dict[str, str]:
        """Return the words of a request's path. Raises HttpFault for one that cannot be."""
        for name, word in request.match_info.items():
            if not re.fullmatch(self.words.get(name, ".*"), word):
                raise HttpFault(404, f"that is no {name}", "take it from what the API says")
        return dict(request.match_info)


def _query(request: web.Request, kind: type[msgspec.Struct]) -> msgspec.Struct:
    names = set(request.query)
    if twice := [name for name in sorted(names) if len(request.query.getall(name)) > 1]:
        raise HttpFault(400, f"{twice[0]} is there more than once", "say it once")
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except msgspec.ValidationError as fault:
        raise HttpFault(400, str(fault), f"see {API}/openapi.json") from fault


async def _body(
    request: web.Request, kind: type[msgspec.Struct], most_bytes: int
) -> msgspec.Struct:
    if request.content_type != "application/json":
        raise HttpFault(415, "the body is to be JSON", "set Content-Type: application/json")
    try:
        async with asyncio.timeout(_BODY_S):
            data = await _read(request, most_bytes)
    except TimeoutError as fault:
        late = f"the body did not arrive within {_BODY_S:g} s"
        raise HttpFault(408, late, "send it at once") from fault
    except (web.RequestPayloadError, aiohttp.ClientPayloadError) as fault:
        raise HttpFault(400, "the body is not as its headers announce", "send it whole") from fault
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as fault:
        raise HttpFault(400, str(fault), f"see {API}/openapi.json") from fault


async def _read(request: web.Request, most_bytes: int) -> bytes:
    """Return a body. Raises HttpFault if it is longer, aiohttp's errors if it is broken."""
    data = bytearray()
    if (request.content_length or 0) <= most_bytes:
        async for part in request.content.iter_any():
            data += part
            if len(data) > most_bytes:
                break
        else:
            return bytes(data)
    raise HttpFault(413, f"the body is over {most_bytes} bytes", "send less at once")


def _tagged(request: web.Request, document: Mapping[str, Any]) -> web.Response:
    """Return a document, or that the client has it already."""
    data = msgspec.json.encode({"v": 1, **document})
    tag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.method == "GET" and tag in request.headers.get("If-None-Match", "").split(", "):
        return web.Response(status=304, headers=headers)
    return web.Response(body=data, content_type="application/json", headers=headers)
