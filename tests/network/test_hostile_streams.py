"""Whatever a peer does with streams of our own protocols ends that stream, or its connection."""

import contextlib
import struct

import msgpack
import pytest
import trio
from libp2p.abc import INetStream
from libp2p.network.stream.exceptions import StreamError, StreamReset
from libp2p.stream_muxer.exceptions import MuxedStreamError

from node.home.addresses import PeerId
from node.network.connections import STREAMS_PER_PEER
from node.network.errors import FrameStalledError, NetworkError
from node.network.frames import FrameLimits, FrameStream
from node.network.peer_budgets import Allowance, CostKind
from tests.network.arena import ECHO, Arena, arena, run, until

FEW_FAULTS = {CostKind.FAULTS: Allowance(per_s=0, burst=1)}
MANY_STREAMS = {CostKind.STREAMS: Allowance(per_s=10_000, burst=10_000)}


def test_a_handler_that_raises_ends_one_stream_only(caplog: pytest.LogCaptureFixture) -> None:
    async def raising(_: PeerId, frames: FrameStream) -> None:
        await frames.receive()
        raise RuntimeError("a fault in a handler")

    async def test() -> None:
        async with arena(allowances=FEW_FAULTS) as field:
            field.victim.serve("/raising/1", raising)
            for _ in range(2):
                async with await field.attacker.open(field.victim.peer_id, "/raising/1") as frames:
                    await frames.send(None)
            await until(field.is_attacker_dropped)
            await field.assert_victim_serves_honest()
        assert len(caplog.records) == 1

    run(test)


GARBAGE = (
    struct.pack(">I", 0xFFFFFFFF),  # a length of 4 GB
    struct.pack(">I", 3) + b"\xc1\xc1\xc1",  # no msgpack
    struct.pack(">I", 1_000_000) + b"\x91" * 1_000_000,  # too deep
    struct.pack(">I", 6) + b"\xdd\xff\xff\xff\xff\x01",  # an array of 4 G
    struct.pack(">I", 2) + b"\x01\x01",  # two messages in one
)


def test_garbage_on_our_protocol_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    few = {CostKind.FAULTS: Allowance(per_s=0, burst=3)}

    async def test() -> None:
        async with arena(allowances=few) as field:
            for garbage in GARBAGE:
                await (await field.stream(ECHO)).write(garbage)
                await field.assert_victim_serves_honest()
                assert not field.is_attacker_dropped()
            await (await field.stream(ECHO)).write(GARBAGE[0])
            await until(field.is_attacker_dropped)
            await field.assert_victim_serves_honest()
        assert len(caplog.records) == 1

    run(test)


def test_streams_that_end_within_a_frame_are_nobodys_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = msgpack.packb({"cut": "anywhere"})
    frame = struct.pack(">I", len(data)) + data

    async def test() -> None:
        async with arena(allowances=FEW_FAULTS) as field:
            for size in range(len(frame)):
                stream = await field.stream(ECHO)
                await stream.write(frame[:size])
                await (stream.close() if size % 2 else stream.reset())
            await field.assert_victim_serves_honest()
            assert not field.is_attacker_dropped()
        assert not caplog.records

    run(test)


async def flood(_: PeerId, frames: FrameStream) -> None:
    while True:
        await frames.send(bytes(500_000))


def test_a_reader_that_stalls_holds_up_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with arena() as field:
            field.victim.serve("/flood/1", flood, FrameLimits(write_s=0.5))
            await field.stream("/flood/1")
            await field.assert_victim_serves_honest()
            await until(lambda: FrameStalledError.__name__ in caplog.text)
            await field.assert_victim_serves_honest()
        assert len(caplog.records) == 1

    run(test)


@pytest.mark.soak
def test_a_reader_that_stalls_until_yamux_gives_up_ends_one_stream_only() -> None:
    async def test() -> None:
        async with arena() as field:
            field.victim.serve("/flood/1", flood)
            stream = await field.stream("/flood/1")
            await until(lambda: stream.muxed_stream.reset_received, within_s=8)
            with pytest.raises(StreamReset):
                await stream.read(1)
            assert field.attacker.peer_id in field.victim.peers
            await field.assert_victim_serves_honest()

    run(test)


