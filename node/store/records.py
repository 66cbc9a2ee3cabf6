"""The table of records: inserting, finding, listing. `Store` adds the transactions.

Bytes that came out of the database are parsed like anybody's; what no longer reads is damage.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from node.home.faults import DAMAGED_HINT, DamagedStoreError
from node.store.database import Database
from node.store.extracts import NO_NET, SORTS, Extract
from node.terminal.progress import Progress
from protocol.encoding import Value, decode
from protocol.errors import Rejected, UsageError
from protocol.records import Record, parse_again, parse_kept, payload_id

PREFIX_DIGITS = 8
# Which records bear an author's number ?1, ?2: with the sorts, an index finds them.
BEARING = f"author = ?1 AND seq = ?2 AND sort IN {SORTS}"
_SHOWN_EVERY = 1_000
_ID_DIGITS = 64


def parsed(wire: bytes, *, is_verified: bool = False) -> Record:
    """Return the record in a row; `is_verified`: its signatures were found to hold as it came."""
    record = parse_again(wire) if is_verified else parse_kept(wire)
    if isinstance(record, Rejected):
        raise DamagedStoreError(
            f"a record in the store does not read: {record.reason}", DAMAGED_HINT
        )
    return record


def parsed_today(wire: bytes, record_id: bytes, *, is_own: bool) -> Record | None:
    """Return the record in a row; None for another's that is whole and no record any more.

    Rules that became stricter, on signatures for instance, refuse what was taken before.
    """
    record, head = parse_kept(wire), payload_id(wire)
    if isinstance(record, Record):
        return record
    is_whole = not isinstance(head, Rejected) and head[0] == record_id
    return None if is_whole and not is_own else parsed(wire)


def insert(database: Database, one: Extract, *, own: bool) -> bool:
    """Keep a record and say whether it is new; one that is there stays where it is."""
    if own:
        database.rows("UPDATE record SET own = 1 WHERE id = ?", (one.id,))
    number = database.insert(
        "INSERT OR IGNORE INTO record"
        " (id, kind, author, seq, ts_ms, own, wire, net, sort, patch)"
        " VALUES (?,?,?,?,?,?,?,?,?,?)",
        (
            *(one.id, one.kind, one.author, one.seq, one.ts_ms),
            *(own, one.wire, one.net, one.sort, one.patch),
        ),
    )
    return number > 0


class Bearer(NamedTuple):
    """A record that bears an author's number."""

    id: bytes
    net: str
    ts_ms: int


def bearing(database: Database, author: bytes, seq: int) -> list[Bearer]:
    """Return the records that bear an author's number: more than one is an equivocation."""
    statement = f"SELECT id, net, ts_ms FROM record WHERE {BEARING}"  # noqa: S608 (constant)
    return [Bearer(*row) for row in database.rows(statement, (author, seq))]


def end_of_chain(database: Database, author: bytes) -> tuple[int, bytes | None]:
    """Return the sequence number that an author's next record has, and what it follows."""
    statement = "SELECT seq, id FROM record WHERE author = ? AND sort = ? ORDER BY seq DESC LIMIT 1"
    last = [row for sort in SORTS for row in database.rows(statement, (author, sort))]
    if not last:
        return 0, None
    seq, record_id = max(last)
    return seq + 1, record_id


def get(database: Database, record_id: bytes) -> Record | None:
    """Return the record with this id."""
    rows = database.rows("SELECT wire FROM record WHERE id = ?", (record_id,))
    return parsed(rows[0][0]) if rows else None


def find(database: Database, prefix: str) -> Record:
    """Return the one record whose id begins with these hex digits."""
    bounds = _bounds(prefix, "an id", "ids are hex digits: see `arnode log`")
    rows = database.rows("SELECT wire FROM record WHERE id BETWEEN ? AND ? LIMIT 2", bounds)
    if len(rows) == 1:
        return parsed(rows[0][0])
    if rows:
        raise UsageError(f"`{prefix}` fits several records", "give more of its digits")
    raise UsageError(f"no record begins with `{prefix}`", "see `arnode log` for ids")


def find_author(database: Database, prefix: str) -> bytes:
    """Return the one author whose key begins with these hex digits; a whole key may be unknown."""
    low, high = _bounds(prefix, "a key", "keys are hex digits: see `arnode leaderboard`")
    if low == high:
        return low
    rows = database.rows(
        "SELECT DISTINCT author FROM record WHERE author BETWEEN ? AND ? LIMIT 2", (low, high)
    )
    if len(rows) == 1:
        return bytes(rows[0][0])
    if rows:
        raise UsageError(f"`{prefix}` fits several keys", "give more of its digits")
    raise UsageError(f"nobody whose key begins with `{prefix}` is known here", "give the whole key")


