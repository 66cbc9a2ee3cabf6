"""Without its guards a host of py-libp2p dies of each of these; the names they sit on are there."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio
from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.identity import update
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.peer.peerstore import PeerStore, PeerStoreError
from libp2p.protocol_muxer import multiselect_communicator
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.mcache import MessageCache
from libp2p.pubsub.pb.rpc_pb2 import RPC, Message
from libp2p.pubsub.pubsub import Pubsub
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.tools.anyio_service.context import background_trio_service
from libp2p.tools.anyio_service.trio_manager import TrioManager
from libp2p.utils import varint
from multiaddr import Multiaddr

from node.network.errors import quieten_libp2p
from node.network.host import NetworkHost, running_host
from node.network.patches import apply_patches, parse_address, read_line
from node.network.router import GOSSIP_PROTOCOL, message_id
from tests.network.arena import TOPIC, anything, leaf, settings
from tests.network.attacks import GARBAGE, forged, send_bytes, send_rpc, signed

RAISING = TProtocol("/raising/1")


@dataclass(frozen=True)
class Unguarded:
    host: BasicHost
    pubsub: Pubsub
    attacker: NetworkHost

    async def stream(self, protocol: TProtocol = GOSSIP_PROTOCOL) -> INetStream:
        return await self.attacker._host.new_stream(self.host.get_id(), [protocol])


@asynccontextmanager
async def unguarded(*, runs_gossip: bool = True) -> AsyncIterator[Unguarded]:
    """Yield a host as py-libp2p makes it, and an attacker that is connected to it."""
    quieten_libp2p()
    address = Multiaddr("/ip4/127.0.0.1/tcp/0")
    host = new_host(listen_addrs=[address])
    router = GossipSub([GOSSIP_PROTOCOL], 6, 4, 12, heartbeat_interval=1)
    pubsub = Pubsub(host, router, msg_id_constructor=message_id)

    async def raising(_: INetStream) -> None:
        raise RuntimeError("a fault in a handler")

    host.set_stream_handler(RAISING, raising)
    async with host.run([address]), running_host(settings()) as attacker:
        field = Unguarded(host, pubsub, attacker)
        if not runs_gossip:
            await attacker.connect(str(host.get_addrs()[0]))
            yield field
            return
        async with background_trio_service(router), background_trio_service(pubsub):
            await pubsub.wait_until_ready()
            await pubsub.subscribe(TOPIC)
            await attacker.subscribe(TOPIC, anything)
            await attacker.connect(str(host.get_addrs()[0]))
            yield field


async def garbage(field: Unguarded) -> None:
    await send_bytes(await field.stream(), GARBAGE)


async def bad_key(field: Unguarded) -> None:
    await send_rpc(await field.stream(), RPC(publish=[forged(from_id=b"\x12", key=b"\xff\xfe")]))


async def raising_handler(field: Unguarded) -> None:
    await field.stream(RAISING)


async def raising_validator(field: Unguarded) -> None:
    def judge(_: ID, __: Message) -> bool:
        raise RuntimeError("a fault in a validator")

    field.pubsub.set_topic_validator(TOPIC, judge, is_async_validator=False)
    message = signed(field.attacker._host, b"a message")
    await send_rpc(await field.stream(), RPC(publish=[message]))


# A host that dies does so at once, on a machine that is busy a little later.
_PATIENCE_S = 30


def fate_of(attack: Callable[[Unguarded], Awaitable[None]], *, runs_gossip: bool = True) -> str:
    """Return the name of the exception that an unguarded host dies of, or none."""

    async def test() -> None:
        with trio.move_on_after(_PATIENCE_S):
            async with unguarded(runs_gossip=runs_gossip) as field:
                await attack(field)
                await trio.sleep_forever()

    try:
        trio.run(test)
    except Exception as fault:  # noqa: BLE001 (whatever it is)
        return type(leaf(fault)).__name__
    return "none"


@pytest.mark.parametrize(
    ("attack", "death"),
    [
        (garbage, "DecodeError"),
        (bad_key, "DecodeError"),
        (raising_handler, "RuntimeError"),
        (raising_validator, "RuntimeError"),
    ],
)
def test_an_unguarded_host_dies(attack: Callable[[Unguarded], Awaitable[None]], death: str) -> None:
    assert fate_of(attack) == death


def test_an_unguarded_host_dies_of_gossip_before_its_service_runs() -> None:
    async def wait(_: Unguarded) -> None:
        pass  # the attacker's own gossip opens its stream as soon as they are connected

    assert fate_of(wait, runs_gossip=False) == "AttributeError"


def test_an_unguarded_host_keeps_the_slots_of_connections_that_have_ended() -> None:
    async def test() -> None:
        async with unguarded() as field:
            info = info_from_p2p_addr(field.host.get_addrs()[0])
            await field.attacker.disconnect(str(info.peer_id))
            await trio.sleep(0.5)
            assert field.host.get_connected_peers() == []
            assert field.host.get_network()._inbound_limiter.borrowed_tokens == 1

    trio.run(test)


def test_upstreams_store_of_peers_evicts_the_hosts_own_key() -> None:
    host = new_host()
    for number in range(1_001):
        host.get_peerstore().add_addr(ID(b"%d" % number), Multiaddr("/ip4/192.0.2.1/tcp/1"), 60)
    with pytest.raises(PeerStoreError):
        host.get_private_key()


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (BasicHost._swarm_stream_handler, ["self", "net_stream"]),
        (BasicHost._schedule_identify, ["self", "peer_id", "reason"]),
        (Pubsub.push_msg, ["self", "msg_forwarder", "msg"]),
        (Pubsub.stream_handler, ["self", "stream"]),
        (Pubsub.continuously_read_stream, ["self", "stream"]),
        (Pubsub.notify_subscriptions, ["self", "publish_message"]),
        (Pubsub._handle_dead_peer, ["self", "peer_id"]),
        (Pubsub._is_subscribed_to_msg, ["self", "msg"]),
        (Pubsub._is_msg_seen, ["self", "msg"]),
        (GossipSub.heartbeat, ["self"]),
        (MessageCache.put, ["self", "msg"]),
        (Swarm.upgrade_inbound_raw_conn, ["self", "raw_conn", "maddr"]),
        (Swarm.upgrade_outbound_raw_conn, ["self", "raw_conn", "peer_id", "pre_scope"]),
        (Swarm.add_conn, ["self", "muxed_conn", "direction"]),
        (Swarm.remove_conn, ["self", "swarm_conn"]),
        (Swarm.get_connections_map, ["self"]),
        (Swarm.notify_connected, ["self", "conn"]),
        (Swarm.notify_disconnected, ["self", "conn"]),
        (PeerStore.clear_peerdata, ["self", "peer_id"]),
        (Swarm.dial_addr, ["self", "addr", "peer_id", "source"]),
        (SwarmConn._add_stream, ["self", "muxed_stream"]),
        (Yamux._read_data_body, ["self", "length"]),
        (TrioManager.run_task, ["self", "async_fn", "args", "daemon", "name", "_internal"]),
    ],
)
def test_upstream_has_what_the_guards_replace(
    function: Callable[..., object], parameters: list[str]
) -> None:
    assert list(inspect.signature(function).parameters) == parameters


def test_upstream_looks_up_what_the_bounds_replace() -> None:
    assert inspect.signature(varint.read_delim).parameters.keys() == {"reader"}
    assert "await read_delim(" in inspect.getsource(multiselect_communicator)
    assert "_safe_parse_multiaddr_cached(addr_bytes)" in inspect.getsource(update)
    apply_patches()
    assert multiselect_communicator.read_delim is read_line
    assert update._safe_parse_multiaddr_cached is parse_address


def test_an_address_is_short_and_reads() -> None:
    address = Multiaddr("/ip4/192.0.2.1/tcp/1")
    assert parse_address(address.to_bytes()) == address
    assert parse_address(b"\xff\xff") is None
    assert parse_address(address.to_bytes() * 100) is None


def test_upstream_calls_what_the_guards_replace_by_the_names_that_they_set() -> None:
    swarm = inspect.getsource(Swarm)
    assert "await self.upgrade_inbound_raw_conn(" in swarm
    assert "await self.upgrade_outbound_raw_conn(" in swarm
    assert swarm.count("await self.add_conn(") >= 4
    assert "self.auto_connector.maybe_connect" in swarm
    yamux = inspect.getsource(Yamux.handle_incoming)
    assert yamux.count("await self._read_data_body(length)") == 3
    assert "except trio.TooSlowError:" in yamux
    assert yamux.count("await read_exactly(self.secured_conn, HEADER_SIZE)") == 1
    assert "self.stream_buffers[stream_id].extend(data)" in yamux
    host = inspect.getsource(BasicHost)
    assert host.count("self._schedule_identify(") == 3
