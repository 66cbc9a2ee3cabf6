"""`leaderboard`: what is claimed, what others say, and what this node measured."""

from collections.abc import Mapping, Sequence
from typing import Literal

import click
from rich.text import Text

from node.commands.basics import (
    board_option,
    boards_elsewhere,
    json_option,
    network_of,
    network_option,
    own_console,
    plain_table,
    reading,
)
from node.commands.foreign import best_json, print_best
from node.home.home import Home
from node.settings.config import config_of
from node.store.imported import Imported
from node.store.measured_here import choose_board
from node.terminal.terminal import print_json
from node.terminal.vocabulary import why_unranked
from node.views.board import LEGEND, ON_THE_LEFT, BoardView, Code, code_of
from protocol.board import Row
from protocol.errors import UsageError
from trainer.cards.cards import probe_devices

_TOP = 20
_LEVELS = ("claimed", "others", "here")
_READ = (
    "code: what it does beyond arithmetic, as `show` has it; unread: in a language that no lint"
    " reads; not here: its source is not."
)
_UNREAD = "--marks reads the rows' code; unread: in a language that no lint reads."


@click.command()
@board_option
@network_option
@click.option("--class", "hardware_class", help="The hardware class (default: this machine's).")
@click.option(
    "--level",
    type=click.Choice(_LEVELS),
    default="claimed",
    show_default=True,
    help="Which rows: all, those others confirmed, those measured here.",
)
@click.option("--top", type=click.IntRange(1), default=_TOP, show_default=True, help="How many.")
@click.option(
    "--env", "wanted", multiple=True, metavar="NAME=TEXT", help="Only rows of this environment."
)
@click.option("--marks", "is_read", is_flag=True, help="Read each row's code too, for marks.")
@json_option()
def leaderboard(
    task: str | None,
    named: str | None,
    hardware_class: str | None,
    level: str,
    top: int,
    wanted: tuple[str, ...],
    is_read: bool,
    as_json: bool,
) -> None:
    """Show a network's board of a task and hardware class.

    Rank is by the lower bound of the gain over the task's baseline, run beside the candidate: as
    claimed, on the public or the secret split, whichever is lower, and after an allowance for the
    luckiest of the author's tries; as another key measured it on its own secret split, once one
    has. Each row has the id of its claim: `show`, `diff`, `verify`, `adopt` and `replay` take it.

    With --marks the code of the rows is read, half a second each: a mark is what a row's code does
    beyond arithmetic that the task's baseline does not. Code in another language than Python is
    read by nobody here, and says so without being asked.
    """
    filters = _filters(wanted)
    config = config_of(Home.here())
    with reading() as (store, blobs):
        imported = store.imported.listed()
        net = network_of(store, named)
        key = choose_board(
            store,
            net=net,
            task=task,
            hardware_class=hardware_class,
            own_class=lambda manifest: probe_devices(manifest, config.gpus)[0].slug,
        )
        if key is None:
            elsewhere = boards_elsewhere(store, net)
            _show_no_board(net, elsewhere, _segments(imported), top, as_json=as_json)
            return
        view = BoardView.of(store, key)
        rows = [
            row
            for row in view.board.rows
            if (level != "others" or row.found_gain)
            and (level != "here" or row.tree in view.here)
            and all(str(row.env.get(name)) == text for name, text in filters.items())
        ][:top]
        code = code_of(store, blobs, view.manifest, rows, is_read=is_read)
    segments = _segments(imported, view.manifest.metric.name)
    if as_json:
        shown = [best_json(one, segment, top) for one, segment in segments]
        print_json(view.document(rows, code, shown))
        return
    _print(view, rows, code)
    for one, segment in segments:
        print_best(one, segment, top)


def _segments(imported: list[Imported], metric: str | None = None) -> list[tuple[Imported, int]]:
    """Return the parts of what was imported that are about a metric, or about any."""
    return [
        (one, number)
        for one in imported
        for number, segment in enumerate(one.log.segments)
        if metric in (None, segment.metric)
    ]


def _show_no_board(
    net: str, elsewhere: str, segments: list[tuple[Imported, int]], top: int, *, as_json: bool
) -> None:
    """Say how a board comes about and where there are some, and show what was imported."""
    if as_json:
        none = dict.fromkeys(("task", "class", "rule", "set_digest", "board_digest"))
        shown = [best_json(one, segment, top) for one, segment in segments]
        print_json({"network": net, **none, "rows": [], "imported": shown})
        return
    click.echo(
        f"no board of the network {net} yet: `arnode start` makes one with its first checkpoint"
        f" that confirms{elsewhere}",
        err=True,
    )
    for one, segment in segments:
        print_best(one, segment, top)


def _filters(wanted: tuple[str, ...]) -> Mapping[str, str]:
    pairs = [entry.partition("=") for entry in wanted]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise UsageError(f"--env takes NAME=TEXT, not `{name}`", "such as --env torch=2.13.0")
    return {name: text for name, _, text in pairs}


def _print(view: BoardView, rows: Sequence[Row], code: Code) -> None:
    out = own_console()
    out.print(view.title, style="bold")
    if (why := why_unranked(view.manifest.scoring)) is not None:
        out.print(why)
        return
    if not rows:
        out.print("no row of this kind")
        return
    table = plain_table()
    columns = view.columns(rows, code)
    for column in columns:
        justify: Literal["left", "right"] = "left" if column in ON_THE_LEFT else "right"
        if column == "flags":
            table.add_column(column, overflow="fold")
        else:
            table.add_column(view.heading(column), no_wrap=True, justify=justify)
    for row in rows:
        table.add_row(*(Text(cell) for cell in view.cells(row, columns, code)))
    out.print(table)
    out.print(f"{LEGEND}  {_UNREAD if code.marks is None else _READ}", style="dim")
    out.print(view.footer, style="dim")
