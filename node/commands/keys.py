"""`key show`: the public halves of the node's keys."""

import click

from node.commands.basics import json_option
from node.home.home import Home
from node.terminal.terminal import print_json


@click.group()
def key() -> None:
    """The node's identity."""


@key.command("show")
@json_option()
def show_key(as_json: bool) -> None:
    """Print the public keys; the secret halves never leave their file."""
    from node.home.keyfile import read_keys

    home = Home.here()
    keys = read_keys(home)
    author, transport = keys.author.public.hex(), keys.transport.public.hex()
    if as_json:
        print_json({"author": author, "transport": transport, "path": str(home.key)})
        return
    click.echo(f"author     {author}")
    click.echo(f"transport  {transport}")
