"""`leaderboard`: show claims, other nodes' re-runs of them, and this node's own measurements."""

from collections.abc import Mapping

import click

from node.commands.basics import (
    MOST_SHOWN,
    Count,
    board_option,
    boards_elsewhere,
    json_option,
    network_of,
    network_option,
    reading,
    refuse_other_options,
)
from node.commands.imported import print_best
from node.home.home import Home
from node.home.next_start import unless_running
from node.home.settings_in_force import config_of
from node.reporting.blocks import heading, paragraph
from node.reporting.board_table import LEGEND, digests_of, table_of, title_of
from node.reporting.boards import (
    LEVELS,
    Code,
    Leaderboard,
    no_board_document,
    segments_of,
)
from node.reporting.queries import Level
from node.reporting.terminal import print_blocks
from node.store.imported import Imported
from node.store.measured_here import choose_board
from node.terminal.terminal import console, print_json, say
from node.terminal.vocabulary import why_unranked
from protocol.board import Row
from protocol.errors import UsageError
from trainer.cards.cards import probe_devices

_TOP = 20
_READ = (
    "code: what a row's code does beyond plain computation (see `show`); unread: its language"
    " cannot be checked; not here: its source is missing."
)
_UNREAD = "--marks checks the rows' code; unread: its language cannot be checked."


@click.command()
@board_option
@network_option
@click.option("--class", "hardware_class", help="The hardware class (default: this machine's).")
@click.option(
    "--level",
    type=click.Choice(LEVELS),
    default="claimed",
    show_default=True,
    help="Show all rows, rows that other keys confirmed, or rows measured here.",
)
@click.option(
    "--top",
    type=Count(1, MOST_SHOWN),
    default=_TOP,
    show_default=True,
    help="The largest number of rows.",
)
@click.option(
    "--env",
    "wanted",
    multiple=True,
    metavar="NAME=TEXT",
    help="Show only rows from this environment, like torch=2.13.0.",
)
@click.option(
    "--marks",
    "is_read",
    is_flag=True,
    help="Show what each row's code does besides computing, such as opening files.",
)
@click.option(
    "--transfer",
    "shows_transfer",
    is_flag=True,
    help="Show instead how far each patch's gain transfers to other hardware and tasks.",
)
@json_option()
def leaderboard(
    task: str | None,
    named: str | None,
    hardware_class: str | None,
    level: Level,
    top: int,
    wanted: tuple[str, ...],
    is_read: bool,
    shows_transfer: bool,
    as_json: bool,
) -> None:
    """Show the leaderboard of a task and hardware class.

    Rows are ranked by the lower bound of the gain over the task's baseline, measured in pairs. If
    another key re-ran the claim, the gain that this key measured on its secret split counts.
    Otherwise the claimed gain counts: the lower one of the public and the secret split, corrected
    for the author's number of tries. `show`, `diff`, `verify` and `head --set` accept a
    row's id.

    --marks checks the code of each row, which takes half a second per row. A mark names something
    beyond plain computation, such as opening files, that the code does and the task's baseline does
    not. Only Python is checked; code in other languages is shown as unread.
    """
    if shows_transfer:
        refuse_other_options("--transfer", "shows_transfer", "task", "named", "as_json")
        from node.commands.transfer import show_transfer

        show_transfer(task, named, as_json=as_json)
        return
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
            _show_no_board(net, elsewhere, imported, top, as_json=as_json)
            return
        manifest = store.records.manifest(key.task)
        assert manifest is not None  # noqa: S101 -- choose_board found it
        found = Leaderboard.of(store, key, manifest)
        rows = found.rows(
            level,
            fits=lambda row: all(str(row.env.get(name)) == text for name, text in filters.items()),
        )[:top]
        code = Code.of(store, blobs, manifest, rows, reads=is_read)
    if as_json:
        print_json(found.document(rows, code, imported, top=top))
        return
    _print(found, rows, code)
    for one, segment in segments_of(imported, manifest.metric.name):
        print_best(one, segment, top)


def _show_no_board(
    net: str, elsewhere: str, imported: list[Imported], top: int, *, as_json: bool
) -> None:
    """Explain how a leaderboard starts, name networks that have one, show imported rows."""
    if as_json:
        print_json(no_board_document(net, imported, top=top))
        return
    say(
        f"no leaderboard of the network {net} yet: {unless_running('`arnode start`', 'the node')}"
        f" makes one when its first promotion trial passes{elsewhere}",
        err=True,
    )
    for one, segment in segments_of(imported, None):
        print_best(one, segment, top)


def _filters(wanted: tuple[str, ...]) -> Mapping[str, str]:
    pairs = [entry.partition("=") for entry in wanted]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise UsageError(f"--env takes NAME=TEXT, not `{name}`", "such as --env torch=2.13.0")
    return {name: text for name, _, text in pairs}


def _print(found: Leaderboard, rows: list[Row], code: Code) -> None:
    manifest = found.manifest
    out = console()
    title = heading(1, title_of(found.key, manifest))
    if (why := why_unranked(manifest.scoring)) is not None:
        print_blocks(out, title, paragraph(why))
        return
    if not rows:
        print_blocks(out, title, paragraph("no row matches"))
        return
    legend = f"{LEGEND}  {_UNREAD if code.marks is None else _READ}"
    digests = digests_of(found.board)
    notes = paragraph(legend, soft=True), paragraph(digests, soft=True)
    print_blocks(out, title, table_of(found, rows, code), *notes)
