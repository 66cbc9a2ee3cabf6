"""The page and the API of a home: all routes and their handlers.

A node, `arnode view` and a bootstrap node serve the same code. They differ only in their `Site`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, TypedDict, cast

import msgspec
from aiohttp import web

from node.home.clock import clock_ms
from node.home.home import Home
from node.home.keyfile import read_keys
from node.home.settings_in_force import config_of
from node.proposing.day import day_document, today
from node.reporting.now import NOTHING, NowDocument, gauges
from node.reporting.open_home import OpenHome
from node.reporting.owner import ProgramDocument, program_document
from node.reporting.queries import Nothing, OfLine
from node.reporting.status import status_document
from node.terminal.glossary import glossary
from node.web.commands import COMMANDS, Answer, Command
from node.web.connection_limits import ConnectionLimiter
from node.web.estimates import EstimateDocument, Estimates
from node.web.events import Events
from node.web.fleet import Fleet, FleetDocument
from node.web.guards import add_security_headers, at_home, knowing, noting, require
from node.web.openapi import openapi
from node.web.problems import HttpFault
from node.web.reading import Library, reading_routes
from node.web.route import API, BODY_LIMIT_BYTES, ApiRequest, Method, Route
from node.web.tokens import Codes, Credentials
from protocol.errors import NotRunningError
from trainer.sandbox.tier import probe_tier

Kind: TypeAlias = Literal["node", "store", "bootstrap"]

_PAGE: Final = Path(__file__).parent / "page"


_LINK_BYTES: Final = 1024
_START: Final = "start it: `arnode start`"


class LinkCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code of a link, the part after its `#`."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class Token(TypedDict):
    """A token that is valid while this server runs, for reading or also for steering."""

    token: str


class OfProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fresh random value, over which the server computes its proofs."""

    nonce: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32,64}$")]


class ProofDocument(TypedDict):
    """Proofs that this server has the tokens and the fleet key, and a challenge to the client."""

    proofs: list[str]
    challenge: str


