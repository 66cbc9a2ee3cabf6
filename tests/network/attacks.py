"""Bytes and messages of attackers, which no honest node sends."""

import secrets
from typing import Final

from libp2p.abc import INetStream
from libp2p.host.basic_host import BasicHost
from libp2p.pubsub.pb.rpc_pb2 import RPC, ControlMessage, Message
from libp2p.pubsub.validators import PUBSUB_SIGNING_PREFIX
from libp2p.utils.varint import encode_varint_prefixed

from tests.network.arena import TOPIC

# A length-delimited field that says it is longer than what follows.
GARBAGE: Final = b"\x0a\xff\xff\xff\x7f" + b"garbage" * 4
NESTED_GROUPS: Final = b"\x0b" * 100_000


async def send_bytes(stream: INetStream, data: bytes) -> None:
    """Send bytes in the frame of an RPC."""
    await stream.write(encode_varint_prefixed(data))


async def send_rpc(stream: INetStream, rpc: RPC) -> None:
    await send_bytes(stream, rpc.SerializeToString())


def forged(*, from_id: bytes, key: bytes = b"", data: bytes | None = None) -> Message:
    """Return a message with an invalid signature."""
    return Message(
        data=secrets.token_bytes(16) if data is None else data,
        topicIDs=[TOPIC],
        from_id=from_id,
        seqno=secrets.token_bytes(8),
        signature=b"x" * 64,
        key=key,
    )


def signed(host: BasicHost, data: bytes, *topics: str) -> Message:
    """Return a message that is signed as it should be."""
    message = Message(
        data=data,
        topicIDs=topics or (TOPIC,),
        from_id=host.get_id().to_bytes(),
        seqno=secrets.token_bytes(8),
    )
    payload = PUBSUB_SIGNING_PREFIX.encode() + message.SerializeToString()
    message.signature = host.get_private_key().sign(payload)
    message.key = host.get_public_key().serialize()
    return message


def pruning(topics: int) -> RPC:
    control = ControlMessage()
    for number in range(topics):
        control.prune.add(topicID=f"/topic/{number}", backoff=3600)
    return RPC(control=control)


def wanting(message_id: bytes, times: int) -> RPC:
    control = ControlMessage()
    control.iwant.add(messageIDs=[message_id] * times)
    return RPC(control=control)


def subscribing(topics: int) -> RPC:
    rpc = RPC()
    for number in range(topics):
        rpc.subscriptions.add(subscribe=True, topicid=f"/topic/{number}")
    return rpc
