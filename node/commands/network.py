"""`network show` and `network init`: the networks that this node knows, and a new one."""

import secrets

import click

from node.commands.basics import json_option
from node.commands.inviting import checked_address
from node.home.home import Home
from node.settings.config import config_of
from node.terminal.terminal import plain, print_json
from protocol.errors import UsageError


@click.group()
def network() -> None:
    """Networks: a name, where to meet the others, and for some a secret."""


@network.command()
@click.argument("name", required=False)
@json_option()
def show(name: str | None, as_json: bool) -> None:
    """Show what is known of a network, or of all."""
    from node.networks.known import all_networks, find_network

    home = Home.here()
    config = config_of(home)
    networks = all_networks(home) if name is None else [find_network(home, name)]
    if as_json:
        rows = [
            {
                "name": one.network.name,
                "in_use": one.network.name == config.net,
                "file": one.place,
                "own": one.is_own,
                "private": one.network.secret is not None,
                "bootstrap": [str(address) for address in one.network.bootstrap],
                "tasks": list(one.network.tasks),
                "authors": sorted(key.hex() for key in one.network.authors),
            }
            for one in networks
        ]
        print_json({"networks": rows, "online": config.online})
        return
    for one in networks:
        lists = {
            "bootstrap": [str(address) for address in one.network.bootstrap] or ["nobody yet"],
            "tasks": one.network.tasks or ["all"],
            "authors": sorted(key.hex() for key in one.network.authors) or ["everybody"],
        }
        in_use = "  (in use)" if one.network.name == config.net else ""
        click.echo(f"{one.network.name}{in_use}")
        click.echo(f"  {'file':<10} {plain(one.place)}")
        click.echo(f"  {'secret':<10} {'yes: private' if one.network.secret else 'none: public'}")
        for label, values in lists.items():
            for number, value in enumerate(values):
                click.echo(f"  {'' if number else label:<10} {value}")


@network.command()
@click.argument("name")
@click.option("--private", is_flag=True, help="With a new secret, which an invite carries.")
@click.option("--bootstrap", multiple=True, metavar="ADDR", help="Where to meet the others.")
@click.option("--author", "authors", multiple=True, metavar="KEY", help="Count only these.")
def init(name: str, private: bool, bootstrap: tuple[str, ...], authors: tuple[str, ...]) -> None:
    """Define a new network in the home; what is there is never overwritten."""
    from node.networks.known import create_network
    from node.settings.network_definition import (
        AUTHOR_BYTES,
        MAX_AUTHORS,
        MAX_BOOTSTRAP,
        SECRET_BYTES,
        Network,
        key_of,
    )

    for flag, values, most in (
        ("--bootstrap", bootstrap, MAX_BOOTSTRAP),
        ("--author", authors, MAX_AUTHORS),
    ):
        if len(values) > most:
            raise UsageError(f"{flag} is given {len(values)} times, more than {most}", "name fewer")
    keys: set[bytes] = set()
    for text in authors:
        key = key_of(text, AUTHOR_BYTES)
        if key is None:
            raise UsageError(
                f"--author {text[:80]!r} is no author's key",
                f"a key is {2 * AUTHOR_BYTES} hex digits: `arnode key show` prints one's own",
            )
        keys.add(key)
    addresses = dict.fromkeys(checked_address(text, "--bootstrap") for text in bootstrap)
    path = create_network(
        Home.here(),
        Network(
            name=name,
            bootstrap=tuple(addresses),
            secret=secrets.token_bytes(SECRET_BYTES) if private else None,
            authors=frozenset(keys),
        ),
    )
    click.echo(f"network {name} is defined in {path}")
    click.echo(f'next: `net = "{name}"` in config.toml; `arnode invite` for the others', err=True)
