"""The largest requests and answers of an honest node are within the limits for peers."""

import pytest

from node.network.errors import FrameMalformedError
from node.network.messages import (
    FRAME_LIMIT_BYTES,
    PEERS_SHAPE,
    QUESTION_LIMIT_BYTES,
    Message,
    Shape,
    decode_message,
    encode_message,
)
from node.peering.messages import (
    ANSWER_BYTES,
    CHUNK_BYTES,
    MAX_ADDRESSES,
    MAX_PEER_ADDRESSES,
    MAX_TOPICS,
    MAX_WANTED,
    After,
    BlobPart,
    Hello,
    Known,
    Part,
    PeerAddresses,
    Reconcile,
    RecordsPage,
    Want,
    WantedRecords,
    read,
    write,
)
from node.store.blobs import BLOB_LIMIT_BYTES
from protocol.encoding import LIMIT_BYTES, MAX_INT
from protocol.fields import Mapped
from protocol.reconciliation import FRAME_LIMIT_BYTES as RECONCILIATION_LIMIT_BYTES
from protocol.record_index import KEY_BYTES
from protocol.records import VERSION
from protocol.topics import MAX_TOPIC

ID, KEY = b"\xff" * 32, b"\xff" * KEY_BYTES
WIDE = "\U0001f642"  # four bytes
TOPICS = [f"/arnode/{number:0{MAX_TOPIC}}" for number in range(MAX_TOPICS)]
HELLO = Hello(
    v=VERSION,
    software=WIDE * 64,
    net="n" * 48,
    author=ID,
    addresses=(WIDE * 256,) * MAX_ADDRESSES,
    digests=dict.fromkeys(TOPICS, (MAX_INT, ID)),
)
QUESTIONS: list[Mapped] = [
    HELLO,
    Reconcile(message=bytes(RECONCILIATION_LIMIT_BYTES), topic=TOPICS[0]),
    Want(ids=(ID,) * MAX_WANTED),
    After(after=KEY, limit=MAX_WANTED, topic=TOPICS[0]),
    BlobPart(blob=ID, record=ID, offset=BLOB_LIMIT_BYTES),
    Known(known=MAX_PEER_ADDRESSES),
]
WIRES = (*[bytes(LIMIT_BYTES)] * (ANSWER_BYTES // LIMIT_BYTES - 1), *[b"\0"] * 400)
ANSWERS: list[Mapped] = [
    HELLO,
    WantedRecords(wires=WIRES),
    RecordsPage(wires=WIRES, next=KEY),
    Part(data=bytes(CHUNK_BYTES), size_bytes=BLOB_LIMIT_BYTES),
    PeerAddresses(addresses=(WIDE * 256,) * MAX_PEER_ADDRESSES),
]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: type(one).__name__)
def test_the_longest_question_may_be_asked(question: Mapped) -> None:
    data = encode_message(write(question))
    assert len(data) <= QUESTION_LIMIT_BYTES
    assert read(type(question), decode_message(data)) == question


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda one: type(one).__name__)
def test_the_longest_answer_may_be_given(answer: Mapped) -> None:
    data = encode_message(write(answer))
    assert len(data) <= FRAME_LIMIT_BYTES
    assert read(type(answer), decode_message(data)) == answer


def test_no_message_of_ours_is_nearly_as_full_or_as_deep_as_one_may_be() -> None:
    small = Shape(values=PEERS_SHAPE.values // 3, levels=PEERS_SHAPE.levels // 4)
    for message in (*QUESTIONS, *ANSWERS):
        decode_message(encode_message(write(message)), small)


@pytest.mark.parametrize("message", [[[[None]]], [1, 2, 3, 4], {"a": 1, "b": {}}])
def test_keys_and_levels_are_counted(message: Message) -> None:
    data = encode_message(message)
    assert decode_message(data, Shape(values=5, levels=4)) == message
    with pytest.raises(FrameMalformedError, match="too many values or too many levels"):
        decode_message(data, Shape(values=4, levels=3))
