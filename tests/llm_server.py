"""A language model's provider for tests: a real OpenAI-compatible server on loopback.

    with LlmServer(says("first"), refuses(429, retry_after="1"), says("again")) as server:
        …                                # any code, in this process or another, asks server.url
    assert server.questions[0]["messages"][-1]["content"] == "…"

It runs in a thread of its own, so tests of coroutines, threads and whole programs can use it. Each
request for an answer takes the next reply; after the last, that is repeated. `server.will(says(…))`
adds replies while it runs, `server.begin(…)` begins a new script. `server.requests` has all
requests (method, path, headers, body). `server.questions` has the bodies of requests for an answer,
which are all POST requests to any path, so that `sends` can imitate other providers too.
`server.url` ends in `/v1`. `GET /v1/models` and `GET /api/tags` (Ollama's) list `server.models`,
which may be changed. If a server is entered again, it keeps its address.

Replies: `says` (content, usage, finish reason), `refuses` (a status with OpenAI's error body),
`page` (HTML), `sends` (any body), `stalls` (before the first byte, or after some bytes of the
answer), `hangs_up` (at the beginning, or in the middle), `points_to` (a redirect), and `waits_for`
(waits for the test's event before the actual reply). A stalled reply ends when the server closes.
"""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

from aiohttp import web

Reply: TypeAlias = Callable[["LlmServer", web.Request], Awaitable[web.StreamResponse]]
TOKENS_IN, TOKENS_OUT = 11, 7  # for an answer, unless stated otherwise
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One recorded request."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class LlmServer:
    """A server with a script of replies; see the module."""

    def __init__(self, *replies: Reply, models: Sequence[str] = ("small",)) -> None:
        self.replies = list(replies)
        self.models = models
        self.requests: list[Recorded] = []
        self._given = self._port = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_ready = threading.Event()
        self._is_over = asyncio.Event()

    @property
    def url(self) -> str:
        """The server's URL, which ends in `/v1`."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def questions(self) -> list[Any]:
        """The bodies of all requests for an answer."""
        return [one.body for one in self.requests if one.method == "POST"]

    def will(self, *replies: Reply) -> None:
        """Add replies to the script."""
        self.replies.extend(replies)

    def begin(self, *replies: Reply) -> None:
        """Begin a new script, and forget the recorded requests. Stalled replies stay stalled."""
        self.replies, self.requests, self._given = list(replies), [], 0

    async def over(self) -> None:
        """Return when the server is closed; stalled replies wait for this."""
        await self._is_over.wait()

    def __enter__(self) -> Self:
        self._is_ready.clear()
        self._is_over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._is_ready.wait(_PATIENCE_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join(_PATIENCE_S)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/{path:.*}", self._answer)
        app.router.add_get("/v1/models", self._list)
        app.router.add_get("/api/tags", self._list)
        app.router.add_get("/v1/responses", self._upgrade)
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port)
        await site.start()
        self._port = runner.addresses[0][1]
        self._is_ready.set()
        await self._is_over.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        await self._record(request)
        # Taken before anything is awaited, so that replies are given in the order of the requests.
        reply = self.replies[min(self._given, len(self.replies) - 1)]
        self._given += 1
        return await reply(self, request)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        await self._record(request)
        if request.path == "/api/tags":
            return web.json_response({"models": [{"name": name} for name in self.models]})
        listed = [{"id": name, "object": "model"} for name in self.models]
        return web.json_response({"object": "list", "data": listed})

    async def _upgrade(self, request: web.Request) -> web.StreamResponse:
        await self._record(request)
        return web.Response(status=426)  # no WebSocket here: the client falls back to HTTP

    async def _record(self, request: web.Request) -> None:
        data = await request.read()
        body = json.loads(data) if data else None
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(
            Recorded(method=request.method, path=request.path, headers=headers, body=body)
        )


def completion(
    text: str | list[object] | None,
    *,
    finish: str = "stop",
    usage: tuple[int, int] | None = (TOKENS_IN, TOKENS_OUT),
) -> dict[str, Any]:
    """Return the body of an answer.

    `usage` is the token counts of prompt and answer, None for a server without them.
    """
    message = {"role": "assistant", "content": text}
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "small",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if usage is not None:
        body["usage"] = {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        }
    return body


def says(
    text: str | list[object] | None,
    *,
    finish: str = "stop",
    usage: tuple[int, int] | None = (TOKENS_IN, TOKENS_OUT),
) -> Reply:
    """Return an answer; None is a content of null, a list is a content in parts."""
    return sends(completion(text, finish=finish, usage=usage))


def sends(
    body: object, *, status: int = 200, kind: str = "application/json", **headers: str
) -> Reply:
    """Return any body: bytes unchanged, else as JSON. Headers are written with `_` for `-`."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def reply(_: LlmServer, __: web.Request) -> web.StreamResponse:
        return web.Response(body=data, status=status, content_type=kind, headers=named)

    return reply


def refuses(
    status: int, message: str = "no", *, code: str | None = None, retry_after: str | None = None
) -> Reply:
    """Return a status with OpenAI's error body."""
    body = {"error": {"message": message, "type": "error", "code": code}}
    headers = {} if retry_after is None else {"retry_after": retry_after}
    return sends(body, status=status, **headers)


def page(status: int = 200) -> Reply:
    """Return a web page, such as a wrong address or a gateway sends."""
    return sends(b"<!DOCTYPE html><html>Welcome</html>", status=status, kind="text/html")


def points_to(location: str) -> Reply:
    """Return a redirect."""
    return sends({}, status=307, location=location)


def stalls(*, after_bytes: int | None = None) -> Reply:
    """Stall after this many bytes of an answer's body; None: before the status."""

    async def reply(server: LlmServer, request: web.Request) -> web.StreamResponse:
        if after_bytes is not None:
            await _begin(request, after_bytes)
        await server.over()
        return web.Response()

    return reply


def hangs_up(*, after_bytes: int | None = None) -> Reply:
    """Close the connection after this many bytes of an answer's body; None: before the status."""

    async def reply(_: LlmServer, request: web.Request) -> web.StreamResponse:
        if after_bytes is not None:
            await _begin(request, after_bytes)
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    return reply


def waits_for(is_let_go: threading.Event, reply: Reply) -> Reply:
    """Give the reply once the event is set."""

    async def later(server: LlmServer, request: web.Request) -> web.StreamResponse:
        await asyncio.to_thread(is_let_go.wait, _PATIENCE_S)
        return await reply(server, request)

    return later


async def _begin(request: web.Request, count: int) -> None:
    body = json.dumps(completion("x" * count)).encode()
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[:count])
