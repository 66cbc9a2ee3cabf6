"""`arnode bootstrap run`: the command line of a well-known node."""

import os

import click

from node.home.home import Home
from node.settings.config import load_config
from protocol.errors import UsageError

_HTTP = "127.0.0.1:7842"


@click.group()
def bootstrap() -> None:
    """Run a node that others find: it passes on, keeps and serves records, and runs no code."""


@bootstrap.command()
@click.option("--network", metavar="NAME", help="The network to serve (default: the one in use).")
@click.option(
    "--listen", multiple=True, metavar="ADDR", help="Where to listen, like /ip4/0.0.0.0/tcp/4001."
)
@click.option(
    "--bootstrap", "others", multiple=True, metavar="ADDR", help="Another such node to know."
)
@click.option(
    "--http",
    default=_HTTP,
    show_default=True,
    metavar="HOST:PORT|none",
    help="Where boards and /metrics are read.",
)
@click.option(
    "--relay/--no-relay",
    "relays",
    default=True,
    show_default=True,
    help="Pass connections on to nodes that nobody can dial.",
)
def run(
    network: str | None,
    listen: tuple[str, ...],
    others: tuple[str, ...],
    http: str,
    relays: bool,
) -> None:
    """Serve a network until stopped: Ctrl-C, or SIGTERM."""
    from bootstrap.program import run_bootstrap

    flags = {"net": network, "listen": listen or None, "bootstrap": others or None}
    home = Home.locate(os.environ)
    config = load_config(home.config, env=os.environ, flags=flags).config
    run_bootstrap(
        home, config, http=None if http == "none" else _host_and_port(http), relays=relays
    )


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--http {text!r} is no HOST:PORT", f"write it like {_HTTP}")
    return host.strip("[]"), int(port)
