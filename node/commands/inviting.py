"""`invite` and `join`: a network in one line, from one node to another."""

import os
import sys

import click

from node.commands.basics import json_option
from node.home.control import call, is_running
from node.home.home import Home
from node.settings.addresses import Address, Reach, parse_direct
from node.settings.config import config_of, load_config
from node.terminal.terminal import print_json
from protocol.errors import Rejected, UsageError

_MAX_TYPED = 1 << 16
# What somebody elsewhere is likely to reach comes first; the rest serves a single machine or room.
_NEARNESS = {
    Reach.PUBLIC: 0,
    Reach.NAME: 0,
    Reach.PRIVATE: 1,
    Reach.LINK_LOCAL: 2,
    Reach.LOOPBACK: 3,
}


@click.command()
@click.option("--network", "name", help="Which network (default: the one in use).")
@click.option(
    "--address", "given", multiple=True, metavar="ADDR", help="Where this node is reached."
)
@json_option()
def invite(name: str | None, given: tuple[str, ...], as_json: bool) -> None:
    """Print a line that others join this network by: `arnode join LINE`.

    It holds up to 8 addresses: those given, the running node's, those of the definition; and for
    a private network its secret.
    """
    from dataclasses import replace

    from node.networks.invites import MAX_ADDRESSES, write_invite
    from node.networks.known import find_network

    home = Home.here()
    name = name or config_of(home).net
    network = find_network(home, name).network
    told = [checked_address(text, "--address") for text in given]
    addresses = dict.fromkeys((*told, *_running_addresses(home, name), *network.bootstrap))
    network = replace(network, bootstrap=tuple(addresses)[:MAX_ADDRESSES])
    line = write_invite(network)
    if network.secret is not None:
        click.echo("this line holds a secret: whoever has it can join", err=True)
    if all(address.reach is Reach.LOOPBACK for address in network.bootstrap):
        click.echo("its addresses are reached from this machine only", err=True)
    if as_json:
        print_json(
            {
                "line": line,
                "network": network.name,
                "addresses": [str(address) for address in network.bootstrap],
                "private": network.secret is not None,
            }
        )
        return
    click.echo(line)


@click.command()
@click.argument("line")
@json_option()
def join(line: str, as_json: bool) -> None:
    """Keep the network of an invite and use it from now on.

    With `-` for LINE it is read from standard input, which no list of processes shows.
    """
    from node.networks.invites import join_network, read_invite

    home = Home.here()
    network = read_invite(sys.stdin.read(_MAX_TYPED) if line == "-" else line)
    path = join_network(home, network)
    if as_json:
        print_json(
            {
                "network": network.name,
                "file": str(path),
                "addresses": [str(address) for address in network.bootstrap],
                "private": network.secret is not None,
            }
        )
    else:
        click.echo(f"network {network.name} is in use here, defined in {path}")
    in_force = load_config(home.config, env=os.environ)
    if in_force.config.net != network.name:
        click.echo(f"{in_force.origins['net']} names another network and goes before it", err=True)
    if is_running(home.socket):
        click.echo("next: `arnode stop`, then `arnode start`", err=True)
    else:
        click.echo("next: `arnode start`", err=True)


def checked_address(text: str, flag: str) -> Address:
    """Return the address that a flag names. Raises UsageError if it is none."""
    address = parse_direct(text)
    if isinstance(address, Rejected):
        raise UsageError(
            f"{flag} {text[:200]!r}: {address.reason}",
            "write it like /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…",
        )
    return address


def _running_addresses(home: Home, network: str) -> list[Address]:
    """Return where the running node says that it is reached in this network; best first."""
    if not is_running(home.socket):
        return []
    match call(home.socket, "status"):
        case {"network": {"name": str() as name, "addresses": list() as values}} if name == network:
            pass
        case _:  # it speaks to no network, or to another
            return []
    parsed = [parse_direct(value) for value in values if isinstance(value, str)]
    addresses = [address for address in parsed if not isinstance(address, Rejected)]
    return sorted(addresses, key=lambda address: _NEARNESS[address.reach])
