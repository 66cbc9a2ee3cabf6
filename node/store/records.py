"""The stored records: insertion, lookup and listing. Callers open the transactions.

Bytes from the database are parsed like bytes from a peer. Invalid bytes mean that the store is
damaged.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from node.home.faults import DAMAGED_HINT, DamagedStoreError
from node.home.next_start import unless_running
from node.store.database import Database
from node.store.extracts import SORTS, Extract
from node.terminal.progress import Progress
from protocol.encoding import Value, decode
from protocol.errors import Rejected, UsageError
from protocol.manifest import TaskManifest
from protocol.record_kinds import PatchBody, TaskBody
from protocol.records import Record, parse_again, parse_record, payload_id

PREFIX_DIGITS = 4
ID_PREFIX = re.compile(rf"[0-9a-f]{{{PREFIX_DIGITS},64}}")
# Matches the records of author ?1 with number ?2. Naming the sorts lets SQLite use an index.
WITH_SEQ = f"author = ?1 AND seq = ?2 AND sort IN {SORTS}"
_SHOWN_EVERY = 1_000
_ID_DIGITS = 64
_SHOWN_DIGITS = 12
_SHOWN_IDS = 5
_AN_ID = (
    "an id",
    (
        "`arnode log` lists ids, `arnode leaderboard` those of claims; `arnode head` prints the"
        " head, `arnode task show` shows a task"
    ),
)


def parsed(wire: bytes, *, is_verified: bool = False) -> Record:
    """Parse the bytes of a stored record; `is_verified`: its signature was checked on arrival.

    Raises DamagedStoreError if they are invalid.
    """
    record = parse_again(wire) if is_verified else parse_record(wire)
    if isinstance(record, Rejected):
        raise DamagedStoreError(
            f"a record in the store cannot be read: {record.reason}", DAMAGED_HINT
        )
    return record


class RecordRef(NamedTuple):
    """A record with a given author and sequence number."""

    id: bytes
    net: str
    ts_ms: int


def _bounds(prefix: str, what: str, hint: str) -> tuple[bytes, bytes]:
    """Return the smallest and the largest 32 bytes that begin with these hex digits.

    The digits may be in square brackets, as in log lines. Raises UsageError if they are not hex
    digits, too few or too many.
    """
    digits = prefix.lower().removeprefix("[").removesuffix("]")
    if not set(digits) <= set("0123456789abcdef"):
        raise UsageError(f"`{prefix}` is not {what}", hint)
    if not PREFIX_DIGITS <= len(digits) <= _ID_DIGITS:
        raise UsageError(
            f"`{prefix}` is not {what}: give {PREFIX_DIGITS} to {_ID_DIGITS} digits,"
            f" not {len(digits)}",
            hint,
        )
    low, high = (bytes.fromhex(digits.ljust(_ID_DIGITS, filler)) for filler in "0f")
    return low, high


def begins(digest: bytes, prefix: str) -> bool:
    """Return True if an id begins with these hex digits. Raises UsageError if they are invalid."""
    low, high = _bounds(prefix, *_AN_ID)
    return low <= digest <= high


def only_one(prefix: str, matching: Collection[bytes], what: str = "ids") -> bytes | None:
    """Return the one matching id; None if there is none. Raises UsageError if there are several."""
    if len(matching) <= 1:
        return next(iter(matching), None)
    shown = ", ".join(one.hex()[:_SHOWN_DIGITS] for one in sorted(matching)[:_SHOWN_IDS])
    more = " and others" if len(matching) > _SHOWN_IDS else ""
    raise UsageError(f"`{prefix}` matches several {what}: {shown}{more}", "give more of its digits")


class Envelope(NamedTuple):
    """A record without its body; `own`: this node signed it."""

    id: bytes
    kind: str
    author: bytes
    seq: int
    ts_ms: int
    own: bool


def _envelope(id: bytes, kind: str, author: bytes, seq: int, ts_ms: int, own: int) -> Envelope:  # noqa: A002
    return Envelope(id=id, kind=kind, author=author, seq=seq, ts_ms=ts_ms, own=bool(own))


class Records:
    """The records of all authors, including this node's own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tasks: dict[bytes, TaskManifest] = {}
        database.follow(rolled_back=self._tasks.clear)

    def insert(self, one: Extract, *, own: bool, introducer: str | None = None) -> bool:
        """Store a record; return True if it is new. A record that exists keeps its number.

        `introducer`: the neighbour that sent it, which is stored for results only.
        """
        if own:
            self._database.rows("UPDATE record SET own = 1 WHERE id = ?", (one.id,))
        number = self._database.insert(
            "INSERT OR IGNORE INTO record"
            " (id, kind, author, seq, ts_ms, own, wire, net, sort, patch, about, introducer)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                *(one.id, one.kind, one.author, one.seq, one.ts_ms),
                *(own, one.wire, one.net, one.sort, one.patch, one.about),
                introducer if one.patch is not None else None,
            ),
        )
        return number > 0

    def with_seq(self, author: bytes, seq: int) -> list[RecordRef]:
        """Return an author's records with this sequence number; several are an equivocation."""
        statement = f"SELECT id, net, ts_ms FROM record WHERE {WITH_SEQ}"  # noqa: S608 (constant)
        return [RecordRef(*row) for row in self._database.rows(statement, (author, seq))]

    def end_of_chain(self, author: bytes) -> tuple[int, bytes | None]:
        """Return the sequence number of an author's next record, and the id of its previous one."""
        statement = (
            "SELECT seq, id FROM record WHERE author = ? AND sort = ? ORDER BY seq DESC LIMIT 1"
        )
        last = [row for sort in SORTS for row in self._database.rows(statement, (author, sort))]
        if not last:
            return 0, None
        seq, record_id = max(last)
        return seq + 1, record_id

    def get(self, record_id: bytes) -> Record:
        """Return the record with this id. Raises UsageError if there is none."""
        record = self._read(record_id)
        if record is None:
            raise UsageError(f"this node has no record {record_id.hex()[:12]}", "see `arnode log`")
        return record

    def has(self, record_id: bytes) -> bool:
        """Return True if a record with this id is stored."""
        return bool(self._database.rows("SELECT 1 FROM record WHERE id = ?", (record_id,)))

    def introducer(self, record_id: bytes) -> str | None:
        """Return the libp2p id of the neighbour that first sent a result; None if unknown."""
        rows = self._database.rows("SELECT introducer FROM record WHERE id = ?", (record_id,))
        return rows[0][0] if rows else None

    def is_own(self, record_id: bytes) -> bool:
        """Return True if this node made the record with this id."""
        statement = "SELECT 1 FROM record WHERE id = ? AND own"
        return bool(self._database.rows(statement, (record_id,)))

    def patch(self, record_id: bytes) -> PatchBody | None:
        """Return the patch with this record id; None if it is not stored."""
        record = self._read(record_id)
        return record.body if record and isinstance(record.body, PatchBody) else None

    def manifest(self, task_id: bytes) -> TaskManifest | None:
        """Return the manifest of a task; None if its task record is not stored."""
        if task_id not in self._tasks:
            rows = self._database.rows(
                "SELECT wire FROM task JOIN record ON record.id = task.record"
                " WHERE task.id = ? LIMIT 1",
                (task_id,),
            )
            for (wire,) in rows:
                body = parsed(wire).body
                if isinstance(body, TaskBody):
                    self._tasks[task_id] = body.manifest
        return self._tasks.get(task_id)

    def manifests(self, limit: int) -> dict[bytes, TaskManifest]:
        """Return at most `limit` of the known tasks, by id."""
        rows = self._database.rows("SELECT DISTINCT id FROM task LIMIT ?", (limit,))
        known = ((task_id, self.manifest(task_id)) for (task_id,) in rows)
        return {task_id: manifest for task_id, manifest in known if manifest is not None}

    def tasks_by_prefix(self, digits: str) -> list[bytes]:
        """Return at most 3 ids of known tasks that begin with these hex digits."""
        rows = self._database.rows(
            "SELECT DISTINCT id FROM task WHERE lower(hex(id)) LIKE ? LIMIT 3", (f"{digits}%",)
        )
        return [task_id for (task_id,) in rows]

    def task_record(self, task_id: bytes) -> bytes | None:
        """Return the id of a task record of this task; None if there is none."""
        rows = self._database.rows(
            "SELECT min(record) FROM task WHERE id = ? GROUP BY id", (task_id,)
        )
        return rows[0][0] if rows else None

    def is_announced_by_others(self, task_id: bytes, net: str) -> bool:
        """Return True if another node published this task in a network."""
        rows = self._database.rows(
            "SELECT 1 FROM task JOIN record ON record.id = task.record"
            " WHERE task.id = ? AND record.net = ? AND NOT own LIMIT 1",
            (task_id, net),
        )
        return bool(rows)

    def retraction(self, record_id: bytes) -> Record | None:
        """Return the record by which a record's author retracted it; None if there is none."""
        rows = self._database.rows(
            "SELECT withdrawal.record FROM withdrawal JOIN record ON record.id = withdrawal.target"
            " WHERE withdrawal.target = ? AND withdrawal.author = record.author LIMIT 1",
            (record_id,),
        )
        return self.get(rows[0][0]) if rows else None

    def naming(self, record_id: bytes) -> list[bytes]:
        """Return this node's results for this record, if it is a patch, and the records about it.

        The latter are adoptions, re-runs and retractions.
        """
        rows = self._database.rows(
            "SELECT id, '' AS kind, n AS place, n FROM experiment WHERE patch = ?1"
            " UNION ALL SELECT id, kind, ts_ms, n FROM record WHERE about = ?1 AND kind != 'patch'"
            " ORDER BY kind, place, n",
            (record_id,),
        )
        return [row[0] for row in rows]

    def claims_about(self, patch: bytes, *, limit: int) -> list[Record]:
        """Return the latest results of promotion trials of a patch, from all authors."""
        rows = self._database.rows(
            "SELECT wire FROM record WHERE patch = ? AND sort = 'news'"
            " ORDER BY ts_ms DESC, n DESC LIMIT ?",
            (patch, limit),
        )
        return [parsed(row[0]) for row in rows]

    def transfers(self) -> list[Record]:
        """Return the patches of all authors that name the patch they were transferred from."""
        rows = self._database.rows(
            "SELECT wire FROM record WHERE about IS NOT NULL AND kind = 'patch' ORDER BY n"
        )
        return [parsed(row[0]) for row in rows]

    def results_of(self, patch: bytes) -> list[Record]:
        """Return the results of a patch from all authors, oldest first."""
        rows = self._database.rows("SELECT wire FROM record WHERE patch = ? ORDER BY n", (patch,))
        return [parsed(row[0]) for row in rows]

    def matching(self, prefix: str) -> dict[bytes, bytes]:
        """Return the ids that begin with these hex digits, each with the id of its record.

        The id of a source measured here also matches; its record is the source's latest result. If
        many ids match, only some are returned.
        """
        bounds = _bounds(prefix, *_AN_ID)
        rows = self._database.rows(
            "SELECT id FROM record WHERE id BETWEEN ? AND ? LIMIT ?", (*bounds, _SHOWN_IDS + 1)
        )
        # SQLite takes `id` from the row with the greatest `n`.
        trees = self._database.rows(
            "SELECT tree, id, max(n) FROM experiment WHERE tree BETWEEN ? AND ?"
            " GROUP BY tree LIMIT ?",
            (*bounds, _SHOWN_IDS + 1),
        )
        return {tree: record for tree, record, _ in trees} | {row[0]: row[0] for row in rows}

    def find(self, prefix: str) -> Record:
        """Return the one record whose id begins with these hex digits.

        The id may also be that of a source measured here. Raises UsageError if none or several
        match.
        """
        if not self._database.rows("SELECT 1 FROM record LIMIT 1"):
            raise UsageError(
                f"there is no record `{prefix}`: this home has no records yet",
                unless_running("`arnode start` makes the first; ARNODE_HOME names another home"),
            )
        found = self.matching(prefix)
        if (one := only_one(prefix, found)) is None:
            raise UsageError(f"no record's id begins with `{prefix}`", "see `arnode log` for ids")
        return self.get(found[one])

    def find_author(self, prefix: str) -> bytes:
        """Return the author whose key begins with these hex digits.

        A whole key is returned even if it is unknown. Raises UsageError if none or several match.
        """
        low, high = _bounds(prefix, "a key", "keys are hex digits: see `arnode leaderboard`")
        if low == high:
            return low
        rows = self._database.rows(
            "SELECT DISTINCT author FROM record WHERE author BETWEEN ? AND ? LIMIT ?",
            (low, high, _SHOWN_IDS + 1),
        )
        author = only_one(prefix, [bytes(row[0]) for row in rows], "keys")
        if author is None:
            raise UsageError(f"no known key begins with `{prefix}`", "give the whole key")
        return author

    def listed(
        self,
        kind: str | None = None,
        author: bytes | None = None,
        *,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[Record]:
        """Return records in order of their timestamps."""
        wanted = {"kind": kind, "author": author}
        given = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(f"{name} = :{name}" for name in given) or "1"
        order = "DESC" if newest_first else "ASC"
        rows = self._database.rows(
            f"SELECT wire FROM record WHERE {where}"  # noqa: S608 (names from above)
            f" ORDER BY ts_ms {order}, n {order} LIMIT :limit",
            {**given, "limit": -1 if limit is None else limit},
        )
        return [parsed(row[0]) for row in rows]

    def page(
        self, kind: str | None, author: bytes | None, *, offset: int, limit: int
    ) -> tuple[int, list[Envelope]]:
        """Return the number of records of a kind and an author, and one page, newest first."""
        wanted = {"kind": kind, "author": author}
        given = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(f"{name} = :{name}" for name in given) or "1"
        ((total,),) = self._database.rows(f"SELECT count(*) FROM record WHERE {where}", given)  # noqa: S608 (names from above)
        rows = self._database.rows(
            f"SELECT id, kind, author, seq, ts_ms, own FROM record WHERE {where}"  # noqa: S608 (names from above)
            " ORDER BY n DESC LIMIT :limit OFFSET :offset",
            {**given, "limit": limit, "offset": offset},
        )
        return int(total), [_envelope(*row) for row in rows]

    def after(self, number: int, *, limit: int) -> list[Envelope]:
        """Return the records with numbers above `number`, in order of arrival."""
        rows = self._database.rows(
            "SELECT id, kind, author, seq, ts_ms, own FROM record WHERE n > ? ORDER BY n LIMIT ?",
            (number, limit),
        )
        return [_envelope(*row) for row in rows]

    def own(self) -> list[Record]:
        """Return this node's own records in the order they were made."""
        return [parsed(wire) for wire in self.own_wires(0)]

    def own_wires(self, start: int) -> list[bytes]:
        """Return this node's own records in the order they were made, from index `start` on."""
        statement = "SELECT wire FROM record WHERE own ORDER BY n LIMIT -1 OFFSET ?"
        return [row[0] for row in self._database.rows(statement, (start,))]

    def latest_own_ms(self) -> int:
        """Return the latest timestamp of this node's own records; 0 before the first."""
        statement = "SELECT coalesce(max(ts_ms), 0) FROM record WHERE own"
        return int(self._database.rows(statement)[0][0])

    def own_author(self) -> bytes | None:
        """Return the author of this node's latest own record; None before the first."""
        statement = "SELECT author FROM record WHERE own ORDER BY n DESC LIMIT 1"
        return next((row[0] for row in self._database.rows(statement)), None)

    def count(self, author: bytes | None = None) -> int:
        """Return the number of stored records, of all authors or of one."""
        where, given = ("", ()) if author is None else (" WHERE author = ?", (author,))
        ((number,),) = self._database.rows(f"SELECT count(*) FROM record{where}", given)  # noqa: S608
        return int(number)

    def last_number(self) -> int:
        """Return the number of the record that arrived last; 0 before the first."""
        return int(self._database.rows("SELECT coalesce(max(n), 0) FROM record")[0][0])

    def number_of(self, record_id: bytes) -> int:
        """Return a record's number in the order of arrival."""
        ((number,),) = self._database.rows("SELECT n FROM record WHERE id = ?", (record_id,))
        return int(number)

    def wires(self, record_ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the bytes of records by id, in the order of `record_ids`; omit those not stored.

        `record_ids` may have at most a few hundred ids.
        """
        places = ",".join("?" * len(record_ids))
        statement = f"SELECT id, wire FROM record WHERE id IN ({places})"  # noqa: S608 (places only)
        found = dict(self._database.rows(statement, record_ids))
        return {record_id: found[record_id] for record_id in record_ids if record_id in found}

    def damaged(self, progress: Progress) -> list[str]:
        """Return a line for each record whose bytes do not match its id or signature."""
        found: list[str] = []
        total = self.count()
        for number, (record_id, wire) in enumerate(
            self._database.stream("SELECT id, wire FROM record")
        ):
            if number % _SHOWN_EVERY == 0:
                progress("checking every record", number / total)
            record = parse_record(wire)
            fault = (
                record.reason
                if isinstance(record, Rejected)
                else "its bytes are those of another record"
            )
            if isinstance(record, Rejected) or record.id != record_id:
                found.append(f"record {record_id.hex()[:12]} cannot be read: {fault}")
        return found

    def payloads(self, where: str = "TRUE") -> Iterator[Value]:
        """Yield the decoded payload of every record that matches an SQL condition.

        Raises DamagedStoreError if one cannot be decoded.
        """
        for (wire,) in self._database.stream(f"SELECT wire FROM record WHERE {where}"):  # noqa: S608 (ours)
            head = payload_id(wire)
            value = head if isinstance(head, Rejected) else decode(head[1])
            if isinstance(value, Rejected):
                raise DamagedStoreError(
                    f"a record in the store cannot be read: {value.reason}", DAMAGED_HINT
                )
            yield value

    def _read(self, record_id: bytes) -> Record | None:
        rows = self._database.rows("SELECT wire FROM record WHERE id = ?", (record_id,))
        return parsed(rows[0][0]) if rows else None
