"""Sockets that never become a peer, peers that come and go, services that fail."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from node.network.connections import HANDSHAKES, HANDSHAKES_PER_ADDRESS
from node.network.errors import NetworkError
from node.network.guards import guarded_service
from node.network.host import NetworkHost, running_host
from tests.network.arena import ECHO, Arena, arena, echo, run, settings, until
from tests.network.test_host import connect_and_open


def port_of(host: NetworkHost) -> int:
    return int(Multiaddr(host.addresses[0]).value_for_protocol("tcp"))


ENDLESS_LINE = b"\xff\xff\xff\xff\x7f" + bytes(100)


@asynccontextmanager
async def open_sockets(host: NetworkHost, count: int) -> AsyncIterator[list[trio.SocketStream]]:
    async with AsyncExitStack() as stack:
        opened = [await trio.open_tcp_stream("127.0.0.1", port_of(host)) for _ in range(count)]
        yield [await stack.enter_async_context(socket) for socket in opened]


def test_sockets_that_say_nothing_keep_nobody_out_for_long() -> None:
    async def test() -> None:
        async with (
            arena(handshake_s=0.5) as field,
            open_sockets(field.victim, HANDSHAKES + 10),
        ):
            pending = field.victim._connections._handshakes
            await until(lambda: pending["127.0.0.1"] == HANDSHAKES_PER_ADDRESS)
            await field.assert_victim_serves_honest()
            await until(lambda: not pending)
            await field.victim.disconnect(field.honest.peer_id)
            await field.honest.connect(field.victim.addresses[0])
            await field.assert_victim_serves_honest()

    run(test)


def test_sockets_that_say_garbage_are_closed(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with arena(handshake_s=0.5) as field, open_sockets(field.victim, 10) as sockets:
            for socket in sockets:
                await socket.send_all(b"GET / HTTP/1.1\r\n\r\n" * 100)
            await field.assert_victim_serves_honest()
            await until(lambda: not field.victim._connections._handshakes)
        assert not caplog.records

    run(test)


def test_a_line_without_end_is_not_read(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with arena() as field, open_sockets(field.victim, 1) as [socket]:
            await socket.send_all(ENDLESS_LINE)
            connection = field.raw.get_network().get_connections(field.target)[0]
            stream = await connection.new_stream()
            await stream.write(ENDLESS_LINE)
            await until(lambda: stream.muxed_stream.reset_received)
            with trio.fail_after(5), contextlib.suppress(trio.BrokenResourceError):
                while await socket.receive_some():
                    pass
            await field.assert_victim_serves_honest()
        assert not caplog.records

    run(test)


async def come_and_go(field: Arena, times: int) -> None:
    for _ in range(times):
        await field.attacker.connect(field.victim.addresses[0])
        async with await field.attacker.open(field.victim.peer_id, ECHO) as frames:
            await frames.send("hello")
            assert await frames.receive() == "hello"
        await field.attacker.disconnect(field.victim.peer_id)
        await until(lambda: field.attacker.peer_id not in field.victim.peers)


def test_a_connection_that_has_ended_gives_its_slot_back() -> None:
    async def test() -> None:
        async with arena() as field:
            slots = field.victim._swarm._inbound_limiter
            await until(lambda: slots.borrowed_tokens == 2)
            await come_and_go(field, 3)
            await until(lambda: slots.borrowed_tokens == 1)
            await field.assert_victim_serves_honest()

    run(test)


def test_peers_that_have_left_are_not_stored() -> None:
    async def test() -> None:
        async with arena() as field:
            store = field.victim._host.get_peerstore()
            for host in (field.honest, field.attacker):
                peer = ID.from_string(host.peer_id)
                store.add_addr(peer, Multiaddr(host.addresses[0]), 60)
            await field.attacker.disconnect(field.victim.peer_id)
            left = {field.victim._host.get_id(), ID.from_string(field.honest.peer_id)}
            await until(lambda: store.peer_data_map.keys() == left)
            await field.assert_victim_serves_honest()

    run(test)


def test_connections_are_counted_exactly() -> None:
    async def test() -> None:
        async with (
            running_host(settings(max_peers=2)) as host,
            running_host(settings()) as first,
            running_host(settings()) as second,
        ):
            host.serve(ECHO, echo)
            await first.connect(host.addresses[0])
            with pytest.raises(NetworkError):
                await connect_and_open(second, host)
            assert host.peers == (first.peer_id,)

    run(test)


def test_the_swarm_dials_nobody_by_itself() -> None:
    async def test() -> None:
        async with arena() as field, running_host(settings()) as outsider:
            peer = ID.from_string(outsider.peer_id)
            [address] = map(Multiaddr, outsider.addresses)
            field.victim._host.get_peerstore().add_addrs(peer, [address], 60)
            await field.victim._swarm.auto_connector.maybe_connect()
            assert outsider.peers == ()

    run(test)


def test_gossip_before_its_service_runs_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the service, nobody notices that a peer has left: libp2p waits until it is cut off.
    monkeypatch.setattr("node.network.connections.SEVER_S", 0.2)

    async def test() -> None:
        async with trio.open_nursery() as nursery, running_host(settings()) as attacker:
            early = NetworkHost(settings(), nursery)
            async with guarded_service(early._swarm, early._incidents):
                await early._swarm.listen(Multiaddr("/ip4/127.0.0.1/tcp/0"))
                early.serve(ECHO, echo)
                await attacker.connect(early.addresses[0])
                await trio.sleep(0.3)
                async with await attacker.open(early.peer_id, ECHO) as frames:
                    await frames.send("alive")
                    assert await frames.receive() == "alive"
                await early._part()

    run(test)


def test_a_task_that_fails_ends_its_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with arena() as field:

            def fail(_: object) -> None:
                raise RuntimeError("a fault outside of any handler")

            [connection] = field.victim._swarm.get_connections(field.raw.get_id())
            connection._add_stream = fail
            with pytest.raises(NetworkError):
                await field.attacker.open(field.victim.peer_id, ECHO)
            await until(lambda: field.attacker.peer_id not in field.victim.peers)
            await field.assert_victim_serves_honest()
        [line] = caplog.records
        assert field.attacker.peer_id in line.getMessage()

    run(test)
