"""`network show`, `init`, `invite` and `join`: choose the network that this node takes part in."""

import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import click

from node.commands.basics import (
    hex_or_none,
    json_option,
    print_result,
    warn_if_variable_overrides,
)
from node.home.addresses import Address, Reach, parse_direct, peer_id
from node.home.config_file import change_settings
from node.home.consent import network_terms
from node.home.current_network import RunningMember, current_network, running_member
from node.home.home import Home
from node.home.invites import MAX_ADDRESSES, join_network, read_invite, write_invite
from node.home.keyfile import load_keys, read_keys
from node.home.network_definition import (
    AUTHOR_BYTES,
    MAX_AUTHORS,
    MAX_BOOTSTRAP,
    SECRET_BYTES,
    Network,
    key_of,
)
from node.home.networks import all_networks, create_network, find_network
from node.home.next_start import next_start
from node.home.settings_in_force import config_of
from node.terminal.terminal import print_json
from protocol.codecs import plain
from protocol.errors import Rejected, UsageError
from trainer.sandbox.tier import probe_tier

_MAX_TYPED = 1 << 16
# Addresses reachable from elsewhere come first. The rest serve a local network or this machine.
_NEARNESS = {
    Reach.PUBLIC: 0,
    Reach.NAME: 0,
    Reach.PRIVATE: 1,
    Reach.LINK_LOCAL: 2,
    Reach.LOOPBACK: 3,
    Reach.NOWHERE: 4,
}


@click.command()
@click.argument("name", required=False)
@json_option()
def show(name: str | None, as_json: bool) -> None:
    """Show this node's peer id and addresses, and one network or all."""
    home = Home.here()
    config = config_of(home)
    running = running_member(home)
    current = current_network(config, running)
    peer = peer_id(read_keys(home).transport.public) if home.key.exists() else None
    networks = all_networks(home) if name is None else [find_network(home, name)]
    if as_json:
        rows = [
            {
                "name": one.network.name,
                "in_use": one.network.name == current,
                "file": one.place,
                "own": one.is_own,
                "private": one.network.secret is not None,
                "bootstrap": [str(address) for address in one.network.bootstrap],
                "lists": list(one.network.lists),
                "lists_key": hex_or_none(one.network.lists_key),
                "tasks": list(one.network.tasks),
                "authors": sorted(key.hex() for key in one.network.authors),
            }
            for one in networks
        ]
        node = {
            "peer_id": peer,
            "running": running is not None,
            "network": running.network if running else None,
            "addresses": list(running.addresses) if running else [],
        }
        print_json({"node": node, "networks": rows, "online": config.online})
        return
    click.echo("this node")
    _print_lists(
        {
            "peer id": [peer or "none yet: the first `arnode start` creates the keys"],
            "listening": _listening(running),
        }
    )
    for one in networks:
        lists = {
            "bootstrap": [str(address) for address in one.network.bootstrap] or ["none yet"],
            "lists": one.network.lists or ["none"],
            "tasks": one.network.tasks or ["all"],
            "authors": sorted(key.hex() for key in one.network.authors) or ["everybody"],
        }
        in_use = "  (in use)" if one.network.name == current else ""
        click.echo(f"{one.network.name}{in_use}")
        click.echo(f"  {'file':<10} {plain(one.place)}")
        click.echo(f"  {'secret':<10} {'yes: private' if one.network.secret else 'none: public'}")
        _print_lists(lists)


def _print_lists(lists: Mapping[str, Sequence[str]]) -> None:
    """Print each value on its own line, the first next to its label."""
    for label, values in lists.items():
        for number, value in enumerate(values):
            click.echo(f"  {'' if number else label:<10} {plain(value)}")


def _listening(running: RunningMember | None) -> Sequence[str]:
    if running is None:
        return ["none: the node is not running"]
    if running.network is None:
        return ["none: the node is connected to no network"]
    return running.addresses or ["not yet"]


