"""Gossip: py-libp2p's pubsub with arnode's own loops for reading and sending.

The reading loop handles one bounded RPC at a time (`node.network.rpc`). It handles the RPC's
messages in order and starts no task for them. So a peer that sends too fast only fills its stream.
Every message is charged to its forwarder's budget (`node.network.peer_budgets`) before its
signature is checked. Messages are delivered to `deliver`, not into libp2p's queue of 32.

Validators are not registered with libp2p, which has no "ignored" result: once a validator refuses a
message, libp2p refuses that message from every peer for five minutes. Here an ignored message is
not remembered. So no peer can suppress another author's record by sending it too early or too
often.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Final
from weakref import WeakKeyDictionary

import trio
from google.protobuf.message import DecodeError
from libp2p.abc import IHost, INetStream
from libp2p.exceptions import BaseLibp2pError, ParseError
from libp2p.io.exceptions import MessageTooLarge
from libp2p.network.stream.exceptions import StreamReset
from libp2p.peer.id import ID
from libp2p.pubsub.pb.rpc_pb2 import RPC, Message
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.pubsub.validators import signature_validator

from node.home.addresses import PeerId
from node.network.errors import Incidents
from node.network.gossip_verdicts import Fate, MessageFate
from node.network.guards import peer_of, reset_quietly
from node.network.peer_budgets import BudgetVerdict, CostKind
from node.network.presence import GossipMessage
from node.network.router import GuardedGossipSub, message_id
from node.network.rpc import (
    RPC_LIMIT_BYTES,
    SUBSCRIPTIONS_PER_RPC,
    RPCReader,
    bounded_control,
    message_fault,
    rpc_fault,
)
from protocol.errors import Rejected

SEEN_S: Final = 300
_MERGED_BYTES = 64 << 10  # an RPC of this size is sent, a smaller one is merged with the next
_NOT_RPC = (DecodeError, ParseError, MessageTooLarge)

# Judges a message by its topic, forwarder and data.
Validator = Callable[[str, PeerId, bytes], MessageFate]


class GuardedPubsub(Pubsub):
    """py-libp2p's pubsub, guarded so that no message of a peer can crash it."""

    def __init__(
        self,
        host: IHost,
        router: GuardedGossipSub,
        incidents: Incidents,
        *,
        spend: Callable[[PeerId, CostKind, float], BudgetVerdict],
        drop: Callable[[PeerId], Awaitable[None]],
        deliver: Callable[[GossipMessage], None],
        allowed_topics: frozenset[str],
    ) -> None:
        super().__init__(
            host,
            router,
            strict_signing=True,
            msg_id_constructor=message_id,
            seen_ttl=SEEN_S,
            max_inbound_rpc_size=RPC_LIMIT_BYTES,
            max_subscriptions_per_rpc=SUBSCRIPTIONS_PER_RPC,
            max_subscriptions_per_peer=len(allowed_topics) + 1,
            allowed_topics=allowed_topics,
        )
        router.incidents = incidents
        self._incidents = incidents
        self._budget = spend
        self._drop = drop
        self._scorer = router.scorer
        self._deliver = deliver
        self._forwarders: dict[int, ID] = {}  # of the messages being pushed, by object identity
        self._readers: WeakKeyDictionary[RPCReader, PeerId] = WeakKeyDictionary()
        self._validators: dict[str, Validator] = {}
        self.ignored: Counter[str] = Counter()  # number of messages not passed on, by reason

    @property
    def partial(self) -> Iterator[tuple[PeerId, int]]:
        """Each peer with the number of received bytes of its incomplete RPCs."""
        return ((peer, reader.partial_bytes) for reader, peer in self._readers.items())

    def validate_by(self, topic: str, validator: Validator) -> None:
        """Set a topic's validator. If the validator raises, the message is refused and logged."""
        self._validators[topic] = validator

    async def stream_handler(self, stream: INetStream) -> None:
        """Serve a peer's stream until it ends or the peer breaks a rule."""
        try:
            if not self.event_handle_peer_queue_started.is_set() or not self.manager.is_running:
                return  # the host accepts streams before its services run
            await self.continuously_read_stream(stream)
        except _NOT_RPC as fault:
            self._incidents.note(peer_of(stream), "gossip", fault)
            self._handle_dead_peer(stream.muxed_conn.peer_id)
        except BaseLibp2pError:
            pass  # the stream or its connection has ended
        finally:
            await reset_quietly(stream)

    async def continuously_read_stream(self, stream: INetStream) -> None:
        """Handle a peer's RPCs, one after the other, until the stream ends or the peer is dropped.

        Raises:
            BaseLibp2pError, DecodeError: the stream ended, or its data is no RPC.
        """
        peer, reader = peer_of(stream), RPCReader(stream)
        self._readers[reader] = peer
        while self.manager.is_running:
            data = await reader.receive()
            if await self._spend(peer, CostKind.BYTES, len(data)):
                await self._take_rpc(RPC.FromString(data), stream.muxed_conn.peer_id)

    async def handle_sending_messages(
        self, peer_id: ID, stream: INetStream, queue: RpcQueue
    ) -> None:
        """Send a peer its waiting messages in few RPCs: an RPC costs more than its messages."""
        try:
            while (rpc := await queue.pop()) is not None:
                while len(queue) and rpc.ByteSize() < _MERGED_BYTES:
                    rpc.MergeFrom(await queue.pop() or RPC())
                rpc.ClearField("senderRecord")  # the hello carries a node's addresses
                if not await self.write_msg(stream, rpc):
                    return
        except Exception as fault:  # noqa: BLE001 (a supervisor: only this peer's messages end)
            self._incidents.note(PeerId(str(peer_id)), "gossip", fault)
            self._handle_dead_peer(peer_id)

    async def push_msg(self, msg_forwarder: ID, msg: Message) -> None:
        """Deliver and forward a message if it is new and valid."""
        self._forwarders[id(msg)] = msg_forwarder
        try:
            await super().push_msg(msg_forwarder, msg)
        except Exception as fault:  # noqa: BLE001 (a supervisor: it is one message of many)
            self._incidents.note(PeerId(str(msg_forwarder)), "a message", fault)
        finally:
            del self._forwarders[id(msg)]

    def notify_subscriptions(self, publish_message: Message) -> None:
        """Deliver a new, valid message, unless this node published it."""
        forwarder = self._forwarders.get(id(publish_message), self.my_id)
        if forwarder != self.my_id:
            topic, peer = publish_message.topicIDs[0], PeerId(str(forwarder))
            self._deliver(GossipMessage(topic=topic, data=publish_message.data, forwarder=peer))

    def _handle_dead_peer(self, peer_id: ID) -> None:
        try:
            super()._handle_dead_peer(peer_id)
        except Exception as fault:  # noqa: BLE001 (a supervisor: this runs in a daemon)
            self._incidents.note(PeerId(str(peer_id)), "leaving", fault)

    async def _take_rpc(self, rpc: RPC, peer_id: ID) -> None:
        peer = PeerId(str(peer_id))
        # Ignore the addresses that the RPC carries: parsing a megabyte of them is slow, and the
        # hello carries them anyway.
        fault = rpc_fault(rpc)
        if fault is not None:
            self._incidents.note(peer, "gossip", fault.reason)
            return
        for message in rpc.publish:
            await trio.lowlevel.checkpoint()  # let other tasks run between two messages
            if await self._spend(peer, CostKind.RECORDS, 1):
                await self._take_message(message, peer_id)
        # Only the last subscription for each topic: every change starts tasks and replays recent
        # messages.
        for subscription in {one.topicid: one for one in rpc.subscriptions}.values():
            if await self._spend(peer, CostKind.RECORDS, 1):
                self.handle_subscription(peer_id, subscription)
        if rpc.HasField("control"):
            control = bounded_control(rpc.control, self.topic_ids)
            wanted = sum(len(want.messageIDs) for want in control.iwant)
            # A requested message costs as much as a sent one: it may be 400 times as long as the
            # request.
            if wanted and not await self._spend(peer, CostKind.RECORDS, wanted):
                control.ClearField("iwant")
            await self.router.handle_rpc(RPC(control=control), peer_id)

    async def _take_message(self, message: Message, forwarder: ID) -> None:
        if not self._is_subscribed_to_msg(message) or self._is_msg_seen(message):
            return
        fault = message_fault(message)
        if fault is None and not _is_signed(message):
            fault = Rejected("a message with a wrong signature")
        if fault is not None:
            self._incidents.note(PeerId(str(forwarder)), "gossip", fault.reason)
            return
        if await self._passes(message, forwarder):
            await self.push_msg(forwarder, message)

    async def _passes(self, message: Message, forwarder: ID) -> bool:
        """Return True if a message may be passed on.

        An invalid message, or one with the wrong network, topic or time, counts against its
        forwarder.
        """
        (topic,), peer = message.topicIDs, PeerId(str(forwarder))
        try:
            judgement = self._validators[topic](topic, peer, message.data)
        except Exception as fault:  # noqa: BLE001 (a supervisor: the next message may be fine)
            self._incidents.note(peer, f"validator of {topic}", fault)
            return False
        if judgement.fate is Fate.REFUSED:
            self._incidents.note(peer, topic, f"an invalid message: {judgement.why}")
            if self._scorer is not None:
                self._scorer.on_invalid_message(forwarder, topic)
        elif judgement.fate is Fate.IGNORED:
            self.ignored[judgement.why] += 1
            if judgement.strays:
                self._incidents.mention(peer, topic, f"ignored: {judgement.why}")
                await self._spend(peer, CostKind.STRAYS, judgement.strays)
        return judgement.fate is Fate.PASSED_ON

    async def _spend(self, peer: PeerId, kind: CostKind, amount: float) -> bool:
        verdict = self._budget(peer, kind, amount)
        if verdict is BudgetVerdict.DROP:
            self._incidents.note(peer, "gossip", f"too many {kind.name.lower()}")
            await self._drop(peer)
            raise StreamReset("the peer was dropped")
        return verdict is BudgetVerdict.ALLOWED


def _is_signed(message: Message) -> bool:
    try:
        return signature_validator(message)
    except Exception:  # noqa: BLE001 (a peer's keys and ids can fail in many ways)
        return False
