"""Odd requests: each is refused like any other, with the headers of every response."""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.home.home import Home
from node.store.store import Store
from node.web.estimates import Estimates
from node.web.guards import SECURITY_HEADERS
from node.web.reading import Library
from node.web.route import Route
from node.web.site import Kind
from tests.node.line_writers import with_baseline
from tests.node.page import Visitor, visiting

_LONG: Final = b"9" * 5000
_ODD: Final = (
    b"\xff",
    b"\xff\xfe\x00a",
    b"\xed\xa0\x80",  # half of a surrogate pair
    "é".encode(),
    "é".encode("latin-1"),
    b"\x01\x7f\t",
    b"-1",
    _LONG,
    b"99999999999999999999999",
    b"1e999",
    b"nan",
    b"inf",
    b"",
)
_ENCODED: Final = (
    b"%ff",
    b"%ff%fe",
    b"%ed%a0%80",
    b"%00",
    b"%",
    b"%zz",
    b"%u0041",
    b"..%2f..%2fkey",
    b"%252e%252e",
    b"%0d%0aSet-Cookie:a",
    b"0001-01-01",
    b"0000-00-00",
    b"9999-12-31",
    b"9999-12-31%2023:59",
    b"2026-02-30",
    b"1e999",
    b"nan",
    b"-inf",
    b"9" * 5000,
    b"9" * 25 + b"d",
    b"9" * 5000 + b"d",
    "٣d".encode(),
)
_HEADERS: Final = (
    b"Authorization",
    b"Cookie",
    b"Host",
    b"Origin",
    b"If-None-Match",
    b"If-Modified-Since",
    b"Range",
    b"Last-Event-ID",
    b"Accept-Encoding",
    b"Content-Type",
    b"Content-Length",
    b"Content-Encoding",
    b"Transfer-Encoding",
    b"Expect",
    b"Connection",
    b"Upgrade",
    b"X-Odd",
)
_BODIES: Final = (
    b"",
    b"{",
    b"\xff",
    b"null",
    b'{"text": "\\ud800"}',
    b'{"text": "\\u0000"}',
    b'{"for_s": 1e999}',
    b'{"for_s": NaN}',
    b'{"for_s": ' + _LONG + b"}",
    b'{"claim": "' + _LONG + b'"}',
    b'{"code": "\\udfff"}',
    b"[" * 100_000,
    b'{"files": {"\\u0000": "a"}, "title": "\\u202e"}',
)


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Everything that was logged as an error, with or without a traceback."""
    found: list[str] = []
    yield found
    found += [
        one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR or one.exc_info
    ]
    assert found == []


async def sent(visitor: Visitor, requests: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """Send each request on a connection of its own; return the status and head of each answer."""
    at_once = asyncio.Semaphore(8)

    async def one(request: bytes) -> tuple[int, bytes]:
        async with at_once:
            return await _sent_one(visitor, request)

    return await asyncio.gather(*map(one, requests))


async def _sent_one(visitor: Visitor, request: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", visitor.served.port)
    try:
        writer.write(request)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100 "):
            head = await reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1]), head
    finally:
        writer.close()


def request(
    line: bytes, visitor: Visitor, *headers: tuple[bytes, bytes], body: bytes = b""
) -> bytes:
    """Return a request by the owner; each of `headers` replaces the one of its name."""
    usual = {
        b"Host": b"127.0.0.1:%d" % visitor.served.port,
        b"Connection": b"close",
        b"Content-Length": b"%d" % len(body),
    }
    if visitor.token is not None:
        usual[b"Authorization"] = b"Bearer " + visitor.token.encode()
    every = {**usual, **dict(headers)}
    lines = [line + b" HTTP/1.1", *(name + b": " + value for name, value in every.items())]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def paths(visitor: Visitor) -> list[tuple[bytes, bytes]]:
    """Return the method and path of every route, static files and metrics too."""
    others = ("/", "/app.js", "/nothing", "/metrics", "/api/v1/events", "/api/v1/openapi.json")
    described = [("GET", path) for path in others]
    described += [(one.method, f"/api/v1{one.path}") for one in routes(visitor)]
    return [(method.encode(), path.encode()) for method, path in described]


def routes(visitor: Visitor) -> list[Route]:
    """Return the described routes."""
    site = visitor.served.site
    library = Library(site.home, "main")
    return site.routes(library, Estimates(site.home, library))


def check(answers: Sequence[tuple[int, bytes]], requests: Sequence[bytes]) -> None:
    """Assert that no request made the server fail, and that every answer has the headers."""
    for (status, head), asked in zip(answers, requests, strict=True):
        assert 200 <= status < 500 or status == 503, asked[:200]
        for name, value in SECURITY_HEADERS.items():
            assert f"\r\n{name}: {value}\r\n".encode() in head, (asked[:200], head)


@pytest.mark.parametrize("kind", ["node", pytest.param("bootstrap", marks=pytest.mark.soak)])
def test_no_odd_header_makes_a_route_fail(home: Home, errors: list[str], kind: Kind) -> None:
    async def work() -> None:
        async with asyncio.timeout(50), visiting(home, kind=kind) as visitor:
            requests = [
                request(method + b" " + path, visitor, (name, _ODD[(number + turn) % len(_ODD)]))
                for number, (method, path) in enumerate(paths(visitor))
                for turn, name in enumerate(_HEADERS)
            ]
            check(await sent(visitor, requests), requests)

    asyncio.run(work())


def test_every_odd_authorization_is_refused(home: Home, errors: list[str]) -> None:
    async def work() -> None:
        async with asyncio.timeout(50), visiting(home, right=None) as visitor:
            requests = [
                request(b"GET /api/v1/status", visitor, (b"Authorization", prefix + value))
                for value in _ODD
                for prefix in (b"", b"Bearer ", b"Proof ", b"Proof 1.2 ", b"Proof \xff ")
            ]
            answers = await sent(visitor, requests)
            check(answers, requests)
            assert {status for status, _ in answers} <= {400, 401}

    asyncio.run(work())


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Honolulu"])
def test_no_odd_path_query_or_body_makes_a_route_fail(
    home: Home, store: Store, errors: list[str], zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    with_baseline(home, store)

    async def work() -> None:
        async with asyncio.timeout(50), visiting(home) as visitor:
            requests: list[bytes] = []
            values = (*_ENCODED, *(one for one in _ODD if len(one) < 100))
            for route in routes(visitor):
                line = f"{route.method} /api/v1{route.path}".encode()
                for name in map(str.encode, route.names):
                    filled = (line.replace(b"{%b}" % name, value) for value in values)
                    requests += [request(one, visitor) for one in filled]
                for name in map(str.encode, route.asks.__struct_encode_fields__):
                    asked = (line + b"?" + name + b"=" + value for value in values)
                    requests += [request(one, visitor) for one in asked]
                json = (b"Content-Type", b"application/json")
                bodies = _BODIES if route.method == "POST" else ()
                requests += [request(line, visitor, json, body=body) for body in bodies]
                requests += [request(line + b"?%ff=%ed%a0%80&a&a", visitor)]
            check(await sent(visitor, requests), requests)

    asyncio.run(work())


@settings(max_examples=25, deadline=None, database=None, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_no_bytes_make_it_fail(
    home: Home, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    word = st.binary(max_size=40)
    like_http = st.builds(
        lambda *words: b"GET /api/v1/%b HTTP/1.1\r\nHost: 127.0.0.1\r\n%b: %b" % words,
        *(word, word, word),
    )
    heads = data.draw(st.lists(st.one_of(st.binary(max_size=200), like_http), max_size=20))

    async def work() -> None:
        async with asyncio.timeout(20), visiting(home, right=None) as visitor:
            for head in heads:
                asked = head + b"\r\nConnection: close\r\n\r\n"
                with suppress(asyncio.IncompleteReadError, ConnectionError):  # may just be closed
                    check([await _sent_one(visitor, asked)], [asked])

    caplog.clear()
    asyncio.run(work())
    assert [one for one in caplog.records if one.exc_info] == []
