"""The speed-up of nodes that work together on real runs, compared with a single node.

Each node is the shipped program with its own home, key and network process. They connect by a
bootstrap node of a private network, which also shares tasks that are not built in. They take turns
on this machine, one at a time, as a single node has it. Two at a time would stretch each other's
CPU seconds, until a limit ends every second run of a line near it. The node with the fewest runs is
always next. Time is counted in runs of each node, which are bit-identical however long they take.
While they work, each node's working line is recorded by number of runs. The true gains of these
sources are measured afterwards, in pairs with the baseline on seeds that no node used.

The tasks differ in their possible gains: few large effects (`tiny-short`); a long tail, with new
instances in each run (`search`); the same with fixed instances, so that each run is exact
(`search-fixed`, in tools/soak/tasks). Built-in tasks with exact runs have no long tail: on
`circles-26` one node alone reaches 94 % of its gain in nine runs. Targets are shares of the single
node's gain after its last run. Each call runs the groups that are not recorded yet. Results stay in
tools/soak/recorded/.
"""

import asyncio
import json
import os
import secrets
import shutil
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from node.demo.cast import ARNODE, NETWORK, Actor, Cast, address_of, ended
from node.home.control_socket import call, is_running
from node.home.home import Home
from node.home.invites import write_invite
from node.home.network_definition import SECRET_BYTES, Network
from node.home.networks import create_network
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.source import Source
from protocol.styles import Style
from protocol.units import NANO
from tests.remote.programs import ended_runs
from tools.soak.measuring import SPLIT
from tools.soak.stopping import RECORDED
from tools.soak.swarm_limit import KeptChange, fewest_runs, kept_changes, runs_by_kind
from trainer.runner import Runner
from trainer.task_folder.task import Task
from trainer.task_kinds import kind_of, load_task

TASKS: Final = ("tiny-short", "search", "search-fixed")
_FOLDERS: Final = Path(__file__).parent / "tasks"  # those that are not built in
_REPETITIONS: Final = 3
_NODES: Final = 8
_RUNS: Final[Mapping[int, int]] = {1: 240, _NODES: 60}  # of each node; a group should be faster
_SHARES: Final = (0.5, 0.8, 0.95)  # of a single node's gain
_SEEDS: Final = range(1000, 1006)
_TURN_RUNS: Final = 2  # short turns, so that all advance evenly and exchange records
_LONGEST_RUN_S: Final = 120.0
_LONGEST_S: Final = 5400.0  # for one group
_BEGUN_S: Final = 1800.0  # no group is started after this
_SETTINGS: Final[Mapping[str, str]] = {
    "ARNODE_NET": NETWORK,
    "ARNODE_WEB": "none",
    "ARNODE_DHT": "0",
    "ARNODE_QUIET_MINUTES": "0",  # the nodes are each other's load
}

Figures = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Group:
    """The nodes of one repetition on a task, with the file of their results."""

    task: str
    number: int
    nodes: int

    @property
    def name(self) -> str:
        return f"together-{self.task}-{self.number:02}-{self.nodes}"

    @property
    def task_place(self) -> str:
        """The task's name, or its folder if it is not built in."""
        folder = _FOLDERS / self.task
        return str(folder) if folder.is_dir() else self.task

    @property
    def path(self) -> Path:
        return RECORDED / f"{self.name}.json"


def run_together(
    home: Path, *, longest_s: float = _LONGEST_S, begun_s: float = _BEGUN_S
) -> Figures:
    """Run the groups that are not recorded yet, and return the figures of all."""
    ends_s = time.monotonic() + begun_s
    groups = [
        _Group(task, number, nodes)
        for number in range(_REPETITIONS)
        for task in TASKS
        for nodes in (1, _NODES)
    ]
    for group in groups:
        if not group.path.exists() and time.monotonic() < ends_s:
            played = _played_once(home, group, longest_s)
            gains = asyncio.run(_true_gains(home, group, played["seen"]))
            group.path.write_text(json.dumps({**played, "gains": gains}))
    results = {task: results_of(task, range(_REPETITIONS)) for task in TASKS}
    return {"holds": all(one["repetitions"] == _REPETITIONS for one in results.values()), **results}


