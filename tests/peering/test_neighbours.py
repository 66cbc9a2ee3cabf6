"""Nodes find each other by multicast DNS over real sockets; on loopback they stay alone."""

import asyncio
import contextlib
import logging
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from node.home.addresses import Address, parse_address
from node.home.network_definition import Network
from node.peering import neighbours
from node.peering.multicast import MOST_ANNOUNCED, announced, machine_hosts, read, written
from node.peering.neighbours import Neighbours, local_name
from tests.node.peer_addresses import address
from tests.peering.networks import run, until
from tests.peering.test_membership import place, until_has

_GROUP, _LOOPBACK = "224.0.0.251", "127.0.0.1"


def _needs_multicast() -> None:
    """Skip the tests if this machine's loopback does not carry multicast."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hearing,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as saying,
    ):
        member = socket.inet_aton(_GROUP) + socket.inet_aton(_LOOPBACK)
        hearing.bind(("", 0))
        hearing.settimeout(2)
        saying.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s", member[4:]))
        try:
            hearing.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            saying.sendto(b"?", (_GROUP, hearing.getsockname()[1]))
            hearing.recv(1)
        except OSError as fault:
            pytest.skip(f"this machine has no multicast on loopback: {fault}")


@contextlib.asynccontextmanager
async def neighbour(
    network: Network, own: Address, found: Callable[[Address], None]
) -> AsyncIterator[None]:
    """Announce an address until the block ends; nothing needs to listen there."""
    one = Neighbours(network, hidden=(), listened=lambda: (str(own),), found=found)
    running = asyncio.create_task(one.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def on_loopback(number: int) -> Address:
    return address(number, host="ip4/127.0.0.1", port=4000 + number)


def network(**more: object) -> Network:
    return Network(name=f"lab-{secrets.token_hex(4)}", **more)  # type: ignore[arg-type]


def test_nodes_without_any_address_meet_and_exchange_records(tmp_path: Path) -> None:
    _needs_multicast()

    async def meet() -> None:
        lab = Network(name="lab", secret=secrets.token_bytes(32))
        async with (
            place(tmp_path / "first", lab, mdns=True) as first,
            place(tmp_path / "second", lab, mdns=True) as second,
        ):
            record = first.publish()
            await until_has(second, record)

    asyncio.run(meet())


def test_only_nodes_of_the_same_network_are_found() -> None:
    _needs_multicast()
    mine, found = network(), list[Address]()

    async def test() -> None:
        same_name = Network(name=mine.name, secret=bytes(32))
        async with (
            neighbour(network(), on_loopback(1), found.append),
            neighbour(same_name, on_loopback(2), found.append),
            neighbour(mine, on_loopback(3), found.append),
            neighbour(mine, on_loopback(4), found.append),
        ):
            await until(lambda: len(found) >= 2)

    run(test)
    assert set(found) == {on_loopback(3), on_loopback(4)}


def test_what_stands_for_a_network_does_not_say_its_name() -> None:
    open_one, closed = Network(name="lab"), Network(name="lab", secret=bytes(range(32)))
    assert len({local_name(one) for one in (open_one, closed, Network(name="other"))}) == 3
    assert "lab" not in local_name(open_one)


def test_without_multicast_one_line_says_so_and_the_node_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(neighbours, "_PROGRAM", "node.no_such_module")
    caplog.set_level(logging.INFO, logger="node.peering")

    async def test() -> None:
        async with neighbour(network(), on_loopback(1), lambda _address: None):
            await until(lambda: "not looking for peers on the local network" in caplog.text)
            await asyncio.sleep(1.0)  # it is tried again, and fails again

    run(test)
    said = [one for one in caplog.records if one.name == "node.peering"]
    assert len([one for one in said if one.levelno == logging.WARNING]) == 1


@pytest.mark.parametrize(
    "text",
    [
        str(on_loopback(1)),  # its own
        str(address(2, host="dns4/router.local")),
        str(address(2, host="ip6/2001:db8::1")),
        str(address(2)).replace("/ip6/3000:0:0:2::1/", "/ip4/0.0.0.0/"),
        "/ip4/192.168.0.2/tcp/4001",
        "",
    ],
)
def test_what_is_no_neighbour_s_address_is_not_kept(text: str) -> None:
    found: list[Address] = []
    one = Neighbours(
        network(), hidden=(), listened=lambda: (str(on_loopback(1)),), found=found.append
    )
    one._take(["found", text])
    assert found == []


def test_nobody_elsewhere_can_listen_on_this_machine_s_loopback() -> None:
    found: list[Address] = []
    own = address(1, host="ip4/192.168.0.1")
    one = Neighbours(network(), hidden=(), listened=lambda: (str(own),), found=found.append)
    one._take(["found", str(on_loopback(2))])
    one._take(["found", str(address(3, host="ip4/192.168.0.3"))])
    assert [known.host for known in found] == ["192.168.0.3"]


def test_a_text_record_holds_some_addresses() -> None:
    addresses = [str(address(number, host="ip4/192.168.0.1")) for number in range(MOST_ANNOUNCED)]
    assert read(written(addresses)) == addresses
    assert read(written(addresses * 2)) == addresses


@pytest.mark.parametrize("text", [b"", b"\0" * 300, b"\xff" + b"dnsaddr=", b"\x0adnsaddr=\xff\xfe"])
def test_a_text_record_of_anything_else_is_read_without_fault(text: bytes) -> None:
    assert all(one.isascii() for one in read(text))


def test_a_wildcard_is_announced_as_each_of_this_machine_s_addresses() -> None:
    tail = str(on_loopback(1)).removeprefix("/ip4/127.0.0.1")
    result = announced([f"/ip4/0.0.0.0{tail}", f"/ip6/::{tail}"], ["192.168.0.1", "10.0.0.1"])
    assert result == [f"/ip4/192.168.0.1{tail}", f"/ip4/10.0.0.1{tail}"]
    assert all(isinstance(parse_address(f"/ip4/{host}{tail}"), Address) for host in machine_hosts())
