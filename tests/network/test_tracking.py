"""Connected peers, by libp2p's connections."""

from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID

from node.home.addresses import PeerId
from node.network.host import NetworkHost, running_host
from node.network.presence import Connected, Disconnected
from tests.network.arena import run, settings, until

HOST = "127.0.0.1"


def changes(host: NetworkHost) -> list[Connected | Disconnected]:
    return list(host.tracker.presence.changes())


def connections(host: NetworkHost, peer: PeerId) -> int:
    swarm = host._swarm
    assert isinstance(swarm, Swarm)
    return len(swarm.get_connections(ID.from_string(peer)))


def test_who_dialled_knows_the_address_and_who_was_dialled_does_not() -> None:
    async def test() -> None:
        async with running_host(settings()) as one, running_host(settings()) as other:
            await one.connect(other.addresses[0])
            await until(lambda: bool(other.peers))
            assert changes(one) == [
                Connected(peer=other.peer_id, address=other.addresses[0], host=HOST)
            ]
            assert changes(other) == [Connected(peer=one.peer_id, address=None, host=HOST)]
            await other.disconnect(one.peer_id)
            await until(lambda: not one.peers)
            assert changes(one) == [Disconnected(peer=other.peer_id)]
            assert changes(other) == [Disconnected(peer=one.peer_id)]

    run(test)


def test_a_second_connection_is_no_second_arrival() -> None:
    async def test() -> None:
        async with running_host(settings()) as one, running_host(settings()) as other:
            await one.connect(other.addresses[0])
            await until(lambda: bool(other.peers))
            changes(one)
            second = await one._swarm.dial_addr(
                other._host.get_addrs()[0], ID.from_string(other.peer_id)
            )
            await until(lambda: connections(one, other.peer_id) == 2)
            assert changes(one) == []
            await second.close()
            await until(lambda: connections(one, other.peer_id) == 1)
            assert changes(one) == []

    run(test)


def test_a_connection_that_is_taken_out_by_force_ends_a_stay() -> None:
    async def test() -> None:
        async with running_host(settings()) as one, running_host(settings()) as other:
            await one.connect(other.addresses[0])
            changes(one)
            (connection,) = one._swarm.get_connections(ID.from_string(other.peer_id))
            one._swarm.remove_conn(connection)
            assert changes(one) == [Disconnected(peer=other.peer_id)]
            await connection.close()

    run(test)
