"""The choice of peers to dial, and peers' reports about others, over wires in memory."""

import asyncio
import random
import time
from dataclasses import dataclass, field

import pytest

from node.home.addresses import Address, PeerId, parse_address, peer_id
from node.network.errors import NetworkError
from node.peering.book import AddressBook, AddressSource
from node.peering.dialling import Dialler
from node.peering.messages import MAX_PEER_ADDRESSES, PEERS, Hello
from node.peering.service_quota import Misbehaviour
from protocol.framing import Message
from protocol.records import VERSION
from tests.peering.members import Clock
from tests.peering.wires import MemoryCarrier, Wires

HELLO = Hello(
    v=VERSION, software="arnode 0.1.0", net="main", author=bytes(32), addresses=(), digests={}
)


def address(number: int, host: str = "127.0.0.1") -> Address:
    found = parse_address(f"/ip4/{host}/tcp/{4000 + number}/p2p/{peer_id(bytes([number] * 32))}")
    assert isinstance(found, Address)
    return found


@dataclass(kw_only=True)
class Party:
    """A node that dials."""

    carrier: MemoryCarrier
    dialler: Dialler
    book: AddressBook
    kept: list[int] = field(default_factory=list)


def party(wires: Wires, name: str, clock: Clock) -> Party:
    carrier, chance = wires.carrier(name), random.Random(1)
    book = AddressBook(clock=time.time, chance=chance)
    kept: list[int] = []
    dialler = Dialler(
        carrier,
        book,
        Misbehaviour(carrier, clock),
        keep=lambda one: kept.append(len(one.entries)),
        chance=chance,
        clock=clock,
    )
    carrier.serve(PEERS, dialler.answer)
    return Party(carrier=carrier, dialler=dialler, book=book, kept=kept)


def test_what_nobody_answers_at_is_left_alone_for_a_while() -> None:
    one = party(Wires(), "one", Clock())
    one.book.learn(address(1), AddressSource.BOOTSTRAP)
    asyncio.run(one.dialler._dial(address(1)))
    (entry,) = one.book.entries
    assert entry.failures == 1
    assert one.dialler._due() == []


def dialled(one: Party, other: MemoryCarrier) -> Party:
    """Let a node dial another one and notice the connection."""
    asyncio.run(one.dialler._dial(address(1)))
    assert other.peer_id in one.carrier.peers
    return one


def test_a_peer_that_hangs_up_at_once_is_left_alone_longer_and_longer() -> None:
    wires, clock = Wires(), Clock()
    one, full = party(wires, "one", clock), wires.carrier(address(1).peer)
    one.book.learn(address(1), AddressSource.BOOTSTRAP)
    for times in range(1, 4):
        dialled(one, full)
        wires.cut(full, one.carrier)
        if times != 2:  # the second time, only the connection's shortness shows it
            one.dialler.on_disconnect(full.peer_id)
        assert one.dialler._due() == []
        (entry,) = one.book.entries
        assert (entry.failures, entry.success_s) == (times, 0)


def test_a_peer_that_said_hello_and_stayed_is_dialled_again_at_once() -> None:
    wires, clock = Wires(), Clock()
    one, other = party(wires, "one", clock), wires.carrier(address(1).peer)
    one.book.learn(address(1), AddressSource.BOOTSTRAP)
    one.book.note_failure(address(1))
    dialled(one, other)
    for _ in range(2):
        one.dialler.on_hello(other.peer_id, HELLO)
        clock.now_s += 10.0
    wires.cut(other, one.carrier)
    one.dialler.on_disconnect(other.peer_id)
    assert one.dialler._due() == [address(1)]


def test_peers_report_where_others_are_but_not_the_asker_of_itself() -> None:
    wires, clock = Wires(), Clock()
    one, two, three = (party(wires, name, clock) for name in ("one", "two", "three"))
    for other in (two, three):
        wires.connect(other.carrier, one.carrier)
        assert other.carrier.peer_id is not None
    one.dialler._dialled |= {two.carrier.peer_id: address(2), three.carrier.peer_id: address(3)}
    answer = asyncio.run(one.dialler.answer(two.carrier.peer_id, {"known": MAX_PEER_ADDRESSES}))
    assert answer == {"addresses": [str(address(3))]}
    assert one.dialler.answer is not None


@pytest.mark.parametrize("question", [None, {}, {"known": 0}, {"known": 10**6}, {"known": "all"}])
def test_a_question_that_is_none_is_not_answered(question: Message) -> None:
    wires = Wires()
    one, liar = party(wires, "one", Clock()), wires.carrier("liar")
    wires.connect(liar, one.carrier)
    with pytest.raises(NetworkError):
        asyncio.run(liar.ask(one.carrier.peer_id, PEERS, question))


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {"addresses": "all"},
        {"addresses": ["x"] * 1000},
        {"addresses": [1]},
        {"addresses": []},
    ],
)
def test_whatever_a_peer_reports_the_book_holds_addresses_only(answer: Message) -> None:
    wires, clock = Wires(), Clock()
    one, liar = party(wires, "one", clock), wires.carrier("liar")
    wires.connect(one.carrier, liar)

    async def lying(_peer: PeerId, _question: Message) -> Message:
        return answer

    liar.serve(PEERS, lying)
    asyncio.run(one.dialler._ask(liar.peer_id))
    assert one.book.entries == ()


def test_the_book_is_kept_on_request() -> None:
    one = party(Wires(), "one", Clock())
    one.book.learn(address(1), AddressSource.BOOTSTRAP)
    one.dialler.keep()
    assert one.kept == [1]
