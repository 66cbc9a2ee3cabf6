"""Messages of the DHT: which parts of an untrusted answer are used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from multiaddr import Multiaddr

from node.home.addresses import Reach
from node.network.dht_contract import key_of
from node.network.kademlia import (
    ADDRESSES,
    BUCKET,
    Answer,
    DhtPeer,
    announcement_of,
    distance,
    place_of,
    question_of,
    read_answer,
)
from protocol.errors import Rejected
from tests.node.peer_addresses import key as key_bytes

KEY = key_of("main", "2026-03-01")
PEER = bytes([0x00, 0x24, 0x08, 0x01, 0x12, 0x20]) + key_bytes(1)


def peer_message(*addresses: str, peer: bytes = PEER) -> Message.Peer:
    return Message.Peer(id=peer, addrs=[Multiaddr(one).to_bytes() for one in addresses])


def read(*peers: Message.Peer, server_reach: Reach = Reach.PUBLIC) -> Answer:
    message = Message(type=Message.GET_PROVIDERS, closerPeers=peers, providerPeers=peers[:1])
    answer = read_answer(message.SerializeToString(), server_reach=server_reach)
    assert isinstance(answer, Answer)
    return answer


def test_a_key_says_by_which_hash_it_was_made_and_differs_by_network_and_day() -> None:
    assert KEY[:2] == bytes([0x12, 0x20])
    others = (key_of("lab", "2026-03-01"), key_of("main", "2026-03-02"))
    assert len({KEY, *others}) == 3
    assert key_of("main", "2026-03-01") == KEY


def test_a_provision_is_of_its_sender_with_its_addresses() -> None:
    addresses = [Multiaddr(f"/ip4/192.31.196.{number}/tcp/4001") for number in range(1, 20)]
    message = Message()
    message.ParseFromString(announcement_of(KEY, PEER, addresses))
    (provider,) = message.providerPeers
    assert (message.type, message.key, provider.id) == (Message.ADD_PROVIDER, KEY, PEER)
    assert list(provider.addrs) == [one.to_bytes() for one in addresses[:ADDRESSES]]


def test_a_question_names_its_key() -> None:
    message = Message()
    message.ParseFromString(question_of(KEY))
    assert (message.type, message.key) == (Message.GET_PROVIDERS, KEY)


def test_an_answer_is_read_with_what_can_be_dialled_alone() -> None:
    answer = read(
        peer_message(
            "/ip4/192.31.196.1/udp/4001/quic-v1",
            "/dns4/example.org/tcp/4001",
            "/ip4/192.31.196.1/tcp/4001/ws",
            "/ip4/0.0.0.0/tcp/4001",
            "/ip4/192.31.196.1/tcp/4001",
            "/ip6/3000::1/tcp/4002",
        )
    )
    assert [str(one.address) for one in answer.closer] == [
        "/ip4/192.31.196.1/tcp/4001",
        "/ip6/3000::1/tcp/4002",
    ]
    assert answer.providers == answer.closer


def test_nobody_outside_leads_into_a_network() -> None:
    inside = peer_message("/ip4/10.1.2.3/tcp/4001", "/ip4/127.0.0.1/tcp/4001")
    assert read(inside).closer == ()
    assert [one.host for one in read(inside, server_reach=Reach.PRIVATE).closer] == ["10.1.2.3"]
    assert len(read(inside, server_reach=Reach.LOOPBACK).closer) == 2


def test_of_many_peers_and_addresses_so_many_are_read_and_useless_ones_take_no_place() -> None:
    useless = [f"/ip4/10.0.0.{number}/tcp/4001" for number in range(1, 30)]
    useful = [f"/ip4/192.31.196.{number}/tcp/4001" for number in range(1, 30)]
    peers = [
        peer_message(*useless, *useful, peer=PEER[:-1] + bytes([number])) for number in range(40)
    ]
    assert len(read(*peers).closer) == BUCKET * ADDRESSES


@pytest.mark.parametrize("peer", [b"", bytes(65), bytes(60_000)])
def test_an_id_that_is_none_takes_no_place(peer: bytes) -> None:
    odd = peer_message("/ip4/192.31.196.1/tcp/4001", peer=peer)
    assert len(read(*[odd] * BUCKET, peer_message("/ip4/192.31.196.2/tcp/4001")).closer) == 1


def test_addresses_that_are_no_addresses_are_left_out() -> None:
    odd = Message.Peer(id=PEER, addrs=[b"", b"\xff" * 300, b"\x04\x01"])
    assert read(odd, peer_message("/ip4/192.31.196.1/tcp/4001")).closer[0].host == "192.31.196.1"


@given(st.binary(max_size=400))
def test_any_bytes_are_an_answer_or_rejected(data: bytes) -> None:
    assert isinstance(read_answer(data, server_reach=Reach.PUBLIC), Answer | Rejected)


@given(st.binary(min_size=1, max_size=40), st.binary(min_size=1, max_size=40))
def test_a_distance_is_one_of_the_metric_s(one: bytes, other: bytes) -> None:
    assert distance(one, other) == distance(other, one)
    assert (distance(one, other) == 0) == (one == other)


def test_a_place_is_written_with_its_id() -> None:
    place = place_of(Multiaddr("/ip4/192.31.196.1/tcp/4001"), PEER)
    assert isinstance(place, DhtPeer)
    assert place_of(Multiaddr(str(place)), PEER) == place
    assert str(place).startswith("/ip4/192.31.196.1/tcp/4001/p2p/12D3Koo")
