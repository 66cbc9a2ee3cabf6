"""The cost of leaving plateaus where there are none, and its gain where there are.

Each stream runs twice with the same seed: as shipped, and without continuing from another tree.
Every figure has its 95 % interval.
"""

import os
import random
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean

from tools.bench.landscapes import Walker, Ways
from tools.bench.shares import mean_of, quantile_of, ratio_of, share_of
from tools.bench.streams import Node
from tools.bench.worlds import RUNS_A_NIGHT, Machine, draw_gain

HORIZONS = {"night": RUNS_A_NIGHT, "week": 7 * RUNS_A_NIGHT, "2000": 2_000}
_STREAMS = 48
_LANDS = 32
_LAND_RUNS = (1_000, 2_000, 4_000)
_CREW = 4
PROPOSERS: dict[str, Callable[[random.Random], float]] = {
    "5 % good": draw_gain,
    "none good": lambda _chance: 0.0,
    "most harm": lambda chance: -chance.uniform(0.5, 3) if chance.random() < 0.8 else 0.0,
}


def run_explore(_kept: Path) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        _print_progress("streams that get on")
        both = pool.map(_stream, [(n, is_on) for is_on in (True, False) for n in range(_STREAMS)])
        _print_progress("how soon a plateau is seen")
        seen = pool.map(_seen, [(name, n) for name in PROPOSERS for n in range(_STREAMS)])
        _print_progress("landscapes, alone")
        alone = pool.map(_alone, [(n, is_on) for is_on in (True, False) for n in range(_LANDS)])
        _print_progress("landscapes, four nodes")
        crews = pool.map(_crew, [(n, is_on) for is_on in (True, False) for n in range(_LANDS)])
    best = fmean(Ways(seed).best() for seed in range(_LANDS))
    return {
        "streams_that_get_on": _comparison(both, [*HORIZONS]),
        "experiments_until_a_plateau_is_seen": {
            name: _spread(seen[number * _STREAMS : (number + 1) * _STREAMS])
            for number, name in enumerate(PROPOSERS)
        },
        "landscapes_alone": {"best_there_is_sd": round(best, 1), **_comparison(alone, _LAND_RUNS)},
        f"landscapes_of_{_CREW}_nodes": _comparison(crews, _LAND_RUNS),
    }


def best_curve(seed: int, runs: tuple[int, ...], *, explores: bool, nodes: int = 1) -> list[float]:
    """Return the mean true gain of nodes on one landscape after each number of runs per node."""
    land, chance = Ways(seed), random.Random(seed)
    crew = [
        Walker(Machine(random.Random(chance.random())), land=land, explores=explores)
        for _ in range(nodes)
    ]
    for walker in crew:
        walker.others = [other for other in crew if other is not walker]
        walker.begin()
    gains: list[float] = []
    for horizon in runs:
        while (walker := min(crew, key=lambda one: one.machine.runs)).machine.runs < horizon:
            walker.go_on()
        gains.append(fmean(one.progress.gain for one in crew))
    return gains


def stream(seed: int, runs: tuple[int, ...], *, explores: bool) -> list[float]:
    """Return the true gain of a node with a good proposer after each number of runs."""
    node = Node(Machine(random.Random(seed)), explores=explores)
    node.begin()
    gains: list[float] = []
    for horizon in runs:
        while node.machine.runs < horizon:
            node.go_on()
        gains.append(node.progress.gain)
    return gains


def until_plateau(propose: Callable[[random.Random], float], seed: int, most: int) -> int:
    """Return the number of experiments until a node detects a plateau, at most `most`."""
    node = _Counted(Machine(random.Random(seed)), propose=propose, explores=False)
    node.begin()
    while node.count < most and not node.trend.is_plateau:
        node.go_on()
    return node.count


class _Counted(Node):
    """A node that counts its experiments."""

    count = 0

    def decided(self, *, is_kept: bool, gain_sd: float, runs: int) -> None:
        """Count one more experiment."""
        self.count += 1


def _stream(job: tuple[int, bool]) -> list[float]:
    seed, is_on = job
    return stream(seed, tuple(HORIZONS.values()), explores=is_on)


def _seen(job: tuple[str, int]) -> int:
    name, seed = job
    return until_plateau(PROPOSERS[name], seed, 2_000)


def _alone(job: tuple[int, bool]) -> list[float]:
    seed, is_on = job
    return best_curve(seed, _LAND_RUNS, explores=is_on)


def _crew(job: tuple[int, bool]) -> list[float]:
    seed, is_on = job
    return best_curve(seed, _LAND_RUNS, explores=is_on, nodes=_CREW)


def _comparison(
    gains: list[list[float]], names: "list[str] | tuple[int, ...]"
) -> dict[str, object]:
    """Return the mean gains at each horizon with and without, and how often each led by 1 sd."""
    half = len(gains) // 2
    figures: dict[str, object] = {}
    for number, name in enumerate(names):
        ways = [one[number] for one in gains[:half]], [one[number] for one in gains[half:]]
        leads = [on - off for on, off in zip(*ways, strict=True)]
        figures[str(name)] = {
            "gain_sd": mean_of(ways[0]),
            "without": mean_of(ways[1]),
            "times_without": ratio_of(*ways),
            "ahead": share_of(sum(lead > 1 for lead in leads), half),
            "behind": share_of(sum(lead < -1 for lead in leads), half),
            "median_lead_sd": quantile_of(leads, 0.5),
        }
    return figures


def _spread(counts: list[int]) -> dict[str, object]:
    return {"half": quantile_of(counts, 0.5), "nine_in_ten": quantile_of(counts, 0.9)}


def _print_progress(what: str) -> None:
    print(f"  {what} …", file=sys.stderr, flush=True)
