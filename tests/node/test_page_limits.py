"""Connections that hold a place with unfinished requests: the owner is served meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from node.home.home import Home
from node.web import connection_limits as module
from node.web import route, serving
from node.web.connection_limits import Connection, ConnectionLimiter
from node.web.guards import SECURITY_HEADERS
from node.web.site import Kind
from tests.node.page import visiting

_HELD = 300
_HOST = b"Host: 127.0.0.1\r\n"
_JSON = _HOST + b"Content-Type: application/json\r\nContent-Length: 900\r\n"
UNFINISHED = {
    "nothing": b"",
    "a request line": b"GET /api/v1/sess",
    "headers": b"GET /api/v1/session HTTP/1.1\r\n" + _HOST,
    "a body without a token": b"POST /api/v1/notes HTTP/1.1\r\n" + _JSON + b'\r\n{"text": "a',
    "a body with a wrong token": (
        b"POST /api/v1/notes HTTP/1.1\r\nAuthorization: Bearer x\r\n" + _JSON + b'\r\n{"text": "a'
    ),
    "the code of a link": b"POST /api/v1/session HTTP/1.1\r\n" + _JSON + b'\r\n{"code": "a',
    "a chunk": (
        b"POST /api/v1/session HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/json\r\n" + _HOST + b"\r\n5\r\n{"
    ),
    "no further request": b"GET /nothing HTTP/1.1\r\n" + _HOST + b"\r\n",
    "unread answers": (b"GET /vendor/uPlot.mjs HTTP/1.1\r\n" + _HOST + b"\r\n") * 3,
}


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the rest of a refused body, and wait for answers at the end, for a moment alone."""
    monkeypatch.setattr(serving, "LINGERING_S", 0.1)
    monkeypatch.setattr(serving, "_CLOSING_S", 0.1)


@asynccontextmanager
async def held(port: int, sent: bytes, count: int = _HELD) -> AsyncIterator[list[Any]]:
    """Hold connections that sent this much each."""
    streams = []
    try:
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            streams.append((reader, writer))
        yield streams
    finally:
        for _, writer in streams:
            writer.close()


@pytest.mark.parametrize("kind", ["node", "bootstrap"])
@pytest.mark.parametrize("sent", UNFINISHED.values(), ids=UNFINISHED.keys())
def test_the_owner_is_served_while_300_others_hold_connections(
    home: Home, sent: bytes, kind: Kind
) -> None:
    async def work() -> None:
        async with (
            asyncio.timeout(40),
            visiting(home, kind=kind) as visitor,
            held(visitor.served.port, sent),
        ):
            for _ in range(3):
                assert (await visitor.get("session")).status == 200

    asyncio.run(work())


def test_the_owner_keeps_a_stream_while_others_take_every_place(home: Home) -> None:
    async def work() -> None:
        async with asyncio.timeout(40), visiting(home) as visitor:
            headers = {"Authorization": f"Bearer {visitor.token}"}
            url = visitor.served.url + "api/v1/events"
            async with (
                visitor.http.get(url, headers=headers) as stream,
                held(visitor.served.port, UNFINISHED["the code of a link"], 600),
            ):
                assert (await visitor.get("session")).status == 200
                assert (await stream.content.readuntil(b"\n\n")).startswith(b": listening")
                assert await stream.content.readuntil(b"\n\n")

    asyncio.run(work())


@pytest.mark.parametrize("sent", [UNFINISHED[name] for name in ("nothing", "headers")])
def test_a_request_whose_headers_do_not_come_is_ended(
    home: Home, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REQUEST_S", 0.05)
    monkeypatch.setattr(module, "_SWEEP_S", 0.05)
    asyncio.run(_ended(home, sent, b""))


@pytest.mark.parametrize("name", ["the code of a link", "a chunk"])
def test_a_body_that_does_not_come_is_refused_and_ended(
    home: Home, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "_BODY_S", 0.05)
    asyncio.run(_ended(home, UNFINISHED[name], b"HTTP/1.1 408 "))


@pytest.mark.parametrize("name", ["a body without a token", "a body with a wrong token"])
def test_a_token_is_checked_before_the_body_is_there(home: Home, name: str) -> None:
    asyncio.run(_ended(home, UNFINISHED[name], b"HTTP/1.1 401 "))


async def _ended(home: Home, sent: bytes, answer: bytes) -> None:
    """Assert that a connection gets this answer and nothing more, and is closed."""
    async with (
        asyncio.timeout(20),
        visiting(home) as visitor,
        held(visitor.served.port, sent, 1) as streams,
    ):
        (reader, _) = streams[0]
        assert (await reader.read()).startswith(answer)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "", 200),
        ("GET", "app.js", 200),
        ("HEAD", "app.js", 200),
        ("GET", "style", 403),
        ("GET", "nothing", 404),
        ("GET", "api/v1/nothing", 404),
        ("OPTIONS", "", 405),
        ("OPTIONS", "api/v1/session", 404),
        ("DELETE", "api/v1/session", 404),
        ("GET", "api/v1/session", 200),
        ("GET", "api/v1/events", 200),
        ("GET", "metrics", 200),
        ("GET", "api/v1/openapi.json", 200),
        ("GET", "api/v1/experiments?limit=0", 400),
        ("POST", "api/v1/notes", 415),
    ],
)
@pytest.mark.parametrize("kind", ["node", "bootstrap"])
def test_every_response_has_the_same_security_headers(
    home: Home, method: str, path: str, status: int, kind: Kind
) -> None:
    async def work() -> None:
        async with asyncio.timeout(20), visiting(home, kind=kind) as visitor:
            headers = {"Authorization": f"Bearer {visitor.token}", "Content-Type": "text/plain"}
            url = visitor.served.url + path
            async with visitor.http.request(method, url, headers=headers) as response:
                expected = 403 if kind == "bootstrap" and method == "POST" else status
                assert response.status == expected
                found = {name: response.headers.getall(name) for name in SECURITY_HEADERS}
                assert found == {name: [value] for name, value in SECURITY_HEADERS.items()}

    asyncio.run(work())


