"""Answers what peers ask about records: reconciliation, records by id, pages for newcomers.

Keeps nothing of a question, offers only what is here, and only the topics that this node has
subscribed to: of the others it holds what others' news needed, which is no set to compare.
"""

from node.network.limits import PeerId
from node.peering.messages import (
    ANSWER_BYTES,
    After,
    Page,
    Reconcile,
    Reconciled,
    Records,
    RefusedError,
    Want,
    read,
    write,
)
from node.processes.carrier import Message
from node.store.store import Store
from node.store.topics import TopicIndexes
from protocol.errors import Rejected
from protocol.reconciliation import respond
from protocol.record_index import RecordIndex


class Librarian:
    """The answering side of `/arnode/sync/1`."""

    def __init__(self, store: Store, indexes: TopicIndexes) -> None:
        self._store = store
        self._indexes = indexes

    async def answer(self, _peer: PeerId, question: Message) -> Message:
        """Answer one question; raises `RefusedError` if it is none."""
        asked = _asked(question)
        answer = asked if isinstance(asked, Rejected) else self._answer(asked)
        if isinstance(answer, Rejected):
            raise RefusedError(f"a question that is none: {answer.reason}")
        return write(answer)

    def _answer(self, asked: Reconcile | Want | After) -> Reconciled | Records | Page | Rejected:
        match asked:
            case Want(ids=ids):
                return Records(wires=_fitting([*self._store.wires(ids).values()]))
            case Reconcile(message=message):
                answer = respond(self._index(asked.topic), message)
                return answer if isinstance(answer, Rejected) else Reconciled(message=answer)
            case After():
                return self._page(asked)

    def _page(self, asked: After) -> Page:
        index = self._index(asked.topic)
        start = 0
        if asked.after is not None:
            start = index.position(asked.after)
            start += asked.after in index
        stop = min(start + asked.limit, len(index))
        found = self._store.wires([*index.ids(start, stop)])
        wires = _fitting([*found.values()])
        # Not every id in the index need have been found, so the last one sent tells how far.
        if len(wires) < len(found):
            last = [*found][len(wires) - 1]
            stop = start + 1 + [*index.ids(start, stop)].index(last)
        is_end = stop == len(index)
        return Page(wires=wires, next=None if is_end else index.key(stop - 1))

    def _index(self, topic: str) -> RecordIndex:
        if topic not in self._indexes:
            raise RefusedError(f"{topic} is not subscribed to here")
        return self._indexes[topic]


def _asked(question: Message) -> Reconcile | Want | After | Rejected:
    if isinstance(question, dict):
        if "reconcile" in question:
            return read(Reconcile, question)
        if "want" in question:
            return read(Want, question)
        if "after" in question:
            return read(After, question)
    return Rejected("neither reconcile nor want nor after")


def _fitting(wires: list[bytes]) -> tuple[bytes, ...]:
    """Return as many of the first wires as one answer holds, at least one if there is one."""
    size = 0
    for number, wire in enumerate(wires):
        size += len(wire)
        if size > ANSWER_BYTES:
            return tuple(wires[:number])
    return tuple(wires)
