"""`friends` and `block`: whose claims this node looks at first, and whose not at all."""

from dataclasses import replace

import click

from node.commands.basics import json_option, reading, short
from node.home.home import Home
from node.terminal.terminal import print_json


@click.group(invoke_without_command=True)
@json_option()
@click.pass_context
def friends(ctx: click.Context, as_json: bool) -> None:
    """List, add or remove friends: their claims are looked at before other newcomers'.

    A friend's claim is measured here like anybody's before it is adopted.
    """
    if ctx.invoked_subcommand is not None:
        return
    from node.home.people import read_people

    people = read_people(Home.here().people)
    if as_json:
        print_json(
            {
                "friends": sorted(key.hex() for key in people.friends),
                "blocked": sorted(key.hex() for key in people.blocked),
            }
        )
        return
    for key in sorted(people.friends):
        click.echo(f"friend   {key.hex()}")
    for key in sorted(people.blocked):
        click.echo(f"blocked  {key.hex()}")
    if not people.friends and not people.blocked:
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


@click.command()
@click.argument("key")
def block(key: str) -> None:
    """Look at nothing that an author claims; `friends remove` takes it back."""
    _change(key, "blocked")


def _change(wanted: str, which: str | None) -> None:
    from node.home.people import read_people, write_people

    home = Home.here()
    with reading() as (store, _):
        key = store.records.find_author(wanted)
    home.prepare()
    people = read_people(home.people)
    people = replace(people, friends=people.friends - {key}, blocked=people.blocked - {key})
    match which:
        case "friends":
            people = replace(people, friends=people.friends | {key})
        case "blocked":
            people = replace(people, blocked=people.blocked | {key})
        case _:
            pass
    write_people(home.people, people)
    word = {"friends": "is a friend", "blocked": "is blocked"}.get(which or "", "is nobody special")
    click.echo(f"{short(key)} {word}")