class _Transport(asyncio.Transport):
    """A connection whose other end reads nothing."""

    def __init__(self, peer: str) -> None:
        super().__init__({"peername": (peer, 1)})
        self.is_ended = False
        self.waiting = 0

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.waiting += len(data)

    def is_closing(self) -> bool:
        return self.is_ended

    def close(self) -> None:
        self.is_ended = True

    def abort(self) -> None:
        self.is_ended = True


Connect = Callable[..., tuple[Connection, _Transport]]


@asynccontextmanager
async def _limiter(now_s: list[float]) -> AsyncIterator[tuple[ConnectionLimiter, Connect]]:
    """Yield a door with a clock, and what connects from an address."""

    async def nothing(_: Any) -> Any:
        raise AssertionError("nobody asks")

    server = module.web.Server(nothing)
    limiter, connected = ConnectionLimiter(lambda: now_s[0]), list[Connection]()
    limiter.set_server(server)

    def connect(peer: str = "127.0.0.1") -> tuple[Connection, _Transport]:
        connection, transport = limiter(), _Transport(peer)
        assert isinstance(connection, Connection)
        connection.connection_made(transport)
        connected.append(connection)
        return connection, transport

    try:
        yield limiter, connect
    finally:
        for connection in connected:
            connection.force_close()


def test_each_stage_of_a_connection_has_its_time() -> None:
    async def work() -> None:
        now_s = [0.0]
        async with _limiter(now_s) as (limiter, connect):
            (_, no_request), (idle, kept), (busy, slow), (stream, stuck), (fine, read) = (
                connect() for _ in range(5)
            )
            idle.move_to("idle")
            limiter.on_request(busy)
            for one in (stream, fine):
                limiter.on_stream(one)
            stuck.waiting = 100
            ends = dict[int, list[str]]()
            named = {
                "silent": no_request,
                "idle": kept,
                "answer": slow,
                "stuck": stuck,
                "read": read,
            }
            for second in range(0, 120, 5):
                now_s[0] = second
                read.waiting = 200 - second  # less each time
                limiter.sweep()
                gone = [name for name, one in named.items() if one.is_ended]
                ends[second] = gone
            assert ends[10] == []
            assert ends[15] == ["silent"]
            assert ends[35] == ["silent", "idle", "stuck"]
            assert ends[65] == ["silent", "idle", "answer", "stuck"]
            assert ends[115] == ends[65]

    asyncio.run(work())


def test_a_door_that_is_shut_ends_all_and_what_comes_after_it() -> None:
    """A connection may have been accepted before its server closed, and come afterwards."""

    async def work() -> None:
        async with _limiter([0.0]) as (limiter, connect):
            _, held = connect()
            limiter.shut()
            _, late = connect()
            assert held.is_ended
            assert late.is_ended

    asyncio.run(work())


def test_what_made_the_least_progress_is_replaced_and_a_new_one_has_a_moment() -> None:
    async def work() -> None:
        now_s = [0.0]
        async with _limiter(now_s) as (limiter, connect):
            owner, owners = connect()
            limiter.on_request(owner)
            limiter.on_valid_token(owner)
            others = [connect() for _ in range(255)]
            for one, _ in others:
                one.move_to("idle")
            now_s[0] = 5.0
            _, newcomer = connect()  # replaces the oldest that is idle
            for _ in range(254):
                connect()
            assert not owners.is_ended
            assert not newcomer.is_ended
            assert all(transport.is_ended for _, transport in others)
            connect()  # now all the rest are new
            assert newcomer.is_ended
            assert not owners.is_ended

    asyncio.run(work())


def test_valid_tokens_leave_places_for_new_connections() -> None:
    async def work() -> None:
        async with _limiter([0.0]) as (limiter, connect):
            held = [connect() for _ in range(256)]
            for one, _ in held:
                limiter.on_request(one)
                limiter.on_valid_token(one)
            assert sum(one.is_known for one, _ in held) == 224
            _, newcomer = connect()
            assert not newcomer.is_ended
            assert [transport.is_ended for _, transport in held].count(True) == 1

    asyncio.run(work())


@pytest.mark.parametrize(
    ("peers", "most"),
    [
        (["192.0.2.1"], 64),
        (["::ffff:192.0.2.1", "192.0.2.1"], 64),
        (["2001:db8::1", "2001:db8::2"], 64),
        (["127.0.0.1", "::1", "::ffff:127.0.0.1"], 200),
    ],
)
def test_a_machine_elsewhere_has_only_so_many_places(peers: list[str], most: int) -> None:
    async def work() -> None:
        async with _limiter([0.0]) as (_, connect):
            _, other = connect("198.51.100.9")
            ends = [connect(peers[number % len(peers)])[1] for number in range(200)]
            assert sum(not one.is_ended for one in ends) == most
            assert not other.is_ended

    asyncio.run(work())


def test_a_server_that_closes_waits_for_no_unfinished_request(home: Home) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(40):
            async with visiting(home) as visitor:
                body = UNFINISHED["the code of a link"]
                reader, writer = await asyncio.open_connection("127.0.0.1", visitor.served.port)
                writer.write(body)
                assert (await visitor.get("session")).status == 200
                leaving_s = loop.time()
            assert loop.time() - leaving_s < route._BODY_S
            assert await reader.read() == b""
            writer.close()

    asyncio.run(work())
