"""`log --importance`: which hyperparameters matter, and which kinds of change worked where."""

from typing import TYPE_CHECKING, Any

import click

from node.terminal.terminal import print_json
from protocol.codecs import plain

if TYPE_CHECKING:
    from node.on_demand.insights import Learnt

_SHOWN = 12  # hyperparameters


def show_importance(task: str | None, *, as_json: bool) -> None:
    """Show which hyperparameters matter, and which kinds of change were kept.

    A hyperparameter's share is the part of the score's variance that it explains, with a 90 %
    interval from resampled experiments. The share is estimated by the built-in search's model. It
    is no evidence, and no decision uses it.
    """
    from node.on_demand.insights import ask_for_insights

    learnt = ask_for_insights(task)
    if as_json:
        print_json(_document(learnt))
        return
    _print_hyperparameters(learnt)
    _print_kinds(learnt)


def _print_hyperparameters(learnt: "Learnt") -> None:
    hyperparameters: Any = learnt.importance["hyperparameters"]
    name = plain(learnt.names[learnt.line.task])
    if not hyperparameters:
        click.echo(f"too few hyperparameters of {name} were varied yet to say which matter")
        return
    click.echo(
        f"hyperparameters of {name} on {plain(learnt.line.hardware_class)}, by share of variance:"
    )
    for one in hyperparameters[:_SHOWN]:
        share = f"{one['share']:.0%} ({one['low']:.0%} to {one['high']:.0%})"
        click.echo(f"  {plain(one['name']):<28} {share:<22} best at {plain(str(one['best']))}")


def _print_kinds(learnt: "Learnt") -> None:
    if not learnt.kinds:
        click.echo("this node has not tried any patch of its proposers yet")
        return
    click.echo("kinds of change, and how many patches were kept:")
    for line in dict.fromkeys(one.line for one in learnt.kinds):
        click.echo(f"  {plain(learnt.names[line.task])} on {plain(line.hardware_class)}")
        for one in learnt.kinds:
            if one.line == line:
                failed = f", {one.failed} failed" if one.failed else ""
                click.echo(f"    {one.kind:<26} {one.kept} of {one.tried}{failed}")


def _document(learnt: "Learnt") -> dict[str, object]:
    return {
        "task": {"id": learnt.line.task.hex(), "name": learnt.names[learnt.line.task]},
        "class": learnt.line.hardware_class,
        **learnt.importance,
        "kinds": [
            {
                "task": {"id": one.line.task.hex(), "name": learnt.names[one.line.task]},
                "class": one.line.hardware_class,
                "kind": one.kind,
                "tried": one.tried,
                "kept": one.kept,
                "failed": one.failed,
            }
            for one in learnt.kinds
        ],
    }
