"""Leaderboards, and the facts from records that they are computed from.

Facts, withdrawals and equivocations are derived as records arrive, in any order. A record that
arrives before its task waits as an orphan. A leaderboard is computed on request and cached until a
record that affects it arrives. A process that only reads the store cannot cache leaderboards, so it
recomputes a stale one on each request.
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
    """The key of a leaderboard: network, task and hardware class."""

    net: str
    task: bytes
    hardware_class: str


def _row(data: bytes) -> Row:
    row = Row.from_value(decode(data))  # type: ignore[arg-type]
    assert not isinstance(row, Rejected)  # noqa: S101 -- `keep` wrote it
    return row


class Boards:
    """The leaderboards of all records in the store, and the facts they are computed from."""

    def __init__(self, database: Database, records: Records) -> None:
        self._database = database
        self._records = records

    def get(self, key: BoardKey, limit: int = -1) -> Board:
        """Return the current leaderboard, with its first `limit` rows (-1: all).

        Raises UsageError if the task is unknown.
        """
        if not self._is_fresh(key):
            board = self._make(key)
            if board is None:
                raise UsageError("the leaderboard's task is unknown here", "see `arnode task list`")
            if not self._database.is_writer:  # a reader cannot cache it
                return replace(board, rows=board.rows[: limit if limit >= 0 else None])
            with self._database.writing():
                self._keep(key, board)
        return self._kept(key, limit)

    def version(self, key: BoardKey) -> object:
        """Return a value that changes whenever the leaderboard or its facts may have changed."""
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
        """Return the number of rows of a cached leaderboard; None if it is missing or stale."""
        if not self._is_fresh(key):
            return None
        ((number,),) = self._database.rows(
            "SELECT count(*) FROM board_row WHERE net = ? AND task = ? AND class = ?", key
        )
        return int(number)

    def rows_by(self, key: BoardKey, author: bytes) -> list[Row]:
        """Return an author's rows of a leaderboard, without reading the other rows."""
        self.get(key, 0)  # caches the leaderboard, if this process may write
        if not self._is_fresh(key):
            return [row for row in self.get(key).rows if row.author == author]
        found = self._database.rows(
            "SELECT row FROM board_row WHERE net = ? AND task = ? AND class = ?"
            " AND instr(row, ?) ORDER BY position",
            (*key, author),
        )
        return [row for row in (_row(data) for (data,) in found) if row.author == author]

    def networks(self) -> list[str]:
        """Return the names of all networks with a leaderboard, sorted."""
        rows = self._database.rows("SELECT DISTINCT net FROM fact ORDER BY net")
        return [net for (net,) in rows]

    def listed(self, net: str) -> list[BoardKey]:
        """Return the leaderboards of a network that have at least one fact."""
        rows = self._database.rows(
            "SELECT DISTINCT task, class FROM fact WHERE net = ? ORDER BY task, class", (net,)
        )
        return [BoardKey(net, task, name) for task, name in rows]

    def facts(self, key: BoardKey) -> list[Fact]:
        """Return the facts of a leaderboard from all authors, in no particular order."""
        rows = self._database.rows(
            "SELECT record, author, fact FROM fact WHERE net = ? AND task = ? AND class = ?",
            key,
        )
        return [from_text(record, by, text) for record, by, text in rows]

    def own_facts(self, key: BoardKey) -> list[Fact]:
        """Return the facts of a leaderboard from this node's own records, oldest first."""
        rows = self._database.rows(
            "SELECT fact.record, fact.author, fact FROM fact JOIN record ON id = fact.record"
            " WHERE fact.net = ? AND fact.task = ? AND fact.class = ? AND own ORDER BY n",
            key,
        )
        return [from_text(record, by, text) for record, by, text in rows]

    def votes(self, key: BoardKey, tree: bytes) -> list[bytes]:
        """Return the ids of the re-run records about a tree."""
        return [fact.id for fact in self.facts(key) if isinstance(fact, Vote) and fact.tree == tree]

    def others_votes(self, after: int) -> list[tuple[BoardKey, Vote]]:
        """Return other nodes' re-runs in records after number `after`, with their leaderboards."""
        rows = self._database.rows(
            "SELECT fact.record, fact.net, task, class, fact.author, fact"
            " FROM record JOIN fact ON fact.record = record.id"
            " WHERE n > ? AND +kind = 'rerun' AND NOT own ORDER BY n",  # +: by n, not by kind
            (after,),
        )
        found = [
            (BoardKey(net, task, name), from_text(record, author, text))
            for record, net, task, name, author, text in rows
        ]
        return [(key, fact) for key, fact in found if isinstance(fact, Vote)]

    def faults(self) -> list[str]:
        """Return the names of cached leaderboards that differ from a fresh computation."""
        rows = self._database.rows(
            "SELECT net, task, class FROM board WHERE fresh ORDER BY net, task, class"
        )
        found: list[str] = []
        for net, task, name in rows:
            key = BoardKey(net, task, name)
            if self._make(key) != self._kept(key, -1):
                found.append(f"the leaderboard of task {task.hex()[:12]} on {name}")
        return found

    def derive(self, one: Extract) -> None:
        """Store the facts and withdrawals of a record that was just stored.

        If it announces a task, store also the facts of the orphans that waited for this task.
        """
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
        """Return the lowest sequence number that an author used twice; None if there is none."""
        found = self._database.rows("SELECT seq FROM equivocation WHERE author = ?", (author,))
        return int(found[0][0]) if found else None

    def note_equivocation(self, one: Extract, ids: Sequence[bytes]) -> None:
        """Store an author's lowest reused sequence number, and the two smallest ids with it."""
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
        """Delete all that was derived from a record that is about to be removed."""
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
        """Delete all derived data. The caller derives it again."""
        for table in ("task", "fact", "orphan", "withdrawal", "equivocation", "board", "board_row"):
            self._database.rows(f"DELETE FROM {table}")  # noqa: S608 (names from above)

    def _is_fresh(self, key: BoardKey) -> bool:
        """Return True if the cached leaderboard is up to date."""
        rows = self._database.rows(
            "SELECT fresh FROM board WHERE net = ? AND task = ? AND class = ?", key
        )
        return bool(rows and rows[0][0])

    def _make(self, key: BoardKey) -> Board | None:
        """Compute a leaderboard from the stored facts; None if its task is unknown."""
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
        """Cache a leaderboard. It stays fresh until a record that affects it arrives."""
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
        """Return the cached leaderboard, with at most `limit` rows (-1: all)."""
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
        assert one.board is not None  # noqa: S101 -- every fact has a board
        key = BoardKey(one.net, *one.board)
        self._database.rows(
            "INSERT OR IGNORE INTO fact (record, net, task, class, author, fact)"
            " VALUES (?,?,?,?,?,?)",
            (one.id, *key, one.author, one.fact),
        )
        self._make_stale(key)

    def _read_again(self, wire: bytes) -> Extract:
        """Extract a record again, now that its task is known."""
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
