"""What is told of a board, to people and to programs: three columns of knowing, kept apart.

The words of its table and the object of `leaderboard --json` are here once, for whatever shows a
board.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from agent.source.capabilities import CapabilityMark
from node.line.remeasure import open_doubt
from node.store.blobs import Blobs
from node.store.boards import BoardKey
from node.store.jobs import LineKey
from node.store.measured_here import Here, measured_here
from node.store.store import Store
from node.terminal.terminal import plain
from node.terminal.vocabulary import word
from node.vetting.adoption import describe, marks_of, unread_of
from node.views.gains import gain_json
from protocol.board import RULE, Board, Row
from protocol.errors import UsageError
from protocol.manifest import TaskManifest
from protocol.units import NANO, from_nano

Marks: TypeAlias = Mapping[bytes, tuple[CapabilityMark, ...] | None]

LEGEND: Final = (
    "claimed: what its author's key signed.  attested: at least so much, as another key measured"
    " it.  others: keys, not people, whose runs bear out what they say (+ confirmed, ~ smaller than"
    " claimed, - refuted; ? not borne out).  here: measured on this machine."
)
ON_THE_LEFT: Final = frozenset({"id", "others", "here", "code", "flags"})
"""The columns that hold words; all others hold figures."""

_METRIC: Final = "metric"
_ID_DIGITS: Final = 12


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


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardView:
    """A board, what was measured here of it, and the verified head if that is in doubt."""

    key: BoardKey
    manifest: TaskManifest
    board: Board
    here: Mapping[bytes, Here]
    in_doubt: bytes | None

    @classmethod
    def of(cls, store: Store, key: BoardKey) -> "BoardView":
        """Return the view of a board. Raises UsageError if its task is not known here."""
        manifest = store.records.manifest(key.task)
        if manifest is None:
            raise UsageError("that board's task is not known here", "see `arnode task list`")
        line = store.jobs.line(LineKey(task=key.task, hardware_class=key.hardware_class))
        return cls(
            key=key,
            manifest=manifest,
            board=store.boards.get(key),
            here=measured_here(store.boards.own_facts(key)),
            in_doubt=line.verified if line and open_doubt(store, line) else None,
        )

    @property
    def title(self) -> str:
        """Return which board it is, and of what its gains are."""
        where = f"{self.manifest.name} on {self.key.hardware_class}, network {self.key.net}"
        return f"{where}, gain in {self.manifest.metric.name}"

    @property
    def footer(self) -> str:
        """Return by what others can tell whether theirs is the same."""
        digests = [digest.hex()[:_ID_DIGITS] for digest in self._digests]
        return "rule {}, records {}, board {}".format(RULE, *digests)

    @property
    def _digests(self) -> tuple[bytes, bytes]:
        return self.board.set_digest, self.board.board_digest

    def columns(self, rows: Sequence[Row], code: Code) -> tuple[str, ...]:
        """Return the columns that these rows need, as `cells` and `heading` know them."""
        names = ["rank", "id", "claimed gain", "at least", _METRIC, "tries"]
        names += ["attested", "others", "here"]
        names += ["code"] if code.is_shown else []
        names += ["flags"] if any(row.flags for row in rows) else []
        return tuple(names)

    def heading(self, column: str) -> str:
        """Return what a column is called."""
        return self.manifest.metric.name if column == _METRIC else column

    def cells(self, row: Row, columns: Sequence[str], code: Code) -> tuple[str, ...]:
        """Return what a row has in each of these columns."""
        told = {
            "rank": "-" if row.rank is None else f"{row.rank}{'=' if row.tie else ''}",
            "id": row.result.hex()[:_ID_DIGITS],
            "claimed gain": _signed(row.gain_anchor_nano),
            "at least": _signed(row.gain_anchor_lower_nano),
            _METRIC: f"{row.metric_nano / NANO:.6f}",
            "tries": str(row.tries),
            "attested": _signed(row.gain_attested_lower_nano),
            "others": _others_shown(row),
            "here": self._here_shown(row),
            "code": plain(code.words(row.tree)),
            "flags": plain(", ".join(row.flags)),
        }
        return tuple(told[name] for name in columns)

    def document(
        self, rows: Sequence[Row], code: Code, imported: Sequence[dict[str, object]]
    ) -> dict[str, object]:
        """Return the object of `leaderboard --json` with these rows."""
        set_digest, board_digest = self._digests
        return {
            "network": self.key.net,
            "task": {"id": self.key.task.hex(), "name": self.manifest.name},
            "class": self.key.hardware_class,
            "rule": RULE,
            "set_digest": set_digest.hex(),
            "board_digest": board_digest.hex(),
            "rows": [self._row(row, code) for row in rows],
            "imported": list(imported),
        }

    def _row(self, row: Row, code: Code) -> dict[str, object]:
        here = self.here.get(row.tree)
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
                "in_doubt": row.tree == self.in_doubt,
            },
            "env": dict(row.env.items),
            "flags": list(row.flags),
            **code.as_json(row.tree),
        }

    def _here_shown(self, row: Row) -> str:
        """What was measured here last; of the verified head in doubt that it still stands."""
        here = self.here.get(row.tree)
        if here is None:
            return "not measured"
        told = word("in_doubt" if row.tree == self.in_doubt else here.verdict)
        return told if here.gain is None else f"{told} {_signed(here.gain.value_nano)}"


def code_of(
    store: Store, blobs: Blobs, manifest: TaskManifest, rows: Sequence[Row], *, is_read: bool
) -> Code:
    """Return what the code of each row does beyond its task's baseline, if that is to be read."""
    read = rows if is_read else []
    marks = {row.tree: marks_of(store, blobs, manifest.id, row.tree) for row in read}
    unread = {row.tree: unread_of(blobs, manifest, row.tree) for row in rows}
    return Code(marks=marks if is_read else None, unread=unread)


def _signed(nano: int | None) -> str:
    return "" if nano is None else f"{nano / NANO:+.6f}"


def _others_shown(row: Row) -> str:
    said = f"+{row.confirmed} ~{row.smaller} -{row.refuted}"
    return f"{said} ?{row.unsupported}" if row.unsupported else said
