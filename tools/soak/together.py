"""Nodes that work together on real runs, beside one alone: how soon the typical one is as far.

Each node is the program that ships, with a home, a key and a network process of its own; they meet
at a bootstrap node. They take turns on this machine, one at a time, as one alone has it: two at a
time stretch each other's CPU seconds, until a ceiling ends every second run of a line near it. The
next is always the one that has had fewest runs; time is counted in runs of each, which come to the
same bits however long they take. Whose working line was which source after how many runs is written
down while they work; what these sources truly gain is measured afterwards, on seeds that no node
has seen, the baseline beside them.

Each call plays what is not recorded yet of the repetitions; what a group came to stays in
tools/soak/recorded/.
"""

import asyncio
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.demo.cast import ARNODE, NETWORK, TASK, Actor, Cast, address_of, ended
from node.home.control_socket import call, is_running
from node.home.home import Home
from node.home.invites import write_invite
from node.home.network_definition import Network
from node.home.networks import create_network
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.source import Source
from tests.remote.programs import ended_runs
from tools.soak.measuring import MEASURED_SEEDS, measure, open_runner, worth_of
from tools.soak.stopping import RECORDED
from trainer.measuring.outcome import RunOutcome
from trainer.task_kinds import load_task

_REPETITIONS: Final = 3
_NODES: Final = 8
_RUNS: Final[Mapping[int, int]] = {1: 240, _NODES: 40}  # of each node; a group is to be sooner
_TARGETS: Final = (0.3, 0.4, 0.45)  # bits per byte below the baseline
_SEEDS: Final = MEASURED_SEEDS[:6]
_TURN_S: Final = 2.0  # so that all are as far, and hear of each other as they go
_LONGEST_RUN_S: Final = 120.0
_LONGEST_S: Final = 5400.0  # for one group
_BEGUN_S: Final = 1800.0  # after this none is begun
_SETTINGS: Final[Mapping[str, str]] = {
    "ARNODE_NET": NETWORK,
    "ARNODE_WEB": "none",
    "ARNODE_DHT": "0",
    "ARNODE_QUIET_MINUTES": "0",  # each is the others' load
}

Figures = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Group:
    """So many nodes of one repetition, and where what they came to is kept."""

    number: int
    nodes: int

    @property
    def name(self) -> str:
        return f"together-{self.number:02}-{self.nodes}"

    @property
    def path(self) -> Path:
        return RECORDED / f"{self.name}.json"


def run_together(
    home: Path, *, longest_s: float = _LONGEST_S, begun_s: float = _BEGUN_S
) -> Figures:
    """Play the groups that are not recorded yet, and tell all of them."""
    ends_s = time.monotonic() + begun_s
    for group in [_Group(number, nodes) for number in range(_REPETITIONS) for nodes in (1, _NODES)]:
        if not group.path.exists() and time.monotonic() < ends_s:
            seen = _seen(home, group, longest_s)
            gains = asyncio.run(_true_gains(home, group, seen))
            group.path.write_text(json.dumps({"seen": seen, "gains": gains}))
    return told_of(range(_REPETITIONS))


def told_of(repetitions: Iterable[int]) -> Figures:
    """Return what the recorded groups came to."""
    numbers = [
        number
        for number in repetitions
        if all(_Group(number, nodes).path.exists() for nodes in (1, _NODES))
    ]
    ratios: dict[float, list[float | None]] = {target: [] for target in _TARGETS}
    ends: list[dict[str, object]] = []
    for number in numbers:
        alone, together = (
            json.loads(_Group(number, nodes).path.read_text()) for nodes in (1, _NODES)
        )
        for target, found in ratios.items():
            one, many = (_runs_to(target, told) for told in (alone, together))
            found.append(round(one / many, 2) if one and many else None)
        ends.append({"alone": _ending(alone), "together": _ending(together)})
    return {
        "holds": len(ends) >= _REPETITIONS,
        "nodes": _NODES,
        "times_as_fast": {str(target): found for target, found in ratios.items()},
        # A target that eight never came to is the slowest of all.
        "median": {
            str(target): round(statistics.median(one or 0.0 for one in found), 2) if found else None
            for target, found in ratios.items()
        },
        "ends": ends,
    }


def _runs_to(target: float, told: Mapping[str, Any]) -> float | None:
    """Return how many runs each node had on average when the typical one's line had gained this."""
    for row in told["seen"]:
        known = [told["gains"][tree] for tree, _ in row if tree in told["gains"]]
        if statistics.median(known) >= target:
            return statistics.fmean(runs for _, runs in row)
    return None


def _ending(told: Mapping[str, Any]) -> dict[str, object]:
    row = told["seen"][-1]
    return {
        "runs": [runs for _, runs in row],
        "gains": [
            round(told["gains"][tree], 3) if tree in told["gains"] else None for tree, _ in row
        ],
    }