@click.command()
@click.argument("name")
@click.option(
    "--private",
    is_flag=True,
    help="Make the network private, with a new secret that its invites contain.",
)
@click.option(
    "--bootstrap",
    multiple=True,
    metavar="ADDR",
    help="The address of a bootstrap node; repeat for several.",
)
@click.option(
    "--author",
    "authors",
    multiple=True,
    metavar="KEY",
    help="Count only this author's records; repeat for several.",
)
def init(name: str, private: bool, bootstrap: tuple[str, ...], authors: tuple[str, ...]) -> None:
    """Define a new network in the home; an existing one is never overwritten."""
    for flag, values, most in (
        ("--bootstrap", bootstrap, MAX_BOOTSTRAP),
        ("--author", authors, MAX_AUTHORS),
    ):
        if len(values) > most:
            raise UsageError(
                f"{flag} is given {len(values)} times; the limit is {most}", "name fewer"
            )
    keys: set[bytes] = set()
    for text in authors:
        key = key_of(text, AUTHOR_BYTES)
        if key is None:
            raise UsageError(
                f"--author {text[:80]!r} is not an author's key",
                f"a key has {2 * AUTHOR_BYTES} hex digits: `arnode home key show` prints your own",
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
    click.echo(
        f"next: {next_start('--network', name, '--yes')}; then `arnode network invite` for others",
        err=True,
    )


@click.command()
@click.option(
    "--network",
    "named",
    metavar="NAME",
    help="The network (default: the running node's, else the one in use).",
)
@click.option(
    "--address",
    "given",
    multiple=True,
    metavar="ADDR",
    help="An address at which others reach this node; repeat for several.",
)
@json_option()
def invite(named: str | None, given: tuple[str, ...], as_json: bool) -> None:
    """Print an invite, with which others join a network: `arnode network join LINE`.

    The invite has up to 8 addresses: those given with --address, those of the running node and
    those in the network's definition. For a private network it also has the secret.
    """
    home = Home.here()
    running = running_member(home)
    name = named or current_network(config_of(home), running)
    defined = find_network(home, name)
    network = defined.network
    own_addresses = [checked_address(text, "--address") for text in given]
    is_there = running is not None and running.network == name
    reachable_at = _nearest_last(running.addresses) if running and is_there else []
    addresses = dict.fromkeys((*own_addresses, *reachable_at, *network.bootstrap))
    network = replace(network, bootstrap=tuple(addresses)[:MAX_ADDRESSES])
    line = write_invite(network)
    click.echo(f"this invite is for the network {name}", err=True)
    if running and not is_there:
        where = f"the network {running.network}" if running.network else "no network"
        click.echo(
            f"the running node is connected to {where}: nodes that join {name} cannot find it",
            err=True,
        )
    if running is None and defined.is_own:
        click.echo(
            "no node is running here: those who join find this machine after "
            f"`arnode start --network {name} --yes`",
            err=True,
        )
    if network.secret is not None:
        click.echo("it contains the network's secret: anyone who has the invite can join", err=True)
    if all(address.reach is Reach.LOOPBACK for address in network.bootstrap):
        click.echo("its addresses can be reached from this machine only", err=True)
    print_result(
        {"line": line, "network": network.name, **_reached_at(network)}, line, as_json=as_json
    )


@click.command()
@click.argument("line")
@json_option()
def join(line: str, as_json: bool) -> None:
    """Save the network of an invite and join it at the next start, which does not ask again.

    LINE: the invite, or - to read it from standard input. Then other users of this machine cannot
    see its secret in the list of processes.
    """
    home = Home.here()
    network = read_invite(sys.stdin.read(_MAX_TYPED) if line == "-" else line)
    path = join_network(home, network)
    change_settings(home.config, {"online": True})
    terms = network_terms(load_keys(home).author.public, probe_tier(), config_of(home))
    for term in () if as_json else terms:
        click.echo(f"  {term}", err=True)
    print_result(
        {"network": network.name, "file": str(path), **_reached_at(network)},
        f"network {network.name} is in use here, defined in {path}",
        as_json=as_json,
    )
    warn_if_variable_overrides(home, network.name)
    click.echo(f"next: {next_start()}", err=True)


def _reached_at(network: Network) -> dict[str, object]:
    addresses = [str(address) for address in network.bootstrap]
    return {"addresses": addresses, "private": network.secret is not None}


def checked_address(text: str, flag: str) -> Address:
    """Parse the address that a flag gives. Raises UsageError if it is invalid."""
    address = parse_direct(text)
    if isinstance(address, Rejected):
        raise UsageError(
            f"{flag} {text[:200]!r}: {address.reason}",
            "write it like /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…",
        )
    return address


def _nearest_last(own_addresses: tuple[str, ...]) -> list[Address]:
    """Return a running node's addresses, the most widely reachable first."""
    parsed = map(parse_direct, own_addresses)
    addresses = [address for address in parsed if not isinstance(address, Rejected)]
    return sorted(addresses, key=lambda address: _NEARNESS[address.reach])
