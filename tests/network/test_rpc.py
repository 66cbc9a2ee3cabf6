"""Limits on incoming RPCs."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from libp2p.pubsub.pb.rpc_pb2 import RPC, ControlMessage, Message

from node.network.rpc import (
    IDS_ANSWERED,
    IDS_PER_RPC,
    MESSAGE_LIMIT_BYTES,
    MESSAGES_PER_RPC,
    bounded_control,
    message_fault,
    rpc_fault,
)
from protocol.errors import Rejected
from tests.network.attacks import GARBAGE, NESTED_GROUPS, pruning, subscribing, wanting

OURS = frozenset({"ours"})


def test_what_an_honest_peer_sends_is_let_in() -> None:
    rpc = wanting(b"an id", 10)
    rpc.publish.add(data=b"data", topicIDs=["ours"])
    rpc.subscriptions.add(subscribe=True, topicid="ours")
    assert rpc_fault(RPC.FromString(rpc.SerializeToString())) is None
    assert message_fault(rpc.publish[0]) is None


@pytest.mark.parametrize(
    ("rpc", "reason"),
    [
        (RPC(publish=[Message()] * (MESSAGES_PER_RPC + 1)), "1001 messages in one RPC"),
        (subscribing(1_001), "1001 subscriptions in one RPC"),
        (pruning(1_001), "1001 control messages in one RPC"),
        (wanting(b"id", IDS_PER_RPC + 1), "5001 message ids in one RPC"),
    ],
)
def test_numbers_over_the_limit_are_refused(rpc: RPC, reason: str) -> None:
    fault = rpc_fault(rpc)
    assert isinstance(fault, Rejected)
    assert fault.reason.startswith(reason)


def test_a_message_is_for_one_topic_and_not_long() -> None:
    assert message_fault(Message(data=bytes(MESSAGE_LIMIT_BYTES), topicIDs=["ours"])) is None
    assert message_fault(Message(data=bytes(MESSAGE_LIMIT_BYTES + 1), topicIDs=["ours"]))
    assert message_fault(Message(topicIDs=["ours", "ours"]))
    assert message_fault(Message())


@pytest.mark.parametrize("data", [GARBAGE, NESTED_GROUPS])
def test_what_is_no_rpc_is_one_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        RPC.FromString(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_rpc_or_that_error(data: bytes) -> None:
    try:
        rpc = RPC.FromString(data)
    except DecodeError:
        return
    rpc_fault(rpc)
    bounded_control(rpc.control, OURS)


def test_control_is_kept_for_our_topics_and_gossipsub_1_1_only() -> None:
    control = ControlMessage()
    for topic in ("ours", "theirs"):
        control.ihave.add(topicID=topic, messageIDs=[b"a" * 32, b"b" * 65])
        for _ in range(2):
            control.graft.add(topicID=topic)
            control.prune.add(topicID=topic, backoff=1 << 60).peers.add(peerID=b"dial me")
    control.iwant.add(messageIDs=[b"%d" % (number // 2) for number in range(4 * IDS_ANSWERED)])
    control.idontwant.add(messageIDs=[b"id"])
    expected = ControlMessage()
    expected.ihave.add(topicID="ours", messageIDs=[b"a" * 32])
    expected.iwant.add(messageIDs=[b"%d" % number for number in range(IDS_ANSWERED)])
    expected.graft.add(topicID="ours")
    expected.prune.add(topicID="ours", backoff=3600)
    assert bounded_control(control, OURS) == expected
    assert bounded_control(ControlMessage(), OURS) == ControlMessage()
