"""A peer written from docs/protocol.md in JavaScript, on another libp2p, works with a node."""

from functools import partial
from pathlib import Path

import trio
from libp2p.pubsub.pb.rpc_pb2 import Message

from node.home.clock import clock_ms
from node.home.home import Home
from node.network.gossip_verdicts import GossipJudge
from node.network.host import running_host
from node.network.router import message_id
from node.peering.messages import HELLO, SYNC
from node.store.store import Store
from protocol.keys import SigningKey
from protocol.records import MAIN_NET, Record, parse_record, sign_record
from protocol.remarks import InsightBody
from tests.interop.javascript import program
from tests.network.arena import run, settings, until
from tests.peering.places import Place, place
from tests.protocol.examples import AUTHOR, MANIFEST, START_MS

TOPIC = f"/arnode/{MAIN_NET}/{MANIFEST.id.hex()[:16]}/news"
PEER_SEED = bytes(range(64, 96))
PEER_KEY = SigningKey.from_seed(PEER_SEED)
PATIENCE_S = 60.0


def insight(number: int) -> Record:
    """Return one of an author's records; every third time is shared."""
    return sign_record(
        AUTHOR,
        net=MAIN_NET,
        seq=number,
        prev=None,
        ts_ms=START_MS + number // 3 * 3,
        body=InsightBody(
            task=MANIFEST.id, hardware_class=None, message=f"Größe {number}", evidence=()
        ),
    )


def test_a_js_peer_reconciles_and_gossips_with_a_node(js_folder: Path, tmp_path: Path) -> None:
    records = [insight(number) for number in range(303)]
    lacking = records[7::15]
    only_theirs = records[50::100]
    news = insight(1000)
    home = Home(tmp_path / "home")
    with Store.open(home) as store:
        kept = [one.wire for one in records if one not in only_theirs]
        assert len(store.intake.ingest(kept, now_ms=clock_ms()).new) == len(kept)

    async def test(node: Place) -> None:
        # A third peer, connected to the node alone: what it receives, the node has passed on.
        async with running_host(settings(topics=(TOPIC,))) as other:
            await other.subscribe(TOPIC, GossipJudge(trio.current_time, clock_ms).judge)
            its_id = await other.connect(node.address)
            async with program(js_folder, "peer.mjs") as peer:
                await peer.send(
                    address=node.address,
                    topic=TOPIC,
                    hello=HELLO,
                    sync=SYNC,
                    key=PEER_KEY.public.hex(),
                    seed=PEER_SEED.hex(),
                    task=MANIFEST.id.hex(),
                    records=[one.wire.hex() for one in records if one not in lacking],
                )
                greeted = await peer.fact("greeted")
                assert greeted == {"net": MAIN_NET, "counts": {TOPIC: len(kept)}}
                reported = await peer.fact("reconciled")
                assert sorted(reported["have"]) == sorted(one.id.hex() for one in only_theirs)
                assert sorted(reported["need"]) == sorted(one.id.hex() for one in lacking)
                assert sorted((await peer.fact("fetched"))["ids"]) == sorted(reported["need"])

                joined = await peer.fact("joined")
                assert (joined["encryption"], joined["muxer"]) == ("/noise", "/yamux/1.0.0")
                assert set(joined["gossip"]) == {"/meshsub/1.1.0"}
                await until(
                    lambda: its_id in map(str, other._router.mesh[TOPIC]), within_s=PATIENCE_S
                )
                await other.publish(TOPIC, news.wire)
                assert await peer.fact("heard") == {
                    "message": message_id(Message(topicIDs=[TOPIC], data=news.wire)).hex(),
                    "id": news.id.hex(),
                    "author": AUTHOR.public.hex(),
                    "text": "Größe 1000",
                }

                await peer.fact("published")
                first, third = [
                    parse_record((await other.messages.receive()).data) for _ in range(2)
                ]
                assert isinstance(first, Record)
                assert isinstance(third, Record)
                assert first.author == PEER_KEY.public
                assert (first.seq, third.seq) == (0, 2), "the altered one was not passed on"
                assert isinstance(first.body, InsightBody)
                assert first.body.message == "Von außen."
                said.update({first.id, third.id})
                await peer.send()
            await until(lambda: node.members() == len(kept) + 3)

    said: set[bytes] = set()
    with place(home.root) as node:
        run(partial(test, node), patience_s=PATIENCE_S)
    with Store.open(home) as store:
        assert {one.id for one in store.records.listed()} == {
            one.id for one in [*records, news] if one not in only_theirs
        } | said
