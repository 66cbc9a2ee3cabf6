"""Connections through a relay: two hosts that can only meet through a third."""

import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, Status, StopMessage
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId as NamedPeer
from libp2p.relay.circuit_v2.protocol import PROTOCOL_ID, STOP_PROTOCOL_ID
from libp2p.utils.varint import encode_varint_prefixed

from node.network.circuits import HOP, STOP, read_message
from node.network.contract import REACH
from node.network.errors import FrameError, NetworkError
from node.network.host import NetworkHost, running_host
from node.network.presence import Connected
from node.network.relay import RelayLimits
from tests.network.arena import ECHO, TOPIC, anything, echo, expect, meshed, run, settings, until

LIMITS = RelayLimits()


@dataclass(frozen=True)
class Triangle:
    """`hidden` listens nowhere and has reserved at `relay`, to which `other` is connected."""

    relay: NetworkHost
    hidden: NetworkHost
    other: NetworkHost

    @property
    def address(self) -> str:
        return f"{self.relay.addresses[0]}/p2p-circuit/p2p/{self.hidden.peer_id}"

    async def question(self, protocol: str, message: HopMessage | StopMessage) -> INetStream:
        """Have `other` open a stream to the relay and say this on it."""
        return await say(self.other, self.relay, protocol, message)


async def say(
    host: NetworkHost, to: NetworkHost, protocol: str, message: HopMessage | StopMessage
) -> INetStream:
    peer = ID.from_string(to.peer_id)
    stream = await host._host.new_stream(peer, [TProtocol(protocol)])
    await stream.write(encode_varint_prefixed(message.SerializeToString()))
    return stream


@asynccontextmanager
async def triangle(limits: RelayLimits = LIMITS, **changes: object) -> AsyncIterator[Triangle]:
    async with (
        running_host(settings(relays=True, relay=limits, **changes)) as relay,
        running_host(settings(listen=(), **changes)) as hidden,
        running_host(settings(listen=(), **changes)) as other,
    ):
        for host in (hidden, other):
            host.serve(ECHO, echo)
            await host.connect(relay.addresses[0])
        await hidden.reserve(relay.peer_id)
        yield Triangle(relay, hidden, other)


async def assert_talk(one: NetworkHost, other: NetworkHost) -> None:
    async with await one.open(other.peer_id, ECHO) as frames:
        await frames.send({"through": "the relay"})
        assert await frames.receive() == {"through": "the relay"}


def hop(kind: HopMessage.Type.ValueType, peer: NetworkHost | None = None) -> HopMessage:
    message = HopMessage(type=kind)
    if peer is not None:
        message.peer.CopyFrom(NamedPeer(id=ID.from_string(peer.peer_id).to_bytes()))
    return message


def test_the_protocols_are_those_of_the_specification() -> None:
    assert (HOP, STOP) == (PROTOCOL_ID, STOP_PROTOCOL_ID)


@pytest.mark.parametrize("secret", [None, secrets.token_bytes(32)], ids=["open", "private"])
def test_who_listens_nowhere_is_reached_through_a_relay(secret: bytes | None) -> None:
    async def test() -> None:
        async with triangle(secret=secret) as field:
            assert await field.other.connect(field.address) == field.hidden.peer_id
            await assert_talk(field.other, field.hidden)
            await assert_talk(field.hidden, field.other)
            known = Connected(peer=field.hidden.peer_id, address=field.address, is_relayed=True)
            assert known in list(field.other.tracker.presence.changes())
            theirs = Connected(peer=field.other.peer_id, address=None, is_relayed=True)
            assert theirs in list(field.hidden.tracker.presence.changes())

    run(test)


def test_gossip_and_whole_frames_go_through_a_relay() -> None:
    async def test() -> None:
        async with triangle() as field:
            await field.hidden.subscribe(TOPIC, anything)
            await field.other.subscribe(TOPIC, anything)
            await field.other.connect(field.address)
            await meshed(field.other, field.hidden.peer_id)
            await field.other.publish(TOPIC, b"news")
            await expect(field.hidden.messages, b"news")
            async with await field.other.open(field.hidden.peer_id, ECHO) as frames:
                large = secrets.token_bytes(900 << 10)
                await frames.send(large)
                assert await frames.receive() == large

    run(test)


