"""Takes in anybody's records: known ones cost next to nothing, and nobody can fill the store.

In this order: size and id, is it known (`node.store.dedupe`); bytes, fields and signatures
(`node.store.extracts`); the network; the time. What is valid and early waits in quarantine until
its time has come, within a share of each author's: what is furthest ahead makes room, and comes
again some day. What is valid and over a quota is refused and its id remembered, so that it is not
asked for again: of each author's records of one sort the newest by number stay, whatever order
they came in. Own records are nobody's to evict; own intents that everybody else has let go are
offered no longer, so that sets can become one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapreplace
from typing import Final

from node.home.clock import EARLY_MS
from node.store import archive, boards, topics
from node.store.database import Database
from node.store.dedupe import BATCH, known
from node.store.extracts import Extract, ManifestOf, Sort, extract_of
from node.store.quarantine import EARLY_IN_ALL, EARLY_OF_AUTHOR, Share, keep_early
from node.store.tally import Tally
from node.terminal.progress import Progress
from protocol.errors import Rejected
from protocol.kinds import RetractBody
from protocol.records import Record, parse_kept

INTENT_MS: Final = 24 * 60 * 60 * 1000
_MAX_REMEMBERED = 100_000  # refused ids
_PROVEN_FACTOR = 10
_ROOM_SHARE = 0.01  # cleared at once when the store is full


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """How many records are kept: of one author by sort (but for intents, ten times as many once
    proven), and in all. Of what says nothing to this version there are bounds in bytes as well and
    for everybody's together, and so there are of what waits because it is early.
    """

    news: int = 5_000
    bulk: int = 50_000
    intent: int = 100
    unknown: int = 200
    unknown_bytes: int = 512 << 10
    unknown_in_all: int = 20_000
    early: Share = EARLY_OF_AUTHOR
    early_in_all: Share = EARLY_IN_ALL
    total: int = 2_000_000

    def of(self, sort: Sort) -> int:
        """Return the quota of a sort."""
        by_sort: dict[Sort, int] = {
            "news": self.news,
            "bulk": self.bulk,
            "intent": self.intent,
            "unknown": self.unknown,
        }
        return by_sort[sort]


@dataclass(kw_only=True)
class Report:
    """What became of a stretch of records; `claimed` are patches that new confirmations name."""

    new: list[bytes] = field(default_factory=list)
    claimed: list[bytes] = field(default_factory=list)
    duplicates: int = 0
    quarantined: int = 0
    over_quota: int = 0
    expired: int = 0
    rejected: list[str] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        """Let this be the report of both."""
        self.new += other.new
        self.claimed += other.claimed
        self.duplicates += other.duplicates
        self.quarantined += other.quarantined
        self.over_quota += other.over_quota
        self.expired += other.expired
        self.rejected += other.rejected


def take(
    database: Database,
    read: Sequence[Extract | Rejected],
    *,
    net: str,
    now_ms: int,
    quotas: Quotas,
    manifest_of: ManifestOf,
) -> Report:
    """Keep in one transaction what of some records is new, of this network and within the quotas.

    Whoever read them may have taken its time, so that others brought some of it. `read` holds them,
    or why they are none.
    """
    report, different = Report(), dict[bytes, Extract]()
    for one in read:
        if isinstance(one, Rejected):
            report.rejected.append(one.reason)
        elif one.net != net:
            report.rejected.append(f"of the network {one.net}, not {net}")
        elif one.id in different:
            report.duplicates += 1
        else:
            different[one.id] = one
    seen = known(database, [*different])
    report.duplicates += len(seen)
    fresh = [one for one in different.values() if one.id not in seen]
    if not fresh:
        return report
    early = [one for one in fresh if one.ts_ms > now_ms + EARLY_MS]
    with database.loose_transaction():
        with Tally(database) as tally:
            for one in fresh:
                if one.ts_ms <= now_ms + EARLY_MS:
                    _take(database, one, tally, report, quotas, manifest_of, now_ms)
        report.quarantined = keep_early(
            database, early, of_author=quotas.early, in_all=quotas.early_in_all
        )
        _make_room(database, quotas, has_unknown=any(one.sort == "unknown" for one in fresh))
    return report


def release(database: Database, *, now_ms: int, quotas: Quotas, manifest_of: ManifestOf) -> Report:
    """Take in what waited in quarantine and is no longer early, in one step."""
    report = Report()
    with database.transaction():
        early = database.rows(
            "SELECT id, wire FROM quarantine WHERE ts_ms <= ? ORDER BY ts_ms, id",
            (now_ms + EARLY_MS,),
        )
        with Tally(database) as tally:
            for record_id, wire in early:
                database.rows("DELETE FROM quarantine WHERE id = ?", (record_id,))
                record = parse_kept(wire)
                if isinstance(record, Rejected) or record.is_outdated:
                    continue  # it waited while the rules became stricter
                one = extract_of(record, manifest_of)
                _take(database, one, tally, report, quotas, manifest_of, now_ms)
        _make_room(database, quotas)
    return report


def keep_own(database: Database, record: Record, *, manifest_of: ManifestOf) -> None:
    """Store an own record and all that is derived from it, within the caller's transaction."""
    one = extract_of(record, manifest_of)
    if archive.insert(database, one, own=True):
        with Tally(database) as tally:
            tally.count(one.author, one.sort)
        topics.forget(database, one.id)  # as another's it may have been refused
        _derive(database, one, manifest_of)


