"""A leaderboard as a table block: the columns and the text of the cells, for every renderer.

Authors' claims, peers' re-runs and this node's measurements have separate columns.
"""

from collections.abc import Sequence
from typing import Final

from node.reporting.blocks import (
    Span,
    TableBlock,
    TableColumn,
    figures_column,
    quoted,
    table,
    words_column,
)
from node.reporting.boards import Code, Leaderboard
from node.store.boards import BoardKey
from node.store.measured_here import Here
from node.terminal.vocabulary import word
from protocol.board import Board, Row
from protocol.manifest import TaskManifest
from protocol.records import VERSION
from protocol.units import NANO

LEGEND: Final = (
    "claimed: signed by the author's key.  rerun: lower bound of the gain another key measured.  "
    "others: how many keys, not people, re-ran the claim (+ confirmed, ~ smaller than claimed, "
    "- refuted, ? not supported by their runs).  here: measured on this machine."
)
_ID_DIGITS: Final = 12


def title_of(key: BoardKey, manifest: TaskManifest) -> str:
    """Return a leaderboard's title: task, hardware class, network and metric."""
    where = f"{manifest.name} on {key.hardware_class}, network {key.net}"
    return f"{where}, gain in {manifest.metric.name}"


def table_of(found: Leaderboard, rows: Sequence[Row], code: Code) -> TableBlock:
    """Return rows of a leaderboard as a table. The flags column appears only if a row has flags."""
    has_flags = any(row.flags for row in rows)
    columns: list[TableColumn] = [
        figures_column("rank"),
        words_column("id"),
        figures_column("claimed gain", group="claimed"),
        figures_column("at least", group="claimed"),
        figures_column(found.manifest.metric.name, group="claimed"),
        figures_column("tries", group="claimed"),
        figures_column("rerun", group="others"),
        words_column("others", group="others"),
        words_column("here", group="here"),
        *([words_column("code")] if code.is_shown else []),
        *([words_column("flags", wraps=True)] if has_flags else []),
    ]
    cells = [
        (
            _ranks(row.rank, found.last_rank(row)),
            *_cells(row, found.here.get(row.tree), needs_recheck=found.needs_recheck(row)),
            *([quoted(code.words(row.tree))] if code.is_shown else []),
            *([quoted(", ".join(row.flags))] if has_flags else []),
        )
        for row in rows
    ]
    return table(columns, cells)


def _cells(row: Row, here: Here | None, *, needs_recheck: bool) -> tuple[Span, ...]:
    """Return a row's cells after its rank in the columns that every leaderboard has.

    `here` is this machine's last measurement of the row's tree. `needs_recheck` is True if this
    tree is the verified head and has to be confirmed again.
    """
    return (
        quoted(row.result.hex()[:_ID_DIGITS]),
        _signed(row.gain_anchor_nano),
        _signed(row.gain_anchor_lower_nano),
        f"{row.metric_nano / NANO:.6f}",
        str(row.tries),
        _signed(row.gain_rerun_lower_nano),
        _others(row),
        _here(here, needs_recheck=needs_recheck),
    )


def _ranks(first: int | None, last: int | None) -> str:
    if first is None:
        return "-"
    return str(first) if first == last else f"{first}-{last}"


def digests_of(board: Board) -> str:
    """Return the digests by which two nodes can compare their leaderboards."""
    records, rows = (digest.hex()[:_ID_DIGITS] for digest in (board.set_digest, board.board_digest))
    return f"network version {VERSION}, records {records}, board {rows}"


def _signed(nano: int | None) -> str:
    return "" if nano is None else f"{nano / NANO:+.6f}"


def _others(row: Row) -> str:
    counts = f"+{row.confirmed} ~{row.smaller} -{row.refuted}"
    return f"{counts} ?{row.unsupported}" if row.unsupported else counts


def _here(here: Here | None, *, needs_recheck: bool) -> str:
    if here is None:
        return "not measured"
    verdict_text = word("recheck_pending" if needs_recheck else here.verdict)
    if here.anchor_gain is not None:
        return f"{verdict_text} {_signed(here.anchor_gain.value_nano)}"
    if here.gain is None:
        return verdict_text
    return f"{verdict_text} {_signed(here.gain.value_nano)} over its base"
