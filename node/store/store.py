"""The node's memory: every record, and what the research loop needs after a kill.

One writer, the holder of the home's lock. Own records are numbered, signed and stored in one
transaction that is on the disk (`synchronous=FULL`) before anybody hears of them, so that no
power cut makes the node sign one sequence number twice. `experiment` follows from `record` and
can be rebuilt from it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Self

from node.home.home import Home
from node.store import archive, boards, dedupe, experiments, imported, intake, jobs, topics
from node.store.archive import PREFIX_DIGITS
from node.store.blobs import Blobs
from node.store.boards import BoardKey
from node.store.database import Database
from node.store.dedupe import Deduped
from node.store.experiments import Adoption, Experiment
from node.store.extracts import EXTRACTS, Extract, extract
from node.store.foreign_rows import ForeignLog
from node.store.imported import Imported
from node.store.intake import Quotas, Report
from node.store.job_store import JobStore
from node.store.jobs import LineKey
from node.store.mirror import Mirror
from node.store.topics import TopicIndexes
from node.terminal.progress import Progress, silent
from protocol.board import RULE, Board
from protocol.board_facts import Fact
from protocol.encoding import Value
from protocol.errors import Rejected, UsageError
from protocol.keys import SigningKey
from protocol.kinds import AttestBody, Body, PatchBody, TaskBody
from protocol.manifest import TaskManifest
from protocol.records import MAIN_NET, Record, sign_record
from protocol.source import Source

__all__ = ["PREFIX_DIGITS", "Store"]

_DEFAULT_QUOTAS = Quotas()
# In `meta`: that what follows from the records is to be derived before use, and by which rules it
# was derived last.
_STALE = "stale"
_DERIVED_BY = "derived_by"
_RULES = bytes((EXTRACTS, RULE))


class Store(JobStore):
    """An open database. `open` for the one writer, `open_read_only` for everybody else."""

    def __init__(self, database: Database, mirror: Mirror | None, quotas: Quotas) -> None:
        super().__init__(database)
        self.quotas = quotas
        self._mirror = mirror
        self._unmirrored: list[bytes] = []
        self._tasks: dict[bytes, TaskBody] = {}

    @classmethod
    def open(
        cls, home: Home, *, quotas: Quotas = _DEFAULT_QUOTAS, progress: Progress = silent
    ) -> "Store":
        """Open for writing; make or migrate the file as needed."""
        home.prepare()
        store = cls(Database.open(home.store), Mirror(home.mirror), quotas)
        if store.meta(_STALE) is not None or store.meta(_DERIVED_BY) != _RULES:
            store.rebuild(progress)
        store._agree_with_mirror()
        return store

    @classmethod
    def open_read_only(cls, home: Home) -> "Store":
        """Open for reading beside a running node; a home without a store reads as an empty one."""
        return cls(Database.open_read_only(home.store), None, _DEFAULT_QUOTAS)

    def close(self) -> None:
        """Close the file; an open transaction is rolled back."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that the body writes happens, and is on the disk, or none of it."""
        mark = len(self._unmirrored)

        def forget() -> None:
            del self._unmirrored[mark:]
            self._forget_closed()

        with self._database.transaction(rolled_back=forget):
            yield
        self._follow_with_mirror()

    # Records

    def append_own(
        self,
        key: SigningKey,
        body: Body,
        *,
        ts_ms: int,
        net: str = "main",
        refs: tuple[bytes, ...] = (),
    ) -> Record:
        """Number, chain, sign and store a record of this node's own."""
        with self._writing():
            seq, prev = archive.end_of_chain(self._database, key.public)
            record = sign_record(
                key, net=net, seq=seq, prev=prev, ts_ms=ts_ms, body=body, refs=refs
            )
            self._keep_own(record)
            self._unmirrored.append(record.wire)
        return record

    def ingest(self, wires: Iterable[bytes], *, now_ms: int, net: str = MAIN_NET) -> Report:
        """Take in anybody's records, as far as they are new, valid and within the quotas."""
        report = Report()
        for batch in dedupe.batches(wires):
            deduped = self.dedupe(batch)
            report.duplicates += deduped.duplicates
            report.rejected += deduped.rejected
            read = [extract(wire, self._manifest) for wire in deduped.unread]
            report.add(self.take(read, now_ms=now_ms, net=net))
        return report

    def dedupe(self, wires: Sequence[bytes]) -> Deduped:
        """Tell which wires may be new and are to be read."""
        return dedupe.dedupe(self._database, wires)

    def take(
        self, read: Sequence[Extract | Rejected], *, now_ms: int, net: str = MAIN_NET
    ) -> Report:
        """Take in what was read, as far as it is records, in one transaction."""
        return intake.take(
            self._database,
            read,
            net=net,
            now_ms=now_ms,
            quotas=self.quotas,
            manifest_of=self._manifest,
        )

    def settle(self, *, now_ms: int) -> tuple[int, Report]:
        """Forget intents of more than a day ago, and take in what is no longer early.

        Return how many were forgotten, and what became of those that waited.
        """
        forgotten = intake.forget_old_intents(self._database, now_ms, self.quotas)
        report = intake.release(
            self._database, now_ms=now_ms, quotas=self.quotas, manifest_of=self._manifest
        )
        return forgotten, report

    def everything(self) -> Iterator[Value]:
        """Yield all that may name a blob: records, jobs, lines, planned runs, imports."""
        yield from archive.payloads(self._database)
        yield from jobs.values(self._database)
        yield from imported.trees(self._database)

    def own_values(self) -> Iterator[Value]:
        """Yield that part of it which is this node's own, not peers' records."""
        yield from archive.payloads(self._database, "own")
        yield from jobs.values(self._database)
        yield from imported.trees(self._database)

    def vouched_values(self) -> Iterator[Value]:
        """Yield what anybody adopted, and the tasks that anybody told of."""
        yield from archive.payloads(self._database, "kind IN ('adopt', 'task')")

    def set_cursor(self, key: str, value: bytes) -> None:
        """Keep a small value: after a power cut an earlier one, never one ahead of the records."""
        with self._database.loose_transaction():
            self._database.rows("INSERT OR REPLACE INTO meta VALUES (?,?)", (key, value))

    def topic_indexes(self, topics: Iterable[str]) -> TopicIndexes:
        """Return the indexes of these topics, which follow every change made through this store."""
        return TopicIndexes(self._database, tuple(topics))

    def topics_of(self, record_id: bytes) -> list[str]:
        """Return which topics a record that is here belongs to (protocol/topics.py)."""
        return topics.topics_held(self._database, record_id)

    def own_members_after(self, number: int, *, limit: int) -> list[tuple[int, str, bytes]]:
        """Return the next changes of which own records belong where: number, topic, wire."""
        return topics.own_after(self._database, number, limit)

    def last_membership(self) -> int:
        """Return the number of the latest change of which records belong where."""
        return topics.last_number(self._database)

    def claimed_before(self, number: int | None, span: int) -> tuple[list[bytes], int | None]:
        """Return such patches of the `span` records before one, and where to go on (None: end)."""
        return topics.claimed_before(self._database, number, span)

    def wires(self, record_ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return those of at most 512 records that are here, by id, in the order asked for."""
        return archive.wires(self._database, record_ids)

    def lacking(self, record_ids: Sequence[bytes]) -> list[bytes]:
        """Return which ids are neither here, nor refused, nor in quarantine."""
        known = dedupe.known(self._database, record_ids)
        return [record_id for record_id in record_ids if record_id not in known]

    def record(self, record_id: bytes) -> Record:
        """Return the record with this id."""
        record = archive.get(self._database, record_id)
        if record is None:
            raise UsageError(f"there is no record {record_id.hex()[:12]} here", "see `arnode log`")
        return record

    def has(self, record_id: bytes) -> bool:
        """Say whether a record with this id is here."""
        return bool(self._database.rows("SELECT 1 FROM record WHERE id = ?", (record_id,)))

    def is_own(self, record_id: bytes) -> bool:
        """Say whether this node made the record with this id."""
        statement = "SELECT 1 FROM record WHERE id = ? AND own"
        return bool(self._database.rows(statement, (record_id,)))

    def retraction(self, record_id: bytes) -> Record | None:
        """Return the record by which whoever made a record took it back."""
        found = boards.retraction_of(self._database, record_id)
        return None if found is None else self.record(found)

    def find(self, prefix: str) -> Record:
        """Return the one record whose id begins with these hex digits."""
        return archive.find(self._database, prefix)

    def find_author(self, prefix: str) -> bytes:
        """Return the one author whose key begins with these hex digits."""
        return archive.find_author(self._database, prefix)

    def records(
        self,
        kind: str | None = None,
        author: bytes | None = None,
        *,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[Record]:
        """Return records in the order of their times."""
        return archive.listed(
            self._database, kind=kind, author=author, newest_first=newest_first, limit=limit
        )

    def record_count(self, author: bytes | None = None) -> int:
        """Return how many records are here, of everybody or of one author."""
        return archive.count(self._database, author)

    def damaged_records(self, progress: Progress) -> list[str]:
        """Return which records are not what their id and signature say."""
        return archive.damaged(self._database, progress)

    def outdated_records(self) -> list[bytes]:
        """Return the ids of records of before hidden characters were refused."""
        return archive.outdated(self._database)

    def own_records(self) -> list[Record]:
        """Return this node's own records in the order they were made."""
        return [archive.parsed(wire) for wire in archive.own_wires(self._database, 0)]

    def patch(self, record_id: bytes) -> PatchBody | None:
        """Return the patch with this record id, if it is here."""
        record = archive.get(self._database, record_id)
        return record.body if record and isinstance(record.body, PatchBody) else None

    def task(self, task_id: bytes) -> TaskBody | None:
        """Return the announcement of this task, if it is here."""
        if task_id not in self._tasks:
            rows = self._database.rows(
                "SELECT wire FROM task JOIN record ON record.id = task.record"
                " WHERE task.id = ? LIMIT 1",
                (task_id,),
            )
            for (wire,) in rows:
                body = archive.parsed(wire).body
                if isinstance(body, TaskBody):
                    self._tasks[task_id] = body
        return self._tasks.get(task_id)

    def manifests(self, limit: int) -> dict[bytes, TaskManifest]:
        """Return at most `limit` of the tasks that are here, by id."""
        rows = self._database.rows("SELECT DISTINCT id FROM task LIMIT ?", (limit,))
        known = ((task_id, self._manifest(task_id)) for (task_id,) in rows)
        return {task_id: manifest for task_id, manifest in known if manifest is not None}

    def task_record(self, task_id: bytes) -> bytes | None:
        """Return the id of a record that announces this task."""
        rows = self._database.rows(
            "SELECT min(record) FROM task WHERE id = ? GROUP BY id", (task_id,)
        )
        return rows[0][0] if rows else None

    def _manifest(self, task_id: bytes) -> TaskManifest | None:
        body = self.task(task_id)
        return None if body is None else body.manifest

    # Boards

    def board(self, key: BoardKey, limit: int = -1) -> Board:
        """Return the first rows (-1: all) of the board that follows from the records."""
        manifest = self._manifest(key.task)
        if manifest is None:
            raise UsageError("that board's task is not known here", "see `arnode task list`")
        if not boards.is_fresh(self._database, key):
            board = boards.make(self._database, key, manifest)
            if self._mirror is None:  # a reader cannot keep it
                return replace(board, rows=board.rows[: limit if limit >= 0 else None])
            with self._writing():
                boards.keep(self._database, key, board)
        return boards.kept(self._database, key, limit)

    def boards(self, net: str = MAIN_NET) -> list[BoardKey]:
        """Return the boards that something was said about."""
        return boards.boards(self._database, net)

    def board_faults(self) -> list[str]:
        """Return which kept boards are not those that follow from the records."""
        return boards.faults(self._database, self._manifest)

    def facts(self, key: BoardKey) -> list[Fact]:
        """Return what a board reads of everybody's records, in no order."""
        return boards.facts(self._database, key)

    def own_facts(self, key: BoardKey) -> list[Fact]:
        """Return what a board reads of this node's own records, in the order they were made."""
        return boards.own_facts(self._database, key)

    def _keep_own(self, record: Record) -> None:
        intake.keep_own(self._database, record, manifest_of=self._manifest)
        if record.kind == "intent":
            intake.withdraw_intents(self._database, self.quotas, at_most=1)
        self._derive_own(record)

    def _agree_with_mirror(self) -> None:
        mirror = self._mirror
        if mirror is None:
            return
        ((own,),) = self._database.rows("SELECT count(*) FROM record WHERE own")
        if mirror.count > own:
            with self._database.transaction():
                for wire in mirror.read():
                    self._keep_own(archive.parsed(wire))
        elif mirror.count < own:
            self._unmirrored = archive.own_wires(self._database, mirror.count)
            self._follow_with_mirror()

    def _follow_with_mirror(self) -> None:
        # The commit stands whatever happens to its copy; what is left goes with the next one.
        if self._mirror is not None and self._unmirrored:
            with suppress(OSError):
                self._mirror.append(self._unmirrored)
                self._unmirrored.clear()

    def votes(self, key: BoardKey, tree: bytes) -> list[bytes]:
        """Return the ids of the attestations about a tree."""
        return boards.votes(self._database, key, tree)

    # What other tools wrote

    def keep_imported(
        self,
        blobs: Blobs,
        log: ForeignLog,
        *,
        name: str,
        at_ms: int,
        sources: Mapping[str, Source],
    ) -> tuple[bytes, bool]:
        """Keep another tool's file; return its id and whether it is new."""
        return imported.keep(self._database, blobs, log, name=name, at_ms=at_ms, sources=sources)

    def imported(self) -> list[Imported]:
        """Return everything that was imported, in the order it came."""
        return imported.listed(self._database)

    # Experiments, derived

    def experiments(
        self,
        line: LineKey | None = None,
        *,
        after: int = 0,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[Experiment]:
        """Return this node's experiments in the order they were recorded, from number `after`."""
        return experiments.listed(
            self._database, line, after=after, newest_first=newest_first, limit=limit
        )

    def adoptions(self, line: LineKey, *, after: int = 0) -> list[Adoption]:
        """Return this node's moves of the verified head of a line, in order."""
        return experiments.adoptions(self._database, line, after=after)

    def rebuild(self, progress: Progress = silent) -> int:
        """Derive every table again from the records; return the number of experiments."""
        with self.transaction():
            self._database.rows("DELETE FROM experiment")
            intake.rederive(self._database, manifest_of=self._manifest, progress=progress)
            for record in self.own_records():
                self._derive_own(record)
            self._database.rows("DELETE FROM meta WHERE key = ?", (_STALE,))
            self.set_meta(_DERIVED_BY, _RULES)
        return len(self.experiments())

    def _derive_own(self, record: Record) -> None:
        experiments.derive(self._database, record, patch_of=self.patch, task_of=self.task)
        body = record.body
        if isinstance(body, AttestBody) and body.verdict == "confirmed" and body.target:
            self._database.rows(
                "INSERT OR IGNORE INTO proven SELECT author FROM record WHERE id = ?",
                (body.target,),
            )