class OfDay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A day (UTC). The default is today."""

    day: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None


class GlossaryDocument(TypedDict):
    """The definition of each term, as in docs/glossary.md."""

    terms: dict[str, str]


class SessionDocument(TypedDict):
    """The rights of a token, and the kind and version of the server.

    `recorded` is the end of the recording that the server shows, null if it shows a home in use.
    """

    may: list[str]
    kind: str
    version: str
    recorded: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A home's page and API. Without `credentials` anyone may read and nobody may steer.

    `answers` are the running node's handlers of commands, empty if no node runs. `now` returns
    the node's current activity. `recorded_ms` is the end of a recording, None for a home in use.
    """

    home: Home
    kind: Kind
    net: str
    credentials: Credentials | None
    answers: Mapping[str, Answer] = field(default_factory=dict)
    now: Callable[[], NowDocument] = lambda: NOTHING
    more_figures: Callable[[], Iterable[str]] = tuple
    codes: Codes = field(default_factory=Codes)
    recorded_ms: int | None = None

    def app(
        self, library: Library, events: Events, limiter: ConnectionLimiter, *, name: str | None
    ) -> web.Application:
        """Return the web application. `name` is its host name for browsers."""
        app = web.Application(
            client_max_size=BODY_LIMIT_BYTES,
            middlewares=[
                noting(limiter.on_request),
                at_home(is_public=self.credentials is None, name=name),
                knowing(
                    None if self.credentials is None else self.credentials.rights,
                    limiter.on_valid_token,
                ),
            ],
        )
        app.on_response_prepare.append(add_security_headers)
        estimates = Estimates(self.home, library)

        async def close(_: web.Application) -> None:
            await estimates.close()

        app.on_cleanup.append(close)
        routes = self.routes(library, estimates)
        described = openapi(routes)

        async def openapi_document(_: web.Request) -> web.Response:
            return web.json_response(described)

        async def listen(request: web.Request) -> web.StreamResponse:
            require(request, "read")
            limiter.on_stream(request.protocol)
            return await events.stream(request)

        async def metrics(request: web.Request) -> web.Response:
            require(request, "read")
            now = self.now()
            lines = await library.read(lambda open_home: [*gauges(open_home.store, now)])
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

    def routes(self, library: Library, estimates: Estimates) -> list[Route]:
        """Return the routes below `API` that the OpenAPI description lists."""
        return [
            *self._own_routes(library, estimates),
            *reading_routes(library, is_public=self.credentials is None),
            *self._command_routes(library),
        ]

    def _own_routes(self, library: Library, estimates: Estimates) -> list[Route]:
        async def exchange(request: ApiRequest) -> Token:
            right = self.codes.exchange(request.asked.code)
            if right is None or self.credentials is None:
                raise HttpFault(
                    401,
                    "this link was already used, is too old or is from an earlier start",
                    "`arnode view` prints a new one",
                )
            return {"token": self.credentials.tokens.of_right(right)}

        async def prove(request: ApiRequest) -> ProofDocument:
            if self.credentials is None:
                raise HttpFault(404, "this page needs no token", "open it without a token")
            return {
                "proofs": self.credentials.proofs(request.asked.nonce),
                "challenge": self.credentials.challenges.issue(),
            }

        async def session(request: ApiRequest) -> SessionDocument:
            return {
                "may": sorted(request.rights),
                "kind": self.kind,
                "version": version("arnode"),
                "recorded": self.recorded_ms,
            }

        async def now(_: ApiRequest) -> NowDocument:
            return self.now()

        async def terms(_: ApiRequest) -> GlossaryDocument:
            return {"terms": glossary()}

        async def fleet(_: ApiRequest) -> FleetDocument:
            return await Fleet.of(self.home.fleet).document()

        async def spending(request: ApiRequest) -> dict[str, Any]:
            day = request.asked.day or today(clock_ms())
            config = config_of(self.home)
            return dict(await library.read(lambda at: day_document(at.store, config, day)))

        def route(path: str, summary: str, answer: Any, handle: Any, **more: Any) -> Route:
            return Route(
                method="GET", path=path, summary=summary, answer=answer, handle=handle, **more
            )

        of_owner = [
            route(
                "/importance",
                "The last estimate of the importance of a line's hyperparameters.",
                EstimateDocument,
                estimates.importance,
                asks=OfLine,
            ),
            route("/fleet", "Other nodes of the owner.", FleetDocument, fleet),
            route(
                "/spending",
                "The costs of models and coding agents on a day.",
                dict[str, Any],
                spending,
                asks=OfDay,
            ),
        ]
        return [
            Route(
                method="POST",
                path="/session",
                summary="Exchange a link's code for a token.",
                answer=Token,
                handle=exchange,
                asks=LinkCode,
                most_bytes=_LINK_BYTES,
                needs=None,
            ),
            route(
                "/proof",
                "Let the server prove that it has the token, and get a challenge.",
                ProofDocument,
                prove,
                asks=OfProof,
                needs=None,
            ),
            route("/session", "What the token may do.", SessionDocument, session),
            route("/now", "What is running.", NowDocument, now),
            route("/glossary", "The terms of the glossary.", GlossaryDocument, terms),
            *([] if self.credentials is None else of_owner),
        ]

    def _command_routes(self, library: Library) -> list[Route]:
        """Return a route for each command that is part of the API.

        Without a running node, `status` and `program` are answered from the store. All other
        commands raise NotRunningError.
        """

        async def status(_: Nothing) -> dict[str, Any]:
            return await library.read(_stored_status)

        async def program(_: Nothing) -> ProgramDocument:
            return await library.read(lambda at: program_document(at.store, None))

        answers: dict[str, Answer] = {"status": status, "program": program, **self.answers}

        def route(command: Command) -> Route:
            method, path = command.route.split()

            async def handle(request: ApiRequest) -> Any:
                if command.name not in answers:
                    raise NotRunningError("no node is running on this home", _START)
                asked = request.asked.meant() if command.body else request.asked
                return await answers[command.name](asked)

            return Route(
                method=cast("Method", method),
                path=path,
                summary=command.summary,
                answer=command.answers,
                handle=handle,
                asks=cast("type[msgspec.Struct]", command.body or command.asks),
                needs="read" if method == "GET" else "steer",
            )

        return [route(one) for one in COMMANDS if one.route]


def _stored_status(at: OpenHome) -> dict[str, Any]:
    author = read_keys(at.home).author.public if at.home.key.exists() else None
    if at.recorded_ms is not None:  # without keys
        author = at.store.records.own_author()
    sandbox = probe_tier().name
    return dict(
        status_document(
            at.store, author=author, net=at.net, sandbox=sandbox, companies=at.companies
        )
    )


async def _unknown(_: web.Request) -> web.Response:
    raise HttpFault(404, "the API has no such path", f"see {API}/openapi.json")


async def _index(_: web.Request) -> web.FileResponse:
    return web.FileResponse(_PAGE / "index.html")
