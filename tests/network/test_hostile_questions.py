"""Questions that can be read but not passed on, or that grow in memory, end their stream only."""

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID

from node.network.host import running_host
from node.network.messages import FRAME_LIMIT_BYTES, PEERS_SHAPE, QUESTION_LIMIT_BYTES
from protocol.framing import LENGTH
from tests.network.arena import ECHO, run
from tests.network.arena import settings as host_settings
from tests.network.cores import running_core
from tests.network.test_core_link import answering, ask

LEVELS = 1_025  # what msgpack reads, and does not write with a list around it


def nested(levels: int) -> bytes:
    return b"\x91" * (levels - 1) + b"\xc0"


def framed(data: bytes) -> bytes:
    return LENGTH.pack(len(data)) + data


QUESTIONS = {
    "deep": nested(LEVELS),
    "deep without an end": b"\x91" * 40_000,
    "a level too deep": nested(PEERS_SHAPE.levels + 1),
    "empty maps": b"\xdc\x0f\xff" + b"\x80" * 0xFFF + b"\x90",
    "maps in maps": b"\x91" + b"\xdc\x0f\x00" + (b"\xdc\x00\x20" + b"\x80" * 32) * 0xF00,
    "a count that lies": b"\xdd\x00\x02\x00\x00" + b"\xc0" * 100,
    "long for a question": b"\xc6" + (QUESTION_LIMIT_BYTES).to_bytes(4, "big"),
}


WIRES = {
    "a length without end": b"\xff\xff\xff\xff",
    "a length over the limit": LENGTH.pack(FRAME_LIMIT_BYTES + 1),
    "garbage": framed(b"\xc1\xc1\xc1\xc1"),
    "a key that is no text": framed(b"\x81\x01\x02"),
    "cut": LENGTH.pack(100) + b"cut",
    **{name: framed(data) for name, data in QUESTIONS.items()},
}


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
def test_what_cannot_be_passed_on_ends_its_stream_only(wire: bytes) -> None:
    async def test() -> None:
        async with (
            running_core() as core,
            running_host(host_settings()) as attacker,
            running_host(host_settings()) as honest,
            trio.open_nursery() as nursery,
        ):
            await attacker.connect(core.address)
            await honest.connect(core.address)
            target = ID.from_string(core.peer_id)
            for _ in range(3):
                stream = await attacker._host.new_stream(target, [TProtocol(ECHO)])
                await stream.write(wire)
                await stream.close()
            nursery.start_soon(answering, core)
            assert await ask(honest, core, "still here") == "still here"
            questions = [frame for frame in core.seen if frame[0] == "question"]
            assert [frame[2] for frame in questions] == [honest.peer_id]
            nursery.cancel_scope.cancel()

    run(test)


def test_what_is_as_deep_and_as_full_as_may_be_is_passed_on_and_answered() -> None:
    deepest: object = None
    for _ in range(PEERS_SHAPE.levels - 1):
        deepest = [deepest]
    fullest = [None] * (PEERS_SHAPE.values - 1)

    async def test() -> None:
        async with (
            running_core() as core,
            running_host(host_settings()) as honest,
            trio.open_nursery() as nursery,
        ):
            await honest.connect(core.address)
            nursery.start_soon(answering, core)
            for question in (deepest, fullest):
                assert await ask(honest, core, question) == question
            nursery.cancel_scope.cancel()

    run(test)
