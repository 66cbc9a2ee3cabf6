"""The node's database: every record, and the state that the research loop needs after a kill.

There is one writer, the holder of the home's lock. The node numbers, signs and stores its records
in one transaction. The record is on the disk (`synchronous=FULL`) before it is sent to anybody, so
no power cut makes the node sign one sequence number twice. `experiment` is derived from `record`
and can be rebuilt.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from typing import Self, TypeVar

from node.home.faults import DAMAGED_HINT, DamagedStoreError
from node.home.home import Home
from node.store.boards import Boards
from node.store.database import Database
from node.store.experiments import Experiments
from node.store.imported import Imports
from node.store.intake import Intake, Quotas
from node.store.job_store import JobStore
from node.store.jobs import LineKey
from node.store.mirror import Mirror
from node.store.records import Records, parsed
from node.store.tags import Tags
from node.store.topics import Topics
from node.terminal.progress import Progress, silent
from protocol.encoding import Value, decode, encode
from protocol.errors import ConfigurationError, Rejected
from protocol.fields import Mapped
from protocol.keys import SigningKey
from protocol.record_kinds import Body
from protocol.records import Record, sign_record
from protocol.rerun import RerunBody

_DEFAULT_QUOTAS = Quotas()
_PLACE = "place"  # in `meta`: the file's inode number, by which a copy is recognised
M = TypeVar("M", bound=Mapped)


class Store:
    """An open database. Use `open` in the one writer, `open_read_only` everywhere else.

    Each attribute gives access to a few tables. A write outside of a transaction is a transaction
    of its own.
    """

    def __init__(self, database: Database, mirror: Mirror | None, quotas: Quotas) -> None:
        self.database = database
        self.records = Records(database)
        self.experiments = Experiments(database, self.records)
        self.tags = Tags(database)
        self.boards = Boards(database, self.records)
        self.topics = Topics(database)
        self.intake = Intake(database, self.records, self.boards, self.topics, quotas)
        self.jobs = JobStore(database)
        self.imported = Imports(database)
        self._mirror = mirror
        self._signed: list[bytes] = []  # in the open transaction
        self._unmirrored: list[bytes] = []
        self._opened_ms = time.time_ns() // 1_000_000
        database.follow(committed=self._follow_with_mirror, rolled_back=self._signed.clear)

    @classmethod
    def open(cls, home: Home, *, quotas: Quotas = _DEFAULT_QUOTAS) -> "Store":
        """Open for writing. Create the tables if the file is new."""
        home.prepare()
        store = cls(Database.open(home.store), Mirror(home.mirror), quotas)
        store._agree_with_mirror()
        if store.meta(_PLACE) is None:
            store.settle()
        return store

    @classmethod
    def open_read_only(cls, home: Home) -> "Store":
        """Open for reading while a node may run; a home without a store counts as an empty one."""
        return cls(Database.open_read_only(home.store), None, _DEFAULT_QUOTAS)

    def close(self) -> None:
        """Close the file and roll back an open transaction."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Run the body in a transaction: all that it writes reaches the disk, or nothing does."""
        return self.database.transaction()

    def append_own(
        self,
        key: SigningKey,
        body: Body,
        *,
        ts_ms: int,
        net: str = "main",
        refs: tuple[bytes, ...] = (),
    ) -> Record:
        """Number, chain, sign and store a record of this node.

        Raises ConfigurationError if another process has signed with this key in the meantime.
        """
        with self.database.writing():
            seq, prev = self.records.end_of_chain(key.public)
            self._require_alone(prev)
            record = sign_record(
                key, net=net, seq=seq, prev=prev, ts_ms=ts_ms, body=body, refs=refs
            )
            self._keep_own(record)
            self._signed.append(record.wire)
        return record

    def is_copy(self) -> bool:
        """Return True if this database was copied, as when a home is restored or cloned.

        A copy lacks the records that the key signed since, and would reuse their sequence numbers.
        """
        kept = self.meta(_PLACE)
        return kept is not None and kept != self._place()

    def settle(self) -> None:
        """Treat this file as the original from now on.

        If it is a copy, first fetch the records that the key signed after the copy was made.
        """
        self.set_meta(_PLACE, self._place())

    def _place(self) -> bytes:
        return self.database.path.stat().st_ino.to_bytes(8, "big")

    def _require_alone(self, last: bytes | None) -> None:
        """Raise ConfigurationError if another machine signed with the key after `open`."""
        if last is None or self.records.is_own(last):
            return
        made = self.records.get(last)
        if made.ts_ms > self._opened_ms:
            raise ConfigurationError(
                f"another machine signs with this node's key: it signed record {made.seq}",
                "stop one of the two, and give it a key of its own: move `key` out of its home"
                " before its next start",
            )

    def rebuild(self, progress: Progress = silent) -> int:
        """Rebuild every table that is derived from records; return the number of experiments."""
        with self.transaction():
            self.experiments.forget_all()
            self.intake.rederive(progress)
            for record in self.records.own():
                self._derive_own(record)
        return len(self.experiments.listed())

    def values(self, *, is_own: bool = False) -> Iterator[Value]:
        """Yield all values that may name a blob: records, jobs, lines, runs, imports.

        With `is_own`, the records of other nodes are skipped.
        """
        yield from self.records.payloads("own" if is_own else "TRUE")
        yield from self.jobs.values()
        yield from self.imported.trees()

    def adopted_values(self) -> Iterator[Value]:
        """Yield the payloads of all adoption and task records, of any author."""
        yield from self.records.payloads("kind IN ('adopt', 'task')")

    def meta(self, key: str) -> bytes | None:
        """Return the small value stored under this key; None if there is none."""
        rows = self.database.rows("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def forget_meta(self, key: str) -> None:
        """Delete the value stored under this key."""
        with self.database.writing():
            self.database.rows("DELETE FROM meta WHERE key = ?", (key,))

    def set_meta(self, key: str, value: bytes) -> None:
        """Store a small value under this key."""
        with self.database.writing():
            self.database.rows("INSERT OR REPLACE INTO meta VALUES (?,?)", (key, value))

    def set_cursor(self, key: str, value: bytes) -> None:
        """Store a position in the records without waiting for the disk.

        A power cut may bring back an earlier position, but never one ahead of the stored records.
        """
        with self.database.loose_transaction():
            self.set_meta(key, value)

    def _keep_own(self, record: Record) -> None:
        self.intake.keep_own(record)
        self._derive_own(record)

    def _derive_own(self, record: Record) -> None:
        self.experiments.derive(record)
        body = record.body
        if isinstance(body, RerunBody) and body.verdict == "confirmed" and body.target:
            self.database.rows(
                "INSERT OR IGNORE INTO proven SELECT author FROM record WHERE id = ?",
                (body.target,),
            )

    def _agree_with_mirror(self) -> None:
        mirror = self._mirror
        if mirror is None:
            return
        ((own,),) = self.database.rows("SELECT count(*) FROM record WHERE own")
        if mirror.count > own:
            with self.transaction():
                for wire in mirror.read():
                    self._keep_own(parsed(wire))
        elif mirror.count < own:
            self._unmirrored = self.records.own_wires(mirror.count)
            self._follow_with_mirror()

    def _follow_with_mirror(self) -> None:
        # The commit is valid even if copying fails. Records not copied go with the next commit.
        self._unmirrored += self._signed
        self._signed.clear()
        if self._mirror is not None and self._unmirrored:
            with suppress(OSError):
                self._mirror.append(self._unmirrored)
                self._unmirrored.clear()


def meta_key(what: str, line: LineKey) -> str:
    """Return the `meta` key of a value that belongs to a line."""
    return f"{what}/{line.task.hex()}/{line.hardware_class}"


def kept_of(store: Store, what: str, line: LineKey, kind: type[M], *, limit_bytes: int) -> M | None:
    """Return the value stored under a line's key; None if there is none.

    Raises DamagedStoreError if it is invalid.
    """
    kept = store.meta(meta_key(what, line))
    if kept is None:
        return None
    value = decode(kept, limit_bytes=limit_bytes)
    read = value if isinstance(value, Rejected) else kind.from_value(value)
    if isinstance(read, Rejected):
        raise DamagedStoreError(f"the stored {what} of a line cannot be read", DAMAGED_HINT)
    return read


def keep(store: Store, what: str, line: LineKey, value: Mapped) -> None:
    """Store a value under a line's key, in place of the old one."""
    store.set_meta(meta_key(what, line), encode(value.to_value()))