def test_a_relay_passes_nothing_to_whom_did_not_reserve() -> None:
    async def test() -> None:
        async with triangle() as field:
            address = f"{field.relay.addresses[0]}/p2p-circuit/p2p/{field.other.peer_id}"
            with pytest.raises(NetworkError, match=str(Status.NO_RESERVATION)):
                await field.hidden.connect(address)
            # Nobody reserves in another's name.
            message = hop(HopMessage.RESERVE, field.other)
            stream = await say(field.hidden, field.relay, HOP, message)
            assert (await read_message(stream, HopMessage)).status == Status.OK
            with pytest.raises(NetworkError, match=str(Status.NO_RESERVATION)):
                await field.hidden.connect(address)

    run(test)


def test_a_host_that_is_no_relay_reserves_nothing_and_takes_no_untrusted_circuit() -> None:
    async def test() -> None:
        async with triangle() as field:
            await field.other.connect(field.address)
            with pytest.raises(NetworkError):
                await field.other.reserve(field.hidden.peer_id)
            named = NamedPeer(id=ID.from_string(field.relay.peer_id).to_bytes())
            question = StopMessage(type=StopMessage.CONNECT, peer=named)
            stream = await say(field.other, field.hidden, STOP, question)
            assert (await read_message(stream, StopMessage)).status == Status.PERMISSION_DENIED

    run(test)


def test_a_relay_serves_nobody_over_a_circuit() -> None:
    async def test() -> None:
        async with (
            triangle() as field,
            running_host(settings(listen=(), relays=True, relay=LIMITS)) as inner,
        ):
            await inner.connect(field.relay.addresses[0])
            await inner.reserve(field.relay.peer_id)
            await field.other.connect(Triangle(field.relay, inner, field.other).address)
            with pytest.raises(NetworkError, match=str(Status.PERMISSION_DENIED)):
                await field.other.reserve(inner.peer_id)

    run(test)


def test_reservations_are_bounded_and_end_with_their_connection() -> None:
    async def test() -> None:
        async with triangle(replace(LIMITS, reservations=1)) as field:
            await field.hidden.reserve(field.relay.peer_id)  # renewed
            with pytest.raises(NetworkError, match=str(Status.RESERVATION_REFUSED)):
                await field.other.reserve(field.relay.peer_id)
            await field.hidden.disconnect(field.relay.peer_id)
            await until(lambda: field.hidden.peer_id not in field.relay.peers)
            await field.other.reserve(field.relay.peer_id)

    run(test)


def test_one_machine_does_not_take_all_reservations() -> None:
    async def test() -> None:
        async with triangle(replace(LIMITS, reservations_per_host=1)) as field:
            with pytest.raises(NetworkError, match=str(Status.RESERVATION_REFUSED)):
                await field.other.reserve(field.relay.peer_id)

    run(test)


def test_circuits_are_bounded_and_their_places_given_back() -> None:
    async def test() -> None:
        async with (
            triangle(replace(LIMITS, circuits=1)) as field,
            running_host(settings(listen=())) as third,
        ):
            await field.other.connect(field.address)
            with pytest.raises(NetworkError, match=str(Status.RESOURCE_LIMIT_EXCEEDED)):
                await third.connect(field.address)
            await field.other.disconnect(field.hidden.peer_id)
            await until(lambda: field.other.peer_id not in field.hidden.peers)
            while field.hidden.peer_id not in third.peers:
                with contextlib.suppress(NetworkError):
                    await third.connect(field.address)

    run(test)


def test_a_circuit_ends_when_its_bytes_are_used_up() -> None:
    async def test() -> None:
        async with triangle(replace(LIMITS, circuit_bytes=300_000)) as field:
            await field.other.connect(field.address)
            await assert_talk(field.other, field.hidden)
            frames = await field.other.open(field.hidden.peer_id, ECHO)
            with contextlib.suppress(FrameError):
                await frames.send(secrets.token_bytes(500_000))
            await until(lambda: field.hidden.peer_id not in field.other.peers)
            assert field.relay.peer_id in field.other.peers
            await field.other.connect(field.address)
            await assert_talk(field.other, field.hidden)

    run(test)


