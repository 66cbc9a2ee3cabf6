"""The host survives any gossip of a peer, and other peers are not disturbed."""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.peer.id import ID
from libp2p.pubsub.pb.rpc_pb2 import RPC, Message
from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.utils.varint import encode_uvarint

from node.home.addresses import PeerId
from node.network.gossip_verdicts import NO_RECORD, OTHER_TOPIC, PASSED_ON, MessageFate
from node.network.host import NetworkHost, running_host
from node.network.peer_budgets import Allowance, CostKind
from node.network.router import message_id
from node.network.rpc import MESSAGE_LIMIT_BYTES
from tests.network.arena import TOPIC, Arena, arena, run, settings, until
from tests.network.attacks import (
    GARBAGE,
    NESTED_GROUPS,
    forged,
    pruning,
    send_bytes,
    send_rpc,
    signed,
    subscribing,
    wanting,
)

Attack = Callable[[Arena], Awaitable[None]]


async def garbage(field: Arena) -> None:
    await send_bytes(await field.stream(), GARBAGE)


async def nested_groups(field: Arena) -> None:
    await send_bytes(await field.stream(), NESTED_GROUPS)


async def oversize_rpc(field: Arena) -> None:
    stream = await field.stream()
    await stream.write(encode_uvarint((1 << 20) + 1) + bytes(1000))


async def endless_length(field: Arena) -> None:
    await (await field.stream()).write(b"\xff" * 20)


async def bad_sender(field: Arena) -> None:
    await send_rpc(await field.stream(), RPC(publish=[forged(from_id=b"\x00\x01nobody")]))


async def bad_key(field: Arena) -> None:
    await send_rpc(await field.stream(), RPC(publish=[forged(from_id=b"\x12", key=b"\xff\xfe")]))


async def bad_signature(field: Arena) -> None:
    sender = field.raw.get_id().to_bytes()
    await send_rpc(await field.stream(), RPC(publish=[forged(from_id=sender)]))


async def thousands_of_messages(field: Arena) -> None:
    rpc = RPC(publish=[signed(field.raw, secrets.token_bytes(4)) for _ in range(1_001)])
    await send_rpc(await field.stream(), rpc)


async def thousands_of_subscriptions(field: Arena) -> None:
    await send_rpc(await field.stream(), subscribing(5_000))


async def thousands_of_ids(field: Arena) -> None:
    await send_rpc(await field.stream(), wanting(secrets.token_bytes(32), 20_000))


async def long_message(field: Arena) -> None:
    message = signed(field.raw, bytes(MESSAGE_LIMIT_BYTES + 1))
    await send_rpc(await field.stream(), RPC(publish=[message]))


async def message_for_two_topics(field: Arena) -> None:
    message = signed(field.raw, b"to two", TOPIC, "/elsewhere")
    await send_rpc(await field.stream(), RPC(publish=[message]))


ATTACKS: tuple[Attack, ...] = (
    garbage,
    nested_groups,
    oversize_rpc,
    endless_length,
    bad_sender,
    bad_key,
    bad_signature,
    thousands_of_messages,
    thousands_of_subscriptions,
    thousands_of_ids,
    long_message,
    message_for_two_topics,
)


def test_attackers_are_dropped_after_one_line_each_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def lines(attacker: NetworkHost) -> int:
        return caplog.text.count(attacker.peer_id)

    async def be_attacked(field: Arena, attack: Attack) -> None:
        await attack(field)
        await until(lambda: lines(field.attacker) == 1)
        await field.assert_victim_serves_honest()
        assert not field.is_attacker_dropped()
        await attack(field)
        await until(field.is_attacker_dropped)
        await field.assert_victim_serves_honest()

    async def test() -> None:
        async with (
            arena(allowances={CostKind.FAULTS: Allowance(per_s=0, burst=1)}) as field,
            AsyncExitStack() as stack,
        ):
            attackers = [await stack.enter_async_context(running_host(settings())) for _ in ATTACKS]
            async with trio.open_nursery() as nursery:
                for attacker in attackers:
                    nursery.start_soon(attacker.connect, field.victim.addresses[0])
            await until(lambda: len(field.victim.peers) == 2 + len(ATTACKS))
            for attack, attacker in zip(ATTACKS, attackers, strict=True):
                await be_attacked(replace(field, attacker=attacker), attack)
            assert [lines(attacker) for attacker in attackers] == [1] * len(ATTACKS)
            assert len(caplog.records) == len(ATTACKS)

    run(test)


