"""Answers what peers ask about blobs: only those that a record of this network leads to.

Whoever asks names the record. It leads to what it names itself and to the files of the trees that
it names; so no other file of this home can be asked for, whatever its hash.
"""

from node.network.limits import PeerId
from node.peering.messages import CHUNK_BYTES, BlobPart, Part, RefusedError, read, write
from node.processes.carrier import Message
from node.store.blobs import Blobs
from node.store.listings import listing_of
from node.store.store import Store
from protocol.errors import Rejected
from protocol.kinds import Body, PatchBody, ReportBody, ResultBody, TaskBody


class Lender:
    """The answering side of `/arnode/blob/1`."""

    def __init__(self, store: Store, blobs: Blobs, *, net: str) -> None:
        self._store = store
        self._blobs = blobs
        self._net = net

    async def answer(self, _peer: PeerId, question: Message) -> Message:
        """Answer one question; raises `RefusedError` for anything that is not here or not open."""
        asked = read(BlobPart, question)
        if isinstance(asked, Rejected):
            raise RefusedError(f"a question that is none: {asked.reason}")
        if not self._store.has(asked.record):
            raise RefusedError("the record is not here")
        record = self._store.record(asked.record)
        if record.net != self._net or asked.blob not in self._open(record.body):
            raise RefusedError("that record does not lead to it")
        data = self._blobs.get(asked.blob)
        self._blobs.note_use(asked.blob)
        part = data[asked.offset : asked.offset + CHUNK_BYTES]
        return write(Part(data=part, size_bytes=len(data)))

    def _open(self, body: Body) -> set[bytes]:
        named, trees = _named(body)
        files = {blob for tree in trees for _, blob in listing_of(self._blobs, tree) or ()}
        return {*named, *trees, *files}


def _named(body: Body) -> tuple[set[bytes], set[bytes]]:
    """Return the blobs and the trees that a record names."""
    match body:
        case PatchBody():
            blobs = {blob for change in body.files for blob in (change.old, change.new) if blob}
            return blobs | ({body.diff.blob} if body.diff.blob else set()), {body.base, body.tree}
        case ResultBody():
            return set(), {body.base, body.tree}
        case TaskBody(manifest=manifest):
            return {blob for _, blob in manifest.files}, {manifest.baseline_tree}
        case ReportBody():
            return {body.text}, set()
        case _:
            return set(), set()
