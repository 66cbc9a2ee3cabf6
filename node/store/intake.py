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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from heapq import heapreplace
from typing import Final

from node.home.clock import EARLY_MS
from node.store.boards import Boards
from node.store.database import Database
from node.store.dedupe import BATCH, Deduped, batches, dedupe, known
from node.store.extracts import Extract, extract, extract_of
from node.store.records import BEARING, Records, parsed
from node.store.shares import EARLY_IN_ALL, EARLY_OF_AUTHOR, RecordCounts, Share, keep_early
from node.store.topics import Topics
from node.terminal.progress import Progress
from protocol.body import Sort
from protocol.errors import Rejected
from protocol.records import MAIN_NET, Record
from protocol.remarks import RetractBody

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
        return int(getattr(self, sort))  # it is called like it


@dataclass(kw_only=True)
class IntakeReport:
    """What became of a stretch of records; `claimed` are patches that new confirmations name."""

    new: list[bytes] = field(default_factory=list)
    claimed: list[bytes] = field(default_factory=list)
    duplicates: int = 0
    quarantined: int = 0
    over_quota: int = 0
    expired: int = 0
    rejected: list[str] = field(default_factory=list)

    def add(self, other: "IntakeReport") -> None:
        """Let this be the report of both."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


class Intake:
    """Takes in records, and derives what follows from them."""

    def __init__(
        self, database: Database, records: Records, boards: Boards, topics: Topics, quotas: Quotas
    ) -> None:
        self._database = database
        self._records = records
        self._boards = boards
        self._topics = topics
        self.quotas = quotas

    def ingest(self, wires: Iterable[bytes], *, now_ms: int, net: str = MAIN_NET) -> IntakeReport:
        """Take in anybody's records, as far as they are new, valid and within the quotas."""
        report = IntakeReport()
        for batch in batches(wires):
            deduped = self.dedupe(batch)
            report.duplicates += deduped.duplicates
            report.rejected += deduped.rejected
            read = [extract(wire, self._records.manifest) for wire in deduped.unread]
            report.add(self.take(read, now_ms=now_ms, net=net))
        return report

    def dedupe(self, wires: Sequence[bytes]) -> Deduped:
        """Tell which wires may be new and are to be read."""
        return dedupe(self._database, wires)

    def lacking(self, record_ids: Sequence[bytes]) -> list[bytes]:
        """Return which ids are neither here, nor refused, nor in quarantine."""
        seen = known(self._database, record_ids)
        return [record_id for record_id in record_ids if record_id not in seen]

    def take(
        self,
        read: Sequence[Extract | Rejected],
        *,
        now_ms: int,
        net: str = MAIN_NET,
        introducer: str | None = None,
    ) -> IntakeReport:
        """Keep in one transaction what of some records is new, of this network, within quotas.

        Whoever read them may have taken its time, so that others brought some of it. `read` holds
        them, or why they are none; `introducer` is the neighbour they came from, None if from none.
        """
        report, different = IntakeReport(), dict[bytes, Extract]()
        for one in read:
            if isinstance(one, Rejected):
                report.rejected.append(one.reason)
            elif one.net != net:
                report.rejected.append(f"of the network {one.net}, not {net}")
            elif one.id in different:
                report.duplicates += 1
            else:
                different[one.id] = one
        seen = known(self._database, [*different])
        report.duplicates += len(seen)
        fresh = [one for one in different.values() if one.id not in seen]
        if not fresh:
            return report
        early = [one for one in fresh if one.ts_ms > now_ms + EARLY_MS]
        with self._database.loose_transaction():
            with RecordCounts.of(self._database) as tally:
                for one in fresh:
                    if one.ts_ms <= now_ms + EARLY_MS:
                        self._take(one, tally, report, now_ms, introducer)
            report.quarantined = keep_early(
                self._database,
                early,
                introducer=introducer,
                of_author=self.quotas.early,
                in_all=self.quotas.early_in_all,
            )
            self._make_room(has_unknown=any(one.sort == "unknown" for one in fresh))
        return report

    def settle(self, *, now_ms: int) -> tuple[int, IntakeReport]:
        """Forget intents of more than a day ago, and take in what is no longer early.

        Return how many were forgotten, and what became of those that waited.
        """
        forgotten = self._forget_old_intents(now_ms)
        report = IntakeReport()
        with self._database.transaction():
            early = self._database.rows(
                "SELECT id, wire, introducer FROM quarantine WHERE ts_ms <= ? ORDER BY ts_ms, id",
                (now_ms + EARLY_MS,),
            )
            with RecordCounts.of(self._database) as tally:
                for record_id, wire, introducer in early:
                    self._database.rows("DELETE FROM quarantine WHERE id = ?", (record_id,))
                    one = extract_of(parsed(wire), self._records.manifest)
                    self._take(one, tally, report, now_ms, introducer)
            self._make_room()
        return forgotten, report

    def keep_own(self, record: Record) -> None:
        """Store an own record and all that is derived from it, within the caller's transaction."""
        one = extract_of(record, self._records.manifest)
        if self._records.insert(one, own=True):
            with RecordCounts.of(self._database) as tally:
                tally.count(one.author, one.sort)
            self._topics.forget(one.id)  # as another's it may have been refused
            self._derive(one)
        if one.sort == "intent":
            self._withdraw_intents(at_most=1)

    def rederive(self, progress: Progress) -> None:
        """Derive anew what follows from the records of everybody. Within a transaction."""
        self._boards.forget_all()
        self._topics.forget_all()
        self._database.rows("DELETE FROM tally")
        ((last,),) = self._database.rows("SELECT coalesce(max(n), 0) FROM record")
        for start in range(1, last + 1, BATCH):
            progress("deriving boards from the records", start / last)
            rows = self._database.rows(
                "SELECT n, wire FROM record WHERE n BETWEEN ? AND ?",
                (start, start + BATCH - 1),
            )
            with RecordCounts.of(self._database) as tally:
                for number, wire in rows:
                    one = extract_of(parsed(wire), self._records.manifest)
                    self._database.rows(
                        "UPDATE record SET net = ?, sort = ?, patch = ?, about = ? WHERE n = ?",
                        (one.net, one.sort, one.patch, one.about, number),
                    )
                    tally.count(one.author, one.sort)
                    self._derive(one)

    def _forget_old_intents(self, now_ms: int) -> int:
        """Remove others' intents of over a day ago, offer own ones no longer; return how many."""
        rows = self._database.rows(
            "SELECT id, own FROM record WHERE kind = 'intent' AND ts_ms < ?"
            " AND (NOT own OR id IN (SELECT id FROM membership WHERE held))",
            (now_ms - INTENT_MS,),
        )
        with self._database.transaction():
            with RecordCounts.of(self._database) as tally:
                for record_id, is_own in rows:
                    if is_own:
                        self._topics.note_removed(record_id)
                    else:
                        self._evict(record_id, tally)
            self._withdraw_intents()
        return sum(not is_own for _, is_own in rows)

    def _withdraw_intents(self, *, at_most: int = -1) -> None:
        """Offer own intents over an author's quota no longer: nobody else has them any more.

        The newest of those that are too many come first; after each that is made it is one.
        """
        for (record_id,) in self._database.rows(
            "SELECT id FROM record WHERE own AND kind = 'intent' ORDER BY n DESC LIMIT ? OFFSET ?",
            (at_most, self.quotas.intent),
        ):
            if self._topics.of(record_id):
                self._topics.note_removed(record_id)

    def _take(
        self,
        one: Extract,
        tally: RecordCounts,
        report: IntakeReport,
        now_ms: int,
        introducer: str | None,
    ) -> None:
        if one.sort == "intent" and one.ts_ms < now_ms - INTENT_MS:
            self._refuse_new(one)
            report.expired += 1
        elif self._admit(one, tally):
            self._records.insert(one, own=False, introducer=introducer)
            self._derive(one)
            report.new.append(one.id)
            if one.sort == "news" and one.patch is not None:
                report.claimed.append(one.patch)
        else:
            report.over_quota += 1

    def _derive(self, one: Extract) -> None:
        """Derive what follows from a record that was just stored."""
        twins = self._records.bearing(one.author, one.seq)
        if len(twins) > 1:
            self._boards.note_equivocation(one, [twin.id for twin in twins])
            self._topics.note_equivocation(one, twins)
        if one.sort == "news":
            self._boards.derive(one)
        self._topics.derive(one)

    def _admit(self, one: Extract, tally: RecordCounts) -> bool:
        """Count a record within its author's quota and make room for it, or refuse it."""
        count = tally.count(one.author, one.sort)
        while not self._is_within(one, count):
            if self._settles(one):
                return True
            oldest = self._oldest(one.author, one.sort, 1)
            if not oldest or (one.seq, one.id) < oldest[0]:
                tally.uncount(one.author, one.sort)
                self._refuse_new(one)
                return False
            self._evict(oldest[0][1], tally)
            count -= 1
        return True

    def _is_within(self, one: Extract, count: int) -> bool:
        """Say whether there is room for a record, with which its author has so many of its sort."""
        quota, quota_bytes, size_bytes = self.quotas.of(one.sort), 0, 0
        if one.sort == "unknown":
            # Of the others nobody makes long ones that say little.
            quota_bytes = self.quotas.unknown_bytes
            size_bytes = self._bytes_of(one) + len(one.wire)
        if count <= quota and size_bytes <= quota_bytes:
            return True
        # Who is proven differs from node to node, and an intent proves nothing.
        more = 1 if one.sort == "intent" else _PROVEN_FACTOR
        return (
            count <= more * quota
            and size_bytes <= more * quota_bytes
            and bool(self._database.rows("SELECT 1 FROM proven WHERE author = ?", (one.author,)))
        )

    def _bytes_of(self, one: Extract) -> int:
        """Return how long an author's records of a record's sort are together."""
        ((size_bytes,),) = self._database.rows(
            "SELECT coalesce(sum(length(wire)), 0) FROM record WHERE author = ? AND sort = ?",
            (one.author, one.sort),
        )
        return int(size_bytes)

    def _settles(self, one: Extract) -> bool:
        """Say whether a record decides what its author's others are worth: one of each is kept."""
        if one.kind == RetractBody.kind:  # of a flood of others none is read again
            body = parsed(one.wire, is_verified=True).body
            if isinstance(body, RetractBody) and body.target is None:
                revoked = "SELECT 1 FROM withdrawal WHERE author = ? AND target IS NULL"
                return not self._database.rows(revoked, (one.author,))
        proof = (
            f"SELECT 1 FROM record WHERE {BEARING}"  # noqa: S608 (constant)
            " AND NOT EXISTS (SELECT 1 FROM equivocation WHERE author = ?1)"
        )
        return bool(self._database.rows(proof, (one.author, one.seq)))

    def _oldest(self, author: bytes, sort: Sort, limit: int) -> list[tuple[int, bytes]]:
        """Return number and id of the records to go first; those that settle something stay."""
        return self._database.rows(
            "SELECT seq, id FROM record WHERE author = ?1 AND sort = ?2 AND NOT own AND id NOT IN ("
            "SELECT first FROM equivocation WHERE author = ?1"
            " UNION SELECT second FROM equivocation WHERE author = ?1"
            " UNION SELECT min(record) FROM withdrawal WHERE author = ?1 AND target IS NULL"
            " GROUP BY author) ORDER BY seq, id LIMIT ?3",
            (author, sort, limit),
        )

    def _make_room(self, *, has_unknown: bool = True) -> None:
        """Over the totals, take the oldest from whoever has most and proved nothing here."""
        self._shrink(self.quotas.total, "TRUE")
        if has_unknown:
            self._shrink(self.quotas.unknown_in_all, "sort = 'unknown'")

    def _shrink(self, most: int, where: str) -> None:
        """Bring some sorts' records of everybody down to fewer than so many, if they are more."""
        ((total,),) = self._database.rows(
            f"SELECT coalesce(sum(count), 0) FROM tally WHERE {where}"  # noqa: S608 (constants)
        )
        if total <= most:
            return
        rows = self._database.rows(
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
        with RecordCounts.of(self._database) as tally:
            for (author, sort), number in share.items():
                for _, record_id in self._oldest(author, sort, number):
                    self._evict(record_id, tally)

    def _evict(self, record_id: bytes, tally: RecordCounts) -> None:
        """Remove a record that peers may still have."""
        ((net, ts_ms, author, sort),) = self._database.rows(
            "SELECT net, ts_ms, author, sort FROM record WHERE id = ?", (record_id,)
        )
        self._refuse(record_id, net, ts_ms)
        self._boards.forget(record_id)
        self._topics.note_removed(record_id)
        tally.uncount(author, sort)
        self._database.rows("DELETE FROM record WHERE id = ?", (record_id,))

    def _refuse_new(self, one: Extract) -> None:
        """Remember a record that was never kept."""
        self._refuse(one.id, one.net, one.ts_ms)
        self._topics.note_refused(one)

    def _refuse(self, record_id: bytes, net: str, ts_ms: int) -> None:
        """Remember an id that is not wanted; the oldest of too many are forgotten."""
        number = self._database.insert(
            "INSERT OR IGNORE INTO refused (id, net, ts_ms) VALUES (?,?,?)", (record_id, net, ts_ms)
        )
        forgotten = (number - _MAX_REMEMBERED,)
        for (old,) in self._database.rows("SELECT id FROM refused WHERE n <= ?", forgotten):
            self._topics.forget(old)
        self._database.rows("DELETE FROM refused WHERE n <= ?", forgotten)