def _seen(home: Path, group: _Group, longest_s: float) -> list[list[tuple[str, int]]]:
    """Return what was seen of a group: as it was played before it was measured, else anew."""
    kept = home / f"{group.name}.json"
    if not kept.exists():
        shutil.rmtree(home / group.name, ignore_errors=True)
        kept.write_text(json.dumps(asyncio.run(_played(home / group.name, group, longest_s))))
    seen: list[list[tuple[str, int]]] = json.loads(kept.read_text())
    return seen


async def _played(place: Path, group: _Group, longest_s: float) -> list[list[tuple[str, int]]]:
    """Let the nodes work; return which line each had after how many runs, at each look."""
    seen: list[list[tuple[str, int]]] = []
    async with aclosing(Cast(place, is_temporary=False)) as cast:
        create_network(Home(place / "bootstrap"), Network(name=NETWORK))
        bootstrap = await cast.start(
            "bootstrap", ARNODE, ("bootstrap", "run", "--http", "none"), _SETTINGS
        )
        line = write_invite(Network(name=NETWORK, bootstrap=(await address_of(bootstrap),)))
        start = ("start", "--task", TASK, "--join", line, "--yes")
        nodes = [
            await cast.start(f"node-{number}", ARNODE, start, _SETTINGS)
            for number in range(group.nodes)
        ]
        await asyncio.gather(*(_awaited(node) for node in nodes))
        end_s = time.monotonic() + longest_s
        turns = _Turns(nodes)
        while time.monotonic() < end_s:
            await turns.give()
            await asyncio.sleep(_TURN_S)
            if dead := next((one for one in nodes if one.process.returncode is not None), None):
                raise ended(dead)
            row = await asyncio.to_thread(lambda: [_standing(node) for node in nodes])
            if all(tree for tree, _ in row) and (not seen or row != seen[-1]):
                seen.append(row)
                print(f"  {group.name}: {[runs for _, runs in row]}", file=sys.stderr, flush=True)
            if statistics.fmean(runs for _, runs in row) >= _RUNS[group.nodes]:
                break
    return seen


class _Turns:
    """Which of the nodes may begin runs."""

    def __init__(self, nodes: Sequence[Actor]) -> None:
        self._nodes = nodes
        self._at_work = list(nodes)

    async def give(self) -> None:
        """Give the next turn to the one that has had fewest runs, once the others are through."""
        following = min(self._nodes, key=lambda node: _standing(node)[1])
        ending = [node for node in self._at_work if node is not following]
        for node in ending:
            await asyncio.to_thread(call, node.home.socket, "pause", {"at_end": True})
        for node in ending:
            await _paused(node)
        if following not in self._at_work:
            await asyncio.to_thread(call, following.home.socket, "resume")
        self._at_work = [following]


async def _paused(node: Actor) -> None:
    async with asyncio.timeout(_LONGEST_RUN_S):
        while True:
            told = await asyncio.to_thread(call, node.home.socket, "is_decided", {"id": b""})
            if isinstance(told, dict) and str(told["stage"]).startswith("paused"):
                return
            await asyncio.sleep(0.2)


async def _awaited(node: Actor) -> None:
    while not is_running(node.home.socket):
        if node.process.returncode is not None:
            raise ended(node)
        await asyncio.sleep(0.2)


def _standing(node: Actor) -> tuple[str, int]:
    """Return a node's working line ("" before it has one) and how many runs it has made."""
    if not node.home.store.exists():
        return "", 0
    with Store.open_read_only(node.home) as store:
        trees = [line.working.hex() for line in store.jobs.lines()]
    return (trees[0] if trees else ""), len(ended_runs(node.home))


async def _true_gains(
    home: Path, group: _Group, seen: Sequence[Sequence[tuple[str, int]]]
) -> dict[str, float]:
    """Return how far each line truly lies below the baseline, measured on all cores.

    One that no run comes through with is left out: beside others it took too much processor time.
    """
    task = load_task(TASK, data_dir=home / "data")
    sources: dict[str, Source] = {task.source.tree.hex(): task.source}
    for row in seen:
        for number, (tree, _) in enumerate(row):
            if tree not in sources:
                blobs = Blobs(Home(home / group.name / f"node-{number}").blobs)
                sources[tree] = blobs.get_source(bytes.fromhex(tree))
    cores = len(os.sched_getaffinity(0))
    parts = [dict([*sources.items()][core::cores]) for core in range(cores)]
    async with AsyncExitStack() as stack:
        runners = [await stack.enter_async_context(open_runner(task, home)) for _ in parts]
        await asyncio.gather(
            *(measure(*one, seeds=_SEEDS) for one in zip(runners, parts, strict=True))
        )
        kept = runners[0].kept
    return {
        tree: worth_of(kept, task.source, source, seeds=_SEEDS).gain
        for tree, source in sources.items()
        if sum(_has_metric(kept.get(source.tree, seed)) for seed in _SEEDS) > 1
    }


def _has_metric(run: RunOutcome | None) -> bool:
    return run is not None and run.secret_nano is not None
