"""The delivery of records among forty nodes, at five records a second, without and with faults.

The nodes are real processes over real sockets on one machine, in two network namespaces. First
there are some minutes without faults. Each delivery is timed from the author's commit to the other
node's commit. Then, while publishing continues, a quarter of the nodes is killed and restarted, a
tenth is suspended, and the two halves are separated. Then publishing stops. It holds if all record
sets agree within 90 s, every record of the faultless minutes is on every node, and 99 % of their
deliveries took less than a second.

Not resumable, since it measures time.
"""

import asyncio
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Final

from tools.soak.halves import Halves, halves
from tools.soak.swarm import Member, Swarm, stored, swarm
from trainer.host.processes import proportional_kib, used_cpu_s

GOAL_P99_MS: Final = 1_000.0
GOAL_QUIET_S: Final = 90.0
_KILLED: Final = 0.25
_SUSPENDED: Final = 0.1
_GIVE_UP_S: Final = 600.0
_PEERS: Final = 6  # of each node, before the test starts
_SETTLED_S: Final = 60.0  # records are not counted while meshes form and sets are compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The duration of each fault in seconds, 0 for none."""

    dead_s: float = 5.0
    suspended_s: float = 30.0
    parted_s: float = 60.0


def run_gossip(
    folder: Path, *, nodes: int = 40, records_per_s: float = 5.0, minutes: float = 5.0
) -> dict[str, object]:
    """Run the swarm and return the figures."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with halves(nodes) as ground:
        return asyncio.run(
            _gossip(folder, ground, nodes=nodes, records_per_s=records_per_s, minutes=minutes)
        )


async def _gossip(
    folder: Path, ground: Halves, *, nodes: int, records_per_s: float, minutes: float
) -> dict[str, object]:
    # The bootstrap node is one of the nodes.
    async with swarm(folder, ground.place, members=nodes - 1) as nodes_up:
        await nodes_up.until_connected(min(_PEERS, nodes - 1), within_s=_GIVE_UP_S)
        await nodes_up.rate(records_per_s)
        await asyncio.sleep(_SETTLED_S)
        print(f"  {nodes} nodes are connected", file=sys.stderr, flush=True)
        begun_ns, used = time.monotonic_ns(), _Used(nodes_up)
        await asyncio.sleep(60 * minutes)
        ended_ns, spent = time.monotonic_ns(), used.figures()
        await broken(nodes_up, Faults(), ground=ground)
        await nodes_up.rate(0)
        print("  quiet", file=sys.stderr, flush=True)
        agreed_s = await nodes_up.seconds_to_agree(within_s=_GIVE_UP_S)
        seen = await nodes_up.look()
        homes = [member.home for member in nodes_up.members]
        arrivals = [arrivals_of(member) for member in nodes_up.members]
    digests = [stored(home) for home in (nodes_up.bootstrap, *homes)]
    is_one = all(one == digests[0] for one in digests)
    delivered = deliveries(arrivals, begun_ns, ended_ns)
    goals = (
        is_one,
        agreed_s is not None and agreed_s <= GOAL_QUIET_S,
        delivered["missing"] == 0,
        isinstance(p99 := delivered["p99_ms"], float) and p99 < GOAL_P99_MS,
    )
    return {
        "nodes": nodes,
        "records_per_s": records_per_s,
        "minutes": minutes,
        **delivered,
        **spent,
        "records_at_the_end": seen[0]["records"],
        "lost_in_queues": sum(one["lost"] for one in seen),
        "failures": dict(sum((Counter(one["failures"]) for one in seen), Counter())),
        "agreed_after_s": agreed_s and round(agreed_s, 1),
        "digests_are_one": is_one,
        "holds": all(goals),
    }


async def broken(
    nodes: Swarm, faults: Faults, *, ground: Halves | None = None, seed: int = 1
) -> None:
    """Inject faults of machines and networks into a swarm, one after the other."""
    chance = random.Random(seed)
    killed = _some(chance, nodes.members, _KILLED)
    await nodes.kill(killed)
    await asyncio.sleep(faults.dead_s)
    await nodes.restart(killed)
    share = nodes.published_per_s / len(nodes.members)
    await asyncio.gather(*(member.ask("rate", str(share)) for member in killed))
    print(f"  {len(killed)} were killed and started again", file=sys.stderr, flush=True)
    suspended = _some(chance, nodes.members, _SUSPENDED)
    for member in suspended:
        member.signal(signal.SIGSTOP)
    await asyncio.sleep(faults.suspended_s)
    for member in suspended:
        member.signal(signal.SIGCONT)
    print(f"  {len(suspended)} were suspended", file=sys.stderr, flush=True)
    if ground is not None:
        ground.cut()
        await asyncio.sleep(faults.parted_s)
        ground.join()
        print("  the halves were parted", file=sys.stderr, flush=True)


def deliveries(
    arrivals: Sequence[Mapping[bytes, tuple[str, int]]], begun_ns: int, ended_ns: int
) -> dict[str, object]:
    """Time the deliveries to all other nodes of every record published between two moments."""
    published = {
        record: at_ns
        for ours in arrivals
        for record, (way, at_ns) in ours.items()
        if way == "own" and begun_ns <= at_ns < ended_ns
    }
    took_ms: dict[str, list[float]] = {"gossip": [], "sync": []}
    missing = 0
    for theirs in arrivals:
        for record, published_ns in published.items():
            way, at_ns = theirs.get(record, ("", 0))
            if not way:
                missing += 1
            elif way != "own":
                took_ms[way].append((at_ns - published_ns) / 1e6)
    both = [*took_ms["gossip"], *took_ms["sync"]]
    return {
        "records": len(published),
        "deliveries": len(both),
        "missing": missing,
        "gossip_share": round(len(took_ms["gossip"]) / max(1, len(both)), 4),
        **_percentiles("", both),
        **_percentiles("gossip_", took_ms["gossip"]),
    }


def _percentiles(name: str, values: Sequence[float]) -> dict[str, object]:
    cuts = quantiles(values, n=100) if len(values) > 1 else [0.0] * 99
    return {f"{name}p50_ms": round(cuts[49], 1), f"{name}p99_ms": round(cuts[98], 1)}


def arrivals_of(member: Member) -> dict[bytes, tuple[str, int]]:
    """Read how and when each record first arrived at a member."""
    found: dict[bytes, tuple[str, int]] = {}
    for line in member.arrivals.read_text(encoding="ascii").splitlines():
        match line.split():
            case [record, way, at_ns]:  # a killed process may have cut its last line short
                found.setdefault(bytes.fromhex(record), (way, int(at_ns)))
    return found


def _some(chance: random.Random, members: Sequence[Member], share: float) -> list[Member]:
    return chance.sample(members, max(1, round(share * len(members))))


class _Used:
    """The machine's resources that all processes together use, from construction on."""

    def __init__(self, nodes: Swarm) -> None:
        self._nodes = nodes
        self._started_s = time.monotonic()
        self._cpu_s = used_cpu_s(nodes.pids())
        self._cores_s = used_cpu_s(member.process.pid for member in nodes.members)
        self._busy_s = _busy_s()

    def figures(self) -> dict[str, object]:
        """Return the CPU use in units of one core, and the memory with shared pages divided."""
        pids = self._nodes.pids()
        took_s = time.monotonic() - self._started_s
        count = len(self._nodes.members) + 1
        cpu = (used_cpu_s(pids) - self._cpu_s) / took_s
        cores = used_cpu_s(member.process.pid for member in self._nodes.members) - self._cores_s
        return {
            "processors": os.cpu_count(),
            "processors_used": round(cpu, 2),
            "processors_used_by_all": round((_busy_s() - self._busy_s) / took_s, 2),
            "cpu_share_per_node": round(cpu / count, 4),
            "cpu_share_per_core_process": round(cores / took_s / count, 4),
            "memory_mb_per_node": round(sum(map(proportional_kib, pids)) / 1024 / count, 1),
        }


def _busy_s() -> float:
    """Return the busy seconds of the machine's processors since it started."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    user, nice, system, _, _, interrupts, soft_interrupts = fields[:7]
    return (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")
