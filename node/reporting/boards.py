"""A leaderboard as JSON for scripts.

Each row has separate fields for the author's claim, peers' re-runs and this node's measurements.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NotRequired, TypeAlias, TypedDict

from agent.source.capabilities import CapabilityFinding
from node.line.head_recheck import head_recheck_reason
from node.reporting.imported import best_document
from node.reporting.queries import Level
from node.reporting.tasks import TaskName, gain_document, task_name
from node.source_review.adoption import describe, marks_of, unread_of
from node.store.blobs import Blobs
from node.store.boards import BoardKey
from node.store.imported import Imported
from node.store.jobs import LineKey
from node.store.measured_here import Here, measured_here
from node.store.store import Store
from protocol.board import Board, Row
from protocol.manifest import TaskManifest
from protocol.record_kinds import ResultBody
from protocol.records import VERSION
from protocol.units import NANO, from_nano

Marks: TypeAlias = Mapping[bytes, tuple[CapabilityFinding, ...] | None]

LEVELS: Final[tuple[Level, ...]] = ("claimed", "others", "here")


class OthersDocument(TypedDict):
    """Counts of other keys by verdict, and the best gain over the baseline that they measured.

    A key whose runs do not support its verdict is counted under `unsupported` instead.
    """

    confirmed: int
    smaller: int
    refuted: int
    unsupported: int
    adopted: int
    gain_anchor: float | None
    gain_anchor_lower: float | None
    anchor_pairs: int


class HereDocument(TypedDict):
    """This node's last measurement of a tree: the gain over the claim's base.

    `gain_anchor` is the gain over the task's baseline, null if these runs did not measure it.
    """

    verdict: str
    gain: float | None
    lower: float | None
    upper: float | None
    pairs: int
    gain_anchor: float | None
    gain_anchor_lower: float | None
    recheck_pending: bool


class RowDocument(TypedDict):
    """One tree.

    The rows from rank `rank` to `rank_last` are equals, which share `rank`. Both are null if the
    row is not ranked. `title` is the author's, null if this node does not have the patch. `marks`
    is present if a check of the code was requested, and null if this node does not have the code.
    """

    rank: int | None
    rank_last: int | None
    tie: bool
    tree: str
    author: str
    result: str
    title: str | None
    metric: float
    gain_anchor: float | None
    gain_anchor_lower: float | None
    anchor_pairs: int
    gain: float
    gain_lower: float
    pairs: int
    tries: int
    others: OthersDocument
    here: HereDocument | None
    env: dict[str, str | int]
    flags: list[str]
    unread: list[str]
    marks: NotRequired[list[str] | None]


BoardDocument = TypedDict(
    "BoardDocument",
    {
        "network": str,
        "task": TaskName | None,
        "class": str | None,
        "network_version": int | None,
        "set_digest": str | None,
        "board_digest": str | None,
        "rows": list[RowDocument],
        "imported": list[dict[str, object]],
    },
)
"""The rows of one leaderboard, with unsigned claims from other tools' files next to them."""


