"""Whatever a peer sends below our protocols, as handshake, noise or yamux: others do not notice."""

import contextlib
import secrets
import struct
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.host.exceptions import StreamFailure
from libp2p.host.ping import ID as PING
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.stream_muxer.yamux.yamux import MAX_WINDOW_SIZE, YAMUX_HEADER_FORMAT

from node.network.host import NetworkHost, running_host
from node.network.peer_budgets import Allowance, Buckets
from tests.network.arena import Arena, arena, run, settings, until
from tests.network.test_hostile_connections import open_sockets, port_of

DATA, WINDOW_UPDATE, PING_FRAME, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
SELECT = b"\x13/multistream/1.0.0\n"
NOISE = b"\x07/noise\n"

Attack = Callable[[Arena], Awaitable[None]]


def frame(
    kind: int, flags: int = 0, *, stream: int = 0, length: int = 0, version: int = 0
) -> bytes:
    return struct.pack(YAMUX_HEADER_FORMAT, version, kind, flags, stream, length)


async def send(field: Arena, *frames: bytes) -> None:
    """Write below yamux, within noise."""
    [connection] = field.raw.get_network().get_connections(field.target)
    await connection.muxed_conn.secured_conn.write(b"".join(frames))


async def send_below(field: Arena, data: bytes) -> None:
    """Write below noise, to the socket."""
    [connection] = field.raw.get_network().get_connections(field.target)
    await connection.muxed_conn.secured_conn.conn.read_writer.read_write_closer.write(data)


async def unknown_kinds(field: Arena) -> None:
    await send(field, *(frame(kind, 0xFFFF, version=kind) for kind in range(4, 256)))


async def streams_that_are_not_open(field: Arena) -> None:
    for flags in (0, ACK, FIN, RST, FIN | RST):
        await send(field, frame(WINDOW_UPDATE, flags, stream=98765, length=2**32 - 1))
        await send(field, frame(DATA, flags, stream=98765, length=4), b"data")


async def a_stream_that_is_open_already(field: Arena) -> None:
    await send(field, frame(WINDOW_UPDATE, SYN, stream=4001), frame(DATA, SYN, stream=4001))


async def streams_of_the_victims_numbers(field: Arena) -> None:
    for number in range(2, 40, 2):
        await send(field, frame(WINDOW_UPDATE, SYN | RST, stream=number))


async def every_flag_at_once(field: Arena) -> None:
    for kind in (DATA, WINDOW_UPDATE, PING_FRAME):
        await send(field, frame(kind, SYN | ACK | FIN | RST, stream=4003))


async def windows_without_end(field: Arena) -> None:
    await send(field, *[frame(WINDOW_UPDATE, stream=1, length=2**32 - 1)] * 100)


async def pongs_that_nobody_asked_for(field: Arena) -> None:
    await send(field, *[frame(PING_FRAME, ACK, length=number) for number in range(100)])


HARMLESS: tuple[Attack, ...] = (
    unknown_kinds,
    streams_that_are_not_open,
    a_stream_that_is_open_already,
    streams_of_the_victims_numbers,
    every_flag_at_once,
    windows_without_end,
    pongs_that_nobody_asked_for,
)


async def a_frame_over_any_window(field: Arena) -> None:
    await send(field, frame(DATA, stream=1, length=MAX_WINDOW_SIZE + 1))


async def a_frame_over_what_may_be_unread(field: Arena) -> None:
    await send(field, frame(DATA, stream=1, length=MAX_WINDOW_SIZE))


async def half_a_frame(field: Arena) -> None:
    await send(field, frame(DATA, stream=1, length=100)[:7])
    await field.attacker.disconnect(field.victim.peer_id)


async def farewell_of_no_known_kind(field: Arena) -> None:
    await send(field, frame(GO_AWAY, length=0xDEADBEEF))


async def noise_that_was_never_encrypted(field: Arena) -> None:
    await send_below(field, b"\x00\x40" + secrets.token_bytes(64))


async def an_empty_packet_of_noise(field: Arena) -> None:
    await send_below(field, b"\x00\x00")


ENDING: tuple[Attack, ...] = (
    a_frame_over_any_window,
    a_frame_over_what_may_be_unread,
    half_a_frame,
    farewell_of_no_known_kind,
    noise_that_was_never_encrypted,
    an_empty_packet_of_noise,
)


def test_garbage_in_yamux_and_noise_costs_the_sender_at_most_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        async with arena() as field, AsyncExitStack() as stack:
            attacks = (*HARMLESS, *ENDING)
            attackers = [await stack.enter_async_context(running_host(settings())) for _ in attacks]
            for attacker in attackers:
                await attacker.connect(field.victim.addresses[0])
            for attack, attacker in zip(attacks, attackers, strict=True):
                await attack(replace(field, attacker=attacker))
                await field.assert_victim_serves_honest()
            gone = {one.peer_id for one in attackers[len(HARMLESS) :]}
            await until(lambda: not gone.intersection(field.victim.peers))
        assert not caplog.records

    run(test)


