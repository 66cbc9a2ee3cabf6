"""What boards read of the records, kept beside them, and the boards that were made of it.

Facts, withdrawals and equivocations are derived as records arrive, in any order: what comes
before its task waits as an orphan. A board is made when somebody asks for it and then kept until
something that it reads arrives; a reader beside the writer makes a stale one for itself.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from node.store.database import Database
from node.store.extracts import Extract, extract_of
from node.store.facts import from_text
from node.store.records import Records, parsed
from protocol.board import Board, Row, assemble
from protocol.board_facts import (
    Equivocation,
    Fact,
    Vote,
    Withdrawal,
    read_withdrawal,
)
from protocol.encoding import decode, encode
from protocol.errors import Rejected, UsageError
from protocol.record_kinds import TaskBody
from protocol.remarks import RetractBody

_BY_ITS_AUTHORS = "author IN (SELECT author FROM fact WHERE net = ? AND task = ? AND class = ?)"


class BoardKey(NamedTuple):
    """Which board: of one network, task and hardware class."""

    net: str
    task: bytes
    hardware_class: str


def _row(data: bytes) -> Row:
    row = Row.from_value(decode(data))  # type: ignore[arg-type]
    assert not isinstance(row, Rejected)  # noqa: S101 -- `keep` wrote it
    return row


class Boards:
    """The boards of everybody's records, and what they are made of."""

    def __init__(self, database: Database, records: Records) -> None:
        self._database = database
        self._records = records

    def get(self, key: BoardKey, limit: int = -1) -> Board:
        """Return the first rows (-1: all) of the board that follows from the records."""
        if not self._is_fresh(key):
            board = self._make(key)
            if board is None:
                raise UsageError("that board's task is not known here", "see `arnode task list`")
            if not self._database.is_writer:  # a reader cannot keep it
                return replace(board, rows=board.rows[: limit if limit >= 0 else None])
            with self._database.writing():
                self._keep(key, board)
        return self._kept(key, limit)

    def version(self, key: BoardKey) -> object:
        """Return what is another one once the board, or what is said of it here, has changed."""
        kept = self._database.rows(
            "SELECT fresh, set_digest FROM board WHERE net = ? AND task = ? AND class = ?", key
        )
        facts = self._database.rows(
            "SELECT count(*), max(rowid) FROM fact WHERE net = ? AND task = ? AND class = ?", key
        )
        withdrawn = self._database.rows(
            "SELECT (SELECT count(*) FROM withdrawal), (SELECT count(*) FROM equivocation),"
            " (SELECT count(*) FROM job WHERE state = 'open')"
        )
        return kept, facts, withdrawn

    def kept_rows(self, key: BoardKey) -> int | None:
        """Return how many rows a board has, if it was made since it last changed."""
        if not self._is_fresh(key):
            return None
        ((number,),) = self._database.rows(
            "SELECT count(*) FROM board_row WHERE net = ? AND task = ? AND class = ?", key
        )
        return int(number)

    def rows_by(self, key: BoardKey, author: bytes) -> list[Row]:
        """Return the rows of a board that are an author's, without reading all the others."""
        self.get(key, 0)  # which keeps it, where this is the writer
        if not self._is_fresh(key):
            return [row for row in self.get(key).rows if row.author == author]
        found = self._database.rows(
            "SELECT row FROM board_row WHERE net = ? AND task = ? AND class = ?"
            " AND instr(row, ?) ORDER BY position",
            (*key, author),
        )
        return [row for row in (_row(data) for (data,) in found) if row.author == author]

    def networks(self) -> list[str]:
        """Return the networks of which there are boards, by name."""
        rows = self._database.rows("SELECT DISTINCT net FROM fact ORDER BY net")
        return [net for (net,) in rows]

    def listed(self, net: str) -> list[BoardKey]:
        """Return the boards of a network that something was said about."""
        rows = self._database.rows(
            "SELECT DISTINCT task, class FROM fact WHERE net = ? ORDER BY task, class", (net,)
        )
        return [BoardKey(net, task, name) for task, name in rows]

    def facts(self, key: BoardKey) -> list[Fact]:
        """Return what a board reads of everybody's records, in no order."""
        rows = self._database.rows(
            "SELECT record, author, fact FROM fact WHERE net = ? AND task = ? AND class = ?",
            key,
        )
        return [from_text(record, by, text) for record, by, text in rows]

    def own_facts(self, key: BoardKey) -> list[Fact]:
        """Return what a board reads of this node's own records, in the order they were made."""
        rows = self._database.rows(
            "SELECT fact.record, fact.author, fact FROM fact JOIN record ON id = fact.record"
            " WHERE fact.net = ? AND fact.task = ? AND fact.class = ? AND own ORDER BY n",
            key,
        )
        return [from_text(record, by, text) for record, by, text in rows]

    def votes(self, key: BoardKey, tree: bytes) -> list[bytes]:
        """Return the ids of the attestations about a tree."""
        return [fact.id for fact in self.facts(key) if isinstance(fact, Vote) and fact.tree == tree]

    def others_votes(self, after: int) -> list[tuple[BoardKey, Vote]]:
        """Return what others attest, in records with a greater number, and on which boards."""
        rows = self._database.rows(
            "SELECT fact.record, fact.net, task, class, fact.author, fact"
            " FROM record JOIN fact ON fact.record = record.id"
            " WHERE n > ? AND +kind = 'attest' AND NOT own ORDER BY n",  # +: by n, not by kind
            (after,),
        )
        found = [
            (BoardKey(net, task, name), from_text(record, author, text))
            for record, net, task, name, author, text in rows
        ]
        return [(key, fact) for key, fact in found if isinstance(fact, Vote)]

    def faults(self) -> list[str]:
        """Return which kept boards are not those that follow from what is here."""
        rows = self._database.rows(
            "SELECT net, task, class FROM board WHERE fresh ORDER BY net, task, class"
        )
        found: list[str] = []
        for net, task, name in rows:
            key = BoardKey(net, task, name)
            if self._make(key) != self._kept(key, -1):
                found.append(f"the board of task {task.hex()[:12]} on {name}")
        return found

    def derive(self, one: Extract) -> None:
        """Keep what boards read of news that was just stored, and of what waited for it."""
        if one.board is not None:
            task, _ = one.board
            if self._records.manifest(task) is None:
                self._database.rows(
                    "INSERT OR IGNORE INTO orphan (record, task) VALUES (?,?)", (one.id, task)
                )
            elif one.fact is not None:
                self._keep_fact(one)
            else:
                self._keep_fact(self._read_again(one.wire))
        elif one.kind in (RetractBody.kind, TaskBody.kind):
            record = parsed(one.wire, is_verified=True)
            if withdrawal := read_withdrawal(record):
                self._database.rows(
                    "INSERT OR IGNORE INTO withdrawal (record, author, target) VALUES (?,?,?)",
                    (withdrawal.id, withdrawal.author, withdrawal.target),
                )
                self._stale_boards_of(record.author)
            elif isinstance(record.body, TaskBody):
                manifest = record.body.manifest
                self._database.rows(
                    "INSERT OR IGNORE INTO task (id, record) VALUES (?,?)", (manifest.id, record.id)
                )
                self._adopt_orphans(manifest.id)

    def reused_number(self, author: bytes) -> int | None:
        """Return the lowest number that an author gave to two records; None if to none."""
        found = self._database.rows("SELECT seq FROM equivocation WHERE author = ?", (author,))
        return int(found[0][0]) if found else None

    def note_equivocation(self, one: Extract, ids: Sequence[bytes]) -> None:
        """Keep an author's lowest number that two records bear, with the smallest two ids."""
        first, second = sorted(ids)[:2]
        self._database.rows(
            "INSERT INTO equivocation (author, seq, first, second) VALUES (?,?,?,?)"
            " ON CONFLICT (author) DO UPDATE SET"
            " seq = excluded.seq, first = excluded.first, second = excluded.second"
            " WHERE excluded.seq <= seq",
            (one.author, one.seq, first, second),
        )
        self._stale_boards_of(one.author)

    def forget(self, record_id: bytes) -> None:
        """Drop what boards read of a record that is going to be removed."""
        of_record = "SELECT net, task, class FROM fact WHERE record = ?"
        for key in self._database.rows(of_record, (record_id,)):
            self._make_stale(BoardKey(*key))
        for (author,) in self._database.rows(
            "SELECT author FROM withdrawal WHERE record = ?", (record_id,)
        ):
            self._stale_boards_of(author)
        for table in ("fact", "orphan", "withdrawal", "task"):
            self._database.rows(f"DELETE FROM {table} WHERE record = ?", (record_id,))  # noqa: S608 (names from above)

    def forget_all(self) -> None:
        """Drop everything here: it is about to be derived anew."""
        for table in ("task", "fact", "orphan", "withdrawal", "equivocation", "board", "board_row"):
            self._database.rows(f"DELETE FROM {table}")  # noqa: S608 (names from above)

    def _is_fresh(self, key: BoardKey) -> bool:
        """Say whether the board that is kept is the one that follows from the records."""
        rows = self._database.rows(
            "SELECT fresh FROM board WHERE net = ? AND task = ? AND class = ?", key
        )
        return bool(rows and rows[0][0])

    def _make(self, key: BoardKey) -> Board | None:
        """Return the board that follows from what is here now; None if its task is not."""
        manifest = self._records.manifest(key.task)
        return (
            None
            if manifest is None
            else assemble(
                manifest,
                key.hardware_class,
                self.facts(key),
                self._withdrawals(key),
                self._equivocations(key),
            )
        )

    def _keep(self, key: BoardKey, board: Board) -> None:
        """Remember a board until something that it reads arrives."""
        self._database.rows("DELETE FROM board_row WHERE net = ? AND task = ? AND class = ?", key)
        for position, row in enumerate(board.rows):
            self._database.rows(
                "INSERT INTO board_row (net, task, class, position, row) VALUES (?,?,?,?,?)",
                (*key, position, encode(row.to_value())),
            )
        self._database.rows(
            "INSERT OR REPLACE INTO board (net, task, class, fresh, set_digest, board_digest)"
            " VALUES (?,?,?,1,?,?)",
            (*key, board.set_digest, board.board_digest),
        )

    def _kept(self, key: BoardKey, limit: int) -> Board:
        """Return the board that is kept, with at most `limit` rows."""
        ((set_digest, board_digest),) = self._database.rows(
            "SELECT set_digest, board_digest FROM board WHERE net = ? AND task = ? AND class = ?",
            key,
        )
        rows = self._database.rows(
            "SELECT row FROM board_row WHERE net = ? AND task = ? AND class = ?"
            " ORDER BY position LIMIT ?",
            (*key, limit),
        )
        return Board(
            rows=tuple(_row(data) for (data,) in rows),
            set_digest=set_digest,
            board_digest=board_digest,
        )

    def _keep_fact(self, one: Extract) -> None:
        assert one.board is not None  # noqa: S101 -- nor is there a fact without one
        key = BoardKey(one.net, *one.board)
        self._database.rows(
            "INSERT OR IGNORE INTO fact (record, net, task, class, author, fact)"
            " VALUES (?,?,?,?,?,?)",
            (one.id, *key, one.author, one.fact),
        )
        self._make_stale(key)

    def _read_again(self, wire: bytes) -> Extract:
        """Return what is kept of a record whose task was not known yet when it was read."""
        return extract_of(parsed(wire, is_verified=True), self._records.manifest)

    def _adopt_orphans(self, task: bytes) -> None:
        rows = self._database.rows(
            "SELECT wire FROM orphan JOIN record ON id = orphan.record WHERE task = ?", (task,)
        )
        self._database.rows("DELETE FROM orphan WHERE task = ?", (task,))
        for (wire,) in rows:
            self._keep_fact(self._read_again(wire))

    def _make_stale(self, key: BoardKey) -> None:
        self._database.rows(
            "UPDATE board SET fresh = 0 WHERE net = ? AND task = ? AND class = ?", key
        )

    def _stale_boards_of(self, author: bytes) -> None:
        self._database.rows(
            "UPDATE board SET fresh = 0 WHERE (net, task, class) IN"
            " (SELECT net, task, class FROM fact WHERE author = ?)",
            (author,),
        )

    def _withdrawals(self, key: BoardKey) -> list[Withdrawal]:
        rows = self._database.rows(
            f"SELECT record, author, target FROM withdrawal WHERE {_BY_ITS_AUTHORS}",  # noqa: S608 (constant)
            key,
        )
        return [
            Withdrawal(id=record, author=author, target=target) for record, author, target in rows
        ]

    def _equivocations(self, key: BoardKey) -> list[Equivocation]:
        rows = self._database.rows(
            f"SELECT author, seq, first, second FROM equivocation WHERE {_BY_ITS_AUTHORS}",  # noqa: S608 (constant)
            key,
        )
        return [
            Equivocation(author=author, seq=seq, ids=(first, second))
            for author, seq, first, second in rows
        ]
