"""`friends` and `block`: whose claims this node looks at first, and whose not at all."""

import click

from node.commands.basics import json_option, reading, short, tell
from node.home.home import Home
from node.home.people import People, read_people, write_people


@click.group(invoke_without_command=True)
@json_option()
@click.pass_context
def friends(ctx: click.Context, as_json: bool) -> None:
    """List, add or remove friends: their claims are looked at before other newcomers'.

    A friend's claim is measured here like anybody's before it is adopted.
    """
    if ctx.invoked_subcommand is not None:
        return
    people = read_people(Home.here().people)
    friendly, blocked = (sorted(map(bytes.hex, keys)) for keys in (people.friends, people.blocked))
    tell(
        {"friends": friendly, "blocked": blocked},
        *(f"friend   {key}" for key in friendly),
        *(f"blocked  {key}" for key in blocked),
        as_json=as_json,
    )
    if not as_json and not friendly and not blocked:
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
    home = Home.here()
    with reading() as (store, _):
        key = store.records.find_author(wanted)
    home.prepare()
    people = read_people(home.people)
    others = {"friends": people.friends - {key}, "blocked": people.blocked - {key}}
    if which is not None:
        others[which] |= {key}
    write_people(home.people, People(**others))
    word = {"friends": "is a friend", "blocked": "is blocked"}.get(which or "", "is nobody special")
    click.echo(f"{short(key)} {word}")
