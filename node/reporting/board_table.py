"""The table of a board, for people: its columns and the words of its cells, wherever it is shown.

The three ways of knowing stand in columns of their own. It knows no terminal and no page.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from node.store.boards import BoardKey
from node.store.measured_here import Here
from node.terminal.terminal import plain
from node.terminal.vocabulary import word
from protocol.board import Board, Row
from protocol.manifest import TaskManifest
from protocol.records import VERSION
from protocol.units import NANO

LEGEND: Final = (
    "claimed: what its author's key signed.  attested: at least so much, as another key measured"
    " it.  others: keys, not people, whose runs bear out what they say (+ confirmed, ~ smaller than"
    " claimed, - refuted; ? not borne out).  here: measured on this machine."
)
METRIC: Final = "metric"
"""The column that is headed by the metric's own name."""

ON_THE_LEFT: Final = frozenset({"id", "others", "here", "code", "flags"})
"""The columns that hold words; all others hold figures."""

_ALWAYS: Final = (
    *("rank", "id", "claimed gain", "at least", METRIC, "tries"),
    *("attested", "others", "here"),
)
_ID_DIGITS: Final = 12


def title_of(key: BoardKey, manifest: TaskManifest) -> str:
    """Return which board it is, and of what its gains are."""
    where = f"{manifest.name} on {key.hardware_class}, network {key.net}"
    return f"{where}, gain in {manifest.metric.name}"


def columns_of(rows: Sequence[Row], *, has_code: bool) -> tuple[str, ...]:
    """Return the columns that these rows need, in their order."""
    has_flags = any(row.flags for row in rows)
    return (*_ALWAYS, *(["code"] if has_code else []), *(["flags"] if has_flags else []))


def heading_of(column: str, manifest: TaskManifest) -> str:
    """Return what a column is called."""
    return manifest.metric.name if column == METRIC else column


def cells_of(row: Row, here: Here | None, *, is_in_doubt: bool, code: str) -> Mapping[str, str]:
    """Return what a row has in each column.

    `here` is what was measured of it on this machine last; `is_in_doubt` whether it is the verified
    head of which that is to be shown again.
    """
    return {
        "rank": "-" if row.rank is None else f"{row.rank}{'=' if row.tie else ''}",
        "id": row.result.hex()[:_ID_DIGITS],
        "claimed gain": _signed(row.gain_anchor_nano),
        "at least": _signed(row.gain_anchor_lower_nano),
        METRIC: f"{row.metric_nano / NANO:.6f}",
        "tries": str(row.tries),
        "attested": _signed(row.gain_attested_lower_nano),
        "others": _others(row),
        "here": _here(here, is_in_doubt=is_in_doubt),
        "code": plain(code),
        "flags": plain(", ".join(row.flags)),
    }


def digests_of(board: Board) -> str:
    """Return by what others can tell whether theirs is the same board."""
    records, rows = (digest.hex()[:_ID_DIGITS] for digest in (board.set_digest, board.board_digest))
    return f"network version {VERSION}, records {records}, board {rows}"


def _signed(nano: int | None) -> str:
    return "" if nano is None else f"{nano / NANO:+.6f}"


def _others(row: Row) -> str:
    said = f"+{row.confirmed} ~{row.smaller} -{row.refuted}"
    return f"{said} ?{row.unsupported}" if row.unsupported else said


def _here(here: Here | None, *, is_in_doubt: bool) -> str:
    if here is None:
        return "not measured"
    told = word("in_doubt" if is_in_doubt else here.verdict)
    return told if here.gain is None else f"{told} {_signed(here.gain.value_nano)}"
