"""`head`, `adopt` and `revert`: what the node vouches for, and moving it by hand."""

import os
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import click

from node.home import Home
from protocol.errors import ArnodeError, SafetyError

if TYPE_CHECKING:
    from node.core import Books


@click.command()
@click.option("--task", help="Which task, when this home works on several.")
@click.option("--working", is_flag=True, help="The working line instead: explored, not verified.")
def head(task: str | None, working: bool) -> None:
    """Print the verified head's source: `arnode head > train.py`."""
    from node.blobs import Blobs
    from node.heads import the_line
    from node.store import Store

    home = Home.locate(os.environ)
    with Store.open_read_only(home) as store:
        line = the_line(store, task)
    source = Blobs(home.blobs).get_source(line.working if working else line.verified)
    for path, data in source.files:
        if len(source.files) > 1:
            click.echo(f"# file: {path}")
        sys.stdout.flush()
        sys.stdout.buffer.write(data)


@click.command()
@click.argument("id", metavar="ID")
@click.option("--task", help="Which task, when this home works on several.")
@click.option("--unverified", is_flag=True, help="Adopt although nothing here vouches for it.")
def adopt(id: str, task: str | None, unverified: bool) -> None:  # noqa: A002
    """Move the verified head to the tree of a record; the record says if nothing vouches for it."""
    from node.heads import evidence_for, tree_of

    with _books(task) as books:
        line = books.ledger.known_line
        tree = tree_of(books.store, line, id)
        evidence = evidence_for(books.store, line.key, tree)
        if evidence is None and not unverified:
            raise SafetyError(
                f"no confirmation here vouches for tree {tree.hex()[:12]}",
                "confirm it (`arnode compare`), or take the risk with --unverified",
            )
        _move(books, tree, evidence)


@click.command()
@click.option("--task", help="Which task, when this home works on several.")
def revert(task: str | None) -> None:
    """Undo the last move of the verified head."""
    from node.heads import evidence_for, previous_head

    with _books(task) as books:
        line = books.ledger.known_line
        tree = previous_head(books.store, line, books.keys.author.public)
        _move(books, tree, evidence_for(books.store, line.key, tree))


def _books(task: str | None) -> "AbstractContextManager[Books]":
    from node.config import load_config
    from node.control import is_running
    from node.core import open_books
    from node.heads import the_line
    from node.store import Store

    home = Home.locate(os.environ)
    if is_running(home.socket):
        raise ArnodeError(
            "the node is running and works on its head",
            "stop it first (`arnode stop`), then try again",
        )
    config = load_config(home.config, env=os.environ).config
    with Store.open_read_only(home) as store:
        body = store.task(the_line(store, task).task)
    if body is None:
        raise ArnodeError("the line's task is not recorded here", "run `arnode fsck`")
    return open_books(home, config, body.manifest)


def _move(books: "Books", tree: bytes, evidence: bytes | None) -> None:
    books.ledger.move_head(tree, evidence=evidence)
    books.journal.catch_up()
    mark = "" if evidence else "  (unverified: nothing here vouches for it)"
    click.echo(f"verified head is now {tree.hex()[:12]}{mark}")
