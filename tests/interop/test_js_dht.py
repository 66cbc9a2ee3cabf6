"""Nodes that know nobody find each other by a DHT of js-libp2p's servers."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from node.home.clock import clock_ms
from node.home.home import Home
from node.network.dht_contract import MOST_FOUND
from node.network.dht_lookup import MOST_QUESTIONS
from node.store.store import Store
from protocol.records import MAIN_NET, sign_record
from protocol.remarks import InsightBody
from tests.interop.javascript import program
from tests.network.arena import run
from tests.node.peer_addresses import peer
from tests.peering.places import Place, place
from tests.protocol.examples import AUTHOR, MANIFEST, START_MS

PATIENCE_S = 90.0
HOSTS = [f"127.1.0.{number}" for number in range(1, 7)]


async def until_seen(holds: Callable[[], bool]) -> None:
    """Wait for what a node is asked for, which takes it a while."""
    while not await trio.to_thread.run_sync(holds):  # noqa: ASYNC110 (it notifies nobody)
        await trio.sleep(0.2)


async def until_connected(node: Place) -> dict[str, Any]:
    """Wait for a node's first rendezvous and return its result."""
    await until_seen(lambda: node.look()["met"] is not None)
    return dict(node.look()["met"])


@pytest.mark.soak
def test_two_that_know_nobody_find_each_other_and_share_what_they_have(
    js_folder: Path, tmp_path: Path
) -> None:
    home = Home(tmp_path / "first")
    body = InsightBody(task=MANIFEST.id, hardware_class=None, message="Größe", evidence=())
    record = sign_record(AUTHOR, net=MAIN_NET, seq=0, prev=None, ts_ms=START_MS, body=body)
    with Store.open(home) as store:
        store.intake.ingest([record.wire], now_ms=clock_ms())

    async def test() -> None:
        async with program(js_folder, "dht.mjs") as servers:
            await servers.send(hosts=HOSTS)
            entries = (await servers.fact("serving"))["addresses"]
            for dead in (0, 3):  # one of those that they begin with
                await servers.send(end=dead)
                await servers.fact("ended")
            with place(home.root, dht=entries[:3]) as first:
                met = await until_connected(first)
                assert met["fault"] is None
                assert (met["found"], met["answered"], met["announced"]) == (0, 4, 4)
                with place(tmp_path / "second", dht=entries[:3]) as second:
                    met = await until_connected(second)
                    assert (met["found"], met["answered"], met["announced"]) == (1, 4, 4)
                    await until_seen(lambda: second.members() > 0)
                    assert second.look()["peers"] == first.look()["peers"] == 1
            await servers.send()

    run(test, PATIENCE_S)


@pytest.mark.soak
def test_servers_that_lie_cost_time_and_lead_to_nobody(js_folder: Path, tmp_path: Path) -> None:
    async def test() -> None:
        async with program(js_folder, "dht.mjs") as servers:
            await servers.send(hosts=HOSTS, lying=[1, 2, 4])
            entries = (await servers.fact("serving"))["addresses"]
            with place(tmp_path / "first", dht=entries[:2]) as first:
                met = await until_connected(first)
                assert (met["found"], met["announced"]) == (MOST_FOUND, 3)  # all invented
                assert met["asked"] <= 2 * MOST_QUESTIONS
                with place(tmp_path / "second", dht=entries[:2]) as second:
                    await until_seen(lambda: second.look()["peers"] == 1)
            await servers.send()

    run(test, PATIENCE_S)


@pytest.mark.soak
def test_a_dht_that_nobody_answers_is_said_and_ends_nothing(tmp_path: Path) -> None:
    async def test(node: Place) -> None:
        met = await until_connected(node)
        assert (met["found"], met["answered"], met["announced"]) == (0, 0, 0)
        assert node.members() == 0

    with place(tmp_path / "alone", dht=[f"/ip4/127.1.0.9/tcp/9/p2p/{peer(1)}"]) as node:
        run(partial(test, node), PATIENCE_S)