def rederive(database: Database, *, manifest_of: ManifestOf, progress: Progress) -> None:
    """Derive anew what follows from the records of everybody. Within a transaction."""
    boards.forget_all(database)
    topics.forget_all(database)
    database.rows("DELETE FROM tally")
    ((last,),) = database.rows("SELECT coalesce(max(n), 0) FROM record")
    for start in range(1, last + 1, BATCH):
        progress("deriving boards from the records", start / last)
        rows = database.rows(
            "SELECT n, id, own, wire FROM record WHERE n BETWEEN ? AND ?",
            (start, start + BATCH - 1),
        )
        with Tally(database) as tally:
            for number, record_id, is_own, wire in rows:
                record = archive.parsed_today(wire, record_id, is_own=is_own)
                if record is None:
                    database.rows("DELETE FROM record WHERE n = ?", (number,))
                    continue
                one = extract_of(record, manifest_of)
                database.rows(
                    "UPDATE record SET net = ?, sort = ?, patch = ? WHERE n = ?",
                    (one.net, one.sort, one.patch, number),
                )
                tally.count(one.author, one.sort)
                _derive(database, one, manifest_of)


def forget_old_intents(database: Database, now_ms: int, quotas: Quotas) -> int:
    """Remove others' intents of more than a day ago, offer own ones no longer; return how many."""
    rows = database.rows(
        "SELECT id, own FROM record WHERE kind = 'intent' AND ts_ms < ?"
        " AND (NOT own OR id IN (SELECT id FROM membership WHERE held))",
        (now_ms - INTENT_MS,),
    )
    with database.transaction():
        with Tally(database) as tally:
            for record_id, is_own in rows:
                if is_own:
                    topics.note_removed(database, record_id)
                else:
                    _evict(database, record_id, tally)
        withdraw_intents(database, quotas)
    return sum(not is_own for _, is_own in rows)


def withdraw_intents(database: Database, quotas: Quotas, *, at_most: int = -1) -> None:
    """Offer own intents over an author's quota no longer: nobody else has them any more.

    The newest of those that are too many come first; after each that is made it is one.
    """
    for (record_id,) in database.rows(
        "SELECT id FROM record WHERE own AND kind = 'intent' ORDER BY n DESC LIMIT ? OFFSET ?",
        (at_most, quotas.intent),
    ):
        if topics.topics_held(database, record_id):
            topics.note_removed(database, record_id)


def _take(
    database: Database,
    one: Extract,
    tally: Tally,
    report: Report,
    quotas: Quotas,
    manifest_of: ManifestOf,
    now_ms: int,
) -> None:
    if one.sort == "intent" and one.ts_ms < now_ms - INTENT_MS:
        _refuse_new(database, one)
        report.expired += 1
    elif _admit(database, one, tally, quotas):
        archive.insert(database, one, own=False)
        _derive(database, one, manifest_of)
        report.new.append(one.id)
        if one.sort == "news" and one.patch is not None:
            report.claimed.append(one.patch)
    else:
        report.over_quota += 1


def _derive(database: Database, one: Extract, manifest_of: ManifestOf) -> None:
    """Derive what follows from a record that was just stored."""
    twins = archive.bearing(database, one.author, one.seq)
    if len(twins) > 1:
        boards.note_equivocation(database, one, [twin.id for twin in twins])
        topics.note_equivocation(database, one, twins)
    if one.sort == "news":
        boards.derive(database, one, manifest_of)
    topics.derive(database, one)


def _admit(database: Database, one: Extract, tally: Tally, quotas: Quotas) -> bool:
    """Count a record within its author's quota and make room for it, or refuse it."""
    count = tally.count(one.author, one.sort)
    while not _is_within(database, one, count, quotas):
        if _settles(database, one):
            return True
        oldest = _oldest(database, one.author, one.sort, 1)
        if not oldest or (one.seq, one.id) < oldest[0]:
            tally.uncount(one.author, one.sort)
            _refuse_new(database, one)
            return False
        _evict(database, oldest[0][1], tally)
        count -= 1
    return True


def _is_within(database: Database, one: Extract, count: int, quotas: Quotas) -> bool:
    """Say whether there is room for a record, with which its author has so many of its sort."""
    quota, quota_bytes, size_bytes = quotas.of(one.sort), 0, 0
    if one.sort == "unknown":
        # Of the others nobody makes long ones that say little.
        quota_bytes, size_bytes = quotas.unknown_bytes, _bytes_of(database, one) + len(one.wire)
    if count <= quota and size_bytes <= quota_bytes:
        return True
    # Who is proven differs from node to node, and an intent is worth nothing to prove anything by.
    more = 1 if one.sort == "intent" else _PROVEN_FACTOR
    return (
        count <= more * quota
        and size_bytes <= more * quota_bytes
        and _is_proven(database, one.author)
    )


