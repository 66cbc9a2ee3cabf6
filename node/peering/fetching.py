"""A fetcher of blobs from peers: the sources that patches describe, and files of tasks and reports.

The files of a task are fetched if the user named the task, the text of a report if the user asked
for it. A blob is requested together with a record that names it, so nothing unrequested arrives.
Its hash is checked before it is stored. Each peer is tried once an hour for each blob. A blob that
no peer had waits for a new peer. The disk space of blobs is bounded: blobs that this node does not
need make room for new ones (`node.store.eviction`).
"""

import asyncio
import hashlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from node.home.addresses import PeerId
from node.network.errors import NetworkError
from node.network.peer_budgets import Recent
from node.peering.carrier import Carrier
from node.peering.messages import BLOB, BlobPart, Part, ask
from node.peering.service_quota import Misbehaviour
from node.store.blobs import BLOB_LIMIT_BYTES, Blobs
from node.store.eviction import claims_of, make_room
from node.store.store import Store
from protocol.errors import ArnodeError, Rejected
from protocol.manifest import TaskManifest
from protocol.record_kinds import PatchBody, ResultBody, TaskBody
from protocol.remarks import ReportBody

DEFAULT_QUOTA_BYTES: Final = 4 << 30
MOST_WANTED: Final = 1_024
TRIED_AGAIN_S: Final = 3600.0
_TRIES_REMEMBERED = 16_384
_RECALLED_AT_ONCE = 1_000  # records; takes the event loop a few milliseconds
_RECALLED_EVERY_S = 0.05
_BLOB_LIMIT_S = 60.0
_CLAIMS_OF_A_PATCH = 8
_SOUGHT_AGAIN_S = 600.0  # the next search for space, which takes seconds
_log = logging.getLogger("node.peering")


