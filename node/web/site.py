"""A home's page and API put together: which routes there are, and what answers them.

`Site` is what a node, `arnode view` and a bootstrap node differ in; all else is the same.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypedDict

import msgspec
from aiohttp import web

from node.home.clock import clock_ms
from node.home.control import Handler
from node.home.home import Home
from node.home.keyfile import read_keys
from node.line.heads import line_to_show
from node.proposing.day import day_document, today
from node.reporting.knowledge import ImportanceDocument
from node.reporting.now import NOTHING, NowDocument
from node.reporting.owner import ProgramDocument, program_document
from node.reporting.status import status_document
from node.settings.config import config_of
from node.web.credentials import Credentials
from node.web.door import Door
from node.web.events import Events
from node.web.figures import figures
from node.web.fleet import Fleet, FleetDocument
from node.web.guards import at_home, knowing, noting, require
from node.web.headers import add_security_headers
from node.web.library import Library, Shelves
from node.web.openapi import openapi
from node.web.problems import HttpFault
from node.web.reading import reading_routes
from node.web.routes import API, BODY_LIMIT_BYTES, Ask, Route
from node.web.steering import steering_routes
from node.web.tokens import Codes
from protocol.errors import NotRunningError
from trainer.sandbox.tier import probe_tier

Kind: TypeAlias = Literal["node", "store", "bootstrap"]

_PAGE: Final = Path(__file__).parent / "page"


_LINK_BYTES: Final = 1024


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code of a link, which follows its #."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class Token(TypedDict):
    """A token to read, or to steer as well, while this server runs."""

    token: str


class OfProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value that nobody has sent before, for the server to prove itself with."""

    nonce: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32,64}$")]


class ProofDocument(TypedDict):
    """Proofs that this server has the tokens and the fleet key, and a challenge to answer."""

    proofs: list[str]
    challenge: str