def _bytes_of(database: Database, one: Extract) -> int:
    """Return how long an author's records of a record's sort are together."""
    ((size_bytes,),) = database.rows(
        "SELECT coalesce(sum(length(wire)), 0) FROM record WHERE author = ? AND sort = ?",
        (one.author, one.sort),
    )
    return int(size_bytes)


def _is_proven(database: Database, author: bytes) -> bool:
    return bool(database.rows("SELECT 1 FROM proven WHERE author = ?", (author,)))


def _settles(database: Database, one: Extract) -> bool:
    """Say whether a record decides what its author's others are worth: one of each is kept."""
    if one.kind == RetractBody.kind:  # of a flood of others none is read again
        body = archive.parsed(one.wire, is_verified=True).body
        if isinstance(body, RetractBody) and body.target is None:
            revoked = "SELECT 1 FROM withdrawal WHERE author = ? AND target IS NULL"
            return not database.rows(revoked, (one.author,))
    proof = (
        f"SELECT 1 FROM record WHERE {archive.BEARING}"  # noqa: S608 (constant)
        " AND NOT EXISTS (SELECT 1 FROM equivocation WHERE author = ?1)"
    )
    return bool(database.rows(proof, (one.author, one.seq)))


def _oldest(database: Database, author: bytes, sort: Sort, limit: int) -> list[tuple[int, bytes]]:
    """Return number and id of the records to go first; those that settle something stay."""
    return database.rows(
        "SELECT seq, id FROM record WHERE author = ?1 AND sort = ?2 AND NOT own AND id NOT IN ("
        "SELECT first FROM equivocation WHERE author = ?1"
        " UNION SELECT second FROM equivocation WHERE author = ?1"
        " UNION SELECT min(record) FROM withdrawal WHERE author = ?1 AND target IS NULL"
        " GROUP BY author) ORDER BY seq, id LIMIT ?3",
        (author, sort, limit),
    )


def _make_room(database: Database, quotas: Quotas, *, has_unknown: bool = True) -> None:
    """Over the totals, take the oldest from whoever has most and proved nothing here."""
    _shrink(database, quotas.total, "TRUE")
    if has_unknown:
        _shrink(database, quotas.unknown_in_all, "sort = 'unknown'")


def _shrink(database: Database, most: int, where: str) -> None:
    """Bring some sorts' records of everybody down to fewer than so many, if they are more."""
    ((total,),) = database.rows(f"SELECT coalesce(sum(count), 0) FROM tally WHERE {where}")  # noqa: S608 (constants)
    if total <= most:
        return
    rows = database.rows(
        f"SELECT -count, author, sort FROM tally WHERE count > 0 AND {where}"  # noqa: S608 (constants)
        " AND author NOT IN (SELECT author FROM proven)"
        " AND author NOT IN (SELECT author FROM record WHERE own LIMIT 1)"
        " ORDER BY count DESC, author, sort"
    )
    share: Counter[tuple[bytes, Sort]] = Counter()
    for _ in range(total - int(most * (1 - _ROOM_SHARE)) if rows else 0):
        count, author, sort = rows[0]
        share[author, sort] += 1
        heapreplace(rows, (count + 1, author, sort))
    with Tally(database) as tally:
        for (author, sort), number in share.items():
            for _, record_id in _oldest(database, author, sort, number):
                _evict(database, record_id, tally)


def _evict(database: Database, record_id: bytes, tally: Tally) -> None:
    """Remove a record that peers may still have."""
    ((net, ts_ms, author, sort),) = database.rows(
        "SELECT net, ts_ms, author, sort FROM record WHERE id = ?", (record_id,)
    )
    _refuse(database, record_id, net, ts_ms)
    boards.forget(database, record_id)
    topics.note_removed(database, record_id)
    tally.uncount(author, sort)
    database.rows("DELETE FROM record WHERE id = ?", (record_id,))


def _refuse_new(database: Database, one: Extract) -> None:
    """Remember a record that was never kept."""
    _refuse(database, one.id, one.net, one.ts_ms)
    topics.note_refused(database, one)


def _refuse(database: Database, record_id: bytes, net: str, ts_ms: int) -> None:
    """Remember an id that is not wanted; the oldest of too many are forgotten."""
    number = database.insert(
        "INSERT OR IGNORE INTO refused (id, net, ts_ms) VALUES (?,?,?)", (record_id, net, ts_ms)
    )
    forgotten = (number - _MAX_REMEMBERED,)
    for (old,) in database.rows("SELECT id FROM refused WHERE n <= ?", forgotten):
        topics.forget(database, old)
    database.rows("DELETE FROM refused WHERE n <= ?", forgotten)