def test_a_validator_that_raises_refuses_one_message_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def judge(_: str, __: PeerId, data: bytes) -> MessageFate:
        if data == b"poison":
            raise RuntimeError("a fault in a validator")
        return PASSED_ON

    async def test() -> None:
        async with arena() as field:
            field.victim._pubsub.validate_by(TOPIC, judge)
            await field.attacker.publish(TOPIC, b"poison")
            await until(lambda: len(caplog.records) == 1)
            await field.assert_victim_serves_honest()
        assert len(caplog.records) == 1

    run(test)


def test_a_message_that_a_validator_refuses_is_not_passed_on() -> None:
    async def test() -> None:
        async with arena() as field:
            field.victim._pubsub.validate_by(
                TOPIC, lambda _, __, data: NO_RECORD if data == b"false" else PASSED_ON
            )
            await field.attacker.publish(TOPIC, b"false")
            await field.attacker.publish(TOPIC, b"true")
            assert (await field.honest_inbox.receive()).data == b"true"
            assert (await field.victim_inbox.receive()).data == b"true"

    run(test)


def test_what_is_ignored_is_counted_and_only_very_much_of_it_is_held_against_a_peer() -> None:
    def judge(_: str, __: PeerId, data: bytes) -> MessageFate:
        return OTHER_TOPIC if data.startswith(b"stray") else PASSED_ON

    async def test() -> None:
        async with arena(allowances={CostKind.STRAYS: Allowance(per_s=0, burst=20)}) as field:
            field.victim._pubsub.validate_by(TOPIC, judge)
            stream = await field.stream()
            strays = [signed(field.raw, b"stray %d" % number) for number in range(41)]
            await send_rpc(stream, RPC(publish=strays[:39]))
            await send_rpc(stream, RPC(publish=[signed(field.raw, b"true")]))
            assert (await field.honest_inbox.receive()).data == b"true"
            assert field.victim.ignored_messages == {OTHER_TOPIC.why: 39}
            assert not field.is_attacker_dropped()
            await send_rpc(stream, RPC(publish=strays[39:]))
            await until(field.is_attacker_dropped)
            await field.assert_victim_serves_honest()

    run(test)


def test_what_was_ignored_is_passed_on_once_its_time_has_come() -> None:
    fates = [OTHER_TOPIC, PASSED_ON]

    async def test() -> None:
        async with arena() as field:
            field.victim._pubsub.validate_by(TOPIC, lambda *_: fates.pop(0))
            await send_rpc(await field.stream(), RPC(publish=[signed(field.raw, b"early")] * 2))
            assert (await field.honest_inbox.receive()).data == b"early"

    run(test)


def test_a_flood_of_records_is_cut_off_and_the_sender_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        async with arena(allowances={CostKind.RECORDS: Allowance(per_s=1, burst=50)}) as field:
            stream = await field.stream()
            messages = [signed(field.raw, secrets.token_bytes(8)) for _ in range(60)]
            await send_rpc(stream, RPC(publish=messages))
            await field.assert_victim_serves_honest()
            assert not field.is_attacker_dropped()
            await send_rpc(stream, RPC(publish=messages))
            await until(field.is_attacker_dropped)
            await field.assert_victim_serves_honest()
        assert len(caplog.records) == 1

    run(test)


