"""Intake of untrusted records. Known records are skipped early, and quotas limit the others.

The checks run in this order: size, id, and whether the id is known (`node.store.dedupe`); encoding,
fields and signature (`node.store.extracts`); the network; the time. A valid record with a time in
the future waits in quarantine until then. The quarantine has a limit per author. If an author
exceeds it, the record furthest in the future is dropped; peers will offer it again.

A valid record over a quota is refused. Its id is remembered, so that it is not requested again.
Quotas are per author and category (`Sort`). The records with the highest sequence numbers stay,
whatever the order of arrival. This node's own records are never evicted. Peers drop intents that
are old or over the quota. Therefore the node stops offering such intents of its own, so that all
nodes can end up with equal sets of records.
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
from node.store.records import WITH_SEQ, Records, parsed
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
_ROOM_SHARE = 0.01  # the fraction of records that is removed at once when the store is full


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """The limits on stored records: per author and category, and in total.

    A proven author (one whose claim a re-run of this node confirmed) may have ten times as many
    records of each category, except for intents. Records of unknown kinds and records in quarantine
    have further limits: in bytes per author, and over all authors together.
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
        """Return an author's quota of records of this category."""
        return int(getattr(self, sort))  # the field has the category's name


@dataclass(kw_only=True)
class IntakeReport:
    """Counts and ids of a batch after intake.

    `claimed` are the patches that the new records of category `news` are about.
    """

    new: list[bytes] = field(default_factory=list)
    claimed: list[bytes] = field(default_factory=list)
    duplicates: int = 0
    quarantined: int = 0
    over_quota: int = 0
    expired: int = 0
    rejected: list[str] = field(default_factory=list)

    def add(self, other: "IntakeReport") -> None:
        """Add the numbers and lists of another report to this one."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


class Intake:
    """The intake of records, which stores them and derives the other tables from them."""

    def __init__(
        self, database: Database, records: Records, boards: Boards, topics: Topics, quotas: Quotas
    ) -> None:
        self._database = database
        self._records = records
        self._boards = boards
        self._topics = topics
        self.quotas = quotas

    def ingest(self, wires: Iterable[bytes], *, now_ms: int, net: str = MAIN_NET) -> IntakeReport:
        """Store untrusted records that are new, valid and within the quotas."""
        report = IntakeReport()
        for batch in batches(wires):
            deduped = self.dedupe(batch)
            report.duplicates += deduped.duplicates
            report.rejected += deduped.rejected
            read = [extract(wire, self._records.manifest) for wire in deduped.unread]
            report.add(self.take(read, now_ms=now_ms, net=net))
        return report

    def dedupe(self, wires: Sequence[bytes]) -> Deduped:
        """Return the encoded records that may be new and must be parsed."""
        return dedupe(self._database, wires)

    def lacking(self, record_ids: Sequence[bytes]) -> list[bytes]:
        """Return the ids that are not stored, refused or in quarantine."""
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
        """Store the parsed records that are new, of this network and within quotas.

        All are stored in one transaction. Parsing takes time, and other peers may have sent the
        same records meanwhile, so known records are skipped again. `read` has the parsed records,
        and a `Rejected` for each invalid one. `introducer` is the neighbour that sent them, if any.
        """
        report, different = IntakeReport(), dict[bytes, Extract]()
        for one in read:
            if isinstance(one, Rejected):
                report.rejected.append(one.reason)
            elif one.net != net:
                report.rejected.append(f"it belongs to the network {one.net}, not {net}")
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
            with RecordCounts.of(self._database) as counts:
                for one in fresh:
                    if one.ts_ms <= now_ms + EARLY_MS:
                        self._take(one, counts, report, now_ms, introducer)
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
        """Remove outdated intents, and store quarantined records that are no longer too early.

        An intent announces an idea that its author tries soon; it is outdated after a day. Records
        are quarantined while their timestamps are too far in the future. Return the number of
        removed intents, and the report on the records from quarantine.
        """
        forgotten = self._forget_old_intents(now_ms)
        report = IntakeReport()
        with self._database.transaction():
            early = self._database.rows(
                "SELECT id, wire, introducer FROM quarantine WHERE ts_ms <= ? ORDER BY ts_ms, id",
                (now_ms + EARLY_MS,),
            )
            with RecordCounts.of(self._database) as counts:
                for record_id, wire, introducer in early:
                    self._database.rows("DELETE FROM quarantine WHERE id = ?", (record_id,))
                    one = extract_of(parsed(wire), self._records.manifest)
                    self._take(one, counts, report, now_ms, introducer)
            self._make_room()
        return forgotten, report

    def keep_own(self, record: Record) -> None:
        """Store a record of this node and all data derived from it, in the caller's transaction."""
        one = extract_of(record, self._records.manifest)
        if self._records.insert(one, own=True):
            with RecordCounts.of(self._database) as counts:
                counts.count(one.author, one.sort)
            self._topics.forget(one.id)  # it may have been refused when a peer sent it
            self._derive(one)
        if one.sort == "intent":
            self._withdraw_intents(at_most=1)

    def rederive(self, progress: Progress) -> None:
        """Rebuild all tables derived from all authors' records, in the caller's transaction."""
        self._boards.forget_all()
        self._topics.forget_all()
        self._database.rows("DELETE FROM record_counts")
        ((last,),) = self._database.rows("SELECT coalesce(max(n), 0) FROM record")
        for start in range(1, last + 1, BATCH):
            progress("rebuilding the leaderboards from the records", start / last)
            rows = self._database.rows(
                "SELECT n, wire FROM record WHERE n BETWEEN ? AND ?",
                (start, start + BATCH - 1),
            )
            with RecordCounts.of(self._database) as counts:
                for number, wire in rows:
                    one = extract_of(parsed(wire), self._records.manifest)
                    self._database.rows(
                        "UPDATE record SET net = ?, sort = ?, patch = ?, about = ? WHERE n = ?",
                        (one.net, one.sort, one.patch, one.about, number),
                    )
                    counts.count(one.author, one.sort)
                    self._derive(one)

    def _forget_old_intents(self, now_ms: int) -> int:
        """Remove peers' intents older than a day, and stop offering such intents of this node.

        Return the number of removed intents.
        """
        rows = self._database.rows(
            "SELECT id, own FROM record WHERE kind = 'intent' AND ts_ms < ?"
            " AND (NOT own OR id IN (SELECT id FROM membership WHERE held))",
            (now_ms - INTENT_MS,),
        )
        with self._database.transaction():
            with RecordCounts.of(self._database) as counts:
                for record_id, is_own in rows:
                    if is_own:
                        self._topics.note_removed(record_id)
                    else:
                        self._evict(record_id, counts)
            self._withdraw_intents()
        return sum(not is_own for _, is_own in rows)

    def _withdraw_intents(self, *, at_most: int = -1) -> None:
        """Stop offering this node's oldest intents over the quota, which no peer stores.

        `at_most` limits the number of intents to check, newest first; -1 checks all. After a new
        intent, 1 is enough.
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
        counts: RecordCounts,
        report: IntakeReport,
        now_ms: int,
        introducer: str | None,
    ) -> None:
        if one.sort == "intent" and one.ts_ms < now_ms - INTENT_MS:
            self._refuse_new(one)
            report.expired += 1
        elif self._admit(one, counts):
            self._records.insert(one, own=False, introducer=introducer)
            self._derive(one)
            report.new.append(one.id)
            if one.sort == "news" and one.patch is not None:
                report.claimed.append(one.patch)
        else:
            report.over_quota += 1

    def _derive(self, one: Extract) -> None:
        """Derive the other tables from a record that was just stored."""
        twins = self._records.with_seq(one.author, one.seq)
        if len(twins) > 1:
            self._boards.note_equivocation(one, [twin.id for twin in twins])
            self._topics.note_equivocation(one, twins)
        if one.sort == "news":
            self._boards.derive(one)
        self._topics.derive(one)

    def _admit(self, one: Extract, counts: RecordCounts) -> bool:
        """Make room for a record in its author's quota, or refuse it. Return True if it fits."""
        count = counts.count(one.author, one.sort)
        while not self._is_within(one, count):
            if self._settles(one):
                return True
            oldest = self._oldest(one.author, one.sort, 1)
            if not oldest or (one.seq, one.id) < oldest[0]:
                counts.uncount(one.author, one.sort)
                self._refuse_new(one)
                return False
            self._evict(oldest[0][1], counts)
            count -= 1
        return True

    def _is_within(self, one: Extract, count: int) -> bool:
        """Return True if the record fits the quotas as its author's `count`-th of its category."""
        quota, quota_bytes, size_bytes = self.quotas.of(one.sort), 0, 0
        if one.sort == "unknown":
            # Records of the known categories have size limits.
            quota_bytes = self.quotas.unknown_bytes
            size_bytes = self._bytes_of(one) + len(one.wire)
        if count <= quota and size_bytes <= quota_bytes:
            return True
        # Nodes differ in which authors are proven, and a proven author's intents prove nothing.
        more = 1 if one.sort == "intent" else _PROVEN_FACTOR
        return (
            count <= more * quota
            and size_bytes <= more * quota_bytes
            and bool(self._database.rows("SELECT 1 FROM proven WHERE author = ?", (one.author,)))
        )

    def _bytes_of(self, one: Extract) -> int:
        """Return the total size of the author's records in this record's category."""
        ((size_bytes,),) = self._database.rows(
            "SELECT coalesce(sum(length(wire)), 0) FROM record WHERE author = ? AND sort = ?",
            (one.author, one.sort),
        )
        return int(size_bytes)

    def _settles(self, one: Extract) -> bool:
        """Return True if a record is the first that invalidates its author's other records.

        Such a record revokes the author's key, or proves an equivocation: two different records of
        the author have the same sequence number. It is stored even over the quota.
        """
        if one.kind == RetractBody.kind:  # only this kind is parsed, so that floods stay cheap
            body = parsed(one.wire, is_verified=True).body
            if isinstance(body, RetractBody) and body.target is None:
                revoked = "SELECT 1 FROM withdrawal WHERE author = ? AND target IS NULL"
                return not self._database.rows(revoked, (one.author,))
        proof = (
            f"SELECT 1 FROM record WHERE {WITH_SEQ}"  # noqa: S608 (constant)
            " AND NOT EXISTS (SELECT 1 FROM equivocation WHERE author = ?1)"
        )
        return bool(self._database.rows(proof, (one.author, one.seq)))

    def _oldest(self, author: bytes, sort: Sort, limit: int) -> list[tuple[int, bytes]]:
        """Return the sequence numbers and ids of an author's records to remove first.

        Proofs are left out: records that invalidate the author's other records (`_settles`).
        """
        return self._database.rows(
            "SELECT seq, id FROM record WHERE author = ?1 AND sort = ?2 AND NOT own AND id NOT IN ("
            "SELECT first FROM equivocation WHERE author = ?1"
            " UNION SELECT second FROM equivocation WHERE author = ?1"
            " UNION SELECT min(record) FROM withdrawal WHERE author = ?1 AND target IS NULL"
            " GROUP BY author) ORDER BY seq, id LIMIT ?3",
            (author, sort, limit),
        )

    def _make_room(self, *, has_unknown: bool = True) -> None:
        """Remove records over the limits that apply to all authors together."""
        self._shrink(self.quotas.total, "TRUE")
        if has_unknown:
            self._shrink(self.quotas.unknown_in_all, "sort = 'unknown'")

    def _shrink(self, most: int, where: str) -> None:
        """Remove records if more than `most` are stored that fulfil the SQL condition `where`.

        Remove so many that 1 % of `most` is free, so that not every new record causes a removal.
        The authors with the most records lose some first. Records of this node, and of
        authors with a result confirmed here, stay.
        """
        ((total,),) = self._database.rows(
            f"SELECT coalesce(sum(count), 0) FROM record_counts WHERE {where}"  # noqa: S608 (constants)
        )
        if total <= most:
            return
        rows = self._database.rows(
            f"SELECT -count, author, sort FROM record_counts WHERE count > 0 AND {where}"  # noqa: S608 (constants)
            " AND author NOT IN (SELECT author FROM proven)"
            " AND author NOT IN (SELECT author FROM record WHERE own LIMIT 1)"
            " ORDER BY count DESC, author, sort"
        )
        share: Counter[tuple[bytes, Sort]] = Counter()
        for _ in range(total - int(most * (1 - _ROOM_SHARE)) if rows else 0):
            count, author, sort = rows[0]
            share[author, sort] += 1
            heapreplace(rows, (count + 1, author, sort))
        with RecordCounts.of(self._database) as counts:
            for (author, sort), number in share.items():
                for _, record_id in self._oldest(author, sort, number):
                    self._evict(record_id, counts)

    def _evict(self, record_id: bytes, counts: RecordCounts) -> None:
        """Remove a record. Remember its id, because peers may still have the record."""
        ((net, ts_ms, author, sort),) = self._database.rows(
            "SELECT net, ts_ms, author, sort FROM record WHERE id = ?", (record_id,)
        )
        self._refuse(record_id, net, ts_ms)
        self._boards.forget(record_id)
        self._topics.note_removed(record_id)
        counts.uncount(author, sort)
        self._database.rows("DELETE FROM record WHERE id = ?", (record_id,))

    def _refuse_new(self, one: Extract) -> None:
        """Remember a record that was refused without being stored."""
        self._refuse(one.id, one.net, one.ts_ms)
        self._topics.note_refused(one)

    def _refuse(self, record_id: bytes, net: str, ts_ms: int) -> None:
        """Remember an unwanted id; forget the oldest if there are too many."""
        number = self._database.insert(
            "INSERT OR IGNORE INTO refused (id, net, ts_ms) VALUES (?,?,?)", (record_id, net, ts_ms)
        )
        forgotten = (number - _MAX_REMEMBERED,)
        for (old,) in self._database.rows("SELECT id FROM refused WHERE n <= ?", forgotten):
            self._topics.forget(old)
        self._database.rows("DELETE FROM refused WHERE n <= ?", forgotten)
