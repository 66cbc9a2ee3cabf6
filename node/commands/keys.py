"""`key show`: the public halves of the node's keys."""

import os

import click

from node.home.home import Home
from node.terminal.terminal import print_json


@click.group()
def key() -> None:
    """The node's identity."""


@key.command("show")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def show_key(as_json: bool) -> None:
    """Print the public keys; the secret halves never leave their file."""
    from node.home.keyfile import read_keys

    home = Home.locate(os.environ)
    keys = read_keys(home)
    author, transport = keys.author.public.hex(), keys.transport.public.hex()
    if as_json:
        print_json({"author": author, "transport": transport, "path": str(home.key)})
        return
    click.echo(f"author     {author}")
    click.echo(f"transport  {transport}")
