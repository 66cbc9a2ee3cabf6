"""Requests of honest peers in each of our protocols, from which fuzzing starts."""

from typing import Final

from node.network.messages import encode_message
from node.peering.messages import (
    BLOB,
    HELLO,
    PEERS,
    SYNC,
    After,
    BlobPart,
    Hello,
    Known,
    Reconcile,
    Want,
    write,
)
from protocol.fields import Mapped
from protocol.framing import LENGTH
from protocol.reconciliation import Initiator
from protocol.record_index import RecordIndex, key_of
from protocol.records import VERSION
from protocol.topics import family_topic, news_topic, tasks_topic
from tests.peering.members import TASK, library
from tests.peering.test_fetching import BASE, PATCH_RECORD
from tests.protocol.examples import START_MS, sha256

RECORDS: Final = library(200)
TOPICS: Final = (tasks_topic("main"), news_topic("main", TASK), family_topic("main", TASK, "cpu"))


def hello(net: str = "main") -> Hello:
    """Return the hello of a peer that has some of these records."""
    return Hello(
        v=VERSION,
        software="fuzz 1",
        net=net,
        author=bytes(32),
        addresses=(
            "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWLKzRAW2b2kySAAh96rhvXcwvMdAiWfQKdY2SokL4YEAA",
        ),
        digests={topic: (10, bytes(32)) for topic in TOPICS},
    )


def questions() -> dict[str, list[bytes]]:
    """Return valid payloads by protocol. Each of them gets an answer."""
    some = RecordIndex(key_of(START_MS + n, RECORDS[n].id) for n in range(0, len(RECORDS), 3))
    steps = [Reconcile(message=Initiator(some).open(), topic=topic) for topic in TOPICS]
    blobs = [BASE.tree, *(sha256(data) for _, data in BASE.files)]
    asked: dict[str, list[Mapped]] = {
        HELLO: [hello()],
        SYNC: [
            *steps,
            Reconcile(message=Initiator(RecordIndex()).open(), topic=TOPICS[1]),
            Want(ids=tuple(record.id for record in RECORDS[:20])),
            Want(ids=(RECORDS[0].id, bytes(32))),
            After(after=None, limit=10, topic=TOPICS[1]),
            After(after=key_of(START_MS, bytes(32)), limit=512, topic=TOPICS[0]),
        ],
        BLOB: [BlobPart(blob=blob, record=PATCH_RECORD.id, offset=0) for blob in blobs],
        PEERS: [Known(known=16)],
    }
    return {name: [encode_message(write(one)) for one in some] for name, some in asked.items()}


def framed(payload: bytes) -> bytes:
    """Return a payload as a frame with its length prefix."""
    return LENGTH.pack(len(payload)) + payload
