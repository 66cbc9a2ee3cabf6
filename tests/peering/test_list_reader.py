"""A published list is read up to its longest length, in time, and from no other place."""

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from node.home.signed_list import MAX_BYTES
from node.peering.address_list import sign_list
from node.peering.list_reader import ListReader
from protocol.errors import Rejected
from protocol.keys import SigningKey
from tests.node.peer_addresses import address, key
from tests.peering.published import HOST, endless, names, page, web

LIST = sign_list(
    "lab", map(address, range(64)), key=SigningKey.from_seed(key(7)), written_s=1_795_672_800
)
TEXT = LIST.text()
NAME = "example.org"
_IN_TIME_S = 60  # enough for a busy machine, and less than the default time limits


def fetched(folder: Path, answer: bytes | None, *, https_s: float = 20.0) -> bytes | Rejected:
    """Return the result of reading from a server with this answer."""

    async def test() -> bytes | Rejected:
        async with web(folder, {"/peers.txt?of=lab": answer}) as there:
            reader = ListReader(ssl=there.client, https_s=https_s)
            async with asyncio.timeout(_IN_TIME_S):
                found = await reader.read(there.url("/peers.txt?of=lab"))
            assert there.asked == {"/peers.txt?of=lab": 1}
            return found

    return asyncio.run(test())


def test_what_a_server_has_is_read(tmp_path: Path) -> None:
    assert fetched(tmp_path, page(TEXT)) == TEXT


def test_a_machines_proxy_is_reported_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{HOST}:9")
    monkeypatch.setenv("https_proxy", f"http://{HOST}:9")
    assert fetched(tmp_path, page(TEXT)) == TEXT


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    to = page(b"", status="302 Found", head="Location: /elsewhere\r\n")
    assert fetched(tmp_path, to) == Rejected("it answered with status 302, not 200")


def test_an_error_s_page_is_no_list(tmp_path: Path) -> None:
    missing = page(TEXT, status="404 Not Found")
    assert fetched(tmp_path, missing) == Rejected("it answered with status 404, not 200")


@pytest.mark.parametrize("answer", [page(b"x" * (MAX_BYTES + 1)), endless()])
def test_what_is_longer_than_a_list_is_not_read_to_its_end(tmp_path: Path, answer: bytes) -> None:
    assert fetched(tmp_path, answer) == Rejected("it has more than 65536 bytes")


def test_the_longest_is_read(tmp_path: Path) -> None:
    assert fetched(tmp_path, page(b"x" * MAX_BYTES)) == b"x" * MAX_BYTES


def test_what_was_compressed_stays_so(tmp_path: Path) -> None:
    assert fetched(tmp_path, page(b"\x1f\x8b", head="Content-Encoding: gzip\r\n")) == b"\x1f\x8b"


def test_who_is_silent_is_not_waited_for(tmp_path: Path) -> None:
    assert fetched(tmp_path, None, https_s=0.5) == Rejected("it did not answer within 0.5 s")


def test_what_is_no_answer_is_reported_in_a_line(tmp_path: Path) -> None:
    found = fetched(tmp_path, b"x" * 2_000 + b"\r\n\r\n")
    assert isinstance(found, Rejected)
    assert found.reason.startswith("it was not reached: ")
    assert "\n" not in found.reason
    assert len(found.reason) < 300


def test_who_cannot_prove_its_name_is_not_asked(tmp_path: Path) -> None:
    async def test() -> bytes | Rejected:
        async with web(tmp_path, {"/": page(TEXT)}) as there:
            found = await ListReader().read(there.url("/"))
            assert there.asked == {}
            return found

    found = asyncio.run(test())
    assert isinstance(found, Rejected)
    assert "certificate" in found.reason.lower()


def test_where_nobody_listens_is_said() -> None:
    with socket.socket() as end:
        end.bind((HOST, 0))
        found = asyncio.run(ListReader().read(f"https://{HOST}:{end.getsockname()[1]}/"))
    assert isinstance(found, Rejected)
    assert "was not reached" in found.reason


def looked_up(
    texts: Sequence[str] | None, *, name: str = NAME, dns_s: float = 10.0
) -> bytes | Rejected:
    """Return the result of looking up a name with these records."""

    async def test() -> bytes | Rejected:
        async with names(lambda asked: texts if asked == NAME else []) as resolver:
            reader = ListReader(resolver=resolver, dns_s=dns_s)
            async with asyncio.timeout(_IN_TIME_S):
                return await reader.read(f"/dnsaddr/{name}")

    return asyncio.run(test())


@pytest.mark.parametrize("count", [1, 64])  # by UDP, and by TCP
def test_records_of_a_name_are_read(count: int) -> None:
    signer = SigningKey.from_seed(key(7))
    listed = sign_list("lab", LIST.addresses[:count], key=signer, written_s=LIST.written_s)
    assert looked_up([*listed.records(), "v=spf1 -all"]) == listed.text()


def test_a_record_of_several_strings_is_read() -> None:
    long_name = ".".join(["a" * 60] * 4)
    signer = SigningKey.from_seed(key(7))
    places = [address(1, host=f"dns4/{long_name}")]
    one = sign_list("lab", places, key=signer, written_s=LIST.written_s)
    assert max(map(len, one.records())) > 255
    assert looked_up(one.records()) == one.text()


def test_records_without_a_list_are_none() -> None:
    found = looked_up([f"dnsaddr={address(1)}"])
    assert found == Rejected("0 of its TXT records begin with arnode-peers=, instead of one")


@pytest.mark.parametrize("name", ["example.net", ".".join(["a" * 60] * 4)])
def test_a_name_that_is_not_there_is_said(name: str) -> None:
    found = looked_up(LIST.records(), name=name)
    assert isinstance(found, Rejected)
    assert found.reason.startswith("its name cannot be resolved: ")


def test_servers_for_names_that_are_silent_are_not_waited_for() -> None:
    assert looked_up(None, dns_s=0.5) == Rejected("no DNS server answered within 0.5 s")
