"""`head`, `adopt` and `revert`: what the node vouches for, and moving it by hand."""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import click

from node.commands.basics import json_option, line_option, reading, short
from node.home.home import Home
from node.line.heads import move_head
from node.terminal.terminal import plain
from protocol.errors import ArnodeError, SafetyError, UsageError

if TYPE_CHECKING:
    from agent.source.capabilities import Finding
    from node.running.books import Books
    from node.vetting.patches import PatchRecord


@click.command()
@line_option
@click.option("--working", is_flag=True, help="The working line instead: explored, not verified.")
@click.option("--provenance", is_flag=True, help="Who wrote each line, and what was measured.")
@json_option("With --provenance: every line as JSON.")
def head(task: str | None, working: bool, provenance: bool, as_json: bool) -> None:
    """Print the verified head's source: `arnode head > train.py`."""
    from node.commands.provenance import print_provenance, written_lines
    from node.line.heads import the_line
    from node.vetting.adoption import marks_of

    if as_json and not provenance:
        raise UsageError("the source itself is no JSON", "use --json with --provenance")
    with reading() as (store, blobs):
        line = the_line(store, task)
        tree = line.working if working else line.verified
        source = blobs.get_source(tree)
        marks = marks_of(store, blobs, line.task, tree)
        if provenance:
            lines = written_lines(store, blobs, line, tree)
            print_provenance(lines, tree, as_json=as_json)
    if marks:
        click.echo(f"marked: this source does more than arithmetic: {_summary(marks)}", err=True)
    if provenance:
        return
    for path, data in source.files:
        if len(source.files) > 1:
            click.echo(f"# file: {path}")
        sys.stdout.flush()
        sys.stdout.buffer.write(data)


@click.command()
@click.argument("id", metavar="ID")
@line_option
@click.option("--unverified", is_flag=True, help="Adopt although nothing here vouches for it.")
def adopt(id: str, task: str | None, unverified: bool) -> None:  # noqa: A002
    """Move the verified head to the tree of a record; the record says if nothing vouches for it.

    A stranger's source is taken over without its comments and docstrings.
    """
    from node.line.heads import manifest_of, tree_of
    from node.store.blobs import Blobs
    from node.vetting.adoption import describe, examine

    with _books(task) as books:
        books.ledger.announce()
        line = books.ledger.known_line
        wanted = tree_of(books.store, line, id)
        blobs = Blobs(Home.here().blobs)
        candidate = examine(books.store, blobs, manifest_of(books.store, line), wanted)
        tree, marks = candidate.source.tree, candidate.marks
        if marks and not unverified:
            raise SafetyError(
                f"tree {short(wanted)} does more than arithmetic: {_summary(marks)}",
                "read it (`arnode diff`), and take the risk with --unverified",
            )
        evidence = books.store.experiments.evidence_for(line.key, tree)
        if evidence is None and not unverified:
            raise SafetyError(
                f"no confirmation here vouches for tree {short(tree)}",
                "confirm it (`arnode compare`), or take the risk with --unverified",
            )
        blobs.put_source(candidate.source)
        _move(books, tree, evidence, candidate.stripped_from)
        for mark in marks:
            click.echo(f"marked: {plain(describe(mark))}", err=True)


@click.command()
@line_option
def revert(task: str | None) -> None:
    """Undo the last move of the verified head."""
    from node.line.heads import previous_head

    with _books(task) as books:
        books.ledger.announce()
        line = books.ledger.known_line
        tree = previous_head(books.store, line, books.keys.author.public)
        _move(books, tree, books.store.experiments.evidence_for(line.key, tree))


def _books(task: str | None) -> "AbstractContextManager[Books]":
    from node.home.control import is_running
    from node.line.heads import manifest_of, the_line
    from node.running.books import open_books
    from node.settings.config import config_of

    home = Home.here()
    if is_running(home.socket):
        raise ArnodeError(
            "the node is running and works on its head",
            "stop it first (`arnode stop`), then try again",
        )
    config = config_of(home)
    with reading() as (store, _):
        manifest = manifest_of(store, the_line(store, task))
    return open_books(home, config, manifest)


def _move(
    books: "Books",
    tree: bytes,
    evidence: bytes | None,
    stripped_from: "PatchRecord | None" = None,
) -> None:
    move_head(books.ledger, tree, evidence=evidence, stripped_from=stripped_from)
    books.journal.catch_up()
    mark = "" if evidence else "  (unverified: nothing here vouches for it)"
    click.echo(f"verified head is now {short(tree)}{mark}")


def _summary(marks: "Sequence[Finding]") -> str:
    from node.vetting.adoption import describe

    more = f", and {len(marks) - 1} more" if len(marks) > 1 else ""
    return plain(describe(marks[0])) + more
