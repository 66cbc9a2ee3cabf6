"""What a bootstrap node shows over HTTP, to read only: its boards, and figures for Prometheus."""

import contextlib
import html
from collections.abc import AsyncIterator, Iterator

from aiohttp import web

from node.peering.membership import Membership
from node.store.store import Store
from protocol.errors import ConfigurationError
from protocol.units import NANO

_ROWS = 20
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_STYLE = (
    "body{font:16px/1.5 system-ui;margin:2rem auto;max-width:60rem;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right}"
    "th:first-child,td:first-child{text-align:left;font-family:monospace}"
)


@contextlib.asynccontextmanager
async def serving(
    store: Store, membership: Membership, address: tuple[str, int]
) -> AsyncIterator[None]:
    """Serve `/` and `/metrics` at a host and port for the length of a block.

    Raises:
        ConfigurationError: nobody may listen there, or somebody does.
    """
    app = web.Application()

    async def boards(_: web.Request) -> web.Response:
        text = "".join(page(store, membership))
        return web.Response(text=text, content_type="text/html", headers=_HEADERS)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text="".join(figures(store, membership)), content_type="text/plain")

    app.router.add_get("/", boards)
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    host, port = address
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as fault:
        await runner.cleanup()
        raise ConfigurationError(
            f"{host}:{port} cannot be listened on: {fault.strerror}",
            "choose another with --http, or `--http none`",
        ) from fault
    try:
        yield
    finally:
        await runner.cleanup()


def figures(store: Store, membership: Membership) -> Iterator[str]:
    """Yield Prometheus' lines (text format 0.0.4)."""
    values = {
        "records": ("Records kept.", store.records.count()),
        "peers": ("Peers that said hello.", len(membership.peers)),
        "up": ("Whether the network process runs.", int(membership.process.peer_id is not None)),
        "streams": ("Streams open at the last look.", membership.process.open_streams),
        "lost_messages": ("Gossip not taken in time.", membership.process.lost_messages),
    }
    for name, (what, value) in values.items():
        yield f"# HELP arnode_{name} {what}\n# TYPE arnode_{name} gauge\narnode_{name} {value}\n"
    yield "# HELP arnode_ignored_messages Gossip not passed on.\n"
    yield "# TYPE arnode_ignored_messages gauge\n"
    for why, number in sorted(membership.process.ignored_messages.items()):
        yield f'arnode_ignored_messages{{why="{why}"}} {number}\n'


def page(store: Store, membership: Membership) -> Iterator[str]:
    """Yield the page: each board's first rows, what is claimed and what others say of it."""
    name = html.escape(membership.network.name)
    yield f"<!doctype html><meta charset=utf-8><title>arnode {name}</title><style>{_STYLE}</style>"
    yield f"<h1>{name}</h1><p>{store.records.count()} records, {len(membership.peers)} peers.</p>"
    yield "<p>Nothing here was measured by this node: authors claim it, and others re-ran it.</p>"
    yield (
        "<p>Nor is code read here: which tree is marked, because it does more than arithmetic, "
        "<code>arnode verify</code> and <code>arnode show</code> say.</p>"
    )
    for key in store.boards.listed(membership.network.name):
        task = store.records.task(key.task)
        what = task.manifest.name if task else key.task.hex()[:12]
        board = store.boards.get(key, _ROWS)
        yield f"<h2>{html.escape(what)} on {html.escape(key.hardware_class)}</h2>"
        yield "<table><tr><th>tree<th>claimed gain<th>others confirm<th>find less<th>refute</tr>"
        for row in board.rows:
            yield (
                f"<tr><td>{row.tree.hex()[:12]}<td>{row.gain_nano / NANO:.6f}"
                f"<td>{row.confirmed}<td>{row.smaller}<td>{row.refuted}</tr>"
            )
        yield f"</table><p>digest {board.board_digest.hex()[:16]}</p>"