def results_of(task: str, repetitions: Iterable[int]) -> dict[str, Any]:
    """Return the figures of a task's recorded groups.

    Runs are per node. A target that the eight nodes never reached has None.
    """
    results: dict[str, Any] = {f"{share:.0%}": [] for share in _SHARES}
    count, spent = 0, []
    for number in repetitions:
        paths = [_Group(task, number, nodes).path for nodes in (1, _NODES)]
        if not all(path.exists() for path in paths):
            continue
        count += 1
        alone, together = (json.loads(path.read_text()) for path in paths)
        spent.append(together["spent"])
        kept = [KeptChange(**{**one, "needs": tuple(one["needs"])}) for one in alone["kept"]]
        for share in _SHARES:
            target = share * _gain_at(alone, len(alone["seen"]) - 1)
            one, many = _runs_to(target, alone), _runs_to(target, together)
            assert one is not None
            fewest = fewest_runs(alone["start"], kept, one, nodes=_NODES)
            results[f"{share:.0%}"].append(
                {
                    "alone": one,
                    "together": many,
                    "times_as_fast": round(one / many, 2) if many else None,
                    "at_most": round(one / fewest, 2),
                }
            )
    return {"repetitions": count, **results, "runs_went_to": spent}


def _gain_at(results: Mapping[str, Any], row: int) -> float:
    """Return the median gain of the lines over the baseline."""
    gains: dict[str, float] = results["gains"]
    return statistics.median(gains[tree] for tree, _ in results["seen"][row] if tree in gains)


def _runs_to(target: float, results: Mapping[str, Any]) -> float | None:
    """Return the mean runs per node when the median gain reached a target, or None."""
    for number, row in enumerate(results["seen"]):
        if _gain_at(results, number) >= target:
            return statistics.fmean(runs for _, runs in row)
    return None


def _played_once(home: Path, group: _Group, longest_s: float) -> dict[str, Any]:
    """Return the observations of a group, from an earlier unfinished call or a new run."""
    kept = home / f"{group.name}.json"
    if not kept.exists():
        place = home / group.name
        shutil.rmtree(place, ignore_errors=True)
        seen = asyncio.run(_played(place, group, longest_s))
        homes = [Home(place / f"node-{number}") for number in range(group.nodes)]
        baseline = load_task(group.task_place, data_dir=home / "data").source
        start, changes = kept_changes(homes[0], baseline)
        results = {
            "seen": seen,
            "spent": [runs_by_kind(one) for one in homes],
            "start": start,
            "kept": [asdict(change) for change in changes],
        }
        kept.write_text(json.dumps(results))
    played: dict[str, Any] = json.loads(kept.read_text())
    return played


async def _played(place: Path, group: _Group, longest_s: float) -> list[list[tuple[str, int]]]:
    """Let the nodes work; return each node's working line and number of runs over time."""
    seen: list[list[tuple[str, int]]] = []
    async with aclosing(Cast(place, is_temporary=False)) as cast:
        network = Network(name=NETWORK, secret=secrets.token_bytes(SECRET_BYTES))
        create_network(Home(place / "bootstrap"), network)
        bootstrap = await cast.start(
            "bootstrap", ARNODE, ("network", "bootstrap", "--http", "none"), _SETTINGS
        )
        line = write_invite(replace(network, bootstrap=(await address_of(bootstrap),)))
        start = ("start", "--task", group.task_place, "--join", line, "--yes")
        nodes = [
            await cast.start(f"node-{number}", ARNODE, start, _SETTINGS)
            for number in range(group.nodes)
        ]
        await asyncio.gather(*(_awaited(node) for node in nodes))
        end_s = time.monotonic() + longest_s
        turns = _Turns(nodes)
        while time.monotonic() < end_s:
            await turns.give()
            if dead := next((one for one in nodes if one.process.returncode is not None), None):
                raise ended(dead)
            row = await asyncio.to_thread(lambda: [_progress(node) for node in nodes])
            if all(tree for tree, _ in row) and (not seen or row != seen[-1]):
                seen.append(row)
                print(f"  {group.name}: {[runs for _, runs in row]}", file=sys.stderr, flush=True)
            if statistics.fmean(runs for _, runs in row) >= _RUNS[group.nodes]:
                break
    return seen