def last_ranks(board: Board) -> Mapping[int, int]:
    """Return the last rank of each group of equals, by the rank that its rows share.

    A group's rows share its first rank, so a group of three that begins at 2 ends at 4.
    """
    sizes = Counter(row.rank for row in board.rows if row.rank is not None)
    return {rank: rank + size - 1 for rank, size in sizes.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Facts about the rows' code, by tree.

    `marks` are the findings of the capability lint, None if the lint was not requested. `unread`
    are the languages that the lint cannot read; they are listed even if the lint did not run.
    `titles` are the authors' titles of the patches that this node has.
    """

    marks: Marks | None
    unread: Mapping[bytes, tuple[str, ...]]
    titles: Mapping[bytes, str]

    @classmethod
    def of(
        cls, store: Store, blobs: Blobs, manifest: TaskManifest, rows: Sequence[Row], *, reads: bool
    ) -> "Code":
        """Return the facts about the rows' code, with the lint's findings if `reads` is True."""
        read = rows if reads else []
        marks = {row.tree: marks_of(store, blobs, manifest.id, row.tree) for row in read}
        unread = {row.tree: unread_of(blobs, manifest, row.tree) for row in rows}
        titles = {row.tree: title for row in rows if (title := _title(store, row)) is not None}
        return cls(marks=marks if reads else None, unread=unread, titles=titles)

    @property
    def is_shown(self) -> bool:
        """True if there is anything to show about the code."""
        return self.marks is not None or any(self.unread.values())

    def words(self, tree: bytes) -> str:
        """Return a short text about a row's code."""
        marks = () if self.marks is None else self.marks[tree]
        if marks is None:
            return "not here"
        languages = ", ".join(self.unread[tree])
        read = [mark for mark in marks if mark.what != "unread"]
        flag_text = f"unread: {languages}" if languages else ""
        if read:
            flag_text = f"{len(marks)} marks" if len(marks) > 1 else f"marked: {read[0].what}"
        return flag_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """A leaderboard with this node's measurements of its trees.

    `recheck_pending` is this node's verified head if it has to be confirmed again, else None.
    """

    key: BoardKey
    manifest: TaskManifest
    board: Board
    last_ranks: Mapping[int, int]
    here: Mapping[bytes, Here]
    recheck_pending: bytes | None

    @classmethod
    def of(cls, store: Store, key: BoardKey, manifest: TaskManifest) -> "Leaderboard":
        """Return a leaderboard computed from the present records."""
        line = store.jobs.line(LineKey(task=key.task, hardware_class=key.hardware_class))
        board = store.boards.get(key)
        return cls(
            key=key,
            manifest=manifest,
            board=board,
            last_ranks=last_ranks(board),
            here=measured_here(store.boards.own_facts(key)),
            recheck_pending=line.verified if line and head_recheck_reason(store, line) else None,
        )

    def rows(
        self, level: Level = "claimed", *, fits: Callable[[Row], bool] = lambda row: True
    ) -> list[Row]:
        """Return the rows with this level of evidence that `fits` accepts.

        Level `claimed` returns all rows, `others` those with a gain that another key measured, and
        `here` those that this node measured.
        """
        return [
            row
            for row in self.board.rows
            if (level != "others" or row.found_gain)
            and (level != "here" or row.tree in self.here)
            and fits(row)
        ]

    def document(
        self, rows: Sequence[Row], code: Code, imported: Sequence[Imported], *, top: int
    ) -> BoardDocument:
        """Return some rows as JSON, with the best `top` rows of each imported file."""
        return {
            "network": self.key.net,
            "task": task_name(self.manifest),
            "class": self.key.hardware_class,
            "network_version": VERSION,
            "set_digest": self.board.set_digest.hex(),
            "board_digest": self.board.board_digest.hex(),
            "rows": [self._row(row, code) for row in rows],
            "imported": best_imported(imported, self.manifest.metric.name, top=top),
        }

    def last_rank(self, row: Row) -> int | None:
        """Return the last rank of a row's group of equals; None if the row is not ranked."""
        return None if row.rank is None else self.last_ranks[row.rank]

    def needs_recheck(self, row: Row) -> bool:
        """Return True if a row is this node's head and has to be measured again."""
        return row.tree == self.recheck_pending

    def _row(self, row: Row, code: Code) -> RowDocument:
        here = self.here.get(row.tree)
        over_baseline = gain_document(here.anchor_gain if here else None)
        row_document: RowDocument = {
            "rank": row.rank,
            "rank_last": self.last_rank(row),
            "tie": row.tie,
            "tree": row.tree.hex(),
            "author": row.author.hex(),
            "result": row.result.hex(),
            "title": code.titles.get(row.tree),
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
                "gain_anchor": from_nano(row.gain_rerun_nano),
                "gain_anchor_lower": from_nano(row.gain_rerun_lower_nano),
                "anchor_pairs": row.rerun_pairs,
            },
            "here": None
            if here is None
            else {
                "verdict": here.verdict,
                **gain_document(here.gain),
                "pairs": here.gain.pairs if here.gain else 0,
                "gain_anchor": over_baseline["gain"],
                "gain_anchor_lower": over_baseline["lower"],
                "recheck_pending": self.needs_recheck(row),
            },
            "env": dict(row.env.items),
            "flags": list(row.flags),
            "unread": list(code.unread[row.tree]),
        }
        if code.marks is not None:
            found = code.marks[row.tree]
            row_document["marks"] = None if found is None else [describe(mark) for mark in found]
        return row_document


def _title(store: Store, row: Row) -> str | None:
    """Return the author's title of a row's patch; None if this node lacks the patch."""
    result = store.records.get(row.result).body
    if not isinstance(result, ResultBody) or result.patch is None:
        return None
    patch = store.records.patch(result.patch)
    return None if patch is None else patch.title


def no_board_document(net: str, imported: Sequence[Imported], *, top: int) -> BoardDocument:
    """Return the JSON for a network without a leaderboard."""
    return {
        "network": net,
        "task": None,
        "class": None,
        "network_version": None,
        "set_digest": None,
        "board_digest": None,
        "rows": [],
        "imported": best_imported(imported, None, top=top),
    }


def segments_of(imported: Sequence[Imported], metric: str | None) -> list[tuple[Imported, int]]:
    """Return the segments with this metric in imported files, as pairs of file and index.

    A segment is a group of rows with the same metric. If `metric` is None, return all segments.
    """
    return [
        (one, number)
        for one in imported
        for number, segment in enumerate(one.log.segments)
        if metric in (None, segment.metric)
    ]


def best_imported(
    imported: Sequence[Imported], metric: str | None, *, top: int
) -> list[dict[str, object]]:
    """Return the best `top` rows of each segment that `segments_of` returns, as JSON."""
    return [best_document(one, segment, top) for one, segment in segments_of(imported, metric)]