def test_a_writer_that_stalls_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async def listen(_: PeerId, frames: FrameStream) -> None:
        await frames.receive()

    async def test() -> None:
        async with arena(allowances=FEW_FAULTS) as field:
            field.victim.serve("/listen/1", listen, FrameLimits(read_s=0.2))
            for _ in range(2):
                await (await field.stream("/listen/1")).write(b"\x00\x00")
            await until(field.is_attacker_dropped)
            await field.assert_victim_serves_honest()
        assert len(caplog.records) == 1

    run(test)


def test_a_peer_has_so_many_streams_at_once() -> None:
    async def test() -> None:
        async with arena(allowances=MANY_STREAMS) as field:
            connection = field.raw.get_network().get_connections(field.target)[0]
            opened = [await connection.new_stream() for _ in range(STREAMS_PER_PEER * 2)]
            streams = field.victim._connections._streams
            await until(lambda: streams[field.attacker.peer_id] == STREAMS_PER_PEER)
            await field.assert_victim_serves_honest()
            assert streams[field.attacker.peer_id] == STREAMS_PER_PEER
            for stream in opened:
                await stream.reset()
            await until(lambda: streams[field.attacker.peer_id] <= 1)

    run(test)


def test_a_flood_of_streams_drops_the_peer(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with arena(allowances={CostKind.STREAMS: Allowance(per_s=0, burst=20)}) as field:
            connection = field.raw.get_network().get_connections(field.target)[0]
            with contextlib.suppress(MuxedStreamError):
                for _ in range(200):
                    await connection.new_stream()
            await until(field.is_attacker_dropped)
            await field.assert_victim_serves_honest()
        assert len(caplog.records) == 1

    run(test)


def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    async def sleep(_: PeerId, __: FrameStream) -> None:
        await trio.sleep_forever()

    async def test() -> None:
        async with arena() as field:
            field.victim.serve("/sleep/1", sleep)
            stream = await field.stream("/sleep/1")
            stream.muxed_stream.send_window = 1 << 30
            with pytest.raises(StreamError), trio.fail_after(10):
                await stream.write(bytes(64 << 20))
            await until(lambda: field.attacker.peer_id not in field.victim.peers)
            await field.assert_victim_serves_honest()

    run(test)


async def take_nothing(field: Arena, protocol: str) -> None:
    """Open a stream, give all the window there is, and read the socket no more."""

    async def sleep(_: int | None = None) -> bytes:
        await trio.sleep_forever()
        return b""

    stream = await field.stream(protocol)
    [connection] = field.raw.get_network().get_connections(field.target)
    connection.muxed_conn.secured_conn.read = sleep
    await stream.muxed_stream.send_window_update(1 << 30)
    [held] = field.victim._swarm.get_connections(field.raw.get_id())
    lock = held.muxed_conn._write_lock
    await until(lambda: lock.statistics().tasks_waiting > 0)  # pings, gossip: all wait


def test_a_peer_that_takes_no_bytes_is_disconnected_all_the_same() -> None:
    async def test() -> None:
        async with arena() as field:
            field.victim.serve("/flood/1", flood)
            await take_nothing(field, "/flood/1")
            await field.assert_victim_serves_honest()
            with trio.fail_after(4):
                await field.victim.disconnect(field.attacker.peer_id)
            assert field.attacker.peer_id not in field.victim.peers
            await field.assert_victim_serves_honest()

    run(test)


def test_a_host_ends_while_a_peer_takes_nothing() -> None:
    async def test() -> None:
        async with arena() as field:
            field.victim.serve("/flood/1", flood)
            await take_nothing(field, "/flood/1")

    run(test, patience_s=8)


def test_a_write_that_is_cut_short_ends_the_connection() -> None:
    async def test() -> None:
        async with arena() as field:
            field.victim.serve("/flood/1", flood, FrameLimits(write_s=1.0))
            await take_nothing(field, "/flood/1")
            await until(lambda: field.attacker.peer_id not in field.victim.peers)
            await field.assert_victim_serves_honest()

    run(test)


async def ignore(_: INetStream) -> None:
    await trio.sleep_forever()


def test_opening_a_stream_to_a_peer_that_answers_nothing_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.network.host.OPEN_S", 0.5)

    async def test() -> None:
        async with arena() as field:
            field.raw.get_network().set_stream_handler(ignore)
            with pytest.raises(NetworkError, match="opened no"):
                await field.victim.open(field.attacker.peer_id, ECHO)
            await field.assert_victim_serves_honest()

    run(test)
