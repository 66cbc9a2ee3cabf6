"""What boards read of the records, kept beside them, and the boards that were made of it.

Facts, withdrawals and equivocations are derived as records arrive, in any order: what comes
before its task waits as an orphan. A board is made when somebody asks for it and then kept until
something that it reads arrives; a reader beside the writer makes a stale one for itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from node.store.archive import parsed
from node.store.database import Database
from node.store.extracts import Extract, ManifestOf, extract_of
from node.store.facts import from_text
from protocol.board import Board, Row, assemble
from protocol.board_facts import (
    Equivocation,
    Fact,
    Vote,
    Withdrawal,
    read_withdrawal,
)
from protocol.encoding import decode, encode
from protocol.errors import Rejected
from protocol.kinds import RetractBody, TaskBody
from protocol.manifest import TaskManifest

_BY_ITS_AUTHORS = "author IN (SELECT author FROM fact WHERE net = ? AND task = ? AND class = ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardKey:
    """Which board: of one network, task and hardware class."""

    net: str
    task: bytes
    hardware_class: str


def derive(database: Database, one: Extract, manifest_of: ManifestOf) -> None:
    """Keep what boards read of news that was just stored, and of what waited for it."""
    if one.board is not None:
        task, _ = one.board
        if manifest_of(task) is None:
            database.rows(
                "INSERT OR IGNORE INTO orphan (record, task) VALUES (?,?)", (one.id, task)
            )
        elif one.fact is not None:
            _keep_fact(database, one)
        else:
            _keep_fact(database, _read_again(one.wire, manifest_of))
    elif one.kind in (RetractBody.kind, TaskBody.kind):
        record = parsed(one.wire, is_verified=True)
        if withdrawal := read_withdrawal(record):
            database.rows(
                "INSERT OR IGNORE INTO withdrawal (record, author, target) VALUES (?,?,?)",
                (withdrawal.id, withdrawal.author, withdrawal.target),
            )
            _stale_boards_of(database, record.author)
        elif isinstance(record.body, TaskBody):
            manifest = record.body.manifest
            database.rows(
                "INSERT OR IGNORE INTO task (id, record) VALUES (?,?)", (manifest.id, record.id)
            )
            _adopt_orphans(database, manifest)


def note_equivocation(database: Database, one: Extract, ids: Sequence[bytes]) -> None:
    """Keep an author's lowest number that two records bear, with the smallest two of these ids."""
    first, second = sorted(ids)[:2]
    database.rows(
        "INSERT INTO equivocation (author, seq, first, second) VALUES (?,?,?,?)"
        " ON CONFLICT (author) DO UPDATE SET"
        " seq = excluded.seq, first = excluded.first, second = excluded.second"
        " WHERE excluded.seq <= seq",
        (one.author, one.seq, first, second),
    )
    _stale_boards_of(database, one.author)


def forget(database: Database, record_id: bytes) -> None:
    """Drop what boards read of a record that is going to be removed."""
    for net, task, name in database.rows(
        "SELECT net, task, class FROM fact WHERE record = ?", (record_id,)
    ):
        _make_stale(database, BoardKey(net=net, task=task, hardware_class=name))
    for (author,) in database.rows("SELECT author FROM withdrawal WHERE record = ?", (record_id,)):
        _stale_boards_of(database, author)
    for table in ("fact", "orphan", "withdrawal", "task"):
        database.rows(f"DELETE FROM {table} WHERE record = ?", (record_id,))  # noqa: S608 (names from above)


def forget_all(database: Database) -> None:
    """Drop everything here: it is about to be derived anew."""
    for table in ("task", "fact", "orphan", "withdrawal", "equivocation", "board", "board_row"):
        database.rows(f"DELETE FROM {table}")  # noqa: S608 (names from above)


def is_fresh(database: Database, key: BoardKey) -> bool:
    """Say whether the board that is kept is the one that follows from the records."""
    rows = database.rows(
        "SELECT fresh FROM board WHERE net = ? AND task = ? AND class = ?", _values(key)
    )
    return bool(rows and rows[0][0])


def make(database: Database, key: BoardKey, manifest: TaskManifest) -> Board:
    """Return the board that follows from what is here now."""
    return assemble(
        manifest,
        key.hardware_class,
        facts(database, key),
        _withdrawals(database, key),
        _equivocations(database, key),
    )


def keep(database: Database, key: BoardKey, board: Board) -> None:
    """Remember a board until something that it reads arrives."""
    database.rows("DELETE FROM board_row WHERE net = ? AND task = ? AND class = ?", _values(key))
    for position, row in enumerate(board.rows):
        database.rows(
            "INSERT INTO board_row (net, task, class, position, row) VALUES (?,?,?,?,?)",
            (*_values(key), position, encode(row.to_value())),
        )
    database.rows(
        "INSERT OR REPLACE INTO board (net, task, class, fresh, set_digest, board_digest)"
        " VALUES (?,?,?,1,?,?)",
        (*_values(key), board.set_digest, board.board_digest),
    )


