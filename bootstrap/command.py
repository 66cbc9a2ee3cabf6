"""The command line of a bootstrap node: `arnode network bootstrap`."""

import click

from node.commands.basics import setting_option
from node.home.home import Home
from node.home.settings_in_force import config_of
from node.home.values import Given
from protocol.errors import UsageError

_HTTP = "127.0.0.1:7842"


@click.command()
@click.option("--network", metavar="NAME", help="The network to serve (default: the one in use).")
@setting_option("listen")
@setting_option("bootstrap", "The address of another bootstrap node.")
@click.option(
    "--http",
    default=_HTTP,
    show_default=True,
    metavar="HOST:PORT|none",
    help="Where to serve the public page, its API and /metrics.",
)
@click.option(
    "--relay/--no-relay",
    "relays",
    default=True,
    show_default=True,
    help="Relay connections to nodes that cannot be dialled directly.",
)
def bootstrap(network: str | None, http: str, relays: bool, **flags: Given) -> None:
    """Run a node that helps peers connect, until Ctrl-C or SIGTERM.

    It relays and stores records, and runs no code.
    """
    from bootstrap.program import run_bootstrap

    home = Home.here()
    config = config_of(home, {"net": network, **flags})
    run_bootstrap(
        home, config, http=None if http == "none" else _host_and_port(http), relays=relays
    )


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--http {text!r} is not HOST:PORT", f"write it like {_HTTP}")
    return host.strip("[]"), int(port)
