"""`leaderboard`: what is claimed, what others say, and what this node measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import click
from rich.text import Text

from agent.source.capabilities import CapabilityMark
from node.commands.basics import (
    board_option,
    boards_elsewhere,
    gain_json,
    json_option,
    network_of,
    network_option,
    own_console,
    plain_table,
    reading,
    short,
)
from node.commands.foreign import best_json, print_best
from node.home.home import Home
from node.line.remeasure import open_doubt
from node.settings.config import config_of
from node.store.boards import BoardKey
from node.store.imported import Imported
from node.store.jobs import LineKey
from node.store.measured_here import Here, choose_board, measured_here
from node.terminal.terminal import plain, print_json
from node.terminal.vocabulary import why_unranked, word
from node.vetting.adoption import describe, marks_of, unread_of
from protocol.board import RULE, Board, Row
from protocol.errors import UsageError
from protocol.manifest import TaskManifest
from protocol.units import NANO, from_nano
from trainer.cards.cards import probe_devices

Marks: TypeAlias = Mapping[bytes, tuple[CapabilityMark, ...] | None]

_TOP = 20
_LEVELS = ("claimed", "others", "here")
_LEGEND = (
    "claimed: what its author's key signed.  attested: at least so much, as another key measured"
    " it.  others: keys, not people, whose runs bear out what they say (+ confirmed, ~ smaller than"
    " claimed, - refuted; ? not borne out).  here: measured on this machine."
)
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
    with reading() as (store, _):
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
        manifest = store.records.manifest(key.task)
        assert manifest is not None  # noqa: S101 -- choose_board found it
        board = store.boards.get(key)
        here = measured_here(store.boards.own_facts(key))
        line = store.jobs.line(LineKey(task=key.task, hardware_class=key.hardware_class))
        in_doubt = line.verified if line and open_doubt(store, line) else None
    segments = _segments(imported, manifest.metric.name)
    rows = [
        row
        for row in board.rows
        if (level != "others" or row.found_gain)
        and (level != "here" or row.tree in here)
        and all(str(row.env.get(name)) == text for name, text in filters.items())
    ][:top]
    code = _code(manifest, rows, is_read=is_read)
    if as_json:
        print_json(
            {
                "network": net,
                "task": {"id": key.task.hex(), "name": manifest.name},
                "class": key.hardware_class,
                "rule": RULE,
                "set_digest": board.set_digest.hex(),
                "board_digest": board.board_digest.hex(),
                "rows": [
                    _as_json(row, here.get(row.tree), code, is_in_doubt=row.tree == in_doubt)
                    for row in rows
                ],
                "imported": [best_json(one, segment, top) for one, segment in segments],
            }
        )
        return
    _print(board, rows, here, code, manifest, key, in_doubt)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What is known of the rows' code, by tree: its marks, if it was read, and what nobody reads.

    `unread` are languages that no lint reads; to say so takes no reading.
    """

    marks: Marks | None
    unread: Mapping[bytes, tuple[str, ...]]

    @property
    def is_shown(self) -> bool:
        return self.marks is not None or any(self.unread.values())

    def words(self, tree: bytes) -> str:
        """Return what people read of a row's code."""
        marks = () if self.marks is None else self.marks[tree]
        if marks is None:
            return "not here"
        languages = ", ".join(self.unread[tree])
        read = [mark for mark in marks if mark.what != "unread"]
        told = f"unread: {languages}" if languages else ""
        if read:
            told = f"{len(marks)} marks" if len(marks) > 1 else f"marked: {read[0].what}"
        return told

    def as_json(self, tree: bytes) -> dict[str, object]:
        """Return what programs read of it."""
        told: dict[str, object] = {"unread": list(self.unread[tree])}
        if self.marks is not None:
            found = self.marks[tree]
            told["marks"] = None if found is None else [describe(mark) for mark in found]
        return told


def _code(manifest: TaskManifest, rows: list[Row], *, is_read: bool) -> Code:
    """Return what the code of each row does beyond its task's baseline."""
    with reading() as (store, blobs):
        read = rows if is_read else []
        marks = {row.tree: marks_of(store, blobs, manifest.id, row.tree) for row in read}
        unread = {row.tree: unread_of(blobs, manifest, row.tree) for row in rows}
    return Code(marks=marks if is_read else None, unread=unread)


