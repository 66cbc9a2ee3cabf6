"""One exchange of records with a peer.

A newcomer first reads pages of all records. Then reconciliation finds the missing ids, and this
node asks for their records. The exchange ends no matter what the peer answers. Each page must begin
after the last one and bring new records. The number of rounds is limited, and so is the number of
ids that the peer names but does not have. A fault of the peer is returned, not raised.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Final

from node.home.addresses import PeerId
from node.peering.carrier import Carrier
from node.peering.messages import (
    MAX_WANTED,
    SYNC,
    After,
    M,
    Reconcile,
    Reconciled,
    RecordsPage,
    TopicDigest,
    Want,
    WantedRecords,
    ask,
)
from node.store.store import Store
from node.store.topics import TopicIndexes
from protocol.errors import Rejected
from protocol.fields import Mapped
from protocol.reconciliation import Initiator
from protocol.record_index import RecordIndex
from protocol.records import payload_id

MOST_ROUNDS: Final = 256
MOST_IN_VAIN: Final = 2 * MAX_WANTED
# Two pages are stored together: one transaction takes a sixth less time than two of half its size.
PAGES_TOGETHER: Final = 2
MOST_STALE: Final = 2  # consecutive pages that bring nothing new
# Pages are read if the peer has more records than this factor times the local ones plus this
# number.
_COLD_FACTOR = 4
_COLD_RECORDS = 1_000

# Stores wires that the peer sent, and returns the number of new records.
Take = Callable[[Sequence[bytes]], Coroutine[object, object, int]]


class Exchange:
    """A download of the records that a peer has and this node lacks.

    `brought` counts the new records so far. `is_complete` becomes False when a record that the peer
    named was left out. All exchanges share `streamed`: the topics whose pages some peer is sending.
    A second peer would send the same ones.
    """

    def __init__(
        self,
        carrier: Carrier,
        store: Store,
        indexes: TopicIndexes,
        peer: PeerId,
        *,
        take: Take,
        streamed: set[str],
    ) -> None:
        self.brought = 0
        self.is_complete = True
        self._carrier = carrier
        self._store = store
        self._indexes = indexes
        self._peer = peer
        self._take = take
        self._streamed = streamed
        self._in_vain = 0

    async def fetch(self, topic: str, *, theirs: TopicDigest) -> Rejected | None:
        """Fetch the missing records of a topic; the peer reports `theirs` as its digest.

        Raises:
            NetworkError: the peer is gone, or refuses.
        """
        kept = f"cursor {topic}"  # in the store, so that the download resumes after a restart
        is_cold = theirs[0] > _COLD_FACTOR * len(self._indexes[topic]) + _COLD_RECORDS
        if topic in self._streamed:
            self.is_complete = False
            return None
        if is_cold or self._store.meta(kept) is not None:
            self._streamed.add(topic)
            try:
                fault = await self._stream(topic, kept)
            finally:
                self._streamed.discard(topic)
            if fault is not None:
                return fault
        return await self._reconcile(topic, theirs)

    async def _stream(self, topic: str, kept: str) -> Rejected | None:
        """Read pages until their end, or until they bring nothing new.

        Storing, parsing and requesting overlap: while some pages are stored, the next ones are
        parsed, and later ones are requested. Sometimes SQLite takes three times as long as usual.
        """
        after, stale, fault = self._store.meta(kept), 0, None
        pages: list[RecordsPage] = []
        taking = deque[tuple[asyncio.Task[int], bytes | None]]()  # with the cursor after each

        def take() -> None:
            if pages:
                wires = [wire for some in pages for wire in some.wires]
                taking.append((asyncio.create_task(self._take(wires)), pages[-1].next))
                pages.clear()

        async def finish(all_but: int) -> None:
            nonlocal stale
            while len(taking) > all_but:
                task, cursor = taking[0]
                brought = await task
                taking.popleft()
                self.brought += brought
                stale = 0 if brought else stale + 1
                if cursor is not None:
                    self._store.set_cursor(kept, cursor)

        coming = self._page_after(after, topic)
        try:
            while stale < MOST_STALE:
                page = await coming
                if isinstance(page, Rejected):
                    fault = page
                    break
                if page.next is not None:
                    if after is not None and page.next <= after:
                        fault = Rejected("a cursor that does not advance")
                        break
                    coming = self._page_after(page.next, topic)
                pages.append(page)
                after = page.next
                if after is None:
                    break
                if len(pages) == PAGES_TOGETHER:
                    take()
                    await finish(all_but=2)
        finally:
            coming.cancel()
            try:
                take()  # store the pages that have arrived, even after an error
                await finish(all_but=0)
            finally:
                left = [coming, *(task for task, _ in taking)]
                for one in left:
                    one.cancel()
                await asyncio.gather(*left, return_exceptions=True)
        if fault is None:
            self._store.forget_meta(kept)
        return fault

    def _page_after(self, after: bytes | None, topic: str) -> asyncio.Task[RecordsPage | Rejected]:
        question = After(after=after, limit=MAX_WANTED, topic=topic)
        return asyncio.create_task(self._ask(question, RecordsPage))

    async def _reconcile(self, topic: str, theirs: TopicDigest) -> Rejected | None:
        # No bounds on rounds or ids: a node that lacks a million records needs a million ids.
        initiator = Initiator(
            self._nearest(topic, theirs[0]), max_rounds=sys.maxsize, max_ids=sys.maxsize
        )
        is_same = self._indexes.digests()[topic] == theirs
        message: bytes | None = initiator.open_whole() if is_same else initiator.open()
        for _ in range(MOST_ROUNDS):
            if message is None:
                return None
            answer = await self._ask(Reconcile(message=message, topic=topic), Reconciled)
            if isinstance(answer, Rejected):
                return answer
            step = initiator.receive(answer.message)
            if isinstance(step, Rejected):
                return step
            difference, message = step
            fault = await self._fetch(self._store.intake.lacking(difference.need))
            if fault is not None or not self.is_complete:
                return fault
        self.is_complete = False
        return None

    def _nearest(self, topic: str, theirs: int) -> RecordIndex:
        """Return the index to compare, as a copy that does not change while records arrive.

        One index has the records that this node holds; the other also has those that it refused or
        removed. Both find the same missing records. The one closer to the peer's set needs far
        fewer bytes: some peers have refused nearly the same records, others hardly any.
        """
        here, had = self._indexes[topic], self._indexes.had(topic)
        return here.copy() if abs(len(here) - theirs) <= abs(len(had) - theirs) else had

    async def _fetch(self, ids: Sequence[bytes]) -> Rejected | None:
        """Ask for records until all arrived or the peer has no more of them."""
        pending = dict.fromkeys(ids)
        while pending:
            named = [*pending][:MAX_WANTED]
            batch = self._store.intake.lacking(named)  # other peers may have sent some meanwhile
            for record_id in set(named).difference(batch):
                del pending[record_id]
            if not batch:
                continue
            answer = await self._ask(Want(ids=tuple(batch)), WantedRecords)
            if isinstance(answer, Rejected):
                return answer
            wanted, received = set(batch), set[bytes]()
            for wire in answer.wires:
                head = payload_id(wire)
                if isinstance(head, Rejected):
                    return head
                if head[0] not in wanted:
                    return Rejected("a record that was not asked for")
                received.add(head[0])
            if received:  # records that did not fit are requested again
                brought = await self._take(answer.wires)
                self.brought += brought  # two statements: `brought` changes during the await
            else:
                self._in_vain += len(batch)
                if self._in_vain >= MOST_IN_VAIN:
                    self.is_complete = False
                    return None
            for record_id in received or batch:
                del pending[record_id]
        return None

    async def _ask(self, question: Mapped, kind: type[M]) -> M | Rejected:
        return await ask(self._carrier, self._peer, SYNC, question, kind)
