"""`log --importance`: which hyperparameters matter, and which kinds of change worked where."""

from typing import TYPE_CHECKING

import click

from node.commands.basics import reading
from node.home.home import Home
from node.terminal.progress import reporting
from node.terminal.terminal import print_json
from protocol.codecs import plain

if TYPE_CHECKING:
    from node.reporting.importance import ImportanceDocument, KindsDocument

_SHOWN = 12  # hyperparameters


def show_importance(task: str | None, *, as_json: bool) -> None:
    """Show which hyperparameters matter, and which kinds of change were kept.

    A hyperparameter's share is the part of the score's variance that it explains, with a 90 %
    interval from resampled experiments. The share is estimated by the built-in search's model. It
    is no evidence, and no decision uses it.
    """
    from node.reporting.importance import importance_of_line, kinds_document
    from node.reporting.open_home import OpenHome
    from node.reporting.queries import OfLine

    with reading() as (store, blobs), reporting() as progress:
        at = OpenHome(home=Home.here(), store=store, blobs=blobs)
        query = OfLine(task=task)
        learnt = importance_of_line(
            at,
            query,
            progress=lambda share: progress("computing main effects from earlier runs", share),
        )
        tried = kinds_document(at, query)
    if as_json:
        print_json({**learnt, **tried})
        return
    _print_hyperparameters(learnt)
    _print_kinds(tried)


def _print_hyperparameters(learnt: "ImportanceDocument") -> None:
    name = plain(learnt["task"]["name"])
    if not learnt["hyperparameters"]:
        click.echo(f"too few hyperparameters of {name} were varied yet to say which matter")
        return
    click.echo(f"hyperparameters of {name} on {plain(learnt['class'])}, by share of variance:")
    for one in learnt["hyperparameters"][:_SHOWN]:
        share = f"{one['share']:.0%} ({one['low']:.0%} to {one['high']:.0%})"
        click.echo(f"  {plain(one['name']):<28} {share:<22} best at {plain(str(one['best']))}")


def _print_kinds(tried: "KindsDocument") -> None:
    if not tried["kinds"]:
        click.echo("this node has not tried any patch of its proposers yet")
        return
    click.echo("kinds of change, and how many patches were kept:")
    shown: tuple[str, str] | None = None
    for one in tried["kinds"]:
        line = one["task"]["id"], one["class"]
        if line != shown:
            click.echo(f"  {plain(one['task']['name'])} on {plain(one['class'])}")
            shown = line
        failed = f", {one['failed']} failed" if one["failed"] else ""
        click.echo(f"    {one['kind']:<26} {one['kept']} of {one['tried']}{failed}")
