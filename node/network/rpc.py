"""A reader of gossip RPCs, and bounds on what one of them may contain.

One RPC may hold a megabyte, which is enough for 26,000 messages or ids. py-libp2p 0.8.1 starts
a task for each message, in time that grows with the square of their number. It answers an IWANT
that names one message a thousand times with a thousand copies. It remembers every topic that a
PRUNE names. Pure, apart from the protobuf classes.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from libp2p.io.abc import Reader
from libp2p.io.exceptions import MessageTooLarge
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.pubsub.pb.rpc_pb2 import RPC, ControlMessage, Message
from libp2p.utils.varint import decode_uvarint_from_stream

from node.network.contract import MESSAGE_LIMIT_BYTES
from protocol.errors import Rejected

RPC_LIMIT_BYTES: Final = 1 << 20
# An answer to IWANT holds the requested messages, at most this many; subscriptions are sent once.
MESSAGES_PER_RPC: Final = 1_000
SUBSCRIPTIONS_PER_RPC: Final = 1_000
CONTROLS_PER_RPC: Final = 1_000
IDS_PER_RPC: Final = 5_000  # go-libp2p-pubsub's MaxIHaveLength
IDS_ANSWERED: Final = 64  # 16 KiB each, so that no answer exceeds the size of one RPC
_ID_LIMIT_BYTES = 64
_CHUNK_BYTES = 64 * 1024


class RPCReader(Reader):
    """A reader of RPCs from a stream: the length as a varint, then that many bytes.

    It reads ahead, since a length is read byte by byte and each read of a libp2p stream takes
    longer than parsing the data.
    """

    def __init__(self, stream: Reader) -> None:
        self._stream = stream
        self._ahead = bytearray()
        self._data = bytearray()

    @property
    def partial_bytes(self) -> int:
        """The number of buffered bytes: of an incomplete RPC, or read ahead."""
        return len(self._data) + len(self._ahead)

    async def receive(self) -> bytes:
        """Return the next RPC's bytes.

        Raises:
            BaseLibp2pError: the stream ended; `ParseError`, `MessageTooLarge`: it holds no RPC.
        """
        size = await decode_uvarint_from_stream(self)
        if size > RPC_LIMIT_BYTES:
            raise MessageTooLarge(f"an RPC of {size} bytes, more than {RPC_LIMIT_BYTES}")
        try:
            while len(self._data) < size:
                chunk = await self.read(size - len(self._data))
                if not chunk:
                    raise StreamEOF
                self._data += chunk
            return bytes(self._data)
        finally:
            self._data.clear()

    async def read(self, n: int | None = None) -> bytes:
        """Return at most `n` bytes; bytes that were read ahead come first."""
        if not self._ahead:
            self._ahead += await self._stream.read(_CHUNK_BYTES)
        data = bytes(self._ahead[:n])
        del self._ahead[:n]
        return data


def rpc_fault(rpc: RPC) -> Rejected | None:
    """Return the reason to ignore a whole RPC, or None."""
    control = rpc.control
    ids = sum(len(have.messageIDs) for have in control.ihave)
    ids += sum(len(want.messageIDs) for want in control.iwant)
    controls = len(control.ihave) + len(control.iwant) + len(control.graft) + len(control.prune)
    counts = (
        ("messages", len(rpc.publish), MESSAGES_PER_RPC),
        ("subscriptions", len(rpc.subscriptions), SUBSCRIPTIONS_PER_RPC),
        ("control messages", controls, CONTROLS_PER_RPC),
        ("message ids", ids, IDS_PER_RPC),
    )
    for what, count, limit in counts:
        if count > limit:
            return Rejected(f"{count} {what} in one RPC, more than {limit}")
    return None


def message_fault(message: Message) -> Rejected | None:
    """Return a fault of a message, or None; its signature is not checked."""
    if len(message.data) > MESSAGE_LIMIT_BYTES:
        return Rejected(f"a message of {len(message.data)} bytes, over {MESSAGE_LIMIT_BYTES}")
    if len(message.topicIDs) != 1:
        # Only one topic's validator would judge the message.
        return Rejected(f"a message for {len(message.topicIDs)} topics")
    return None


def bounded_control(control: ControlMessage, topics: AbstractSet[str]) -> ControlMessage:
    """Return a copy of a control message, reduced to gossipsub 1.1 and these topics.

    It omits the peers that a PRUNE names, because the address book decides whom to dial.
    """
    kept = ControlMessage()
    for have in control.ihave:
        if have.topicID in topics:
            kept.ihave.add(topicID=have.topicID, messageIDs=_short_ids(have.messageIDs))
    wanted = dict.fromkeys(one for want in control.iwant for one in _short_ids(want.messageIDs))
    if wanted:
        kept.iwant.add(messageIDs=list(wanted)[:IDS_ANSWERED])
    for topic in dict.fromkeys(graft.topicID for graft in control.graft):
        if topic in topics:
            kept.graft.add(topicID=topic)
    for topic, back_off_s in {prune.topicID: prune.backoff for prune in control.prune}.items():
        if topic in topics:
            kept.prune.add(topicID=topic, backoff=min(back_off_s, 3600))
    return kept


def _short_ids(ids: Iterable[str | bytes]) -> list[bytes]:
    # py-libp2p's own classes may hold the wire bytes as str.
    wire = (one.encode() if isinstance(one, str) else one for one in ids)
    return [one for one in wire if len(one) <= _ID_LIMIT_BYTES]