class Fetcher:
    """A fetcher of missing blobs. `quota_bytes` bounds all blobs of this home."""

    def __init__(
        self,
        carrier: Carrier,
        store: Store,
        blobs: Blobs,
        misbehaviour: Misbehaviour,
        *,
        clock: Callable[[], float],
        used_bytes: int,
        quota_bytes: int = DEFAULT_QUOTA_BYTES,
    ) -> None:
        self._carrier = carrier
        self._store = store
        self._blobs = blobs
        self._misbehaviour = misbehaviour
        self._clock = clock
        self._quota_bytes = quota_bytes
        self._free_bytes = quota_bytes - used_bytes
        self._sought_s = -math.inf
        self._is_full = False
        self._wanted: Recent[bytes, PeerId | None] = Recent(MOST_WANTED)
        self._given_up: Recent[bytes, PeerId | None] = Recent(MOST_WANTED)
        self._tried: Recent[tuple[PeerId, bytes], float] = Recent(_TRIES_REMEMBERED)
        self._greeted: set[PeerId] = set()
        self._recalled: int | None = None  # records from this number on were checked
        self._has_more = True
        self._is_wanted = asyncio.Event()

    def want(self, patch: bytes, *, sent_by: PeerId | None = None) -> None:
        """Queue a patch, task or report by its record's id. A full queue drops its oldest entry."""
        self._given_up.pop(patch, None)
        self._wanted[patch] = sent_by
        self._is_wanted.set()

    def arrived(self, records: Iterable[bytes]) -> None:
        """Retry the patches in `records` that could not be fetched before these records arrived."""
        for patch in records:
            if patch in self._given_up:
                self.want(patch, sent_by=self._given_up[patch])

    def on_hello(self, peer: PeerId) -> None:
        """Allow questions to a peer, which has said hello. Retry the blobs that no peer had."""
        if peer not in self._greeted:
            self._greeted.add(peer)
            for patch, sent_by in [*self._given_up.items()]:
                self.want(patch, sent_by=sent_by)
            self._is_wanted.set()

    def on_disconnect(self, peer: PeerId) -> None:
        """Stop asking a peer."""
        self._greeted.discard(peer)

    async def run(self) -> None:
        """Fetch what is queued, one record after the other, the latest first. Never returns.

        The latest are those that the research loop asks for, and the sources of the latest results.
        """
        while True:
            while not self._wanted:
                if not await self._recall():
                    self._is_wanted.clear()
                    await self._is_wanted.wait()
            patch, sent_by = self._wanted.popitem()
            try:
                is_whole = await self.fetch(patch, sent_by=sent_by)
            except ArnodeError as fault:  # a fault of this disk
                _log.warning("a source was not saved: %s (%s)", fault.message, fault.hint)
                is_whole = False
            if not is_whole:
                self._given_up[patch] = sent_by

    async def fetch(self, patch: bytes, *, sent_by: PeerId | None = None) -> bool:
        """Fetch a patch's base, tree and long diff now; return True if its tree and diff are here.

        Answers that claims about the patch refer to are fetched, too, if available. For a task,
        fetch the baseline and a program's judge and fixed files. For a report, fetch its text if it
        is no longer than the record says.
        """
        if not self._store.records.has(patch):
            return False
        body = self._store.records.get(patch).body
        if isinstance(body, TaskBody):
            return await self._task(patch, body.manifest, sent_by)
        if isinstance(body, ReportBody):
            return await self._blob(patch, body.text, sent_by, most_bytes=body.size_bytes)
        if not isinstance(body, PatchBody):
            return False
        await self._tree(patch, body.base, sent_by)
        self._make_listing(body)
        is_whole = await self._tree(patch, body.tree, sent_by)
        if body.diff.blob is not None:
            is_whole = await self._blob(patch, body.diff.blob, sent_by) and is_whole
        await self._answers(patch, sent_by)
        return is_whole

    async def _answers(self, patch: bytes, sent_by: PeerId | None) -> None:
        """Fetch the answers that the latest claims about a patch publish, if any."""
        for record in self._store.records.claims_about(patch, limit=_CLAIMS_OF_A_PATCH):
            if isinstance(record.body, ResultBody):
                for answer in record.body.answers[:1]:
                    await self._blob(record.id, answer, sent_by)

    async def _task(self, record: bytes, manifest: TaskManifest, sent_by: PeerId | None) -> bool:
        self._blobs.put_listing(manifest.files)
        program_blobs = manifest.program.blobs if manifest.program else ()
        wanted = [*(blob for _, blob in manifest.files), *program_blobs]
        fetched = [await self._blob(record, blob, sent_by) for blob in wanted]
        return all(fetched)

    async def _recall(self) -> bool:
        """Queue missing patches of stored claims, the latest first; return False if none is left.

        The queue does not survive a restart, and may drop entries when many peers report at once.
        Patches of old claims evict nothing: they fill at most three quarters of the quota.
        """
        while self._greeted and self._has_more and self._free_bytes > self._quota_bytes // 4:
            claimed, self._recalled = self._store.topics.claimed_before(
                self._recalled, _RECALLED_AT_ONCE
            )
            self._has_more = self._recalled is not None
            for patch in claimed:
                if self._is_lacking(patch):
                    self.want(patch)
            await asyncio.sleep(_RECALLED_EVERY_S)
            if self._wanted:
                return True
        return False

    def _is_lacking(self, patch: bytes) -> bool:
        body = self._store.records.patch(patch)
        if body is None or (body.diff.blob is not None and not self._blobs.has(body.diff.blob)):
            return True
        return bool(self._blobs.lacking(body.tree))

    async def _tree(self, patch: bytes, tree: bytes, sent_by: PeerId | None) -> bool:
        if not await self._blob(patch, tree, sent_by):
            return False
        listing = self._blobs.listing(tree)
        if listing is None:  # the blob is not a tree, so no peer has its files
            return False
        fetched = [await self._blob(patch, blob, sent_by) for _, blob in listing]
        return all(fetched)

    def _make_listing(self, body: PatchBody) -> None:
        """Store the list of a tree's files if it can be computed from the base, without peers."""
        if not self._blobs.has(body.tree):
            listing = self._blobs.changed_listing(body)
            if listing is not None:
                self._blobs.put_listing(listing)

    async def _blob(
        self,
        patch: bytes,
        blob: bytes,
        sent_by: PeerId | None,
        *,
        most_bytes: int = BLOB_LIMIT_BYTES,
    ) -> bool:
        if self._blobs.has(blob):
            return True
        for peer in self._untried(blob, sent_by):
            if not await self._has_room():
                return False
            try:
                async with asyncio.timeout(_BLOB_LIMIT_S):
                    data = await self._download(peer, patch, blob, most_bytes)
            except (NetworkError, TimeoutError):  # it lacks the blob or is gone: try the next one
                continue
            if isinstance(data, Rejected):
                await self._misbehaviour.blame(peer, f"a blob: {data.reason}")
                continue
            if data is None:  # the record or the peer is at fault; it is unknown which
                continue
            self._blobs.put(data)
            self._free_bytes -= len(data)
            return True
        return False

    async def _has_room(self) -> bool:
        """Return True if another blob fits, after evicting others if necessary."""
        if self._free_bytes >= BLOB_LIMIT_BYTES:
            return True
        if self._clock() < self._sought_s + _SOUGHT_AGAIN_S:
            return False
        self._sought_s = self._clock()
        # Free a tenth, or at least a few blobs, so that the next search is not due soon.
        to_bytes = min(self._quota_bytes * 9 // 10, self._quota_bytes - 4 * BLOB_LIMIT_BYTES)
        claims = claims_of(self._store)
        used_bytes = await asyncio.to_thread(make_room, self._blobs, claims, to_bytes=to_bytes)
        self._free_bytes = self._quota_bytes - used_bytes
        has_room = self._free_bytes >= BLOB_LIMIT_BYTES
        if not has_room and not self._is_full:
            _log.warning(
                "no more files are fetched from peers: this node's own files fill the quota"
            )
        self._is_full = not has_room
        return has_room

    def _untried(self, blob: bytes, sent_by: PeerId | None) -> Iterator[PeerId]:
        """Yield the greeted peers not asked for the blob within the hour; record each as asked."""
        known = self._greeted.intersection(self._carrier.peers)
        for peer in sorted(known, key=lambda peer: (peer != sent_by, peer)):
            tried_s = self._tried.get((peer, blob))
            if tried_s is not None and self._clock() < tried_s + TRIED_AGAIN_S:
                continue
            self._tried[peer, blob] = self._clock()
            yield peer

    async def _download(
        self, peer: PeerId, patch: bytes, blob: bytes, most_bytes: int
    ) -> bytes | Rejected | None:
        """Return a blob, or its fault; None for a blob that is larger than allowed."""
        data = b""
        size: int | None = None
        while size is None or len(data) < size:
            question = BlobPart(blob=blob, record=patch, offset=len(data))
            part = await ask(self._carrier, peer, BLOB, question, Part)
            if isinstance(part, Rejected):
                return part
            if size not in (None, part.size_bytes) or len(data) + len(part.data) > part.size_bytes:
                return Rejected("its parts do not match its size")
            if part.size_bytes > most_bytes:
                return None
            if not part.data and part.size_bytes:
                return Rejected("an empty part")
            size = part.size_bytes
            data += part.data
        if hashlib.sha256(data).digest() != blob:
            return Rejected("its bytes have another hash")
        return data