class OfDay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which day (UTC); without one, today."""

    day: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None


class SessionDocument(TypedDict):
    """The rights of a token here, and which kind of server answers."""

    may: list[str]
    kind: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """All that is served. Without `credentials` everybody may read, and nobody may steer.

    `handlers` are those of the running node's socket, none without one; `now` says what it does.
    """

    home: Home
    kind: Kind
    net: str
    credentials: Credentials | None
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    now: Callable[[], NowDocument] = lambda: NOTHING
    more_figures: Callable[[], Iterable[str]] = tuple
    codes: Codes = field(default_factory=Codes)

    def app(
        self, library: Library, events: Events, door: Door, *, name: str | None
    ) -> web.Application:
        """Return the application that answers requests; `name` is its host name for browsers."""
        app = web.Application(
            client_max_size=BODY_LIMIT_BYTES,
            middlewares=[
                noting(door.on_request),
                at_home(is_public=self.credentials is None, name=name),
                knowing(
                    None if self.credentials is None else self.credentials.rights,
                    door.on_valid_token,
                ),
            ],
        )
        app.on_response_prepare.append(add_security_headers)
        routes = self.routes(library)
        described = openapi(routes)

        async def openapi_document(_: web.Request) -> web.Response:
            return web.json_response(described)

        async def listen(request: web.Request) -> web.StreamResponse:
            require(request, "read")
            door.on_stream(request.protocol)
            return await events.stream(request)

        async def metrics(request: web.Request) -> web.Response:
            require(request, "read")
            now = self.now()
            lines = await library.read(lambda shelves: [*figures(shelves.store, now)])
            text = "".join([*lines, *self.more_figures()])
            return web.Response(text=text, content_type="text/plain")

        for route in routes:
            app.router.add_route(route.method, API + route.path, route.respond)
        app.router.add_get(f"{API}/openapi.json", openapi_document)
        app.router.add_get(f"{API}/events", listen)
        app.router.add_get("/metrics", metrics)
        app.router.add_route("*", "/api/{rest:.*}", _unknown)
        app.router.add_get("/", _index)
        app.router.add_static("/", _PAGE)
        return app

    def routes(self, library: Library) -> list[Route]:
        """Return the routes below `API` that its description lists."""
        return [
            *self._own_routes(library),
            *reading_routes(library, self.net),
            *steering_routes(self.handlers, library),
        ]

    def _own_routes(self, library: Library) -> list[Route]:
        async def exchange(ask: Ask) -> Token:
            right = self.codes.exchange(ask.body.code)
            if right is None or self.credentials is None:
                raise HttpFault(
                    401,
                    "this link was used, is too old or is of an earlier start",
                    "`arnode view` prints a new one",
                )
            return {"token": self.credentials.tokens.of_right(right)}

        async def prove(ask: Ask) -> ProofDocument:
            if self.credentials is None:
                raise HttpFault(404, "this page takes no token", "read it without one")
            return {
                "proofs": self.credentials.proofs(ask.query.nonce),
                "challenge": self.credentials.challenges.issue(),
            }

        async def session(ask: Ask) -> SessionDocument:
            return {"may": sorted(ask.rights), "kind": self.kind, "version": version("arnode")}

        async def now(_: Ask) -> NowDocument:
            return self.now()

        async def status(_: Ask) -> dict[str, Any]:
            if "status" in self.handlers:
                return await self.handlers["status"]({})  # type: ignore[return-value]
            return await library.read(self._stored_status)

        async def peers(_: Ask) -> dict[str, Any]:
            told: dict[str, Any] = await self._told("peers")
            return told

        async def fleet(_: Ask) -> FleetDocument:
            return await Fleet.of(self.home.fleet).document()

        async def importance(_: Ask) -> ImportanceDocument:
            told: ImportanceDocument = await self._told("importance")
            return told

        async def spending(ask: Ask) -> dict[str, Any]:
            day = ask.query.day or today(clock_ms())
            config = config_of(self.home)
            return dict(await library.read(lambda at: day_document(at.store, config, day)))

        async def program(_: Ask) -> ProgramDocument:
            text = await self._told("program") if "program" in self.handlers else None
            return await library.read(lambda shelves: _program(shelves, text))

        def route(path: str, summary: str, answer: Any, handle: Any, **more: Any) -> Route:
            return Route(
                method="GET", path=path, summary=summary, answer=answer, handle=handle, **more
            )

        of_owner = [
            route("/fleet", "Other nodes of the owner.", FleetDocument, fleet),
            route(
                "/spending",
                "What models and coding agents took on a day.",
                dict[str, Any],
                spending,
                query=OfDay,
            ),
        ]
        return [
            Route(
                method="POST",
                path="/session",
                summary="Exchange a link's code for a token.",
                answer=Token,
                handle=exchange,
                body=Link,
                most_bytes=_LINK_BYTES,
                needs=None,
            ),
            route(
                "/proof",
                "Let the server prove that it has a token, and get a challenge to answer.",
                ProofDocument,
                prove,
                query=OfProof,
                needs=None,
            ),
            route("/session", "What a token may do here.", SessionDocument, session),
            route("/now", "What runs.", NowDocument, now),
            route("/status", "How things stand.", dict[str, Any], status),
            route("/peers", "Who is connected.", dict[str, Any], peers),
            *([] if self.credentials is None else of_owner),
            route("/importance", "Which knobs matter.", ImportanceDocument, importance),
            route("/program", "What proposers are told to do.", ProgramDocument, program),
        ]

    async def _told(self, command: str) -> Any:
        if command not in self.handlers:
            raise NotRunningError("no node is running on this home", "start it: `arnode start`")
        return await self.handlers[command]({})

    def _stored_status(self, shelves: Shelves) -> dict[str, Any]:
        home = self.home
        author = read_keys(home).author.public if home.key.exists() else None
        sandbox = probe_tier().name
        return dict(status_document(shelves.store, author=author, net=self.net, sandbox=sandbox))


def _program(shelves: Shelves, text: str | None) -> ProgramDocument:
    line, _ = line_to_show(shelves.store)
    return program_document(shelves.store, line.key, text)


async def _unknown(_: web.Request) -> web.Response:
    raise HttpFault(404, "the API has no such path", f"see {API}/openapi.json")


async def _index(_: web.Request) -> web.FileResponse:
    return web.FileResponse(_PAGE / "index.html")
