"""The time to sync 100,000 records to a new node, compared with a local import; then equal sets.

Both nodes have two processes each and run on one machine. The cost of equal sets and of a hundred
missing records is measured between their stores in memory, without a network.
"""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from node.home.home import Home
from node.peering.messages import HELLO, SYNC
from node.store.store import Store
from tests.peering.members import ALL_TOPICS, Member, greet, member
from tests.peering.places import Place, place
from tests.peering.wires import Wires
from tests.protocol.library import NOW_MS, library

RECORDS = 100_000
_MISSING = 100
_TICK_S = 0.001
_LOOKED_S = 0.25
_LONGEST_S = 300.0
_IDLE_S = 30.0


def run_syncing(kept: Path, *, count: int = RECORDS, idle_s: float = _IDLE_S) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    wires = library(kept, count)
    late = {*random.Random(1).sample(wires, _MISSING)}
    early = [wire for wire in wires if wire not in late]
    with TemporaryDirectory(dir=kept.resolve()) as folder:
        full, new = Path(folder) / "full", Path(folder) / "new"
        with Store.open(Home(full)) as store:
            ingest_s = _seconds(lambda: store.intake.ingest(early, now_ms=NOW_MS))
        cold = _cold_start(full, new)
        again = _reconnection(full, new, idle_s)
        with Store.open(Home(full)) as store:
            report = store.intake.ingest(late, now_ms=NOW_MS)
            assert len(report.new) == _MISSING
        size = sum(file.stat().st_size for file in Path(full).glob("records.db*"))
        return {
            "records": len(wires),
            "disk_bytes_per_record": round(size / len(wires)),
            "record_bytes": round(sum(map(len, wires)) / len(wires)),
            "ingest_s": round(ingest_s, 2),
            "newcomer": cold | {"times_ingest": round(cold["seconds"] / ingest_s, 2)},
            "reconnected": again,
            **_in_memory(Home(full), Home(new)),
        }


def _cold_start(full: Path, new: Path) -> dict[str, Any]:
    with place(full) as other:
        wanted = other.look()
        with place(new, other.address) as newcomer:
            seconds = _seconds(lambda: _until_has(newcomer, wanted["members"]))
            seen, served = newcomer.look(), other.look()
    return {
        "seconds": round(seconds, 2),
        "bytes": seen["asked"][f"{SYNC} bytes"],
        "questions": seen["asked"][f"{SYNC} questions"],
        "cpu_s": seen["cpu_s"],
        "cpu_s_of_the_other": _less(served["cpu_s"], wanted["cpu_s"]),
        "memory_bytes": seen["memory_bytes"],
    }


def _until_has(newcomer: Place, members: int) -> None:
    ends_s = time.monotonic() + _LONGEST_S
    while newcomer.members() < members:
        assert time.monotonic() < ends_s, "the newcomer does not get everything"
        time.sleep(_LOOKED_S)


def _reconnection(full: Path, new: Path, idle_s: float) -> dict[str, Any]:
    """Return the traffic of two nodes with the same records, and their CPU use when idle."""
    with place(full) as other, place(new, other.address) as again:
        started_s = time.monotonic()
        while not again.look()["peers"]:
            time.sleep(_LOOKED_S)
        time.sleep(_LOOKED_S)
        before, from_s = again.look(), time.monotonic()
        time.sleep(idle_s)
        after, spent_s = again.look(), time.monotonic() - from_s
    asked = after["asked"]
    return {
        "connected_s": round(from_s - started_s, 1),
        "sync_bytes": asked.get(f"{SYNC} bytes", 0),
        "sync_questions": asked.get(f"{SYNC} questions", 0),
        "hello_bytes": round(asked[f"{HELLO} bytes"] / asked[f"{HELLO} questions"]),
        "idle_share_of_a_core": {
            name: round(used_s / spent_s, 4)
            for name, used_s in _less(after["cpu_s"], before["cpu_s"]).items()
        },
        "memory_bytes": after["memory_bytes"],
    }


def _less(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: round(value - before.get(name, 0.0), 2) for name, value in after.items()}


def _in_memory(full: Home, new: Home) -> dict[str, Any]:
    passed_s = [0.0]  # time between exchanges, so that each compares everything

    def clock() -> float:
        return time.monotonic() + passed_s[0]

    figures: dict[str, Any] = {}
    with ExitStack() as stack:
        loop = stack.enter_context(asyncio.Runner())
        wires = Wires()
        other, asking = (
            stack.enter_context(member(wires, home.root.name, clock, home=home))
            for home in (full, new)
        )
        built_s = _seconds(lambda: other.store.topics.indexes(ALL_TOPICS))
        figures["indexes_built_s"] = round(built_s, 3)
        for name in (f"missing_{_MISSING}", "equal"):
            passed_s[0] += 3_600.0
            wires.bytes.clear()
            wires.questions.clear()
            brought, seconds, stall_s = loop.run(_exchange(wires, asking, other))
            figures[name] = {
                "brought": brought,
                "ms": round(1_000 * seconds, 1),
                "bytes": wires.bytes[SYNC],
                "questions": wires.questions[SYNC],
                "longest_stall_ms": round(1_000 * stall_s, 1),
            }
        assert asking.ids() == other.ids()
    return figures


async def _exchange(wires: Wires, asking: Member, other: Member) -> tuple[int, float, float]:
    """Return the number of records, the seconds, and the longest delay of other tasks."""
    await greet(wires, asking, other)
    ticking = asyncio.create_task(_longest_stall())
    await asyncio.sleep(_TICK_S)
    hello = asking.peering.peers[other.carrier.peer_id].hello
    assert hello is not None
    started_s = time.perf_counter()
    brought = await asking.peering.syncer.exchange(other.carrier.peer_id, hello.digests)
    seconds = time.perf_counter() - started_s
    ticking.cancel()
    stalls = await asyncio.gather(ticking, return_exceptions=True)
    return brought, seconds, stalls[0] if isinstance(stalls[0], float) else 0.0


async def _longest_stall() -> float:
    longest_s = 0.0
    try:
        while True:
            before_s = time.perf_counter()
            await asyncio.sleep(_TICK_S)
            longest_s = max(longest_s, time.perf_counter() - before_s - _TICK_S)
    except asyncio.CancelledError:
        return longest_s


def _seconds(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s
