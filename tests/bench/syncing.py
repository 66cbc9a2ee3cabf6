"""Syncing: a cold start, equal sets and a few missing records, between two nodes in memory.

The time is that of both nodes in one process: reading, checking and storing, without a network.
"""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from node.home import Home
from node.peering.messages import SYNC
from node.store.intake import Quotas
from tests.peering.members import ALL_TOPICS, NOW_MS, Member, greet, library, member
from tests.peering.wires import Wires

RECORDS = 100_000
_MISSING = 100
_WIDE = Quotas(news=10**6, bulk=10**6, intent=10**6)
_TICK_S = 0.001


def run_syncing(kept: Path, *, count: int = RECORDS) -> dict[str, object]:
    """Return the figures."""
    records = library(count)
    # Half an hour later with each look, so that everything is compared each time.
    looks = iter(range(10**9))

    def clock() -> float:
        return next(looks) * 3_600.0

    with ExitStack() as stack:
        wires = Wires()
        folder = Path(stack.enter_context(TemporaryDirectory(dir=kept.resolve())))
        full, new, near = (
            stack.enter_context(member(wires, name, clock, quotas=_WIDE, home=Home(folder / name)))
            for name in ("full", "new", "near")
        )
        wires_of_all = [record.wire for record in records]
        ingest_s = _seconds(lambda: full.store.ingest(wires_of_all, now_ms=NOW_MS))
        missing = set(random.Random(1).sample(range(len(records)), _MISSING))
        near.store.ingest(
            [wire for number, wire in enumerate(wires_of_all) if number not in missing],
            now_ms=NOW_MS,
        )
        build_s = _seconds(lambda: full.store.topic_indexes(ALL_TOPICS))
        digest_s = _seconds(full.peering.syncer._indexes.digests)
        figures: dict[str, object] = {
            "records": len(records),
            "ingest_s": round(ingest_s, 2),
            "indexes_built_s": round(build_s, 3),
            "digests_s": round(digest_s, 6),
        }
        for name, asking in (("cold", new), ("equal", new), ("missing_100", near)):
            wires.bytes.clear()
            wires.questions.clear()
            brought, seconds, stall_s = asyncio.run(_exchange(wires, asking, full))
            figures[name] = {
                "brought": brought,
                "seconds": round(seconds, 3),
                "bytes": wires.bytes[SYNC],
                "questions": wires.questions[SYNC],
                "longest_stall_s": round(stall_s, 3),
            }
        assert new.ids() == full.ids()
    return figures


async def _exchange(wires: Wires, asking: Member, other: Member) -> tuple[int, float, float]:
    """Return how many records came, in how many seconds, and the longest wait of anything else."""
    await greet(wires, asking, other)
    ticking = asyncio.create_task(_longest_stall())
    await asyncio.sleep(_TICK_S)
    started_s = time.perf_counter()
    digests = other.peering.syncer._indexes.digests()
    brought = await asking.peering.syncer.exchange(other.carrier.peer_id, digests)
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
