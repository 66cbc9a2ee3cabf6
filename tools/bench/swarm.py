"""The speed-up of many connected nodes: how soon the typical one is as far as a single node.

How far a node is, its verified head says. It moves by promotion trials, most of which end a night.
So `overlap` also gives the figures of working lines, which is what real plays measure
(`make soak PART=together`).

The assumptions of `swarm` are favourable, and reported with the figures: gains add up, no two nodes
have the same idea, and finds are known to all at once. `overlap` drops these assumptions, one by
one and all together (`tools.bench.assumptions`).
"""

import hashlib
import json
import math
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from itertools import zip_longest
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple, TypeAlias

from tools.bench.assumptions import AS_SHIPPED, SETS, Assumed, Sharing
from tools.bench.members import Member
from tools.bench.offers import Swarm
from tools.bench.shares import ratio_of
from tools.bench.worlds import RUNS_A_NIGHT, Machine
from tools.paths import ROOT

SIZES = (1, 4, 8, 16, 32)
LIARS = (0.0, 0.3, 0.5)  # shares of all nodes; the number of honest nodes stays the same
TARGETS_SD = (40.0, 150.0)
_SEEDS = 24  # a single node varies by 15 % between seeds
OVERLAP_LIARS = (0.0, 0.3)
OVERLAP_TARGETS_SD = (40.0, 150.0, 300.0)
_OVERLAP_SEEDS = 12
_LEAST_SEEDS = 3  # for an interval
_MOST_RUNS = 12_000.0  # of one node
_NO_END = 1_000_000  # runs of a session
_BEGUN_S = 3000.0  # no job is started after this
# The code that the simulation runs.
_SIMULATES = (
    "protocol", "node/line", "node/loop/session_plan.py", "agent/hyperparameters/moves.py",
    *(f"tools/bench/{name}.py" for name in (
        "assumptions", "members", "offers", "rivals", "streams", "worlds", "swarm",
    )),
    "tests/protocol/scatter.py",
)  # fmt: skip
_NO_POOL = [name for name, assumed in SETS.items() if assumed.pool is None]  # nothing to divide


class Reached(NamedTuple):
    """The runs per node until the typical node is at a target; None if that takes too many."""

    head: int | None = None
    line: int | None = None


_NOWHERE = [Reached()] * len(OVERLAP_TARGETS_SD)


def run_swarm(_kept: Path) -> dict[str, object]:
    """Return the runs per node to each target, and the speed-up over a single node."""
    jobs = [
        (nodes, share, seed) for nodes in SIZES for share in LIARS for seed in range(_SEEDS)
        if nodes > 1 or share == 0
    ]  # fmt: skip
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        reached = dict(zip(jobs, pool.map(_reach, jobs, chunksize=1), strict=True))
    swarms = dict.fromkeys((nodes, share) for nodes, share, _ in jobs)
    spent = {
        (*swarm, target): [reached[*swarm, seed][at] for seed in range(_SEEDS)]
        for swarm in swarms
        for at, target in enumerate(TARGETS_SD)
    }
    return {
        "assumed": "gains add up, no two nodes have the same idea, boards are heard at once",
        **{
            f"{nodes} nodes, {share:.0%} liars": {
                f"to_{target:.0f}_sd": {
                    "runs": round(fmean(spent[nodes, share, target])),
                    "times_alone": ratio_of(spent[1, 0.0, target], spent[nodes, share, target]),
                }
                for target in TARGETS_SD
            }
            for nodes, share in swarms
        },
    }


def _reach(job: tuple[int, float, int]) -> list[int]:
    nodes, share, seed = job
    print(f"  {nodes} nodes, {share:.0%} liars", file=sys.stderr, flush=True)
    reached = runs_to(TARGETS_SD, nodes, _liars(nodes, share), seed)
    return [at.head for at in reached if at.head is not None]


def _liars(nodes: int, share: float) -> int:
    return round(nodes * share / (1 - share))


# Where ideas overlap


Job: TypeAlias = tuple[str, bool, int, float, int]  # set, ideas divided, nodes, liars, seed


def run_overlap(kept: Path, *, begun_s: float = _BEGUN_S) -> dict[str, object]:
    """Return the speed-up of a swarm over a single node under each set of assumptions.

    It is given with and without dividing ideas among members. Targets that a single node does not
    reach are omitted. A full run takes hours. Each call runs missing jobs, seed by seed, single
    nodes first, and reports what is complete.
    """
    jobs = [
        (name, is_shared, nodes, share, seed)
        for seed in range(_OVERLAP_SEEDS)
        for nodes in SIZES
        for name in SETS
        for is_shared in (False, True)
        for share in OVERLAP_LIARS
        if (nodes > 1 or (share == 0 and not is_shared)) and not (is_shared and name in _NO_POOL)
    ]
    jobs.sort(key=lambda job: (job[4], job[2] > 1))
    reached = _played(jobs, kept / f"overlap-{code_digest()}.jsonl", begun_s)
    figures: dict[str, dict[str, dict[str, object]]] = {}
    for name, is_shared, nodes, share in dict.fromkeys(job[:4] for job in jobs):
        if nodes == 1:
            continue
        way = "ideas shared out" if is_shared else "as it is"
        swarm = figures.setdefault(name, {}).setdefault(way, {})
        for at, target in enumerate(OVERLAP_TARGETS_SD):
            heads, lines = list[tuple[int, int]](), list[tuple[int, int]]()
            for seed in range(_OVERLAP_SEEDS):
                alone = reached.get(_alone(name, seed), _NOWHERE)[at]
                together = reached.get((name, is_shared, nodes, share, seed), _NOWHERE)[at]
                if alone.head is not None and together.head is not None:
                    heads.append((alone.head, together.head))
                if alone.line is not None and together.line is not None:
                    lines.append((alone.line, together.line))
            if len(heads) >= _LEAST_SEEDS:
                row = f"{nodes} nodes, {share:.0%} liars, to {target:.0f}"
                swarm[row] = {
                    "times_alone": ratio_of(*zip(*heads, strict=True)),
                    "working_lines": ratio_of(*zip(*lines, strict=True)),
                    "seeds": len(heads),
                }
    return {"runs_at_most": _MOST_RUNS, "missing": len(jobs) - len(reached), **figures}


