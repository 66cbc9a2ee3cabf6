"""A signed list of addresses has one text form, and nothing else is accepted."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.signed_list import iso_time
from node.peering.address_list import (
    MAX_ADDRESSES,
    AddressList,
    read_list,
    sign_list,
    text_of_records,
)
from protocol.errors import Rejected
from protocol.keys import SigningKey
from tests.node.peer_addresses import address, key, peer, through

SIGNER = SigningKey.from_seed(key(7))
WRITTEN_S = 1_795_672_800  # 2026-11-26T06:00:00Z
DAY_S = 86_400
PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"
HOSTS = ("", "ip4/192.0.2.1", "dns4/example.org", "dns/" + ".".join(["a" * 60] * 4))
lists = st.builds(
    lambda places, written_s: sign_list("lab", places, key=SIGNER, written_s=written_s),
    places=st.lists(
        st.builds(
            address,
            st.integers(0, 99),
            host=st.sampled_from(HOSTS),
            port=st.integers(1, 65_535),
        ),
        unique=True,
        min_size=1,
        max_size=MAX_ADDRESSES,
    ),
    written_s=st.integers(0, WRITTEN_S),
)
LIST = sign_list("lab", [address(2), address(1)], key=SIGNER, written_s=WRITTEN_S)


def read(
    data: bytes, *, network: str = "lab", by: bytes = SIGNER.public, now_s: float = WRITTEN_S
) -> AddressList | Rejected:
    return read_list(data, network=network, key=by, now_s=now_s)


def signed(text: str) -> bytes:
    """Return a text with a valid signature, even if the text is invalid."""
    signature = SIGNER.sign(b"arnode/peers-list/1\0" + text.encode())
    return text.encode() + f"signature {signature.hex()}\n".encode()


def in_strings(record: str) -> bytes:
    """Return a TXT record as its strings of at most 255 bytes, joined again."""
    whole = record.encode()
    return b"".join(whole[at : at + 255] for at in range(0, len(whole), 255))


@given(lists)
def test_a_list_is_read_back_as_it_is_written(written: AddressList) -> None:
    assert read(written.text()) == written


@given(lists, st.randoms(use_true_random=False))
def test_a_list_is_made_again_of_its_records_in_any_order(
    written: AddressList, chance: random.Random
) -> None:
    records = [*map(in_strings, written.records()), b"v=spf1 -all"]
    chance.shuffle(records)
    assert text_of_records(records) == written.text()


@given(lists, st.data())
def test_a_byte_that_is_another_is_refused(written: AddressList, data: st.DataObject) -> None:
    text = bytearray(written.text())
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] ^= data.draw(st.integers(1, 255))
    assert isinstance(read(bytes(text)), Rejected)


@given(st.binary(max_size=500))
def test_what_is_no_list_is_refused(data: bytes) -> None:
    assert isinstance(read(data), Rejected)


def test_a_list_is_text_for_people() -> None:
    lines = LIST.text().decode().splitlines()
    assert lines[:3] == ["arnode-peers 1", "network lab", "written 2026-11-26T06:00:00Z"]
    assert lines[3:5] == sorted([str(address(1)), str(address(2))])
    assert lines[5] == f"signature {LIST.signed.signature.hex()}"
    assert len(lines) == 6


HEAD = "arnode-peers 1\nnetwork lab\nwritten 2026-11-26T06:00:00Z\n"
FIRST, SECOND = (f"{one}\n" for one in sorted([str(address(1)), str(address(2))]))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is incomplete"),
        ("arnode-peers 2\nnetwork lab\nwritten 2026-11-26T06:00:00Z\n" + FIRST, "not with"),
        (HEAD.replace("lab", "main") + FIRST, "'network main', not 'network lab'"),
        (HEAD.replace("06:00:00Z", "06:00:00") + FIRST, "a time"),
        (HEAD.replace("06:00:00Z", "6:00:00Z") + FIRST, "a time"),
        (HEAD.replace("11-26", "11-31") + FIRST, "a time"),
        (HEAD.replace("written", "Written") + FIRST, "'written' and a time"),
        (HEAD.replace("written ", "") + FIRST, "'written' and a time"),
        (HEAD, "it has 0 addresses"),
        (HEAD + "".join(sorted(f"{address(n)}\n" for n in range(65))), "it has 65 addresses"),
        (HEAD + SECOND + FIRST, "not sorted"),
        (HEAD + FIRST + FIRST, "twice"),
        (HEAD + FIRST + "\n" + SECOND, "not sorted"),
        (HEAD + f"/ip4/192.0.2.1/tcp/4001/p2p/{peer(1)} \n", "address 1"),
        (HEAD + FIRST + "/ip9/x\n", "address 2: not of the form"),
        (
            HEAD + f"/ip6/2001:DB8::1/tcp/4001/p2p/{peer(1)}\n",
            "address 1 must be written /ip6/2001:db8",
        ),
        (HEAD + f"{through(address(1), 2)}\n", "goes through the relay"),
        ((HEAD + FIRST).replace("\n", "\r\n"), "not with"),
        (HEAD + FIRST + "ä\n", "not ASCII"),
        (HEAD + FIRST * 1_000, "more than 65536 bytes"),
    ],
)
def test_each_deviation_is_refused_although_it_is_signed(text: str, reason: str) -> None:
    refused = read(signed(text))
    assert isinstance(refused, Rejected)
    assert reason in refused.reason


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (lambda text: text[:-1], "each with a newline"),
        (lambda text: text + b"\n", "not a signature"),
        (lambda text: text + text, "not sorted"),
        (lambda text: text.replace(b"signature ", b"signed "), "not a signature"),
        (lambda text: text[:-3] + b"\n", "not a signature"),
        (lambda text: text[:-129] + text[-129:].upper(), "not a signature"),
        (lambda text: text.replace(b"06:00:00", b"06:00:01"), "not that of `lists_key`"),
        (lambda text: text.replace(FIRST.encode(), b""), "not that of `lists_key`"),
    ],
)
def test_a_list_that_was_changed_is_refused(changed: Callable[[bytes], bytes], reason: str) -> None:
    refused = read(changed(LIST.text()))
    assert isinstance(refused, Rejected)
    assert reason in refused.reason


def test_what_another_key_signed_or_for_another_purpose_is_refused() -> None:
    assert isinstance(read(LIST.text(), by=SigningKey.from_seed(key(8)).public), Rejected)
    body = LIST.text().partition(b"signature")[0]
    bare = body + f"signature {SIGNER.sign(body).hex()}\n".encode()
    assert isinstance(read(bare), Rejected)


def test_a_list_of_another_network_is_refused() -> None:
    refused = read(LIST.text(), network="main")
    assert isinstance(refused, Rejected)
    assert "'network lab', not 'network main'" in refused.reason


def test_what_was_written_more_than_a_day_ahead_is_refused() -> None:
    assert read(LIST.text(), now_s=WRITTEN_S - DAY_S) == LIST
    refused = read(LIST.text(), now_s=WRITTEN_S - DAY_S - 1)
    assert isinstance(refused, Rejected)
    assert "2026-11-26T06:00:00Z, more than a day in the future" in refused.reason


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([], "0 of its TXT records"),
        (LIST.records()[:-1], "0 of its TXT records"),
        ([*LIST.records(), LIST.records()[-1]], "2 of its TXT records"),
        ([*LIST.records()[:-1], LIST.records()[-1] + " x"], "not of the form"),
        ([*LIST.records()[:-1], LIST.records()[-1].rpartition(" ")[0]], "not of the form"),
    ],
)
def test_records_that_are_no_list_are_refused(records: list[str], reason: str) -> None:
    refused = text_of_records(record.encode() for record in records)
    assert isinstance(refused, Rejected)
    assert reason in refused.reason


@pytest.mark.parametrize(
    "changed",
    [
        LIST.records()[1:],
        [LIST.records()[0], *LIST.records()],
        [f"dnsaddr={address(3)}", *LIST.records()],
        [*LIST.records()[:-1], LIST.records()[-1].replace("=1 ", "=2 ")],
        [*LIST.records()[:-1], LIST.records()[-1].replace(" lab ", " main ")],
        [f"dnsaddr={address(3)}\nx", *LIST.records()],
    ],
)
def test_records_of_another_list_are_refused_as_its_text_would_be(changed: list[str]) -> None:
    text = text_of_records(record.encode() for record in changed)
    assert isinstance(text, bytes)
    assert isinstance(read(text), Rejected)


def test_a_record_that_names_the_list_fits_into_one_string() -> None:
    longest = sign_list("a" * 48, [address(1)], key=SIGNER, written_s=WRITTEN_S)
    assert len(longest.records()[-1]) <= 255


def test_the_example_of_the_protocol_is_a_list() -> None:
    found = re.search(r"    (arnode-peers 1\n(?:    .*\n)+)", PROTOCOL.read_text())
    assert found is not None
    text = "".join(f"{line.removeprefix('    ')}\n" for line in found[1].splitlines())
    signer = SigningKey.from_seed(bytes(32)).public
    assert signer.hex() in PROTOCOL.read_text()
    parsed = read(text.encode(), by=signer)
    assert isinstance(parsed, AddressList)
    assert iso_time(parsed.written_s) == "2026-11-26T06:00:00Z"
