"""A peer written from docs/protocol.md in JavaScript, on another libp2p, works with a node."""

import shutil
from pathlib import Path

import pytest
from libp2p.pubsub.pb.rpc_pb2 import Message

from node.network.frames import FrameStream
from node.network.gossip import message_id
from node.network.host import running_host
from node.network.limits import PeerId
from protocol.errors import Rejected
from protocol.keys import SigningKey
from protocol.kinds import InsightBody
from protocol.reconciliation import respond
from protocol.record_index import RecordIndex, key_of
from protocol.records import MAIN_NET, Record, parse_record, sign_record
from tests.interop.javascript import FOLDER, packages, program
from tests.network.arena import run, settings, until
from tests.protocol.examples import AUTHOR, MANIFEST, START_MS

TOPIC = f"/arnode/{MAIN_NET}/{MANIFEST.id.hex()[:16]}/news"
SYNC = "/arnode/sync/1"
PEER_SEED = bytes(range(64, 96))
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


class Archive:
    """What a node has, and how it answers about it: a frame for each."""

    def __init__(self, records: list[Record]) -> None:
        self._records = {record.id: record for record in records}
        keys = sorted(key_of(record.ts_ms, record.id) for record in records)
        self._index = RecordIndex(keys)

    async def answer(self, _: PeerId, frames: FrameStream) -> None:
        while True:
            match await frames.receive():
                case {"reconcile": bytes(message)}:
                    answer = respond(self._index, message)
                    assert not isinstance(answer, Rejected)
                    await frames.send({"message": answer})
                case {"want": list(ids)}:
                    await frames.send({"records": [self._records[one].wire for one in ids]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the peer's program and its packages."""
    for module in FOLDER.glob("*.mjs"):
        shutil.copy(module, tmp_path)
    (tmp_path / "node_modules").symlink_to(packages())
    return tmp_path


def test_a_js_peer_gossips_and_reconciles(folder: Path) -> None:
    records = [insight(number) for number in range(303)]
    lacking = records[7::15]
    only_theirs = records[50::100]
    archive = Archive([one for one in records if one not in only_theirs])
    news = insight(1000)
    judged: dict[bytes, Record | Rejected] = {}

    def is_record(_: PeerId, data: bytes) -> bool:
        judged[data] = parse_record(data)
        return isinstance(judged[data], Record)

    async def test() -> None:
        async with running_host(settings(topics=frozenset({TOPIC}))) as host:
            faults: list[PeerId] = []
            host._incidents._count = faults.append
            messages = await host.subscribe(TOPIC, is_record)
            host.serve(SYNC, archive.answer)
            async with program(folder, "peer.mjs") as peer:
                await peer.tell(
                    address=host.addresses[0],
                    topic=TOPIC,
                    sync=SYNC,
                    seed=PEER_SEED.hex(),
                    task=MANIFEST.id.hex(),
                    records=[one.wire.hex() for one in records if one not in lacking],
                )
                joined = await peer.fact("joined")
                its_id = PeerId(joined["peer"])
                assert host.peers == (its_id,)
                assert (joined["encryption"], joined["muxer"]) == ("/noise", "/yamux/1.0.0")
                assert set(joined["gossip"]) == {"/meshsub/1.1.0"}
                await until(
                    lambda: its_id in map(str, host._router.mesh[TOPIC]), within_s=PATIENCE_S
                )

                await host.publish(TOPIC, news.wire)
                assert await peer.fact("heard") == {
                    "message": message_id(Message(topicIDs=[TOPIC], data=news.wire)).hex(),
                    "id": news.id.hex(),
                    "author": AUTHOR.public.hex(),
                    "text": "Größe 1000",
                }

                await peer.fact("published")
                first, third = [parse_record((await messages.receive()).data) for _ in range(2)]
                assert isinstance(first, Record)
                assert isinstance(third, Record)
                assert first.author == SigningKey.from_seed(PEER_SEED).public
                assert (first.seq, third.seq) == (0, 2)
                assert isinstance(first.body, InsightBody)
                assert first.body.message == "Von außen."
                refused = [one for one in judged.values() if isinstance(one, Rejected)]
                assert refused == [Rejected("the signature does not verify")]

                told = await peer.fact("reconciled")
                assert sorted(told["have"]) == sorted(one.id.hex() for one in only_theirs)
                assert sorted(told["need"]) == sorted(one.id.hex() for one in lacking)
                assert sorted((await peer.fact("fetched"))["ids"]) == sorted(told["need"])
                await peer.tell()
        assert faults == [its_id], "of all that it said only the altered record was wrong"

    run(test, patience_s=PATIENCE_S)
