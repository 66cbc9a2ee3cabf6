"""Storage of peers' records in small batches, so that other tasks do not wait for long."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from node.home.addresses import PeerId
from node.home.clock import EARLY_MS
from node.network.peer_budgets import Allowance, Buckets
from node.peering.record_reader import Read, RecordReader
from node.store.extracts import Extract
from node.store.intake import IntakeReport
from node.store.store import Store
from protocol.errors import Rejected

# 2 ms of the event loop; other tasks may run between two batches.
_DEDUPED_AT_ONCE = 128
# Records in one transaction of 150 to 250 ms. Half as many would need nearly as many disk writes.
_STORED_AT_ONCE = 1_024
_MOST_TASKS = 256  # that are sent to the reading process
# Limits on one peer's records of unknown kinds or with a time in the future. The rest is fetched in
# later rounds, or from other peers.
RATIONED_RECORDS: Final = Allowance(per_s=1, burst=2_000)
RATIONED_BYTES: Final = Allowance(per_s=4 << 10, burst=8 << 20)

# Called with the peer that sent records, of which some are new here.
OnNew = Callable[[PeerId, IntakeReport], None]


@dataclass(kw_only=True)
class Ingested:
    """The outcome for some records.

    `new`: the number of new records; `left_out`: the number left for later rounds; `rejected`: the
    faults of the invalid ones.
    """

    new: int = 0
    left_out: int = 0
    rejected: list[str] = field(default_factory=list)


class Ingest:
    """A writer of peers' records to the store; large batches are parsed in another process.

    `now_ms` is in milliseconds since 1970, `clock` in seconds. Only records of `authors` count in
    this network; if it is empty, everybody's do. `on_new` is called with a peer and a report on its
    new records.
    """

    def __init__(
        self,
        store: Store,
        reader: RecordReader,
        *,
        net: str,
        now_ms: Callable[[], int],
        on_new: OnNew,
        clock: Callable[[], float],
        authors: frozenset[bytes] = frozenset(),
    ) -> None:
        self._store = store
        self._reader = reader
        self._net = net
        self._authors = authors
        self._now_ms = now_ms
        self._on_new = on_new
        self._records: Buckets[PeerId] = Buckets(clock, RATIONED_RECORDS)
        self._bytes: Buckets[PeerId] = Buckets(clock, RATIONED_BYTES)

    async def ingest(
        self, peer: PeerId, wires: Sequence[bytes], *, is_rationed: bool = True
    ) -> Ingested:
        """Store records that a peer sent, and return the outcome.

        `is_rationed`: limit the peer's records of unknown kinds or with a time in the future.
        """
        ingested = Ingested()
        read = await self._read(wires)
        if is_rationed:
            rationed = [one for one in read if self._has_room(peer, one)]
            ingested.left_out, read = len(read) - len(rationed), rationed
        for start in range(0, len(read), _STORED_AT_ONCE):
            some = read[start : start + _STORED_AT_ONCE]
            report = self._store.intake.take(
                some, now_ms=self._now_ms(), net=self._net, introducer=peer
            )
            ingested.new += len(report.new)
            ingested.rejected += report.rejected
            if report.new:
                self._on_new(peer, report)
            await asyncio.sleep(0)
        return ingested

    def _has_room(self, peer: PeerId, one: Extract | Rejected) -> bool:
        """Return True if a record is of a known kind and not early, or within the peer's budget."""
        if isinstance(one, Rejected):
            return True
        if one.sort != "unknown" and one.ts_ms <= self._now_ms() + EARLY_MS:
            return True
        return self._records[peer].takes() and self._bytes[peer].takes(len(one.wire))

    async def _read(self, wires: Sequence[bytes]) -> Read:
        """Parse the encoded records that may be new, without those of ignored authors."""
        read: Read = []
        unread: list[bytes] = []
        for start in range(0, len(wires), _DEDUPED_AT_ONCE):
            deduped = self._store.intake.dedupe(wires[start : start + _DEDUPED_AT_ONCE])
            read += map(Rejected, deduped.rejected)
            unread += deduped.unread
            await asyncio.sleep(0)
        read += await self._reader.read(unread, self._store.records.manifests(_MOST_TASKS))
        if not self._authors:
            return read
        return [one for one in read if isinstance(one, Rejected) or one.author in self._authors]
