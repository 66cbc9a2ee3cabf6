"""The port of a node, with real restarts and real sockets."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.home.addresses import Address, parse_address
from node.home.home import Home
from node.home.network_definition import Network
from node.peering import ports
from node.peering.ports import Ports
from node.store.store import Store
from tests.free_ports import free_port
from tests.peering.networks import own_program, until
from tests.peering.test_membership import NET, Place, place

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
PEER = "12D3KooWLKzRAW2b2kySAAh96rhvXcwvMdAiWfQKdY2SokL4YEAA"


def port_of(found: Place) -> int:
    (address,) = (parse_address(text) for text in found.membership.addresses)
    assert isinstance(address, Address)
    return address.port


def test_a_node_has_its_port_again_after_a_restart_and_another_if_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "_TRIES", 2)

    async def restart() -> int:
        async with place(tmp_path, Network(name=NET)) as found:
            return port_of(found)

    first = asyncio.run(restart())
    with socket.create_server(("127.0.0.1", first)):
        second = asyncio.run(restart())
        assert second != first
    assert asyncio.run(restart()) == second


def test_a_network_process_that_dies_is_followed_by_one_on_the_same_port(tmp_path: Path) -> None:
    async def test() -> None:
        async with asyncio.timeout(60), place(tmp_path, Network(name=NET)) as found:
            before, pid = port_of(found), own_program()
            os.kill(pid, signal.SIGKILL)
            await until(lambda: not found.membership.addresses)
            await found.membership.process.wait_up()
            assert port_of(found) == before

    asyncio.run(test())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(Home(tmp_path)) as store:
        yield store


def kept_in(store: Store, *listen: str) -> Ports:
    return Ports(listen, recall=store.meta, keep=store.set_meta)


def listening(store: Store, *listen: str) -> tuple[str, ...]:
    return asyncio.run(kept_in(store, *listen).to_listen())


def test_the_usual_port_is_asked_for_until_another_was_had(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        free, taken = free_port(), other.getsockname()[1]
        monkeypatch.setattr(ports, "USUAL_PORT", free)
        monkeypatch.setattr(ports, "_TRIES", 1)
        assert listening(store) == (f"/ip4/0.0.0.0/tcp/{free}",)
        kept_in(store).got([f"/ip4/0.0.0.0/tcp/{taken}/p2p/{PEER}"])
        assert listening(store) == (f"/ip4/0.0.0.0/tcp/{free}",)  # its own port is in use by now
        monkeypatch.setattr(ports, "USUAL_PORT", taken)
        assert listening(store) == ("/ip4/0.0.0.0/tcp/0",)


def test_a_port_that_the_user_named_is_neither_changed_nor_remembered(store: Store) -> None:
    named = "/ip4/127.0.0.1/tcp/4321"
    assert listening(store, named, LOOPBACK) == (named, LOOPBACK)
    kept_in(store, named).got([f"{named}/p2p/{PEER}"])
    assert listening(store, LOOPBACK) == (LOOPBACK,)


def test_each_place_has_a_port_of_its_own(store: Store) -> None:
    places = (LOOPBACK, "/ip4/127.0.0.2/tcp/0", "/ip6/::1/tcp/0")
    got = [f"{one.removesuffix('0')}{23_456 + n}" for n, one in enumerate(places)]
    kept_in(store, *places).got([f"{one}/p2p/{PEER}" for one in got])
    assert listening(store, *places) == tuple(got)


def test_a_port_that_a_dying_process_still_holds_is_waited_for(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "_TRIED_EVERY_S", 0.0)

    async def test() -> None:
        with socket.create_server(("127.0.0.1", port := free_port())) as dying:
            one = kept_in(store, LOOPBACK)
            one.got([f"/ip4/127.0.0.1/tcp/{port}/p2p/{PEER}"])
            waiting = asyncio.create_task(one.to_listen())
            await asyncio.sleep(0)
            dying.close()
            assert await waiting == (f"/ip4/127.0.0.1/tcp/{port}",)

    asyncio.run(test())
