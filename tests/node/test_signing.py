"""`network sign-list`: its content, its signer, and invalid input."""

import random
import shlex
import time
from dataclasses import replace
from pathlib import Path

import pytest

from node.home.addresses import Address
from node.home.home import Home
from node.home.keyfile import load_keys
from node.home.network_definition import Network
from node.home.networks import create_network, replace_network
from node.peering.address_list import MAX_ADDRESSES, AddressList, read_list, text_of_records
from node.peering.book import AddressSource
from node.peering.book_file import book_path, read_book, write_book
from tests.node.peer_addresses import address, through
from tests.node.test_network_commands import Arnode

WEB = "https://example.org/peers.txt"
NAMES = ("/dnsaddr/example.org", "/dnsaddr/peers.example.net")
HOUR_S = 3_600


@pytest.fixture(autouse=True)
def at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    return home


@pytest.fixture
def arnode(capsys: pytest.CaptureFixture[str]) -> Arnode:
    return Arnode(capsys)


@pytest.fixture
def lab(at_home: Home) -> Network:
    """A network that is defined here, whose lists this home signs."""
    network = Network(
        name="lab",
        bootstrap=(address(1),),
        lists=(WEB, *NAMES),
        lists_key=load_keys(at_home).author.public,
    )
    create_network(at_home, network)
    return network


def listed(text: str, home: Home) -> tuple[Address, ...]:
    """Return the addresses of a list that a reader takes."""
    author = load_keys(home).author.public
    found = read_list(text.encode(), network="lab", key=author, now_s=time.time())
    assert isinstance(found, AddressList), found
    assert abs(found.written_s - time.time()) < HOUR_S
    return found.addresses


def in_order(*addresses: Address) -> tuple[Address, ...]:
    return tuple(sorted(addresses, key=str))


@pytest.mark.usefixtures("lab")
def test_the_addresses_given_are_signed_and_no_others(arnode: Arnode, at_home: Home) -> None:
    text = arnode("network", "sign-list", "lab", *map(str, [address(3), address(2), address(3)]))
    assert listed(text, at_home) == in_order(address(2), address(3))
    assert arnode.err == ""


def answered(ago_s: float, *addresses: Address, home: Home) -> None:
    """Let somebody have answered at each of these, so long ago."""
    path = book_path(home, "lab")
    book = read_book(path, clock=lambda: time.time() - ago_s, chance=random.Random(1))
    for one in addresses:
        book.learn(one, AddressSource.BOOTSTRAP)
        book.note_success(one)
    write_book(path, book)


@pytest.mark.usefixtures("lab")
def test_without_any_the_definition_s_are_and_public_ones_that_answered_of_late(
    arnode: Arnode, at_home: Home
) -> None:
    of_late, of_old = address(2, host="ip4/11.1.2.3"), address(3, host="ip4/11.2.2.3")
    private, relayed = address(4, host="ip4/10.0.0.1"), through(of_late, 5)
    answered(23 * HOUR_S, of_late, private, relayed, home=at_home)
    answered(25 * HOUR_S, of_old, home=at_home)
    text = arnode("network", "sign-list", "lab")
    assert listed(text, at_home) == in_order(address(1), of_late)


@pytest.mark.usefixtures("lab")
def test_of_more_than_fit_the_definition_s_and_the_latest_are_taken(
    arnode: Arnode, at_home: Home
) -> None:
    earlier = [address(n, host=f"ip4/11.1.2.{n}") for n in range(10, 74)]
    latest = address(99, host="ip4/11.1.2.99")
    answered(2 * HOUR_S, *earlier, home=at_home)
    answered(HOUR_S, latest, home=at_home)
    found = listed(arnode("network", "sign-list", "lab"), at_home)
    assert len(found) == MAX_ADDRESSES
    assert {address(1), latest} < set(found)


@pytest.mark.usefixtures("lab")
def test_records_are_lines_of_a_zone_for_each_name_of_the_definition(
    arnode: Arnode, at_home: Home
) -> None:
    long_name = ".".join(["a" * 60] * 4)
    many = [address(2, host=f"dns4/{long_name}"), address(3)]
    lines = arnode("network", "sign-list", "lab", "--dns", *map(str, many)).splitlines()
    records: dict[str, list[bytes]] = {}
    for line in lines:
        owner, ttl, kind, of, *strings = shlex.split(line)
        assert (ttl, kind, of) == ("3600", "IN", "TXT")
        assert all(len(one) <= 255 for one in strings)
        records.setdefault(owner, []).append("".join(strings).encode())
    assert list(records) == ["_dnsaddr.example.org.", "_dnsaddr.peers.example.net."]
    for of_one in records.values():
        text = text_of_records(of_one)
        assert isinstance(text, bytes)
        assert listed(text.decode(), at_home) == in_order(*many)


def test_what_no_definition_asks_for_is_signed_and_said_to_be_read_by_nobody(
    arnode: Arnode, at_home: Home, lab: Network
) -> None:
    replace_network(at_home, replace(lab, lists=(), lists_key=None))
    text = arnode("network", "sign-list", "lab")
    assert listed(text, at_home) == (address(1),)
    assert f'lists_key = "{load_keys(at_home).author.public.hex()}"' in arnode.err
    assert len(arnode.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "changes", "reason", "hint"),
    [
        (("labb",), {}, "no network 'labb'", "did you mean `lab`"),
        (
            ("lab", "/ip4/192.0.2.1/tcp/1"),
            {},
            "ADDRESS '/ip4/192.0.2.1/tcp/1': it has no /p2p/ID",
            "like",
        ),
        (("lab", *map(str, map(address, range(65)))), {}, "65 addresses are given", "fewer"),
        (("lab",), {"bootstrap": ()}, "no address to list", "name one"),
        (("lab", "--dns"), {"lists": (WEB,)}, "names no list in the DNS", "leave out --dns"),
        (("lab",), {"lists_key": None, "lists": (), "bootstrap": ()}, "no address", "name one"),
    ],
)
def test_what_cannot_be_signed_is_one_error(
    arnode: Arnode,
    at_home: Home,
    lab: Network,
    words: tuple[str, ...],
    changes: dict[str, object],
    reason: str,
    hint: str,
) -> None:
    replace_network(at_home, replace(lab, **changes))  # type: ignore[arg-type]
    arnode("network", "sign-list", *words, code=2)
    output, hint = arnode.err.splitlines()
    assert reason in output
    assert hint in hint


def test_a_list_by_a_key_that_no_reader_takes_is_refused(
    arnode: Arnode, at_home: Home, lab: Network
) -> None:
    of_another = replace(lab, lists_key=load_keys(Home(at_home.root / "other")).author.public)
    replace_network(at_home, of_another)
    arnode("network", "sign-list", "lab", code=2)
    assert "not signed by this home's key" in arnode.err
    assert load_keys(at_home).author.public.hex() in arnode.err


def test_a_home_without_a_key_signs_nothing(
    arnode: Arnode, at_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(tmp_path / "new"))
    arnode("network", "sign-list", "main", str(address(1)), code=6)
    assert "no key yet" in arnode.err
    assert not at_home.root.exists()


def test_show_says_where_lists_are(arnode: Arnode, lab: Network) -> None:
    shown = arnode("network", "show", "lab")
    assert all(place in shown for place in lab.lists)
    assert lab.lists_key is not None
    assert lab.lists_key.hex() in arnode("network", "show", "lab", "--json")
