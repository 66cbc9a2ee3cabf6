"""An honest peer's waiting time for answers while eight others request as much as they can.

The node is a real one with 20,000 records. Eight peers in one process send requests of 129 kB with
43,000 empty ranges each, one after the other on four streams. A peer in another process keeps
sending small ones, as reconciliation and new nodes do.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import trio

from node.home.addresses import PeerId
from node.home.clock import clock_ms
from node.home.home import Home
from node.network.frames import FrameStream
from node.network.host import NetworkHost, running_host
from node.peering.messages import HELLO, SYNC, After, Hello, Reconcile, write
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.fields import Mapped
from protocol.framing import Message
from protocol.reconciliation import Initiator
from protocol.record_index import RecordIndex
from protocol.records import MAIN_NET, VERSION
from protocol.topics import family_topic
from tests.network.arena import settings
from tests.peering.places import place
from tests.protocol.examples import MANIFEST
from tests.protocol.library import session

ATTACKERS: Final = 8
STREAMS: Final = 4  # per peer; a node reads as many requests of one peer at once
ROUND_TRIPS: Final = 200
TOPIC: Final = family_topic(MAIN_NET, MANIFEST.id, "cuda-sm90")
_ASKED_EVERY_S = 0.1
_ANSWERED_WITHIN_S = 60.0
_SETTLED_S = 20.0  # time after which a quiet node's saved-up allowance is used up
# Many empty ranges, each up to the same bound.
HEAVY: Final = b"\x61" + b"\x01\x00\x00" * 43_000


def run_crowding(
    _kept: Path,
    *,
    attackers: int = ATTACKERS,
    sessions: int = 260,
    round_trips: int = ROUND_TRIPS,
    settled_s: float = _SETTLED_S,
) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    with TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        with Store.open(home) as store:
            for number in range(sessions):
                wires = [record.wire for record in session(4 * number, 1)]
                store.intake.ingest(wires, now_ms=clock_ms())
            records = store.records.count()
        with place(home.root) as node:
            quiet = _waited(node.address, round_trips)
            with _crowd(node.address, attackers) as crowd:
                time.sleep(settled_s)
                crowded = _waited(node.address, round_trips)
                crowd.terminate()
    return {"records": records, "attackers": attackers, "quiet": quiet, "crowded": crowded}


def _waited(address: str, round_trips: int) -> dict[str, float]:
    return trio.run(partial(_ask, address, round_trips))


async def _ask(address: str, round_trips: int) -> dict[str, float]:
    """Run the honest peer; return percentiles of its round trips in milliseconds."""
    questions: tuple[Mapped, ...] = (
        After(after=None, limit=64, topic=TOPIC),
        Reconcile(message=Initiator(RecordIndex()).open_whole(), topic=TOPIC),
    )
    waited_ms: list[float] = []
    unanswered = 0
    async with running_host(settings(listen=())) as host:
        node = await _greet(host, address)
        for number in range(round_trips):
            asked_s = time.monotonic()
            try:
                with trio.fail_after(_ANSWERED_WITHIN_S):
                    async with await host.open(node, SYNC) as frames:
                        await frames.send(write(questions[number % len(questions)]))
                        await frames.receive()
            except (ArnodeError, trio.TooSlowError):
                unanswered += 1
            waited_ms.append((time.monotonic() - asked_s) * 1_000)
            await trio.sleep(_ASKED_EVERY_S)
    waited_ms.sort()
    points = {"p50": 0.5, "p99": 0.99, "most": 1.0}
    last = len(waited_ms) - 1
    return {
        **{f"{name}_ms": round(waited_ms[int(last * at)], 1) for name, at in points.items()},
        "unanswered": unanswered,
    }


async def _greet(host: NetworkHost, address: str) -> PeerId:
    """Say hello and answer the node's hellos from now on, as silent peers are disconnected."""
    hello = Hello(
        v=VERSION,
        software="bench",
        net=MAIN_NET,
        author=bytes(32),
        addresses=(),
        digests={},
    )

    async def answer(_: PeerId, frames: FrameStream) -> None:
        while True:
            await frames.receive()
            await frames.send(write(hello))

    host.serve(HELLO, answer)
    node = await host.connect(address)
    async with await host.open(node, HELLO) as frames:
        await frames.send(write(hello))
        await frames.receive()
    return node


@contextmanager
def _crowd(address: str, attackers: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tools.bench.crowding", address, str(attackers)]
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.kill()


async def _attack(address: str, attackers: int) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(attackers):
            nursery.start_soon(_attacker, address)


async def _attacker(address: str) -> None:
    async with running_host(settings(listen=())) as host:
        node = await _greet(host, address)
        async with trio.open_nursery() as nursery:
            for _ in range(STREAMS):
                nursery.start_soon(_press, host, node)


async def _press(host: NetworkHost, node: PeerId) -> None:
    heavy: Message = write(Reconcile(message=HEAVY, topic=TOPIC))
    while True:
        try:
            async with await host.open(node, SYNC) as frames:
                while True:
                    await frames.send(heavy)
                    await frames.receive()
        except ArnodeError:
            await trio.sleep(0.2)  # rejected; try again


if __name__ == "__main__":
    trio.run(_attack, sys.argv[1], int(sys.argv[2]))
