"""`leaderboard --transfer`: each patch's measured and claimed gains by hardware class and task."""

from collections.abc import Mapping, Sequence

import click

from node.commands.basics import (
    boards_elsewhere,
    network_of,
    reading,
    short,
)
from node.ladder.transfer_history import (
    Place,
    TransferHistory,
    Where,
    slopes_known,
    tasks_of,
    transfer_histories,
)
from node.reporting.matrix import transfer_matrix
from node.reporting.transfer import transfer_document
from node.store.measured_here import boards_of
from node.store.named_tasks import labels
from node.terminal.terminal import print_json
from node.terminal.vocabulary import many, word
from protocol.codecs import plain
from protocol.transfer import Slope
from protocol.units import NANO


def show_transfer(task: str | None, named: str | None, *, as_json: bool) -> None:
    """Show each patch's gain by hardware class: measured here, re-run by others, or only claimed.

    Below that, transfers between tasks (`arnode try --from`) show on how many tasks a patch gains,
    and how much of a gain remains on the next task. These figures decide what is tried first here;
    they are no evidence.
    """
    with reading() as (store, _):
        net = network_of(store, named)
        keys = boards_of(store, net, task)
        steps = transfer_matrix(store, keys)
        manifest = store.records.manifest(keys[0].task) if keys else None
        elsewhere = boards_elsewhere(store, net)
        changes = transfer_histories(store)
        known = slopes_known(changes)
        names = labels(store, tasks_of(changes))
    if as_json:
        print_json(transfer_document(net, manifest, steps, changes, known, names))
        return
    if not steps and not changes:
        click.echo(
            f"no gain was claimed or measured in the network {net} yet; see `arnode leaderboard`"
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
    _print_transfers(changes, known, names)


def _print_transfers(
    changes: Sequence[TransferHistory],
    known: Mapping[tuple[Where, Where], Slope],
    names: Mapping[bytes, str],
) -> None:
    if not changes:
        return

    def describe(where: Where) -> str:
        return f"{plain(names.get(where.task, short(where.task)))} on {plain(where.hardware_class)}"

    click.echo("transfers between tasks:")
    for change in changes:
        found = Where(change.found_on.task, change.found_on.hardware_class)
        there = f" {_figure(change.there)}" if change.there else ""
        click.echo(
            f"{plain(change.title)}: found on {describe(found)}{there},"
            f" kept or confirmed in {change.holds_on} of"
            f" {many(len(change.places), 'later attempt')}"
        )
        for place in change.places:
            whose = "here" if place.is_own else f"claimed by {short(place.author)}"
            figure = _figure(place)
            click.echo(
                f"  {describe(place.where):<32} {figure:<28}  {word(place.outcome)}, {whose}"
            )
    for (below, above), slope in known.items():
        low, high = slope.interval
        click.echo(
            f"{slope.mean:.2f} ({low:.2f} to {high:.2f}) of a gain on {describe(below)} remains on"
            f" {describe(above)}, from {many(slope.count, 'change')}"
        )


def _figure(place: Place) -> str:
    if place.gain is None:
        return "–"
    if place.interval is None:
        return f"{place.gain:+.4f}"
    low, high = place.interval
    return f"{place.gain:+.4f} ({low:+.4f} to {high:+.4f})"
