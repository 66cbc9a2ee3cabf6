"""Invite lines round-trip, and damage is detected."""

import base64
import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from node.home.addresses import Address, parse_address, peer_id
from node.home.invites import MAX_ADDRESSES, MAX_LINE, PREFIX, read_invite, write_invite
from node.home.network_definition import Network
from protocol.encoding import Value, encode
from protocol.errors import UsageError
from tests.node.peer_addresses import address, key

keys = st.binary(min_size=32, max_size=32)
ips = st.ip_addresses().map(lambda ip: f"ip{ip.version}/{ip}")
names = st.from_regex(r"[a-z]{1,9}(\.[a-z]{1,9}){0,3}", fullmatch=True).map("dns/{}".format)
addresses = st.builds(
    lambda host, port, key: parse_address(f"/{host}/tcp/{port}/p2p/{peer_id(key)}"),
    ips | names,
    st.integers(1, 65_535),
    keys,
).filter(lambda found: isinstance(found, Address))
networks = st.builds(
    Network,
    name=st.from_regex(r"[a-z0-9-]{1,48}", fullmatch=True).filter("none".__ne__),
    bootstrap=st.lists(addresses, min_size=1, max_size=MAX_ADDRESSES).map(tuple),
    secret=st.none() | keys,
    authors=st.frozensets(keys, max_size=32),
    tasks=st.lists(st.from_regex(r"[a-z0-9-]{1,48}", fullmatch=True), max_size=16).map(tuple),
)
# 192.0.2.1, port 4001, in a network called lab.
GOLDEN = (
    "arnode1qsuwczdeojsxg43fooizhraeyaaaeaonb6q4iicl6qs3btv2td65sl342vorazfrpynb4vv6w2tijbto7ckvs"
    "e4fqotwc5lunbxxe44qurxgc3lfunwgcyvforqxg23tsdlrasko"
)
LAB = Network(name="lab", bootstrap=(address(1),), secret=key(99))


@given(networks)
def test_what_goes_in_comes_out(network: Network) -> None:
    line = write_invite(network)
    assert read_invite(line) == network
    assert len(line) <= MAX_LINE
    assert line.isascii()
    assert line.isalnum()


@given(networks, st.data())
def test_a_wrong_character_is_noticed(network: Network, data: st.DataObject) -> None:
    line = write_invite(network)
    place = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789-é"))
    assume(other != line[place])
    with pytest.raises(UsageError, match="not a complete invite"):
        read_invite(line[:place] + other + line[place + 1 :])


@given(networks, st.data())
def test_a_line_that_is_cut_short_is_noticed(network: Network, data: st.DataObject) -> None:
    line = write_invite(network)
    with pytest.raises(UsageError, match="not a complete invite"):
        read_invite(line[: data.draw(st.integers(0, len(line) - 1))])


@given(st.text(max_size=300) | st.text("abc237 ", max_size=60).map(PREFIX.__add__))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a complete invite"):
        read_invite(text)


def test_mail_may_wrap_it_and_phones_may_capitalise_it() -> None:
    line = write_invite(LAB)
    assert read_invite(f"  {line[:40]}\r\n {line[40:].upper()}\n") == LAB


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "does not begin with `arnode1`"),
        ("https://example.org/join", "does not begin with `arnode1`"),
        ("arnode2abc", "has version 2"),
        ("arnode1ab!c", "its character 10 is '!'"),
        ("arnode1" + "a" * MAX_LINE, "characters, more than"),
        (write_invite(LAB)[:-3], "checksum"),
        (write_invite(LAB) + "a", "checksum"),
    ],
)
def test_what_is_wrong_is_said(line: str, reason: str) -> None:
    with pytest.raises(UsageError, match="not a complete invite") as caught:
        read_invite(line)
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "none"}, "name"),
        ({"name": "../lab"}, "name"),
        ({"addresses": []}, "addresses"),
        ({"addresses": [[b"\xc0\0\2\1", 4001, key(1)]] * 9}, "addresses"),
        ({"addresses": [[b"\xc0\0\2", 4001, key(1)]]}, "not an address"),
        ({"addresses": [[b"\xc0\0\2\1", 0, key(1)]]}, "not a port"),
        ({"addresses": [[b"\xc0\0\2\1", True, key(1)]]}, "not a port"),
        ({"addresses": [[b"\xc0\0\2\1", 4001, b"key"]]}, "a key of 3 bytes"),
        ({"addresses": [["dns4/exa mple", 4001, key(1)]]}, "not a DNS name"),
        ({"addresses": [["dns4/a/tcp/1/p2p/x", 4001, key(1)]]}, "not of the form"),
        ({"secret": b"short"}, "secret"),
        ({"authors": [b"short"]}, "authors"),
        ({"tasks": ["A task"]}, "tasks"),
        ({"tasks": None}, "tasks"),
    ],
)
def test_a_whole_line_with_faulty_content_is_refused(
    changes: dict[str, Value], reason: str
) -> None:
    plain: dict[str, Value] = {
        "name": "lab",
        "addresses": [[b"\xc0\0\2\1", 4001, key(1)]],
        "authors": [],
        "tasks": [],
    }
    assert read_invite(forged(plain)).name == "lab"
    with pytest.raises(UsageError) as caught:
        read_invite(forged(plain | changes))
    assert reason in caught.value.message


def forged(value: dict[str, Value]) -> str:
    payload = encode(value)
    checksum = hashlib.sha256(b"arnode invite 1" + payload).digest()[:4]
    return PREFIX + base64.b32encode(payload + checksum).decode().rstrip("=").lower()


def test_the_first_addresses_find_room() -> None:
    many = tuple(address(number) for number in range(12))
    line = write_invite(Network(name="lab", bootstrap=many))
    assert read_invite(line).bootstrap == many[:MAX_ADDRESSES]


@pytest.mark.parametrize(
    "network",
    [
        Network(name="lab"),
        Network(name="lab", bootstrap=(address(1),), authors=frozenset(map(key, range(33)))),
        Network(name="lab", bootstrap=(address(1),), tasks=("tiny",) * 17),
    ],
)
def test_what_makes_no_useful_line_is_refused(network: Network) -> None:
    with pytest.raises(UsageError):
        write_invite(network)


def test_the_form_of_the_line_is_for_ever() -> None:
    line = write_invite(Network(name="lab", bootstrap=(address(1, host="ip4/192.0.2.1"),)))
    assert line == GOLDEN


def test_the_example_of_the_protocol_is_right() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "protocol.md").read_text("utf-8")
    (example,) = re.findall(r"^    (arnode1\w+\n    \w+)$", page, re.MULTILINE)
    assert read_invite(example) == read_invite(GOLDEN)