def _alone(name: str, seed: int) -> Job:
    return name, False, 1, 0.0, seed


def _played(jobs: Sequence[Job], path: Path, begun_s: float) -> dict[Job, list[Reached]]:
    """Return the results of all jobs, kept or run now on all cores. Keep new results in a file.

    A single node runs before the swarms that it is compared with, since they need to reach only the
    targets that it reached.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines() if path.exists() else []
    reached: dict[Job, list[Reached]] = {
        tuple(job): [Reached(*at) for at in found] for job, found in map(json.loads, lines)
    }
    missing = iter([job for job in jobs if job not in reached])
    ends_s = time.monotonic() + begun_s
    running: set[Future[tuple[Job, list[Reached]]]] = set()
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool, path.open("a") as kept:
        while True:
            while len(running) < cores and time.monotonic() < ends_s:
                if (job := next(missing, None)) is None:
                    break
                running.add(pool.submit(_reach_under, job, _targets_of(job, reached)))
            if not running:
                return reached
            done, running = wait(running, return_when="FIRST_COMPLETED")
            for one in done:
                job, found = one.result()
                reached[job] = found
                kept.write(json.dumps([job, found]) + "\n")
                kept.flush()


def _targets_of(job: Job, reached: Mapping[Job, list[Reached]]) -> tuple[float, ...]:
    name, _, _, _, seed = job
    alone = reached.get(_alone(name, seed))
    if alone is None:  # the single node's job is still running, or is this job
        return OVERLAP_TARGETS_SD
    return tuple(
        target for target, at in zip(OVERLAP_TARGETS_SD, alone, strict=True) if at.head is not None
    )


def code_digest() -> str:
    """Return a digest of the simulated code. Kept results of other code are not used."""
    digest = hashlib.sha256()
    for name in _SIMULATES:
        for path in sorted((ROOT / name).rglob("*.py")) or [ROOT / name]:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _reach_under(job: Job, targets: tuple[float, ...]) -> tuple[Job, list[Reached]]:
    name, is_shared, nodes, share, seed = job
    print(f"  {name}: {nodes} nodes, {share:.0%} liars, {is_shared}", file=sys.stderr, flush=True)
    reached = runs_to(
        targets,
        nodes,
        _liars(nodes, share),
        seed,
        assumed=SETS[name],
        sharing=Sharing(
            divides=is_shared, reads_screens=is_shared, pools_keeps=is_shared, tries_early=is_shared
        ),
        most_runs=_MOST_RUNS,
    )
    return job, [*reached, *_NOWHERE[len(reached) :]]


def runs_to(
    targets: tuple[float, ...],
    nodes: int,
    liars: int,
    seed: int,
    *,
    assumed: Assumed = AS_SHIPPED,
    sharing: Sharing | None = None,
    most_runs: float = math.inf,
) -> list[Reached]:
    """Return the runs per node until the typical node's true gain reaches each target.

    Targets that take more than `most_runs` have None.
    """
    chance = random.Random(seed)
    swarm = Swarm.of(chance, members=nodes, liars=liars, assumed=assumed, sharing=sharing)
    session = _NO_END if assumed.is_endless else RUNS_A_NIGHT
    machines = [
        Machine(random.Random(chance.random()), runs_a_session=session) for _ in range(nodes)
    ]
    members = [
        Member(machine, number=number, swarm=swarm) for number, machine in enumerate(machines)
    ]
    for member in members:
        member.begin()
    heads, lines = list[int](), list[int]()
    lies = 0
    while len(heads) < len(targets) or len(lines) < len(targets):
        member = min(members, key=lambda one: one.machine.runs)
        if member.machine.runs > most_runs:
            break
        # A liar publishes as often as an honest node would.
        while lies < liars * member.machine.runs // 40:
            swarm.lie(nodes + lies % liars, member.machine.runs)
            lies += 1
        member.go_on()
        head_gains = (one.progress.gain for one in members)
        line_gains = (swarm.worth(one.known) for one in members)
        for gains, at in ((head_gains, heads), (line_gains, lines)):
            if len(at) < len(targets) and median(gains) >= targets[len(at)]:
                at.append(member.machine.runs)
    reached = [Reached(*at) for at in zip_longest(heads, lines)]
    return [*reached, *[Reached()] * (len(targets) - len(reached))]
