"""`friends` and `block`: authors whose claims come first or are ignored, and the user's fleet."""

import time
from dataclasses import replace
from typing import BinaryIO

import click

from node.commands.basics import json_option, reading, short, tell
from node.home.config import config_of
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
from node.home.signed_list import MAX_BYTES
from protocol.errors import UsageError


@click.group(invoke_without_command=True)
@json_option()
@click.pass_context
def friends(ctx: click.Context, as_json: bool) -> None:
    """List, add or remove friends: their claims are looked at before other newcomers'.

    A friend's claim is measured here like anybody's before it is adopted. So is what the nodes of
    one's own fleet claim (`friends = "fleet:KEY"`), of whom what few runs kept is heard, too.
    """
    if ctx.invoked_subcommand is not None:
        return
    home = Home.here()
    people = people_of(home, config_of(home).friends)
    friendly, fleet, blocked = (
        sorted(map(bytes.hex, keys)) for keys in (people.friends, people.fleet, people.blocked)
    )
    tell(
        {"friends": friendly, "fleet": fleet, "blocked": blocked},
        *(f"friend   {key}" for key in friendly),
        *(f"fleet    {key}" for key in fleet),
        *(f"blocked  {key}" for key in blocked),
        as_json=as_json,
    )
    if not as_json and not friendly and not fleet and not blocked:
        click.echo("nobody is named: `arnode friends add KEY`, `arnode block KEY`", err=True)


@friends.command()
@click.argument("key")
def add(key: str) -> None:
    """Name an author as a friend."""
    _change(key, "friends")


@friends.command()
@click.argument("key")
def remove(key: str) -> None:
    """Take a name off both lists."""
    _change(key, None)


@friends.command()
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
def sign(keys: tuple[str, ...]) -> None:
    """Print the list of a fleet's nodes, signed by this home's author key, its owner's.

    KEY: the author that `arnode key show` prints on each node. Whoever is left out is no longer
    of the fleet wherever the list is taken.
    """
    members = [_checked(key) for key in keys]
    if len(members) > MAX_MEMBERS:
        raise UsageError(f"{len(members)} keys are more than {MAX_MEMBERS}", "name fewer")
    owner = read_keys(Home.here()).author
    click.echo(sign_fleet(members, key=owner, written_s=int(time.time())).text(), nl=False)
    click.echo(
        f'each node takes it with `arnode friends take FILE` and friends = "{FLEET}'
        f'{owner.public.hex()}" in its config.toml',
        err=True,
    )


@friends.command()
@click.argument("file", type=click.File("rb"))
def take(file: BinaryIO) -> None:
    """Take a list of the fleet's nodes, unless it is an older one. FILE: - for what comes in."""
    home = Home.here()
    owner = owner_of(config_of(home).friends)
    if owner is None:
        raise UsageError(
            "the setting `friends` names no fleet, so nobody can tell whose list that is",
            f'friends = "{FLEET}KEY" in config.toml, with the key of the owner',
        )
    members = members_of(take_list(home, owner, file.read(MAX_BYTES + 1)))
    is_there = read_keys(home).author.public in {*members, owner}
    click.echo(
        f"{len(members)} nodes are of the fleet, " + ("this one, too" if is_there else "not this")
    )


def _checked(digits: str) -> bytes:
    key = key_of(digits, AUTHOR_BYTES)
    if key is None:
        raise UsageError(
            f"KEY {digits!r} is no key of an author, which has 64 hex digits",
            "`arnode key show` on the node prints it",
        )
    return key


@click.command()
@click.argument("key")
def block(key: str) -> None:
    """Look at nothing that an author claims; `friends remove` takes it back."""
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
    word = {"friends": "is a friend", "blocked": "is blocked"}.get(which or "", "is nobody special")
    click.echo(f"{short(key)} {word}")
