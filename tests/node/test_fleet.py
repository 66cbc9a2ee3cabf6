"""Several nodes in one table: the server asks each with its own key, never a page."""

import asyncio
import stat
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from node.home.home import Home
from node.web.fleet import Fleet, address_of
from node.web.tokens import fleet_key
from protocol.errors import ConfigurationError, UsageError
from tests.node.page import visiting


def fleet_nodes(*nodes: tuple[str, str]) -> Any:
    """Return what a fleet of these addresses and keys answers."""
    fleet = Fleet(nodes=dict(nodes))
    return asyncio.run(fleet.document())["nodes"]


def test_each_node_says_how_it_stands_and_one_that_is_gone_why_it_does_not(home: Home) -> None:
    async def work() -> Any:
        async with visiting(home) as visitor:
            url = visitor.served.url.rstrip("/")
            nodes = {url: fleet_key(home.fleet_key), "http://127.0.0.1:1": "x"}
            wrong = await Fleet(nodes={url: "nonsense"}).document()
            return (await Fleet(nodes=nodes).document())["nodes"], wrong["nodes"][0]["fault"]

    (here, gone), wrong = asyncio.run(work())
    assert (here["fault"], here["status"]["running"], here["now"]) == (None, False, None)
    assert (gone["status"], gone["now"]) == (None, None)
    assert "127.0.0.1:1" in gone["fault"]
    assert "it has a new fleet key" in wrong


@pytest.mark.parametrize(
    "body", [b"x" * (2 << 20), b"[]", b"nonsense", b'{"v": 1'], ids=["much", "list", "text", "cut"]
)
def test_what_another_node_answers_is_bounded_and_read_as_data(body: bytes) -> None:
    async def hostile(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    (found,) = asyncio.run(_asking(hostile))
    assert found["status"] is None
    assert len(found["fault"]) <= 200


def test_a_node_that_leads_elsewhere_is_not_followed() -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})

    (found,) = asyncio.run(_asking(elsewhere))
    assert found["fault"] == "it answers with status 302"


async def _asking(handler: Callable[[web.Request], Awaitable[web.Response]]) -> Any:
    app = web.Application()
    app.router.add_get("/{rest:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    try:
        return (await Fleet(nodes={f"http://127.0.0.1:{port}": "x"}).document())["nodes"]
    finally:
        await runner.cleanup()


def test_nodes_are_kept_for_this_user_alone_and_can_be_forgotten(home: Home) -> None:
    home.prepare()
    Fleet(nodes={}).with_node("192.0.2.1:7842", "secret").keep(home.fleet)
    assert stat.S_IMODE(home.fleet.stat().st_mode) == 0o600
    known = Fleet.of(home.fleet)
    assert known.nodes == {"http://192.0.2.1:7842": "secret"}
    assert known.without("http://192.0.2.1:7842/").nodes == {}
    with pytest.raises(UsageError, match="no node"):
        known.without("http://192.0.2.2:7842")
    home.fleet.write_text("{}")
    with pytest.raises(ConfigurationError):
        Fleet.of(home.fleet)


@pytest.mark.parametrize(
    "url", ["", "http://", "ftp://a:1", "http://a", "http://u:p@a:1", "a:b", "http://a:99999"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        address_of(url)


def test_an_address_is_kept_in_one_spelling() -> None:
    for url in ("http://[::1]:7842/#code", "[::1]:7842", "http://[::1]:7842"):
        assert address_of(url) == "http://[::1]:7842"