def kept(database: Database, key: BoardKey, limit: int) -> Board:
    """Return the board that is kept, with at most `limit` rows."""
    ((set_digest, board_digest),) = database.rows(
        "SELECT set_digest, board_digest FROM board WHERE net = ? AND task = ? AND class = ?",
        _values(key),
    )
    rows = database.rows(
        "SELECT row FROM board_row WHERE net = ? AND task = ? AND class = ?"
        " ORDER BY position LIMIT ?",
        (*_values(key), limit),
    )
    return Board(
        rows=tuple(_row(data) for (data,) in rows),
        set_digest=set_digest,
        board_digest=board_digest,
    )


def boards(database: Database, net: str) -> list[BoardKey]:
    """Return the boards of a network that something was said about."""
    rows = database.rows(
        "SELECT DISTINCT task, class FROM fact WHERE net = ? ORDER BY task, class", (net,)
    )
    return [BoardKey(net=net, task=task, hardware_class=name) for task, name in rows]


def own_facts(database: Database, key: BoardKey) -> list[Fact]:
    """Return what a board reads of this node's own records, in the order they were made."""
    rows = database.rows(
        "SELECT fact.record, fact.author, fact FROM fact JOIN record ON id = fact.record"
        " WHERE fact.net = ? AND fact.task = ? AND fact.class = ? AND own ORDER BY n",
        _values(key),
    )
    return [from_text(record, by, text) for record, by, text in rows]


def faults(database: Database, manifest_of: ManifestOf) -> list[str]:
    """Return which kept boards are not those that follow from what is here."""
    rows = database.rows("SELECT net, task, class FROM board WHERE fresh ORDER BY net, task, class")
    found: list[str] = []
    for net, task, name in rows:
        key = BoardKey(net=net, task=task, hardware_class=name)
        manifest = manifest_of(task)
        if manifest is None or make(database, key, manifest) != kept(database, key, -1):
            found.append(f"the board of task {task.hex()[:12]} on {name}")
    return found


def votes(database: Database, key: BoardKey, tree: bytes) -> list[bytes]:
    """Return the ids of the attestations about a tree."""
    return [
        fact.id for fact in facts(database, key) if isinstance(fact, Vote) and fact.tree == tree
    ]


def _keep_fact(database: Database, one: Extract) -> None:
    assert one.board is not None  # noqa: S101 -- nor is there a fact without one
    task, hardware_class = one.board
    key = BoardKey(net=one.net, task=task, hardware_class=hardware_class)
    database.rows(
        "INSERT OR IGNORE INTO fact (record, net, task, class, author, fact) VALUES (?,?,?,?,?,?)",
        (one.id, *_values(key), one.author, one.fact),
    )
    _make_stale(database, key)


def _read_again(wire: bytes, manifest_of: ManifestOf) -> Extract:
    """Return what is kept of a record whose task was not known yet when it was read."""
    return extract_of(parsed(wire, is_verified=True), manifest_of)


def _adopt_orphans(database: Database, manifest: TaskManifest) -> None:
    rows = database.rows(
        "SELECT wire FROM orphan JOIN record ON id = orphan.record WHERE task = ?", (manifest.id,)
    )
    database.rows("DELETE FROM orphan WHERE task = ?", (manifest.id,))
    for (wire,) in rows:
        _keep_fact(database, _read_again(wire, {manifest.id: manifest}.get))


def _make_stale(database: Database, key: BoardKey) -> None:
    database.rows(
        "UPDATE board SET fresh = 0 WHERE net = ? AND task = ? AND class = ?", _values(key)
    )


def _stale_boards_of(database: Database, author: bytes) -> None:
    database.rows(
        "UPDATE board SET fresh = 0 WHERE (net, task, class) IN"
        " (SELECT net, task, class FROM fact WHERE author = ?)",
        (author,),
    )


def facts(database: Database, key: BoardKey) -> list[Fact]:
    """Return what a board reads of everybody's records, in no order."""
    rows = database.rows(
        "SELECT record, author, fact FROM fact WHERE net = ? AND task = ? AND class = ?",
        _values(key),
    )
    return [from_text(record, by, text) for record, by, text in rows]


def retraction_of(database: Database, record_id: bytes) -> bytes | None:
    """Return the record by which its author took a record back."""
    rows = database.rows(
        "SELECT withdrawal.record FROM withdrawal JOIN record ON record.id = withdrawal.target"
        " WHERE withdrawal.target = ? AND withdrawal.author = record.author LIMIT 1",
        (record_id,),
    )
    return rows[0][0] if rows else None


def _withdrawals(database: Database, key: BoardKey) -> list[Withdrawal]:
    rows = database.rows(
        f"SELECT record, author, target FROM withdrawal WHERE {_BY_ITS_AUTHORS}",  # noqa: S608 (constant)
        _values(key),
    )
    return [Withdrawal(id=record, author=author, target=target) for record, author, target in rows]


def _equivocations(database: Database, key: BoardKey) -> list[Equivocation]:
    rows = database.rows(
        f"SELECT author, seq, first, second FROM equivocation WHERE {_BY_ITS_AUTHORS}",  # noqa: S608 (constant)
        _values(key),
    )
    return [
        Equivocation(author=author, seq=seq, ids=(first, second))
        for author, seq, first, second in rows
    ]


def _values(key: BoardKey) -> tuple[str, bytes, str]:
    return key.net, key.task, key.hardware_class


def _row(data: bytes) -> Row:
    row = Row.from_value(decode(data))  # type: ignore[arg-type]
    assert not isinstance(row, Rejected)  # noqa: S101 -- `keep` wrote it
    return row