class _Turns:
    """The turns of the nodes: only one at a time may start runs."""

    def __init__(self, nodes: Sequence[Actor]) -> None:
        self._nodes = nodes
        self._at_work = list(nodes)

    async def give(self) -> None:
        """Give the next turn to the node with the fewest runs, once the others are paused."""
        following = min(self._nodes, key=lambda node: _progress(node)[1])
        ending = [node for node in self._at_work if node is not following]
        for node in ending:
            await asyncio.to_thread(call, node.home.socket, "pause", {"at_end": True})
        for node in ending:
            await _paused(node)
        if following not in self._at_work:
            await asyncio.to_thread(call, following.home.socket, "resume")
        self._at_work = [following]
        await _worked(following)


async def _worked(node: Actor) -> None:
    """Wait until a node has made its turn's runs, for at most two minutes."""
    _, before = await asyncio.to_thread(_progress, node)
    ends_s = time.monotonic() + _LONGEST_RUN_S
    while time.monotonic() < ends_s and node.process.returncode is None:
        if (await asyncio.to_thread(_progress, node))[1] >= before + _TURN_RUNS:
            return
        await asyncio.sleep(0.2)


async def _paused(node: Actor) -> None:
    async with asyncio.timeout(_LONGEST_RUN_S):
        while True:
            results = await asyncio.to_thread(call, node.home.socket, "is_decided", {"id": b""})
            if isinstance(results, dict) and str(results["stage"]).startswith("paused"):
                return
            await asyncio.sleep(0.2)


async def _awaited(node: Actor) -> None:
    while not is_running(node.home.socket):
        if node.process.returncode is not None:
            raise ended(node)
        await asyncio.sleep(0.2)


def _progress(node: Actor) -> tuple[str, int]:
    """Return a node's working line ("" before it has one) and its number of runs."""
    if not node.home.store.exists():
        return "", 0
    with Store.open_read_only(node.home) as store:
        trees = [line.working.hex() for line in store.jobs.lines()]
    return (trees[0] if trees else ""), len(ended_runs(node.home))


async def _true_gains(
    home: Path, group: _Group, seen: Sequence[Sequence[tuple[str, int]]]
) -> dict[str, float]:
    """Return the true gain of each line over the baseline, in the metric's unit.

    A line with fewer than half of its runs successful is omitted. It took too much CPU time.
    """
    task = load_task(group.task_place, data_dir=home / "data")
    sources: dict[str, Source] = {task.source.tree.hex(): task.source}
    for row in seen:
        for number, (tree, _) in enumerate(row):
            if tree not in sources:
                blobs = Blobs(Home(home / group.name / f"node-{number}").blobs)
                sources[tree] = blobs.get_source(bytes.fromhex(tree))
    cores = len(os.sched_getaffinity(0))
    parts = [dict([*sources.items()][core::cores]) for core in range(cores)]
    measured: dict[str, dict[int, float]] = {}
    for part in await asyncio.gather(*(_measured(task, home / "data", part) for part in parts)):
        measured |= part
    sign = 1 if task.manifest.metric.direction == "max" else -1
    base = measured[task.source.tree.hex()]
    return {
        tree: sign * statistics.fmean(figures[seed] - base[seed] for seed in figures.keys() & base)
        for tree, figures in measured.items()
        if 2 * len(figures.keys() & base) >= len(base)
    }


async def _measured(
    task: Task, data_dir: Path, sources: Mapping[str, Source]
) -> dict[str, dict[int, float]]:
    """Return the scores of sources on one secret split, by seed. Failed runs are omitted."""
    data = kind_of(task.manifest).prepare(task, data_dir=data_dir, progress=lambda *_: None)
    runner = Runner(task, data, audit_key=bytes(32), patience_s=0.0)
    found: dict[str, dict[int, float]] = {tree: {} for tree in sources}
    seeds = _SEEDS[:1] if Style.of(task.manifest).is_exact else _SEEDS
    try:
        await runner.calibrate(seeds[0])
        for number, (tree, source) in enumerate(sources.items()):
            print(f"  measuring {number + 1} of {len(sources)}", file=sys.stderr, flush=True)
            for seed in seeds:
                outcome = await runner.run(source, seed, split=SPLIT)
                if outcome.secret_nano is not None:
                    found[tree][seed] = outcome.secret_nano / NANO
    finally:
        await runner.close()
    return found