def test_frames_without_end_wait_and_others_have_their_turn() -> None:
    async def flood(field: Arena) -> None:
        while True:
            await send(field, *[frame(PING_FRAME + 4)] * 5_000)

    async def test() -> None:
        async with arena() as field, trio.open_nursery() as nursery:
            pacers = Buckets(trio.current_time, Allowance(per_s=200, burst=200))
            field.victim._connections._unread._pacers = pacers
            nursery.start_soon(flood, field)
            for _ in range(3):
                await field.assert_victim_serves_honest()
            await until(lambda: pacers[field.attacker.peer_id].wait_s() > 0)
            nursery.cancel_scope.cancel()

    run(test)


async def handshake(socket: trio.SocketStream, *parts: bytes) -> None:
    with contextlib.suppress(trio.BrokenResourceError):  # it may have hung up already
        for part in parts:
            await socket.send_all(part)


HANDSHAKES = {
    "a protocol that is none": (SELECT, b"\x06/none\n"),
    "a line that is cut": (SELECT, NOISE[:3]),
    "no ephemeral key": (SELECT, NOISE, b"\x00\x00"),
    "half a noise message": (SELECT, NOISE, b"\xff\xff" + bytes(1000)),
    "a key of small order": (SELECT, NOISE, b"\x00\x20" + bytes(32), b"\x00\x40" + bytes(64)),
    "garbage for an identity": (
        SELECT, NOISE, b"\x00\x20" + secrets.token_bytes(32), b"\x00\xff" + bytes(255),
    ),
    "plaintext": (b"\x11/plaintext/2.0.0\n" * 50,),
}  # fmt: skip


@pytest.mark.parametrize("secret", [None, b"s" * 32], ids=["public", "private"])
def test_handshakes_that_go_wrong_give_their_place_back(
    secret: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with (
            running_host(settings(secret=secret, handshake_s=1.0)) as host,
            running_host(settings(secret=secret)) as friend,
            open_sockets(host, len(HANDSHAKES)) as sockets,
            trio.open_nursery() as nursery,
        ):
            for socket, parts in zip(sockets, HANDSHAKES.values(), strict=True):
                nursery.start_soon(handshake, socket, *parts)
            pending = host._connections._handshakes
            await until(lambda: not pending)
            await friend.connect(host.addresses[0])
            await until(lambda: host.peers == (friend.peer_id,))
            await until(lambda: host._swarm._inbound_limiter.borrowed_tokens == 1)
        assert not caplog.records

    run(test)


async def come_under_a_new_name(victim: NetworkHost) -> None:
    async with running_host(settings(listen=())) as guest:
        await guest.connect(victim.addresses[0])
        await until(lambda: victim.peer_id in guest.peers)


def test_names_without_number_leave_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with arena() as field:
            for _ in range(10):
                await come_under_a_new_name(field.victim)
            stored = field.victim._host.get_peerstore().peer_data_map
            await until(lambda: stored.keys() == {field.victim._host.get_id()})
            await until(lambda: field.victim._swarm._inbound_limiter.borrowed_tokens == 2)
            await field.assert_victim_serves_honest()
        assert not caplog.records

    run(test)


def test_a_socket_that_is_torn_down_mid_packet_gives_its_slot_back() -> None:
    async def test() -> None:
        async with arena() as field:
            await send_below(field, b"\xff\xff" + bytes(100))
            [connection] = field.raw.get_network().get_connections(field.target)
            await connection.muxed_conn.secured_conn.conn.read_writer.read_write_closer.close()
            await until(lambda: field.attacker.peer_id not in field.victim.peers)
            await until(lambda: field.victim._swarm._inbound_limiter.borrowed_tokens == 1)
            await field.assert_victim_serves_honest()

    run(test)


def test_nobody_is_asked_who_they_are_and_pings_are_not_answered() -> None:
    async def test() -> None:
        asked = trio.Event()

        async def be_asked(_: object) -> None:
            asked.set()

        async with running_host(settings()) as host, running_host(settings()) as outsider:
            outsider._host.set_stream_handler(IDENTIFY, be_asked)
            await outsider.connect(host.addresses[0])
            await until(lambda: outsider.peer_id in host.peers)
            assert port_of(outsider)
            with pytest.raises(StreamFailure):
                await outsider._host.new_stream(host._host.get_id(), [TProtocol(PING)])
            # It does answer: peers of other software open gossip once they know that it is spoken.
            await outsider._host.new_stream(host._host.get_id(), [IDENTIFY])
            assert not asked.is_set()

    run(test)