def listed(
    database: Database,
    *,
    kind: str | None,
    author: bytes | None,
    newest_first: bool,
    limit: int | None,
) -> list[Record]:
    """Return records in the order of their times."""
    wanted = {"kind": kind, "author": author}
    given = {name: value for name, value in wanted.items() if value is not None}
    where = " AND ".join(f"{name} = :{name}" for name in given) or "1"
    order = "DESC" if newest_first else "ASC"
    rows = database.rows(
        f"SELECT wire FROM record WHERE {where}"  # noqa: S608 (names from above)
        f" ORDER BY ts_ms {order}, n {order} LIMIT :limit",
        {**given, "limit": -1 if limit is None else limit},
    )
    return [parsed(row[0]) for row in rows]


def own_wires(database: Database, start: int) -> list[bytes]:
    """Return this node's own records in the order they were made, from index `start` on."""
    statement = "SELECT wire FROM record WHERE own ORDER BY n LIMIT -1 OFFSET ?"
    return [row[0] for row in database.rows(statement, (start,))]


def count(database: Database, author: bytes | None = None) -> int:
    """Return how many records are here, of everybody or of one author."""
    where, given = ("", ()) if author is None else (" WHERE author = ?", (author,))
    ((number,),) = database.rows(f"SELECT count(*) FROM record{where}", given)  # noqa: S608
    return int(number)


def number_of(database: Database, record_id: bytes) -> int:
    """Return the number of a record in the order of arrival."""
    ((number,),) = database.rows("SELECT n FROM record WHERE id = ?", (record_id,))
    return int(number)


def wires(database: Database, record_ids: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return those of some hundred records that are here, by id, in the order asked for."""
    places = ",".join("?" * len(record_ids))
    statement = f"SELECT id, wire FROM record WHERE id IN ({places})"  # noqa: S608 (places only)
    found = dict(database.rows(statement, record_ids))
    return {record_id: found[record_id] for record_id in record_ids if record_id in found}


def damaged(database: Database, progress: Progress) -> list[str]:
    """Return which records are not what their id and signature say."""
    found: list[str] = []
    total = count(database)
    for number, (record_id, wire) in enumerate(database.stream("SELECT id, wire FROM record")):
        if number % _SHOWN_EVERY == 0:
            progress("checking every record", number / total)
        record = parse_kept(wire)
        fault = record.reason if isinstance(record, Rejected) else "its bytes are another's"
        if isinstance(record, Rejected) or record.id != record_id:
            found.append(f"record {record_id.hex()[:12]} does not read: {fault}")
    return found


def outdated(database: Database) -> list[bytes]:
    """Return the ids of the records here that nobody takes any more, in the order they came."""
    rows = database.rows("SELECT id FROM record WHERE net = ? ORDER BY n", (NO_NET,))
    return [row[0] for row in rows]


def payloads(database: Database, where: str = "TRUE") -> Iterator[Value]:
    """Yield what every record says, as a value; `where`: of which records, in SQL."""
    for (wire,) in database.stream(f"SELECT wire FROM record WHERE {where}"):  # noqa: S608 (ours)
        head = payload_id(wire)
        value = head if isinstance(head, Rejected) else decode(head[1])
        if isinstance(value, Rejected):
            raise DamagedStoreError(
                f"a record in the store does not read: {value.reason}", DAMAGED_HINT
            )
        yield value


def _bounds(prefix: str, what: str, hint: str) -> tuple[bytes, bytes]:
    """Return the least and the greatest 32 bytes that begin with these hex digits."""
    digits = prefix.lower()
    if not set(digits) <= set("0123456789abcdef"):
        raise UsageError(f"`{prefix}` is not {what}", hint)
    if not PREFIX_DIGITS <= len(digits) <= _ID_DIGITS:
        raise UsageError(
            f"the {what.split()[1]} `{prefix}` has {len(digits)} digits",
            f"give {PREFIX_DIGITS} to {_ID_DIGITS} of them",
        )
    low, high = (bytes.fromhex(digits.ljust(_ID_DIGITS, filler)) for filler in "0f")
    return low, high
