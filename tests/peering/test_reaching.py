"""A node finds out whether others can reach it, over wires in memory."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from node.home.addresses import Address, PeerId, make_address, peer_id
from node.network.contract import REACH, ReachQuestion
from node.peering.messages import read
from node.peering.reaching import AGAIN_S, ASKED_EVERY_S, MOST_RELAYS, Reaching
from protocol.errors import Rejected
from protocol.framing import Message
from tests.peering.members import Clock
from tests.peering.wires import MemoryCarrier, Wires

OWN = peer_id(b"\1" * 32)
PORT = 4001


class Listening(MemoryCarrier):
    """A node that reports that it listens at a port."""

    @property
    def addresses(self) -> tuple[str, ...]:
        return (f"/ip4/0.0.0.0/tcp/{PORT}/p2p/{OWN}",)


@dataclass
class Party:
    """A node behind a router, and bootstrap nodes that it has dialled."""

    wires: Wires = field(default_factory=Wires)
    clock: Clock = field(default_factory=Clock)
    chosen: dict[PeerId, Address] = field(default_factory=dict)
    changes: int = 0

    def __post_init__(self) -> None:
        self.carrier = Listening(self.wires, OWN)
        self.reaching = Reaching(
            self.carrier, chosen=lambda: self.chosen, on_change=self.change, clock=self.clock
        )

    def change(self) -> None:
        self.changes += 1

    def bootstrap(self, number: int, seen: Message = None) -> MemoryCarrier:
        """Connect to a node that gives this answer to questions about reachability."""
        carrier = self.wires.carrier(peer_id(bytes([number] * 32)))
        self.wires.connect(self.carrier, carrier)
        address = make_address(
            kind="ip4", host=f"192.31.196.{number}", port="4001", peer=carrier.peer_id
        )
        assert isinstance(address, Address)
        self.chosen[carrier.peer_id] = address

        async def answer(_: PeerId, question: Message) -> Message:
            ports = read(ReachQuestion, question)
            assert not isinstance(ports, Rejected)
            assert ports.ports == (PORT,)
            return {"address": seen}

        carrier.serve(REACH, answer)
        return carrier

    def ask(self) -> None:
        async def ask_all() -> None:
            for peer in self.reaching.due():
                await self.reaching.ask(peer)

        asyncio.run(ask_all())

    def through(self, relay: MemoryCarrier) -> str:
        return f"{self.chosen[relay.peer_id]}/p2p-circuit/p2p/{OWN}"


@pytest.fixture
def node() -> Party:
    return Party()


def test_who_answers_from_outside_needs_no_relay(node: Party) -> None:
    node.bootstrap(2, f"/ip4/192.175.48.7/tcp/{PORT}")
    node.ask()
    assert node.reaching.kind == "direct"
    assert node.reaching.addresses == (f"/ip4/192.175.48.7/tcp/{PORT}/p2p/{OWN}",)
    assert node.carrier.reserved == []


def test_who_does_not_is_reached_through_a_bootstrap_node(node: Party) -> None:
    relay = node.bootstrap(2)
    node.ask()
    assert node.reaching.kind == "relay"
    assert node.reaching.addresses == (node.through(relay),)


def test_a_place_is_renewed_before_it_ends(node: Party) -> None:
    relay = node.bootstrap(2)
    node.ask()
    assert node.reaching.due() == []
    node.clock.now_s += ASKED_EVERY_S
    node.ask()
    assert node.carrier.reserved == [relay.peer_id] * 2
    assert node.changes == 1  # peers are notified of it at once
    assert node.reaching.addresses == (node.through(relay),)


def test_a_relay_that_goes_takes_its_address_along_and_another_is_used(node: Party) -> None:
    relay = node.bootstrap(2)
    node.ask()
    node.wires.cut(node.carrier, relay)
    del node.chosen[relay.peer_id]
    node.reaching.on_disconnect(relay.peer_id)
    assert (node.reaching.kind, node.reaching.addresses) == ("unknown", ())
    other = node.bootstrap(3)
    node.ask()
    assert node.reaching.addresses == (node.through(other),)


def test_no_more_relays_are_used_than_are_needed(node: Party) -> None:
    for number in range(2, 6):
        node.bootstrap(number)
    node.ask()
    assert len(node.reaching.addresses) == len(node.carrier.reserved) == MOST_RELAYS


def test_a_place_is_given_up_when_somebody_reaches_this_node(node: Party) -> None:
    node.bootstrap(2)
    node.ask()
    node.bootstrap(3, f"/ip4/192.175.48.7/tcp/{PORT}")
    node.ask()
    assert node.reaching.kind == "direct"
    assert not any("p2p-circuit" in address for address in node.reaching.addresses)


def test_a_full_relay_gives_no_address(node: Party) -> None:
    node.bootstrap(2).has_room = False
    node.ask()
    assert (node.reaching.kind, node.reaching.addresses) == ("unknown", ())


def unanswering(carrier: MemoryCarrier) -> None:
    carrier.is_silent = True


def lying(carrier: MemoryCarrier) -> None:
    async def answer(_: PeerId, __: Message) -> Message:
        return {"address": "/ip4/192.175.48.7/tcp/22"}

    carrier.serve(REACH, answer)


def garbled(carrier: MemoryCarrier) -> None:
    async def answer(_: PeerId, __: Message) -> Message:
        return {"address": 5}

    carrier.serve(REACH, answer)


@pytest.mark.parametrize("spoil", [unanswering, lying, garbled])
def test_who_gives_no_answer_is_asked_again_soon(
    node: Party, spoil: Callable[[MemoryCarrier], None]
) -> None:
    spoil(node.bootstrap(2))
    node.ask()
    assert node.reaching.addresses == ()
    assert node.carrier.reserved == []
    node.clock.now_s += AGAIN_S
    assert len(node.reaching.due()) == 1
