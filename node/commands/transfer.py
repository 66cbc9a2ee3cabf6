"""`transfer`: what a patch did on each kind of hardware, as far as anybody knows."""

import click

from node.commands.basics import (
    board_option,
    boards_elsewhere,
    json_option,
    network_of,
    network_option,
    reading,
    short,
)
from node.documents.transfer import transfer_document
from node.line.heads import tree_meant
from node.store.measured_here import boards_of
from node.terminal.terminal import plain, print_json
from node.views.matrix import transfer_matrix
from protocol.units import NANO


@click.command()
@click.argument("wanted", metavar="[ID]", required=False)
@board_option
@network_option
@json_option()
def transfer(wanted: str | None, task: str | None, named: str | None, as_json: bool) -> None:
    """Show patch × hardware class: what was measured here, re-run by others, or only claimed.

    An effect on other hardware orders what is tried here; it is never evidence.
    """
    with reading() as (store, _):
        net = network_of(store, named)
        keys = boards_of(store, net, task)
        steps = transfer_matrix(store, keys)
        if wanted is not None:
            tree = tree_meant(store, {step.tree for step in steps}, wanted)
            steps = [step for step in steps if step.tree == tree]
        manifest = store.records.manifest(keys[0].task) if keys else None
        elsewhere = boards_elsewhere(store, net)
    if as_json:
        print_json(transfer_document(net, manifest, steps))
        return
    if not steps:
        click.echo(
            f"nobody claims or measured a gain in the network {net} yet: `arnode leaderboard`"
            f"{elsewhere}",
            err=True,
        )
        return
    for step in steps:
        click.echo(f"{short(step.tree)}  {plain(step.title)}")
        for name, cell in step.cells.items():
            gain = f"{cell.gain.value_nano / NANO:+.6f}" if cell.gain else "–"
            more = f", {cell.keys} other keys re-ran it" if cell.keys else ""
            word = "" if cell.level == "claimed" else f" {cell.verdict}"
            click.echo(f"  {name:<20} {gain:>10}  {cell.level}{word}{more}")
