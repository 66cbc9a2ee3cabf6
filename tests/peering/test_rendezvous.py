"""A node's use of the DHT: when it searches, under which keys, and the addresses it announces."""

from pathlib import Path

import pytest

from node.home.network_definition import Network
from node.network.dht_contract import key_of
from node.peering.rendezvous import ALONE_S, SETTLED_S, LastRendezvous, Rendezvous
from tests.node.peer_addresses import address, through

NOON_S = 1_772_366_400.0  # of 1 March 2026, UTC
DIRECT = str(address(1))


class Node:
    """A node with a clock that only a test advances."""

    def __init__(self) -> None:
        self.now_s = NOON_S
        self.peers = 0
        self.addresses: tuple[str, ...] = (DIRECT,)
        self.rendezvous = Rendezvous(
            Network(name="main", dht=(str(address(9)),)),
            bytes(32),
            hidden=[Path("/nowhere")],
            reached_at=lambda: self.addresses,
            peers=lambda: self.peers,
            found=lambda _: None,
            clock=lambda: self.now_s,
        )

    def has_met(self) -> None:
        self.rendezvous._announced = self.rendezvous._to_announce()
        self.rendezvous.last = LastRendezvous(at_s=self.now_s)


@pytest.fixture
def node() -> Node:
    return Node()


def test_the_first_rendezvous_is_due_at_once(node: Node) -> None:
    assert node.rendezvous.next_s <= NOON_S


def test_who_is_alone_looks_again_soon_and_others_after_hours(node: Node) -> None:
    node.has_met()
    assert node.rendezvous.next_s == NOON_S + ALONE_S
    node.peers = 1
    assert node.rendezvous.next_s == NOON_S + SETTLED_S


def test_who_is_reached_elsewhere_since_says_so_soon(node: Node) -> None:
    node.peers = 1
    node.has_met()
    node.addresses = (DIRECT, str(address(1, host="ip4/192.0.2.9")))
    assert node.rendezvous.next_s == NOON_S + ALONE_S


def test_a_place_at_a_relay_is_not_reported(node: Node) -> None:
    node.addresses = (str(through(address(2), 1)), DIRECT)
    assert node.rendezvous._to_announce() == (DIRECT,)


def test_the_keys_are_those_of_today_and_yesterday(node: Node) -> None:
    assert node.rendezvous._keys() == (key_of("main", "2026-03-01"), key_of("main", "2026-02-28"))
