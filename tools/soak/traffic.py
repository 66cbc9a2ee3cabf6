"""The resources of a node's two processes during 45 minutes of traffic as of ten thousand nodes.

A small network, the bootstrap node and three authors, makes 45 records a second, which is within
each peer's rate limit. Memory, descriptors, streams, threads and tasks of every process are
sampled. It holds if none is more than 5 % higher in the last third than in the middle one, apart
from necessary growth: a core keeps the key of each record in an index for each of its topics
(`INDEX_BYTES` is the allowance for that, the measured value is `bytes_per_record`).

Not resumable, since memory is measured over the life of a process.
"""

import asyncio
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from tests.peering.parts import parts_of
from tools.soak.halves import loopback
from tools.soak.swarm import Swarm, swarm
from trainer.host.processes import held_kib, status_number, used_cpu_s

MOST_GROWTH: Final = 0.05
NEEDED_RECORDS: Final = 100_000
INDEX_BYTES: Final = 350
_MINUTES: Final = 45.0
_SAMPLED_S: Final = 15.0
_GIVE_UP_S: Final = 600.0

Sample = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A process and its samples."""

    name: str
    samples: list[Sample]

    def growth(self, what: str) -> float:
        """Return the relative growth of a figure from the middle third to the last."""
        middle, last = self._third(1), self._third(2)
        grown = fmean(one[what] for one in last) - fmean(one[what] for one in middle)
        if what == "memory_kib" and self.name.endswith("core"):
            grown -= self._records() * INDEX_BYTES / 1024
        return grown / max(1.0, fmean(one[what] for one in middle))

    def bytes_per_record(self) -> float:
        """Return the memory growth per record, from the middle third to the last."""
        middle, last = self._third(1), self._third(2)
        grown_kib = fmean(one["memory_kib"] for one in last) - fmean(
            one["memory_kib"] for one in middle
        )
        return 1024 * grown_kib / max(1.0, self._records())

    def _records(self) -> float:
        middle, last = self._third(1), self._third(2)
        return fmean(one["records"] for one in last) - fmean(one["records"] for one in middle)

    def _third(self, number: int) -> Sequence[Sample]:
        size = len(self.samples) // 3
        return self.samples[number * size : (number + 1) * size]


def run_traffic(
    folder: Path, *, members: int = 3, records_per_s: float = 45.0, minutes: float = _MINUTES
) -> dict[str, object]:
    """Run the traffic and return the figures."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return asyncio.run(
        _traffic(folder, members=members, records_per_s=records_per_s, minutes=minutes)
    )


async def _traffic(
    folder: Path, *, members: int, records_per_s: float, minutes: float
) -> dict[str, object]:
    async with swarm(folder, loopback, members=members) as nodes:
        await nodes.until_connected(members, within_s=_GIVE_UP_S)
        await nodes.rate(records_per_s)
        started_s, cpu_s = time.monotonic(), used_cpu_s(nodes.pids())
        samples: dict[str, list[Sample]] = {}
        while (elapsed_s := time.monotonic() - started_s) < 60 * minutes:
            await asyncio.sleep(_SAMPLED_S)
            seen = await nodes.look()
            for name, sample in _sampled(nodes, seen):
                samples.setdefault(name, []).append(sample)
            made = sum(one["made"] for one in seen)
            print(f"  {elapsed_s:.0f} s: {made} records", file=sys.stderr, flush=True)
        cpu = (used_cpu_s(nodes.pids()) - cpu_s) / (time.monotonic() - started_s)
        await nodes.rate(0)
        agreed_s = await nodes.seconds_to_agree(within_s=_GIVE_UP_S)
        seen = await nodes.look()
    watched = [Watched(name=name, samples=some) for name, some in samples.items()]
    grown = {one.name: _growth(one) for one in watched}
    records = sum(one["made"] for one in seen)
    return {
        "members": members,
        "minutes": minutes,
        "records_per_s": records_per_s,
        "records": records,
        "records_kept": min(one["records"] for one in seen),
        "processors_used": round(cpu, 2),
        "lost_in_queues": sum(one["lost"] for one in seen),
        "agreed_after_s": agreed_s and round(agreed_s, 1),
        "at_the_end": {one.name: one.samples[-1] for one in watched},
        "growth": grown,
        "bytes_per_record": {one.name: round(one.bytes_per_record()) for one in watched},
        "holds": agreed_s is not None
        and records >= NEEDED_RECORDS
        and all(one <= MOST_GROWTH for some in grown.values() for one in some.values()),
    }


def _growth(one: Watched) -> dict[str, float]:
    return {what: round(one.growth(what), 4) for what in one.samples[0] if what != "records"}


def _sampled(nodes: Swarm, seen: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Sample]]:
    """Yield a sample of each member's core and network process."""
    for member, counters in zip(nodes.members, seen, strict=True):
        pids = {name: pid for pid, name in parts_of(member.process.pid)}
        core, network = pids["core"], pids["network"]
        common = {"records": float(counters["records"])}
        yield (
            f"{member.name} core",
            {
                **common,
                "memory_kib": float(held_kib(core)),
                "descriptors": float(counters["descriptors"]),
                "threads": float(status_number(core, "Threads")),
                "tasks": float(counters["tasks"]),
            },
        )
        yield (
            f"{member.name} network",
            {
                **common,
                "memory_kib": float(held_kib(network)),
                "descriptors": float(sum(1 for _ in Path(f"/proc/{network}/fd").iterdir())),
                "threads": float(status_number(network, "Threads")),
                "streams": float(counters["streams"]),
            },
        )