def test_the_honest_record_that_an_attacker_repeats_reaches_everybody() -> None:
    async def test() -> None:
        async with arena(allowances={CostKind.RECORDS: Allowance(per_s=0, burst=20)}) as field:
            stream = await field.stream()
            await send_rpc(stream, RPC(publish=[signed(field.raw, b"%d" % n) for n in range(25)]))
            await send_rpc(stream, RPC(publish=[signed(field.raw, b"a true record")]))
            await trio.sleep(0.2)
            await field.honest.publish(TOPIC, b"a true record")
            while (await field.victim_inbox.receive()).data != b"a true record":
                pass

    run(test)


def test_topics_that_are_not_ours_are_not_remembered() -> None:
    async def test() -> None:
        async with arena() as field:
            stream = await field.stream()
            for _ in range(3):
                await send_rpc(stream, subscribing(1_000))
                await send_rpc(stream, pruning(1_000))
            await field.assert_victim_serves_honest()
            assert set(field.victim._pubsub.peer_topics) == {TOPIC}
            assert set(field.victim._router.back_off) <= {TOPIC}

    run(test)


def test_a_message_that_is_wanted_a_thousand_times_is_sent_once() -> None:
    async def test() -> None:
        async with arena() as field:
            sent: list[RPC] = []
            field.victim._router.send_rpc = lambda _, rpc, **__: sent.append(rpc)
            await field.victim.publish(TOPIC, b"wanted")
            await until(lambda: bool(field.victim._router.mcache.msgs))
            sent.clear()
            [wanted] = field.victim._router.mcache.msgs
            await send_rpc(await field.stream(), wanting(wanted, 1_000))
            await until(lambda: bool(sent))
            assert sum(len(rpc.publish) for rpc in sent) == 1

    run(test)


def test_recent_messages_are_offered_by_the_ids_that_all_go_by() -> None:
    async def test() -> None:
        async with arena() as field:
            await field.victim.publish(TOPIC, b"recent")
            await until(lambda: bool(field.victim._router.mcache.msgs))
            [(mid, message)] = field.victim._router.mcache.msgs.items()
            assert mid == message_id(message)
            assert field.victim._pubsub.seen_messages.has(mid)

    run(test)


def test_what_waits_for_a_peer_goes_in_one_rpc_as_far_as_it_may_be_long() -> None:
    async def test() -> None:
        async with arena() as field:
            queue, stream = RpcQueue(), await field.stream()
            sent: list[RPC] = []

            async def write(to: INetStream, rpc: RPC) -> bool:
                if to is stream:
                    sent.append(rpc)
                return True

            field.victim._pubsub.write_msg = write
            messages = [Message(data=bytes([number]) * 15_000) for number in range(7)]
            for message in messages:
                queue.push(RPC(publish=[message], senderRecord=b"where it listens"))
            queue.push(wanting(b"an id", 1))
            await until(lambda: len(queue) == 8)
            async with trio.open_nursery() as nursery:
                peer = ID(b"peer")
                nursery.start_soon(
                    field.victim._pubsub.handle_sending_messages, peer, stream, queue
                )
                await until(lambda: len(sent) == 2)
                queue.close()
            assert [len(rpc.publish) for rpc in sent] == [5, 2]
            assert [message for rpc in sent for message in rpc.publish] == messages
            assert sent[1].control.iwant[0].messageIDs == [b"an id"]
            assert not any(rpc.HasField("senderRecord") for rpc in sent)

    run(test)


def test_the_mesh_is_kept_after_a_heartbeat_that_raised(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with arena() as field:
            beats = 0

            def heartbeat() -> None:
                nonlocal beats
                beats += 1
                if beats == 1:
                    raise RuntimeError("a fault in the heartbeat")

            field.victim._router.heartbeat_interval = 0.1
            field.victim._router.fanout_heartbeat = heartbeat
            await until(lambda: beats >= 2)
            await field.assert_victim_serves_honest()
        assert len(caplog.records) == 1

    run(test)
