"""Memory for early messages is bounded over all peers."""

import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.pubsub.pb.rpc_pb2 import RPC
from libp2p.utils.varint import encode_uvarint

from node.home.addresses import PeerId
from node.network import unread
from node.network.frames import QUESTIONS_READ, FrameStream
from node.network.host import running_host
from node.network.messages import QUESTION_LIMIT_BYTES
from node.network.peer_budgets import Allowance, CostKind
from protocol.framing import LENGTH
from tests.network.arena import TOPIC, Arena, arena, run, settings, until
from tests.network.attacks import send_rpc, wanting

SILENT_HOSTS = "/silent/1"
LISTENING = "/listening/1"
LIMIT_BYTES = 1 << 20
PART_BYTES = 128 * 1024

Holding = Callable[[Arena], Awaitable[None]]


async def never_answers(_: PeerId, __: FrameStream) -> None:
    await trio.sleep_forever()


async def listening(_: PeerId, frames: FrameStream) -> None:
    await frames.receive()


async def bytes_that_nobody_reads(field: Arena) -> None:
    await (await field.stream(SILENT_HOSTS)).write(bytes(PART_BYTES))


async def the_beginning_of_a_question(field: Arena) -> None:
    stream = await field.stream(LISTENING)
    await stream.write(LENGTH.pack(QUESTION_LIMIT_BYTES) + bytes(PART_BYTES))


async def the_beginning_of_an_rpc(field: Arena) -> None:
    await (await field.stream()).write(encode_uvarint(1 << 20) + bytes(PART_BYTES))


@pytest.mark.parametrize(
    "hold", [bytes_that_nobody_reads, the_beginning_of_a_question, the_beginning_of_an_rpc]
)
def test_over_the_bound_for_all_the_largest_holder_is_disconnected(
    hold: Holding, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unread, "HELD_BYTES", LIMIT_BYTES)
    monkeypatch.setattr(unread, "_LOOKED_AT_EVERY_BYTES", PART_BYTES)

    async def test() -> None:
        async with arena() as field, AsyncExitStack() as stack:
            field.victim.serve(SILENT_HOSTS, never_answers)
            field.victim.serve(LISTENING, listening, QUESTIONS_READ)
            held = field.victim._connections._unread.held
            # One that holds little stays; one that adds to it until it holds most goes.
            modest = await stack.enter_async_context(running_host(settings()))
            await modest.connect(field.victim.addresses[0])
            await hold(replace(field, attacker=modest))
            await until(lambda: held()[modest.peer_id] >= PART_BYTES)
            with contextlib.suppress(BaseLibp2pError):
                for _ in range(2 * LIMIT_BYTES // PART_BYTES):
                    await hold(field)
                    assert held().total() <= LIMIT_BYTES + 2 * PART_BYTES
            await until(lambda: field.attacker.peer_id not in field.victim.peers)
            await until(lambda: held().total() < 2 * PART_BYTES)
            assert modest.peer_id in field.victim.peers
            await field.assert_victim_serves_honest()
            [line] = caplog.records
            assert field.attacker.peer_id in line.getMessage()

    run(test)


def test_a_question_is_shorter_than_an_answer_may_be() -> None:
    few = {CostKind.FAULTS: Allowance(per_s=0, burst=1)}

    async def test() -> None:
        async with arena(allowances=few) as field:
            field.victim.serve(LISTENING, listening, QUESTIONS_READ)
            for _ in range(2):
                stream = await field.stream(LISTENING)
                await stream.write(LENGTH.pack(QUESTION_LIMIT_BYTES + 1))
            await until(field.is_attacker_dropped)
            await field.assert_victim_serves_honest()

    run(test)


def test_what_is_wanted_costs_like_what_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with arena(allowances={CostKind.RECORDS: Allowance(per_s=0, burst=20)}) as field:
            sent: list[RPC] = []
            field.victim._router.send_rpc = lambda _, rpc, **__: sent.append(rpc)
            await field.victim.publish(TOPIC, b"wanted")
            await until(lambda: bool(field.victim._router.mcache.msgs))
            sent.clear()
            [wanted] = field.victim._router.mcache.msgs
            stream = await field.stream()
            with contextlib.suppress(BaseLibp2pError):  # it may be dropped before the last
                for _ in range(50):
                    await send_rpc(stream, wanting(wanted, 1))
            await until(field.is_attacker_dropped)
            assert sum(len(rpc.publish) for rpc in sent) <= 20
        assert len(caplog.records) == 1

    run(test)
