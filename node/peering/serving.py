"""Servers that answer sync and blob questions with the records and blobs of this home.

Answering stores nothing. Records are offered only for topics that this node has subscribed to. For
other topics it has only records that other records refer to: an incomplete set, useless to compare.
A blob is served only if the question names a record of this network that refers to it: the record
names the blob, or a tree that contains it as a file. So no other file of this home can be
requested, even by its hash.
"""

from node.home.addresses import PeerId
from node.peering.messages import (
    ANSWER_BYTES,
    CHUNK_BYTES,
    After,
    BlobPart,
    Part,
    Reconcile,
    Reconciled,
    RecordsPage,
    RefusedError,
    Want,
    WantedRecords,
    read,
    write,
)
from node.store.blobs import Blobs
from node.store.store import Store
from node.store.topics import TopicIndexes
from protocol.errors import Rejected
from protocol.framing import Message
from protocol.reconciliation import respond
from protocol.record_index import RecordIndex
from protocol.record_kinds import Body, PatchBody, ResultBody, TaskBody
from protocol.remarks import ReportBody


class RecordServer:
    """A server of `/arnode/sync/1`: reconciliation, records by id, pages of a topic."""

    def __init__(self, store: Store, indexes: TopicIndexes) -> None:
        self._store = store
        self._indexes = indexes

    async def answer(self, _peer: PeerId, question: Message) -> Message:
        """Answer one question of a peer.

        Raises:
            RefusedError: the question is invalid, or its topic is not subscribed to here.
        """
        asked = _asked(question)
        answer = asked if isinstance(asked, Rejected) else self._answer(asked)
        if isinstance(answer, Rejected):
            raise RefusedError(f"an invalid request: {answer.reason}")
        return write(answer)

    def _answer(
        self, asked: Reconcile | Want | After
    ) -> Reconciled | WantedRecords | RecordsPage | Rejected:
        match asked:
            case Want(ids=ids):
                return WantedRecords(wires=_fitting([*self._store.records.wires(ids).values()]))
            case Reconcile(message=message):
                answer = respond(self._index(asked.topic), message)
                return answer if isinstance(answer, Rejected) else Reconciled(message=answer)
            case After():
                return self._page(asked)

    def _page(self, asked: After) -> RecordsPage:
        index = self._index(asked.topic)
        start = 0
        if asked.after is not None:
            start = index.position(asked.after)
            start += asked.after in index
        stop = min(start + asked.limit, len(index))
        found = self._store.records.wires([*index.ids(start, stop)])
        wires = _fitting([*found.values()])
        # Some ids of the index may be missing, so the last sent one determines how far this page
        # reaches.
        if len(wires) < len(found):
            last = [*found][len(wires) - 1]
            stop = start + 1 + [*index.ids(start, stop)].index(last)
        is_end = stop == len(index)
        return RecordsPage(wires=wires, next=None if is_end else index.key(stop - 1))

    def _index(self, topic: str) -> RecordIndex:
        if topic not in self._indexes:
            raise RefusedError(f"this node does not subscribe to {topic}")
        return self._indexes[topic]


def _asked(question: Message) -> Reconcile | Want | After | Rejected:
    if isinstance(question, dict):
        if "reconcile" in question:
            return read(Reconcile, question)
        if "want" in question:
            return read(Want, question)
        if "after" in question:
            return read(After, question)
    return Rejected("not one of reconcile, want and after")


def _fitting(wires: list[bytes]) -> tuple[bytes, ...]:
    """Return the first records that fit into one answer, at least one if there are any."""
    size = 0
    for number, wire in enumerate(wires):
        size += len(wire)
        if size > ANSWER_BYTES:
            return tuple(wires[:number])
    return tuple(wires)


class BlobServer:
    """A server of `/arnode/blob/1`: parts of a blob, of at most `CHUNK_BYTES`."""

    def __init__(self, store: Store, blobs: Blobs, *, net: str) -> None:
        self._store = store
        self._blobs = blobs
        self._net = net

    async def answer(self, _peer: PeerId, question: Message) -> Message:
        """Answer one question of a peer.

        Raises:
            RefusedError: the question is invalid, or this node lacks the record, or the record does
                not refer to the blob.
        """
        asked = read(BlobPart, question)
        if isinstance(asked, Rejected):
            raise RefusedError(f"an invalid request: {asked.reason}")
        if not self._store.records.has(asked.record):
            raise RefusedError("this node does not have the record")
        record = self._store.records.get(asked.record)
        if record.net != self._net or asked.blob not in self._blobs_of(record.body):
            raise RefusedError("that record does not refer to the blob")
        data = self._blobs.get(asked.blob)
        self._blobs.note_use(asked.blob)
        part = data[asked.offset : asked.offset + CHUNK_BYTES]
        return write(Part(data=part, size_bytes=len(data)))

    def _blobs_of(self, body: Body) -> set[bytes]:
        """Return the hashes of all blobs that a record refers to."""
        named, trees = _named(body)
        files = {blob for tree in trees for _, blob in self._blobs.listing(tree) or ()}
        return {*named, *trees, *files}


def _named(body: Body) -> tuple[set[bytes], set[bytes]]:
    """Return the blobs and the trees that a record names."""
    match body:
        case PatchBody():
            blobs = {blob for change in body.files for blob in (change.old, change.new) if blob}
            return blobs | ({body.diff.blob} if body.diff.blob else set()), {body.base, body.tree}
        case ResultBody():
            return {*body.answers}, {body.base, body.tree}
        case TaskBody(manifest=manifest):
            program_blobs = manifest.program.blobs if manifest.program else ()
            return {*program_blobs, *(blob for _, blob in manifest.files)}, {manifest.baseline_tree}
        case ReportBody():
            return {body.text}, set()
        case _:
            return set(), set()
