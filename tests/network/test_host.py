"""Honest hosts over loopback: streams, gossip, identity, private swarms, dropping."""

import contextlib
import secrets
import threading

import pytest
import trio
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID

from node.home.addresses import PeerId, transport_key
from node.network.building import build_host
from node.network.errors import NetworkError
from node.network.host import NetworkHost, running_host
from node.network.rpc import MESSAGE_LIMIT_BYTES
from protocol.errors import ConfigurationError, Rejected
from protocol.keys import SigningKey
from tests.network.arena import ECHO, TOPIC, anything, arena, echo, expect, run, settings, until
from tests.node.peer_addresses import peer


async def connect_and_open(host: NetworkHost, other: NetworkHost) -> None:
    """Get as far as a stream: a refusal may come when the dialler thinks that it is through."""
    await host.connect(other.addresses[0])
    await host.open(other.peer_id, ECHO)


def test_two_hosts_gossip_both_ways_and_echo_frames() -> None:
    async def test() -> None:
        async with arena() as field:
            await field.assert_victim_serves_honest()
            assert set(field.victim.peers) == {field.honest.peer_id, field.attacker.peer_id}

    run(test)


def test_a_message_says_who_forwarded_it_and_own_messages_stay_out() -> None:
    async def test() -> None:
        async with arena() as field:
            await field.victim.publish(TOPIC, b"mine")
            await field.honest.publish(TOPIC, b"theirs")
            message = await field.victim_inbox.receive()
            assert (message.data, message.topic) == (b"theirs", TOPIC)
            assert message.forwarder in {field.honest.peer_id, field.attacker.peer_id}

    run(test)


def test_two_hundred_messages_at_once_all_arrive() -> None:
    async def test() -> None:
        async with arena() as field:
            sent = {b"%d" % number for number in range(200)}
            async with trio.open_nursery() as nursery:

                async def publish() -> None:
                    for data in sent:
                        await field.honest.publish(TOPIC, data)

                nursery.start_soon(publish)
                got: set[bytes] = set()
                while got != sent:
                    got.add((await field.victim_inbox.receive()).data)
            assert field.victim.lost_messages == 0

    run(test)


def test_what_cannot_be_published_is_refused_with_a_reason() -> None:
    async def test() -> None:
        async with running_host(settings()) as host:
            with pytest.raises(NetworkError, match="more than gossip's limit of 16384"):
                await host.publish(TOPIC, bytes(MESSAGE_LIMIT_BYTES + 1))
            with pytest.raises(NetworkError, match="not a topic"):
                await host.publish("/elsewhere", b"")
            with pytest.raises(NetworkError, match="not a topic"):
                await host.subscribe("/elsewhere", anything)

    run(test)


def test_peers_that_are_not_there_are_said_to_be() -> None:
    async def test() -> None:
        async with running_host(settings()) as host:
            outsider = PeerId(str(build_host(settings()).get_id()))
            for address in ("nonsense", "/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1/p2p/x"):
                with pytest.raises(NetworkError, match="was not reached"):
                    await host.connect(address)
            with pytest.raises(NetworkError, match="is not connected"):
                await host.open(outsider, ECHO)

    run(test)


def test_somebody_else_s_machine_is_knocked_at_once_a_dial() -> None:
    knocks = 0

    async def hang_up(stream: trio.SocketStream) -> None:
        nonlocal knocks
        knocks += 1
        await stream.aclose()

    async def test() -> None:
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, hang_up, [listener])
            port = listener.socket.getsockname()[1]
            async with running_host(settings()) as host:
                with pytest.raises(NetworkError):
                    await host.connect(f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer(1)}")
            nursery.cancel_scope.cancel()

    run(test)
    assert knocks == 1


def test_a_protocol_that_is_not_spoken_is_said_to_be() -> None:
    async def test() -> None:
        async with arena() as field:
            with pytest.raises(NetworkError, match="opened no /arnode/unknown/1"):
                await field.honest.open(field.victim.peer_id, "/arnode/unknown/1")
            await field.assert_victim_serves_honest()

    run(test)


