"""`network friends` and `network block`: preferred and ignored authors, and the user's fleet."""

import time
from dataclasses import replace
from typing import BinaryIO

import click

from node.commands.basics import json_option, print_result, reading, short
from node.commands.table import SummaryGroup
from node.home.fleet import (
    FLEET,
    MAX_MEMBERS,
    members_of,
    owner_of,
    people_of,
    sign_fleet,
    take_list,
)
from node.home.home import Home
from node.home.keyfile import read_keys
from node.home.network_definition import AUTHOR_BYTES, key_of
from node.home.people import read_people, write_people
from node.home.settings_in_force import config_of
from node.home.signed_list import MAX_BYTES
from protocol.errors import UsageError


@click.group(cls=SummaryGroup, invoke_without_command=True)
@json_option()
@click.pass_context
def friends(ctx: click.Context, as_json: bool) -> None:
    """List, add or remove friends: authors whose claims are re-run first.

    A friend's claim is adopted only after a re-run here, like any other claim. The same is true of
    your fleet, the nodes on the list of `friends = "fleet:KEY"`. A patch that a fleet node kept is
    tried here, too, even before that node claims its gain.
    """
    if ctx.invoked_subcommand is not None:
        return
    home = Home.here()
    people = people_of(home, config_of(home).friends)
    friendly, fleet, blocked = (
        sorted(map(bytes.hex, keys)) for keys in (people.friends, people.fleet, people.blocked)
    )
    print_result(
        {"friends": friendly, "fleet": fleet, "blocked": blocked},
        *(f"friend   {key}" for key in friendly),
        *(f"fleet    {key}" for key in fleet),
        *(f"blocked  {key}" for key in blocked),
        as_json=as_json,
    )
    if not as_json and not friendly and not fleet and not blocked:
        click.echo(
            "no author is a friend or blocked: `arnode network friends add KEY`, "
            "`arnode network block KEY`",
            err=True,
        )


@friends.command()
@click.argument("key")
def add(key: str) -> None:
    """Add an author to your friends."""
    _change(key, "friends")


@friends.command()
@click.argument("key")
def remove(key: str) -> None:
    """Remove an author from your friends and from the blocked authors."""
    _change(key, None)


@friends.command()
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
def sign(keys: tuple[str, ...]) -> None:
    """Print a list of your fleet's nodes, signed by this home's author key.

    KEY: the author key of a node, as `arnode home key show` prints it there. Name all nodes: a node
    that is missing from the list is no longer in the fleet.
    """
    members = [_checked(key) for key in keys]
    if len(members) > MAX_MEMBERS:
        raise UsageError(f"{len(members)} keys are given; the limit is {MAX_MEMBERS}", "name fewer")
    owner = read_keys(Home.here()).author
    click.echo(sign_fleet(members, key=owner, written_s=int(time.time())).text(), nl=False)
    click.echo(
        f'next, on each node: `arnode network friends take FILE`, and friends = "{FLEET}'
        f'{owner.public.hex()}" in config.toml',
        err=True,
    )


@friends.command()
@click.argument("file", type=click.File("rb"))
def take(file: BinaryIO) -> None:
    """Store a signed list of the fleet's nodes. FILE: the list, or - for standard input.

    The list must be newer than the stored one.
    """
    home = Home.here()
    owner = owner_of(config_of(home).friends)
    if owner is None:
        raise UsageError(
            "the setting `friends` names no fleet, so the list's owner is unknown",
            f'add friends = "{FLEET}KEY" to config.toml, with the owner\'s key',
        )
    members = members_of(take_list(home, owner, file.read(MAX_BYTES + 1)))
    is_there = read_keys(home).author.public in {*members, owner}
    click.echo(
        f"the fleet has {len(members)} nodes, "
        + ("including this one" if is_there else "not including this one")
    )


def _checked(digits: str) -> bytes:
    key = key_of(digits, AUTHOR_BYTES)
    if key is None:
        raise UsageError(
            f"KEY {digits!r} is not an author's key, which has 64 hex digits",
            "`arnode home key show` on the node prints it",
        )
    return key


@click.command()
@click.argument("key")
def block(key: str) -> None:
    """Ignore an author's claims; `arnode network friends remove` unblocks the author."""
    _change(key, "blocked")


def _change(wanted: str, which: str | None) -> None:
    home = Home.here()
    with reading() as (store, _):
        key = store.records.find_author(wanted)
    home.prepare()
    people = read_people(home.people)
    others = {"friends": people.friends - {key}, "blocked": people.blocked - {key}}
    if which is not None:
        others[which] |= {key}
    write_people(home.people, replace(people, **others))
    word = {"friends": "is a friend", "blocked": "is blocked"}.get(
        which or "", "is neither a friend nor blocked"
    )
    click.echo(f"{short(key)} {word}")