def _as_json(row: Row, here: Here | None, code: Code, *, is_in_doubt: bool) -> dict[str, object]:
    return {
        "rank": row.rank,
        "tie": row.tie,
        "tree": row.tree.hex(),
        "author": row.author.hex(),
        "result": row.result.hex(),
        "metric": row.metric_nano / NANO,
        "gain_anchor": from_nano(row.gain_anchor_nano),
        "gain_anchor_lower": from_nano(row.gain_anchor_lower_nano),
        "anchor_pairs": row.anchor_pairs,
        "gain": row.gain_nano / NANO,
        "gain_lower": row.gain_lower_nano / NANO,
        "pairs": row.pairs,
        "tries": row.tries,
        "others": {
            "confirmed": row.confirmed,
            "smaller": row.smaller,
            "refuted": row.refuted,
            "unsupported": row.unsupported,
            "adopted": row.adopted,
            "gain_anchor": from_nano(row.gain_attested_nano),
            "gain_anchor_lower": from_nano(row.gain_attested_lower_nano),
            "anchor_pairs": row.attested_pairs,
        },
        "here": here
        and {
            "verdict": here.verdict,
            **gain_json(here.gain),
            "pairs": here.gain.pairs if here.gain else 0,
            "in_doubt": is_in_doubt,
        },
        "env": dict(row.env.items),
        "flags": list(row.flags),
        **code.as_json(row.tree),
    }


def _print(
    board: Board,
    rows: list[Row],
    here: Mapping[bytes, Here],
    code: Code,
    manifest: TaskManifest,
    key: BoardKey,
    in_doubt: bytes | None,
) -> None:
    out = own_console()
    where = f"{manifest.name} on {key.hardware_class}, network {key.net}"
    out.print(f"{where}, gain in {manifest.metric.name}", style="bold")
    if (why := why_unranked(manifest.scoring)) is not None:
        out.print(why)
        return
    if not rows:
        out.print("no row of this kind")
        return
    table = plain_table()
    for name in ("rank", "id", "claimed gain", "at least", manifest.metric.name, "tries"):
        table.add_column(name, no_wrap=True, justify="left" if name == "id" else "right")
    table.add_column("attested", no_wrap=True, justify="right")
    table.add_column("others", no_wrap=True)
    table.add_column("here", no_wrap=True)
    if code.is_shown:
        table.add_column("code", no_wrap=True)
    has_flags = any(row.flags for row in rows)
    if has_flags:
        table.add_column("flags", overflow="fold")
    for row in rows:
        rank = "-" if row.rank is None else f"{row.rank}{'=' if row.tie else ''}"
        table.add_row(
            rank,
            short(row.result),
            _signed(row.gain_anchor_nano),
            _signed(row.gain_anchor_lower_nano),
            f"{row.metric_nano / NANO:.6f}",
            str(row.tries),
            _signed(row.gain_attested_lower_nano),
            _others_shown(row),
            Text(_here_shown(here.get(row.tree), is_in_doubt=row.tree == in_doubt)),
            *([Text(plain(code.words(row.tree)))] if code.is_shown else []),
            *([Text(plain(", ".join(row.flags)))] if has_flags else []),
        )
    out.print(table)
    out.print(f"{_LEGEND}  {_UNREAD if code.marks is None else _READ}", style="dim")
    digests = (short(board.set_digest), short(board.board_digest))
    out.print("rule {}, records {}, board {}".format(RULE, *digests), style="dim")


def _signed(nano: int | None) -> str:
    return "" if nano is None else f"{nano / NANO:+.6f}"


def _others_shown(row: Row) -> str:
    said = f"+{row.confirmed} ~{row.smaller} -{row.refuted}"
    return f"{said} ?{row.unsupported}" if row.unsupported else said


def _here_shown(here: Here | None, *, is_in_doubt: bool) -> str:
    """What was measured here last; of the verified head in doubt that it still stands."""
    if here is None:
        return "not measured"
    told = word("in_doubt" if is_in_doubt else here.verdict)
    return told if here.gain is None else f"{told} {_signed(here.gain.value_nano)}"