@pytest.mark.parametrize("limit", ["circuit_s", "idle_s"])
def test_a_circuit_ends_in_time(limit: str) -> None:
    async def test() -> None:
        async with triangle(replace(LIMITS, **{limit: 1.0})) as field:
            await field.other.connect(field.address)
            await until(lambda: field.hidden.peer_id not in field.other.peers)
            assert {field.hidden.peer_id, field.other.peer_id} <= set(field.relay.peers)

    run(test)


def test_a_relays_end_is_the_end_of_its_circuits_and_of_nothing_else() -> None:
    async def test() -> None:
        async with (
            running_host(settings(listen=())) as hidden,
            running_host(settings(listen=())) as other,
        ):
            other.serve(ECHO, echo)
            hidden.serve(ECHO, echo)
            for _ in range(2):  # the second relay takes the place of the first
                async with running_host(settings(relays=True, relay=LIMITS)) as relay:
                    field = Triangle(relay, hidden, other)
                    await hidden.connect(relay.addresses[0])
                    await hidden.reserve(relay.peer_id)
                    await other.connect(field.address)
                    await assert_talk(other, hidden)
                await until(lambda: not hidden.peers and not other.peers)

    run(test)


@pytest.mark.parametrize("protocol", [HOP, STOP])
def test_garbage_on_a_relays_protocols_costs_its_sender(protocol: str) -> None:
    async def test() -> None:
        async with triangle() as field:
            victim, peer = field.relay, field.other.peer_id
            for number in range(20):
                if peer not in victim.peers:
                    break
                with trio.move_on_after(1):
                    try:
                        target = ID.from_string(victim.peer_id)
                        stream = await field.other._host.new_stream(target, [TProtocol(protocol)])
                        await stream.write((b"\x05\xff\xff\xff\xff\x7f", b"\xff" * 12)[number % 2])
                        await stream.read(1)
                    except Exception:  # noqa: S112, BLE001 (what becomes of it is the victim's)
                        continue
            await until(lambda: peer not in victim.peers)
            assert victim.is_banned(peer)
            await field.hidden.reserve(victim.peer_id)  # it still serves

    run(test)


def test_garbage_over_a_circuit_does_not_cost_the_relay() -> None:
    async def test() -> None:
        async with triangle() as field:
            for _ in range(12):
                stream = await field.question(HOP, hop(HopMessage.CONNECT, field.hidden))
                assert (await read_message(stream, HopMessage)).status == Status.OK
                await stream.write(b"\xff" * 4096)
                await stream.reset()
            assert not field.hidden.is_banned(field.relay.peer_id)
            await field.other.connect(field.address)
            await assert_talk(field.other, field.hidden)

    run(test)


async def reach(asker: NetworkHost, relay: NetworkHost, ports: object) -> object:
    async with await asker.open(relay.peer_id, REACH) as frames:
        await frames.send({"ports": ports})
        return await frames.receive()


@pytest.mark.parametrize("secret", [None, secrets.token_bytes(32)], ids=["open", "private"])
def test_a_relay_reports_who_can_be_dialled_and_where(secret: bytes | None) -> None:
    async def test() -> None:
        async with triangle(secret=secret) as field, running_host(settings(secret=secret)) as seen:
            await seen.connect(field.relay.addresses[0])
            address, _, _ = seen.addresses[0].partition("/p2p/")
            port, relays_own = (
                int(one.split("/")[4]) for one in (address, field.relay.addresses[0])
            )
            assert await reach(seen, field.relay, [port]) == {"address": address}
            # Somebody answers at the relay's own port, but not who asks.
            assert await reach(field.hidden, field.relay, [relays_own, 1]) == {"address": None}
            with pytest.raises(FrameError):  # not again so soon
                await reach(seen, field.relay, [port])
            assert seen.peer_id in field.relay.peers

    run(test)


@pytest.mark.parametrize("ports", [[], [0], [1 << 16], [True], ["1"], [1] * 5, 1, None])
def test_a_question_for_ones_reach_that_is_none_is_refused(ports: object) -> None:
    async def test() -> None:
        async with triangle() as field:
            with pytest.raises(FrameError):
                await reach(field.other, field.relay, ports)

    run(test)
