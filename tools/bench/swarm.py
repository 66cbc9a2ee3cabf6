"""Many nodes that hear of each other: how soon the typical one is as far as one alone.

What this assumes flatters a swarm, and stands beside the figures: gains add up, no two nodes have
the same idea, and what one finds the others hear of at once.
"""

import os
import random
import sys
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, median

from tools.bench.members import Member, Swarm
from tools.bench.shares import ratio_of
from tools.bench.worlds import Machine

SIZES = (1, 4, 8, 16, 32)
LIARS = (0.0, 0.3, 0.5)  # of all, beside so many honest nodes
TARGETS_SD = (40.0, 150.0)
_SEEDS = 24  # one alone takes 15 % more or less from seed to seed


def run_swarm(_kept: Path) -> dict[str, object]:
    """Return runs per node to each target, and how many times as fast as one alone that is."""
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
    return runs_to(TARGETS_SD, nodes, round(nodes * share / (1 - share)), seed)


def runs_to(targets: tuple[float, ...], nodes: int, liars: int, seed: int) -> list[int]:
    """Return how many runs a node spends until the typical one has truly gained each target."""
    chance = random.Random(seed)
    swarm = Swarm(chance)
    members = [
        Member(Machine(random.Random(chance.random())), number=number, swarm=swarm)
        for number in range(nodes)
    ]
    for member in members:
        member.begin()
    reached: list[int] = []
    lies = 0
    while len(reached) < len(targets):
        member = min(members, key=lambda one: one.machine.runs)
        # A liar has something new as often as an honest node would.
        while lies < liars * member.machine.runs // 40:
            swarm.lie(nodes + lies % liars)
            lies += 1
        member.go_on()
        if median(one.progress.gain for one in members) >= targets[len(reached)]:
            reached.append(member.machine.runs)
    return reached
