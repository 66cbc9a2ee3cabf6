"""A private network is joined by another libp2p, with the secret and what libp2p specifies."""

import secrets
from functools import partial
from pathlib import Path

import pytest

from node.home.clock import clock_ms
from node.home.home import Home
from node.peering.messages import HELLO, SYNC
from node.store.store import Store
from protocol.keys import SigningKey
from protocol.records import MAIN_NET, sign_record
from protocol.remarks import InsightBody
from tests.interop.javascript import Program, program
from tests.network.arena import run
from tests.peering.places import Place, place
from tests.protocol.examples import AUTHOR, MANIFEST, START_MS

TOPIC = f"/arnode/{MAIN_NET}/{MANIFEST.id.hex()[:16]}/news"
SECRET = secrets.token_bytes(32)
PATIENCE_S = 60.0


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with a few records."""
    home = Home(tmp_path / "home")
    body = InsightBody(task=MANIFEST.id, hardware_class=None, message="Größe", evidence=())
    with Store.open(home) as store:
        for seq in range(5):
            record = sign_record(
                AUTHOR, net=MAIN_NET, seq=seq, prev=None, ts_ms=START_MS + seq, body=body
            )
            store.intake.ingest([record.wire], now_ms=clock_ms())
    return home


def ids_in(home: Home) -> list[str]:
    with Store.open(home) as store:
        return sorted(one.id.hex() for one in store.records.listed())


async def send(peer: Program, *, secret: bytes | None, address: str | None) -> None:
    """Say what a program of private.mjs is to do."""
    await peer.send(
        secret=None if secret is None else secret.hex(),
        address=address,
        topic=TOPIC,
        hello=HELLO,
        sync=SYNC,
        key=SigningKey.from_seed(bytes(32)).public.hex(),
    )


@pytest.mark.soak
def test_a_js_peer_with_the_secret_dials_a_private_node_and_nobody_else_does(
    js_folder: Path, home: Home
) -> None:
    async def test(node: Place) -> None:
        for secret in (secrets.token_bytes(32), None):
            async with program(js_folder, "private.mjs") as peer:
                await send(peer, secret=secret, address=node.address)
                await peer.fact("refused")
        async with program(js_folder, "private.mjs") as peer:
            await send(peer, secret=SECRET, address=node.address)
            learnt.update(await peer.fact("learnt"))

    learnt: dict[str, object] = {}
    with place(home.root, secret=SECRET) as node:
        run(partial(test, node), patience_s=PATIENCE_S)
    assert learnt.pop("net") == MAIN_NET
    ids = learnt["ids"]
    assert isinstance(ids, list)
    assert sorted(ids) == ids_in(home)


@pytest.mark.soak
def test_a_private_node_dials_a_js_peer(js_folder: Path, home: Home) -> None:
    async def test() -> None:
        async with program(js_folder, "private.mjs") as peer:
            await send(peer, secret=SECRET, address=None)
            address = (await peer.fact("listens"))["address"]
            with place(home.root, address, secret=SECRET):
                assert await peer.fact("greeted") == {"net": MAIN_NET}
                learnt.update(await peer.fact("learnt"))

    learnt: dict[str, object] = {}
    run(test, patience_s=PATIENCE_S)
    assert learnt["net"] == MAIN_NET
    ids = learnt["ids"]
    assert isinstance(ids, list)
    assert sorted(ids) == ids_in(home)
