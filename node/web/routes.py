"""One route of the API: what it takes, what it answers, who may use it. OpenAPI follows from it."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import msgspec
from aiohttp import web

from node.web.guards import RIGHTS, require
from node.web.problems import HttpFault
from node.web.tokens import Right

Method: TypeAlias = Literal["GET", "POST"]

API: Final = "/api/v1"
ID: Final = "^[0-9a-f]{4,64}$"
BODY_LIMIT_BYTES: Final = 1 << 20
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
    give (None: nothing). `missing`: whether what the path names may not be there.
    """

    method: Method
    path: str
    summary: str
    answer: Any
    handle: Callable[[Ask], Awaitable[Any]]
    query: type[msgspec.Struct] = Nothing
    body: type[msgspec.Struct] | None = None
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
            path=dict(request.match_info),
            query=_query(request, self.query),
            body=None if self.body is None else await _body(request, self.body),
            rights=request[RIGHTS],
        )
        return _tagged(request, await self.handle(asked))


def _query(request: web.Request, kind: type[msgspec.Struct]) -> msgspec.Struct:
    names = set(request.query)
    if twice := [name for name in sorted(names) if len(request.query.getall(name)) > 1]:
        raise HttpFault(400, f"{twice[0]} is there more than once", "say it once")
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except msgspec.ValidationError as fault:
        raise HttpFault(400, str(fault), f"see {API}/openapi.json") from fault


async def _body(request: web.Request, kind: type[msgspec.Struct]) -> msgspec.Struct:
    if request.content_type != "application/json":
        raise HttpFault(415, "the body is to be JSON", "set Content-Type: application/json")
    data = await request.read()
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as fault:
        raise HttpFault(400, str(fault), f"see {API}/openapi.json") from fault


def _tagged(request: web.Request, document: Mapping[str, Any]) -> web.Response:
    """Return a document, or that it is the one that whoever asks has already."""
    data = msgspec.json.encode({"v": 1, **document})
    tag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.method == "GET" and tag in request.headers.get("If-None-Match", "").split(", "):
        return web.Response(status=304, headers=headers)
    return web.Response(body=data, content_type="application/json", headers=headers)
