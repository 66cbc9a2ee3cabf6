"""The address book: whom to dial next, and what a liar cannot make this node do."""

import json
import logging
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.addresses import Address, PeerId, Reach
from node.home.home import Home
from node.peering.book import (
    DHT_DIALS,
    FAILURES_FORGOTTEN,
    HEARSAY_INTERVAL_S,
    LONGEST_BACKOFF_S,
    MAX_ENTRIES,
    MAX_FROM_DHT,
    MAX_FROM_LISTS,
    MAX_FROM_MDNS,
    MAX_FROM_PEER,
    AddressBook,
    AddressSource,
)
from node.peering.book_file import book_path, read_book, write_book
from tests.node.peer_addresses import address, peer, through

HOUR_S = HEARSAY_INTERVAL_S
LIAR = peer(666)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s

    def pass_by(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(clock: Clock) -> AddressBook:
    return AddressBook(clock=clock, chance=random.Random(1))


def dial(book: AddressBook, *connected: PeerId, outbound: int = 0, **more: object) -> list[Address]:
    return book.next_to_dial(connected=connected, outbound=outbound, **more)  # type: ignore[arg-type]


def learn_from_peer(
    book: AddressBook, one: Address, *, sent_by: PeerId = LIAR, reach: Reach | None = None
) -> bool:
    return book.learn_from_peer(one, sent_by=sent_by, sender_reach=reach or Reach.PUBLIC)


def test_alone_the_user_s_own_addresses_come_first(book: AddressBook) -> None:
    for number in range(20):
        learn_from_peer(book, address(number), sent_by=peer(100 + number))
    book.learn(address(50), AddressSource.BOOTSTRAP)
    book.learn(address(51), AddressSource.INVITE)
    chosen = dial(book)
    assert len(chosen) == 8
    assert set(chosen[:2]) == {address(50), address(51)}


def test_alone_the_user_s_own_go_before_what_once_answered(book: AddressBook) -> None:
    book.learn(address(1), AddressSource.MDNS)
    book.note_success(address(1))
    book.learn(address(2), AddressSource.BOOTSTRAP)
    assert dial(book, target=1) == [address(2)]


def test_in_company_what_answered_last_comes_first(book: AddressBook) -> None:
    book.learn(address(1), AddressSource.BOOTSTRAP)
    learn_from_peer(book, address(2))
    book.note_success(address(2))
    learn_from_peer(book, address(3))
    assert dial(book, peer(9), outbound=1) == [address(2), address(1), address(3)]


def test_only_missing_connections_are_dialled(book: AddressBook) -> None:
    for number in range(20):
        book.learn(address(number), AddressSource.MDNS)
    assert len(dial(book, peer(0), outbound=6, dialling={peer(1)})) == 1
    assert dial(book, peer(0), outbound=8) == []
    assert dial(book, peer(0), outbound=30) == []


def test_a_way_through_a_relay_is_taken_only_while_that_is_connected(book: AddressBook) -> None:
    relay = address(1)
    several = [through(relay, number) for number in (2, 3)]
    for one in several:
        assert learn_from_peer(book, one)
    assert dial(book) == []
    # Both are of one machine, which is not dialled for each.
    assert set(dial(book, relay.peer)) == set(several)


def test_a_peer_s_own_address_goes_before_a_relay_s(book: AddressBook) -> None:
    relay, direct = address(1), address(2)
    assert learn_from_peer(book, through(relay, 2))
    assert learn_from_peer(book, direct)
    assert dial(book, relay.peer) == [direct]
    book.note_failure(direct)
    assert dial(book, relay.peer) == [through(relay, 2)]


def test_nobody_is_dialled_twice_nor_oneself(book: AddressBook) -> None:
    for number in range(4):
        book.learn(address(number), AddressSource.MDNS)
        book.learn(address(number, port=4002), AddressSource.MDNS)
    chosen = dial(book, peer(0), outbound=1, dialling={peer(1)}, own=peer(2))
    assert [one.peer for one in chosen] == [peer(3)]


def test_failures_are_waited_out_longer_and_longer_up_to_half_an_hour(
    book: AddressBook, clock: Clock
) -> None:
    book.learn(address(1), AddressSource.BOOTSTRAP)
    waits: list[int] = []
    for _ in range(30):
        assert dial(book) == [address(1)]
        book.note_failure(address(1))
        (entry,) = book.entries
        wait_s = entry.not_before_s - int(clock.now_s)
        waits.append(wait_s)
        clock.now_s += wait_s - 1
        assert dial(book) == []
        clock.now_s += 1
    assert waits[0] <= 5
    assert waits[5] > 5 * waits[0]
    assert LONGEST_BACKOFF_S / 2 <= max(waits) <= LONGEST_BACKOFF_S
    assert len(set(waits[15:])) > 5


def test_success_ends_the_waiting(book: AddressBook) -> None:
    book.learn(address(1), AddressSource.BOOTSTRAP)
    for _ in range(5):
        book.note_failure(address(1))
    book.note_success(address(1))
    assert dial(book) == [address(1)]


def test_a_clock_that_jumps_back_does_not_mute_an_address(book: AddressBook, clock: Clock) -> None:
    book.learn(address(1), AddressSource.BOOTSTRAP)
    learn_from_peer(book, address(2))
    assert len(dial(book)) == 2
    book.note_failure(address(1))
    clock.now_s -= 10_000_000
    assert set(dial(book)) == {address(1), address(2)}


def test_hearsay_is_tried_once_an_hour(book: AddressBook, clock: Clock) -> None:
    learn_from_peer(book, address(1))
    assert dial(book) == [address(1)]
    book.note_failure(address(1))
    clock.now_s += HOUR_S - 1
    assert dial(book) == []
    clock.now_s += 2
    assert dial(book) == [address(1)]


def test_hearsay_that_proved_true_is_redialled_at_once(book: AddressBook) -> None:
    learn_from_peer(book, address(1))
    dial(book)
    book.note_success(address(1))
    assert dial(book) == [address(1)]
    book.note_failure(address(1))
    assert dial(book) == []


def test_one_machine_is_knocked_at_once_an_hour_with_any_announcer(
    book: AddressBook, clock: Clock
) -> None:
    for number in range(400):
        victim = address(number, host="ip4/192.31.196.1", port=1000 + number)
        learn_from_peer(book, victim, sent_by=peer(1000 + number // 10))
    for number in range(300):
        other = address(number, host=f"ip6/3000::{number + 1:x}")
        learn_from_peer(book, other, sent_by=peer(2000 + number // 10))
    knocks: list[str] = []
    for _ in range(2 * HOUR_S // 60):
        for one in dial(book):
            knocks.append(one.site)
            book.note_failure(one)
        clock.now_s += 60
    assert knocks.count("192.31.196.1") <= 2
    assert knocks.count("3000::/64") <= 2


@pytest.mark.parametrize("source", [AddressSource.EXCHANGE, AddressSource.ITSELF])
def test_one_teller_fills_its_share_only(book: AddressBook, source: AddressSource) -> None:
    def of(number: int) -> Address:
        if source is AddressSource.EXCHANGE:
            return address(number)
        return address(666, host=f"ip6/3000:0:0:{number:x}::1")

    taken = sum(learn_from_peer(book, of(number)) for number in range(100))
    assert taken == MAX_FROM_PEER
    assert {entry.source for entry in book.entries} == {source}
    assert learn_from_peer(book, address(500), sent_by=peer(7))


@pytest.mark.soak
def test_the_whole_book_is_bounded_and_keeps_what_the_user_chose(
    book: AddressBook, clock: Clock
) -> None:
    book.learn(address(1), AddressSource.BOOTSTRAP)
    learn_from_peer(book, address(2), sent_by=peer(1))
    book.note_success(address(2))
    for number in range(3 * MAX_ENTRIES):
        learn_from_peer(book, address(1000 + number), sent_by=peer(5000 + number // MAX_FROM_PEER))
        clock.now_s += 1
    assert len(book.entries) == MAX_ENTRIES
    known = {entry.address for entry in book.entries}
    assert {address(1), address(2)} <= known
    assert book.learn(address(3), AddressSource.INVITE)
    assert len(book.entries) == MAX_ENTRIES


@pytest.mark.soak
def test_what_was_just_tried_is_not_forgotten_to_be_tried_again(book: AddressBook) -> None:
    for number in range(MAX_ENTRIES):
        assert learn_from_peer(
            book, address(1000 + number), sent_by=peer(5000 + number // MAX_FROM_PEER)
        )
    tried = dial(book)
    for one in tried:
        book.note_failure(one)
    for number in range(2 * MAX_ENTRIES):
        learn_from_peer(
            book, address(9000 + number), sent_by=peer(15_000 + number // MAX_FROM_PEER)
        )
    assert set(tried) <= {entry.address for entry in book.entries}


def test_hearsay_that_never_answers_is_forgotten_in_the_end(
    book: AddressBook, clock: Clock
) -> None:
    for number in range(MAX_FROM_PEER):
        learn_from_peer(book, address(number))
    for _ in range(FAILURES_FORGOTTEN):
        for number in range(MAX_FROM_PEER):
            book.note_failure(address(number))
    clock.now_s += HOUR_S
    assert dial(book) == []
    assert book.entries == ()
    assert learn_from_peer(book, address(99))


def test_neighbours_that_left_make_room_for_others(book: AddressBook) -> None:
    for number in range(MAX_FROM_MDNS):
        neighbour = address(number, host=f"ip4/192.168.0.{number + 1}")
        book.learn(neighbour, AddressSource.MDNS)
        book.note_success(neighbour)
    for entry in book.entries[1:]:
        for _ in range(FAILURES_FORGOTTEN):
            book.note_failure(entry.address)
    dial(book)
    assert [entry.address for entry in book.entries] == [address(0, host="ip4/192.168.0.1")]


def test_the_local_network_fills_its_share_only(book: AddressBook) -> None:
    taken = sum(
        book.learn(address(n, host="ip4/192.168.0.1"), AddressSource.MDNS) for n in range(300)
    )
    assert taken == MAX_FROM_MDNS


def test_the_local_network_makes_nobody_hammer_a_public_machine(
    book: AddressBook, clock: Clock
) -> None:
    for number in range(50):
        victim = address(number, host="ip4/192.31.196.1", port=1000 + number)
        book.learn(victim, AddressSource.MDNS)
    assert len(dial(book)) == 1
    clock.now_s += HOUR_S - 1
    assert dial(book) == []


PRIVATE = "ip4/10.0.0.1"
LINK_LOCAL = "ip6/fe80::1"
LOOPBACK = "ip4/127.0.0.1"


@pytest.mark.parametrize(
    ("host", "sender_reach", "is_taken"),
    [
        (PRIVATE, Reach.PUBLIC, False),
        (PRIVATE, None, False),
        (PRIVATE, Reach.NAME, False),
        (PRIVATE, Reach.PRIVATE, True),
        (PRIVATE, Reach.LOOPBACK, True),
        (LINK_LOCAL, Reach.PUBLIC, False),
        (LINK_LOCAL, Reach.PRIVATE, False),
        (LINK_LOCAL, Reach.LINK_LOCAL, True),
        (LOOPBACK, Reach.PUBLIC, False),
        (LOOPBACK, Reach.PRIVATE, False),
        (LOOPBACK, Reach.LOOPBACK, True),
        ("ip6/2002:7f00:1::1", Reach.PUBLIC, False),
        ("dns4/localhost", Reach.LOOPBACK, False),
        ("ip6/fec0::1", Reach.PUBLIC, False),
        ("ip6/64:ff9b:1::808:808", Reach.PUBLIC, False),
        ("ip6/2001:0:4136:e378:8000:63bf:3fff:fdd2", Reach.PUBLIC, False),
        ("ip6/2001:0:4136:e378:8000:63bf:3fff:fdd2", Reach.LOOPBACK, False),
        ("ip4/192.0.2.1", Reach.LOOPBACK, False),
        ("ip4/192.31.196.1", None, True),
    ],
)
def test_an_outsider_learns_nothing_of_this_network_s_inside(
    book: AddressBook, host: str, sender_reach: Reach | None, is_taken: bool
) -> None:
    assert (
        book.learn_from_peer(address(1, host=host), sent_by=LIAR, sender_reach=sender_reach)
        is is_taken
    )
    assert len(book.entries) == is_taken


def test_a_better_source_counts_and_hearsay_changes_nothing(book: AddressBook) -> None:
    learn_from_peer(book, address(1))
    book.note_failure(address(1))
    book.learn(address(1), AddressSource.BOOTSTRAP)
    learn_from_peer(book, address(1), sent_by=peer(3))
    (entry,) = book.entries
    assert (entry.source, entry.sent_by, entry.failures) == (AddressSource.BOOTSTRAP, None, 1)


def test_of_an_address_that_is_not_in_the_book_nothing_is_noted(book: AddressBook) -> None:
    book.note_success(address(1))
    book.note_failure(address(1))
    assert book.entries == ()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=120))
def test_whatever_happens_the_bounds_hold(steps: list[tuple[int, int]]) -> None:
    clock = Clock()
    book = AddressBook(clock=clock, chance=random.Random(0))
    knocked: dict[str, float] = {}
    does: list[Callable[[int], object]] = [
        lambda n: learn_from_peer(book, address(n), sent_by=peer(100 + n % 3)),
        lambda n: book.learn(address(n), AddressSource.MDNS),
        lambda n: book.note_failure(address(n)),
        lambda n: learn_from_peer(
            book, address(n, host=f"ip4/192.31.196.{n % 4}"), sent_by=peer(n)
        ),
        lambda n: clock.pass_by(60 * n),
    ]
    for step, number in steps:
        if step < len(does):
            does[step](number)
            continue
        for one in dial(book):
            assert clock.now_s - knocked.get(one.site, 0) >= HOUR_S
            knocked[one.site] = clock.now_s
    tellers = [entry.sent_by for entry in book.entries if entry.sent_by]
    assert all(tellers.count(sent_by) <= MAX_FROM_PEER for sent_by in tellers)


@pytest.fixture
def path(home: Home) -> Path:
    home.prepare()
    return book_path(home, "lab")


def reread(path: Path, clock: Clock) -> AddressBook:
    return read_book(path, clock=clock, chance=random.Random(2))


def test_the_book_is_kept(book: AddressBook, clock: Clock, path: Path) -> None:
    book.learn(address(1), AddressSource.BOOTSTRAP)
    book.note_success(address(1))
    learn_from_peer(book, address(2))
    dial(book)
    book.note_failure(address(2))
    write_book(path, book)
    assert reread(path, clock).entries == book.entries
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_book_of_long_names_is_kept(book: AddressBook, clock: Clock, path: Path) -> None:
    name = ".".join(["a" * 63] * 3 + ["b" * 57])
    for number in range(MAX_ENTRIES):
        book.learn(address(number, host=f"dns4/{name}{number:04}"), AddressSource.INVITE)
    write_book(path, book)
    assert len(reread(path, clock).entries) == MAX_ENTRIES


def test_without_a_file_the_book_is_empty(clock: Clock, path: Path) -> None:
    assert reread(path, clock).entries == ()


def damaged(entry: dict[str, object]) -> bytes:
    good = {
        "address": str(address(1)),
        "source": "mdns",
        "sent_by": None,
        "tried_s": 0,
        "success_s": 0,
        "failures": 0,
        "not_before_s": 0,
    }
    return json.dumps({"v": 1, "addresses": [good, {**good, **entry}]}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\x00garbage",
        b"[" * 100_000,
        b'{"v": 2, "addresses": []}',
        b'{"v": 1, "addresses": {}}',
        b" " * (1 << 21),
        damaged({"address": "/ip4/192.31.196.1/tcp/1"}),
        damaged({"source": "heaven"}),
        damaged({"sent_by": "me"}),
        damaged({"failures": -1}),
        damaged({"failures": "1"}),
        damaged({"tried_s": 1 << 60}),
        json.dumps({"v": 1, "addresses": [0] * (MAX_ENTRIES + 1)}).encode(),
    ],
    ids=range(13),
)
def test_a_damaged_file_is_moved_aside_and_said_once(
    clock: Clock, path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert reread(path, clock).entries == ()
        assert reread(path, clock).entries == ()
    assert len(caplog.records) == 1
    assert path.with_name(path.name + ".damaged").read_bytes() == data
    assert not path.exists()


def test_a_book_from_a_file_can_be_worked_with_however_odd_its_numbers(
    clock: Clock, path: Path
) -> None:
    path.parent.mkdir()
    path.write_bytes(damaged({"address": str(address(2)), "failures": 1 << 52}))
    book = reread(path, clock)
    book.note_failure(address(2))
    assert len(dial(book)) == 1


def spread(number: int) -> Address:
    """Return an address in a neighbourhood of its own."""
    return address(number, host=f"ip4/{11 + number}.1.2.3")


def test_of_the_dht_s_addresses_a_third_of_the_places_are_for(book: AddressBook) -> None:
    for number in range(20):
        book.learn(spread(number), AddressSource.DHT)
    first = dial(book)
    assert len(first) == 2
    there = [one.peer for one in first]
    for one in first:
        book.note_success(one)
    assert dial(book, *there, outbound=2) == []
    assert len(dial(book, there[0], outbound=1)) == 1


def test_of_the_dht_s_addresses_so_many_are_tried_in_an_hour(
    book: AddressBook, clock: Clock
) -> None:
    for number in range(60):
        book.learn(spread(number), AddressSource.DHT)
    tried: list[Address] = []
    for _ in range(60):
        for one in dial(book):
            tried.append(one)
            book.note_failure(one)
        clock.pass_by(30)
    assert len(tried) == DHT_DIALS
    clock.pass_by(HOUR_S)
    assert len(dial(book)) == 2


def test_of_the_dht_s_addresses_one_in_a_neighbourhood_is_tried(book: AddressBook) -> None:
    for number in range(8):
        book.learn(address(number, host=f"ip4/11.1.{number}.3"), AddressSource.DHT)
    (one,) = dial(book)
    book.note_failure(one)
    assert dial(book) == []


def test_a_flood_in_the_dht_takes_so_many_entries_and_nobody_else_s(book: AddressBook) -> None:
    assert learn_from_peer(book, address(1))
    taken = [book.learn(spread(number), AddressSource.DHT) for number in range(2, 200)]
    assert sum(taken) == MAX_FROM_DHT
    assert address(1) in [one.address for one in book.entries]
    assert book.learn(address(201), AddressSource.MDNS)


def test_what_the_dht_says_no_more_makes_room_unless_it_answers_or_was_just_tried(
    book: AddressBook, clock: Clock
) -> None:
    book.replace_from(AddressSource.DHT, [spread(number) for number in range(MAX_FROM_DHT)])
    answers, unanswered = dial(book)
    book.note_success(answers)
    book.note_failure(unanswered)
    book.replace_from(AddressSource.DHT, [spread(200)])
    assert {one.address for one in book.entries} == {answers, unanswered, spread(200)}
    clock.pass_by(HOUR_S)
    book.replace_from(AddressSource.DHT, [])
    assert [one.address for one in book.entries] == [answers]


def test_of_the_dht_s_addresses_the_likeliest_are_tried_first(book: AddressBook) -> None:
    for number in range(100, 104):
        learn_from_peer(book, address(number), sent_by=peer(number))
    book.replace_from(AddressSource.DHT, [spread(number) for number in range(20)])
    assert [one for one in dial(book) if one.peer in {peer(0), peer(1)}] == [spread(0), spread(1)]


def test_whom_a_peer_reports_is_no_longer_the_dht_s(book: AddressBook) -> None:
    for number in range(8):
        book.learn(spread(number), AddressSource.DHT)
    for number in range(8):
        assert learn_from_peer(book, spread(number), sent_by=spread(number).peer)
    assert len(dial(book)) == 8


def test_what_a_list_says_is_tried_after_an_invite_and_before_what_peers_report(
    book: AddressBook,
) -> None:
    learn_from_peer(book, address(1))
    book.learn(address(2), AddressSource.MDNS)
    book.replace_from(AddressSource.LIST, [address(3)])
    book.learn(address(4), AddressSource.INVITE)
    assert dial(book, peer(9), target=2, outbound=0) == [address(4), address(3)]


def test_a_list_has_one_knock_an_hour_at_one_machine(book: AddressBook, clock: Clock) -> None:
    book.replace_from(
        AddressSource.LIST, [address(n, host="ip4/192.31.196.1", port=4000 + n) for n in range(5)]
    )
    (first,) = dial(book)
    book.note_failure(first)
    clock.pass_by(HOUR_S - 1)
    book.replace_from(AddressSource.LIST, [address(6, host="ip4/192.31.196.1"), first])
    assert dial(book) == []
    clock.pass_by(1)
    assert len(dial(book)) == 1


def test_lists_take_so_many_entries_and_nobody_else_s(book: AddressBook) -> None:
    assert learn_from_peer(book, address(1))
    book.replace_from(AddressSource.LIST, map(address, range(2, 200)))
    found = [one.source for one in book.entries]
    assert found.count(AddressSource.LIST) == MAX_FROM_LISTS
    assert found.count(AddressSource.EXCHANGE) == 1


def test_a_new_list_takes_the_place_of_the_old_one_but_for_whom_it_led_to(
    book: AddressBook, clock: Clock
) -> None:
    book.replace_from(AddressSource.DHT, [spread(1)])
    book.replace_from(AddressSource.LIST, map(address, range(1, 10)))
    answered = dial(book, target=1)[0]
    book.note_success(answered)
    clock.pass_by(HOUR_S)
    book.replace_from(AddressSource.LIST, [address(20)])
    assert {one.address for one in book.entries} == {spread(1), answered, address(20)}


def test_whom_a_list_names_is_no_longer_the_dht_s(book: AddressBook) -> None:
    for number in range(8):
        book.learn(spread(number), AddressSource.DHT)
    book.replace_from(AddressSource.LIST, map(spread, range(8)))
    assert len(dial(book)) == 8


def test_what_a_list_said_is_read_back(book: AddressBook, home: Home, clock: Clock) -> None:
    home.prepare()
    book.replace_from(AddressSource.LIST, [address(1)])
    path = book_path(home, "lab")
    write_book(path, book)
    kept = read_book(path, clock=clock, chance=random.Random(1))
    assert kept.entries == book.entries