def test_a_dropped_peer_is_refused_until_its_time_is_over() -> None:
    async def test() -> None:
        async with arena(banned_for_s=0.5) as field:
            await field.victim.drop(field.attacker.peer_id)
            assert field.is_attacker_dropped()
            await until(lambda: field.victim.peer_id not in field.attacker.peers)
            with pytest.raises(NetworkError, match="breaking the rules"):
                await field.victim.connect(field.attacker.addresses[0])
            with pytest.raises(NetworkError):
                await connect_and_open(field.attacker, field.victim)
            await until(lambda: not field.victim.is_banned(field.attacker.peer_id))
            await field.attacker.connect(field.victim.addresses[0])
            await field.assert_victim_serves_honest()

    run(test)


def test_a_peer_may_come_back_right_after_a_disconnect() -> None:
    async def test() -> None:
        async with arena() as field:
            await field.victim.disconnect(field.honest.peer_id)
            await until(lambda: field.victim.peer_id not in field.honest.peers)
            await field.honest.connect(field.victim.addresses[0])
            await field.assert_victim_serves_honest()

    run(test)


def test_only_those_who_know_a_private_networks_secret_get_in() -> None:
    async def test() -> None:
        secret = secrets.token_bytes(32)
        async with (
            running_host(settings(secret=secret)) as host,
            running_host(settings(secret=secret)) as member,
            running_host(settings(handshake_s=1.0)) as outsider,
        ):
            host.serve(ECHO, echo)
            await member.connect(host.addresses[0])
            async with await member.open(host.peer_id, ECHO) as frames:
                await frames.send("hello")
                assert await frames.receive() == "hello"
            with trio.move_on_after(1), contextlib.suppress(NetworkError):
                await outsider.connect(host.addresses[0])
            assert host.peers == (member.peer_id,)
            assert outsider.peers == ()

    run(test)


def test_settings_that_cannot_be_are_said_to_be() -> None:
    with pytest.raises(ConfigurationError, match="32 bytes, not 3"):
        build_host(settings(secret=b"abc"))
    with pytest.raises(ConfigurationError, match="is invalid"):
        build_host(settings(listen=("localhost",)))


def test_a_port_that_is_taken_is_said_to_be() -> None:
    async def test() -> None:
        async with running_host(settings(listen=("/ip4/192.0.2.1/tcp/4001",))):
            pytest.fail("it listens on an address that is not ours")

    with pytest.raises(ConfigurationError, match="cannot listen on"):
        run(test)


def test_a_host_speaks_noise_and_yamux_only() -> None:
    swarm = build_host(settings()).get_network()
    assert list(swarm.upgrader.security_multistream.transports) == [NOISE_ID]
    assert list(swarm.upgrader.muxer_multistream.transports) == [YAMUX_ID]


def test_the_transport_key_is_the_one_that_a_profile_binds() -> None:
    seed = secrets.token_bytes(32)
    public = SigningKey.from_seed(seed).public
    assert transport_key(str(build_host(settings(transport_seed=seed)).get_id())) == public
    assert transport_key("Qm") == Rejected("'Qm' is not a peer id (12D3Koo…)")


def test_settings_do_not_show_their_secrets() -> None:
    shown = repr(settings(transport_seed=b"s" * 32, secret=b"t" * 32))
    assert "sss" not in shown
    assert "ttt" not in shown


def test_messages_wait_in_order_for_a_slow_subscriber() -> None:
    async def test() -> None:
        async with arena() as field:
            for number in range(50):
                await field.honest.publish(TOPIC, b"%d" % number)
            await trio.sleep(0.4)
            await expect(field.victim_inbox, b"0")
            await expect(field.victim_inbox, b"49")

    run(test)


def test_a_host_that_has_ended_leaves_no_thread() -> None:
    async def test() -> None:
        async with running_host(settings()) as host:
            before.add(threading.active_count())
            assert host.peers == ()

    before: set[int] = set()
    for _ in range(3):
        run(test)
    assert len(before) == 1
