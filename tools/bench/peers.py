"""The cost of a hundred peers for a node: its processes' CPU at rest and at four records a second.

The node is a real one. Its peers are hosts in one process. They say hello every ten seconds,
subscribe, forward, and answer requests for any of their records. Each peer is connected only to the
node, so the node forwards every record: to its mesh, and to peers that request it after an IHAVE.
"""

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio

from node.home.addresses import PeerId
from node.home.clock import clock_ms
from node.home.home import Home
from node.network.building import HostSettings
from node.network.frames import FrameStream
from node.network.host import NetworkHost, running_host
from node.peering.greeting import REPEATED_S
from node.peering.messages import HELLO, SYNC, Hello, write
from node.peering.serving import RecordServer
from node.store.store import Store
from node.store.topics import TopicIndexes
from protocol.errors import ArnodeError
from protocol.record_kinds import TaskBody
from protocol.records import MAIN_NET, VERSION, sign_record
from protocol.topics import subscriptions
from tests.network.arena import anything
from tests.peering.places import place
from tests.protocol.examples import AUTHOR, MANIFEST
from tests.protocol.library import session

PEERS = 100
RECORDS_PER_S = 4.0
CLASS = "h200-141g"
TOPICS = subscriptions(MAIN_NET, [MANIFEST.id], CLASS)
_SETTLED_S = 20.0
_MEASURED_S = 60.0
_DIALLED_PER_S = 10


def run_peers(
    _kept: Path,
    *,
    peers: int = PEERS,
    settled_s: float = _SETTLED_S,
    measured_s: float = _MEASURED_S,
) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    figures: dict[str, object] = {"peers": peers}
    with TemporaryDirectory() as folder:
        for rate in (0.0, RECORDS_PER_S):
            home = Path(folder) / f"at-{rate:g}"
            with place(home, hardware_class=CLASS) as node, _crowd(node.address, peers, rate):
                while node.look()["peers"] < peers:
                    time.sleep(0.5)
                time.sleep(settled_s)
                before, from_s = node.look(), time.monotonic()
                time.sleep(measured_s)
                after, spent_s = node.look(), time.monotonic() - from_s
            figures[f"at_{rate:g}_per_s"] = _difference(before, after, spent_s)
    return figures


def _difference(before: dict[str, Any], after: dict[str, Any], spent_s: float) -> dict[str, object]:
    share = {
        name: round((used_s - before["cpu_s"].get(name, 0.0)) / spent_s, 4)
        for name, used_s in after["cpu_s"].items()
    }
    return {
        "peers": after["peers"],
        "members_per_s": round((after["members"] - before["members"]) / spent_s, 2),
        "share_of_a_core": share | {"all": round(sum(share.values()), 4)},
        "sync_questions_per_s": round(
            (
                after["asked"].get(f"{SYNC} questions", 0)
                - before["asked"].get(f"{SYNC} questions", 0)
            )
            / spent_s,
            2,
        ),
        "lost": after["lost"],
        "memory_bytes": after["memory_bytes"],
    }


@contextmanager
def _crowd(address: str, peers: int, rate: float) -> Iterator[None]:
    command = [sys.executable, "-m", "tools.bench.peers", address, str(peers), str(rate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


@dataclass
class Crowd:
    """The peers, and the records that they share."""

    store: Store
    indexes: TopicIndexes
    hosts: list[NetworkHost]
    faults: int = 0

    async def join(self, address: str) -> None:
        """Run a host that connects to the node and keeps saying hello."""
        seed = secrets.token_bytes(32)
        settings = HostSettings(transport_seed=seed, listen=(), topics=tuple(TOPICS))
        async with running_host(settings) as host:
            host.serve(SYNC, self._answer)
            for topic in TOPICS:
                await host.subscribe(topic, anything)
            while True:
                try:  # on a busy machine a dial may time out
                    node = await host.connect(address)
                    if host not in self.hosts:
                        self.hosts.append(host)
                    async with await host.open(node, HELLO) as frames:
                        await frames.send(write(self._hello(host)))
                        await frames.receive()
                except ArnodeError as fault:
                    self._note(fault)
                await trio.sleep(REPEATED_S)

    def _note(self, fault: ArnodeError) -> None:
        self.faults += 1
        if self.faults in (1, 10, 100, 1_000):  # a single fault is harmless, many spoil the figures
            print(f"  fault {self.faults} of the peers: {fault}", file=sys.stderr, flush=True)

    async def _answer(self, peer: PeerId, frames: FrameStream) -> None:
        records = RecordServer(self.store, self.indexes)
        while True:
            await frames.send(await records.answer(peer, await frames.receive()))

    async def publish(self, rate: float) -> None:
        """Publish the records of authors of one class, in all their topics, until cancelled."""
        task = TaskBody(manifest=MANIFEST)
        first = sign_record(AUTHOR, net=MAIN_NET, seq=0, prev=None, ts_ms=clock_ms(), body=task)
        self.store.intake.ingest([first.wire], now_ms=clock_ms())
        number = 0
        while True:
            number += 4  # every fourth author has this class
            waiting: list[bytes] = []
            for record in session(number, 1):
                self.store.intake.ingest([record.wire], now_ms=clock_ms())
                waiting.append(record.id)
                host = self.hosts[number // 4 % len(self.hosts)]
                for known in [*waiting]:
                    # A patch has no topic until a result names it.
                    if topics := [one for one in self.store.topics.of(known) if one in TOPICS]:
                        waiting.remove(known)
                        for topic in topics:
                            await host.publish(topic, self.store.records.wires([known])[known])
                await trio.sleep(1 / rate)

    def _hello(self, host: NetworkHost) -> Hello:
        digests = {topic: one for topic, one in self.indexes.digests().items() if one[0]}
        return Hello(
            v=VERSION,
            software="arnode bench",
            net=MAIN_NET,
            author=host.peer_id.encode()[-32:],
            addresses=(),
            digests=digests,
        )


async def _run(address: str, peers: int, rate: float, store: Store) -> None:
    crowd = Crowd(store, store.topics.indexes(TOPICS), [])
    async with trio.open_nursery() as nursery:
        for _ in range(peers):
            nursery.start_soon(crowd.join, address)
            await trio.sleep(1 / _DIALLED_PER_S)
        if rate:
            await crowd.publish(rate)


def main() -> None:
    """Run the peers until killed."""
    address, peers, rate = sys.argv[1:]
    with TemporaryDirectory() as folder, Store.open(Home(Path(folder))) as store:
        trio.run(partial(_run, address, int(peers), float(rate), store))


if __name__ == "__main__":
    main()
