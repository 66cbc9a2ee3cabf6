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
node's gain after its last run. The same groups play again with liars among them. A night of many
nodes with few runs each is compared with one node that makes as many runs as all of them. Each call
runs the groups that are not recorded yet. Results stay in tools/soak/recorded/.
"""

import asyncio
import json
import os
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from node.demo.cast import ARNODE, NETWORK, Actor, Cast, address_of, ended
from node.home.control_socket import Message, call, is_running
from node.home.home import Home
from node.home.invites import write_invite
from node.home.network_definition import SECRET_BYTES, Network
from node.home.networks import create_network
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.source import Source
from protocol.styles import Style
from protocol.units import NANO
from tests.peering.parts import parts_of
from tests.remote.programs import ended_runs
from tools.soak.measuring import SPLIT
from tools.soak.swarm_limit import kept_changes, runs_by_kind
from tools.soak.together_results import (
    NIGHT_TASKS,
    REPETITIONS,
    TASKS,
    Figures,
    Group,
    Played,
    groups,
    lying_of,
    night_of,
    results_of,
)
from trainer.host.processes import family_of, used_cpu_s
from trainer.runner import Runner
from trainer.task_folder.task import Task
from trainer.task_kinds import kind_of, load_task

_SEEDS: Final = range(1000, 1006)
_NEWCOMER_RUNS: Final = 24
_LONGEST_RUN_S: Final = 120.0
_CONNECTING_S: Final = 20.0
_LONGEST_ANSWER_S: Final = 600.0  # many nodes may share the machine
_LONGEST_S: Final = 5400.0  # for one group
_BEGUN_S: Final = 1800.0  # no group is started after this
_SETTINGS: Final[Mapping[str, str]] = {
    "ARNODE_NET": NETWORK,
    "ARNODE_WEB": "none",
    "ARNODE_DHT": "0",
    "ARNODE_QUIET_MINUTES": "0",  # the nodes are each other's load
}
_BYTES: Final = re.compile(r"pid=(\d+),.*\n.*bytes_sent:(\d+)")


def run_together(
    home: Path, *, longest_s: float = _LONGEST_S, begun_s: float = _BEGUN_S
) -> Figures:
    """Run the groups that are not recorded yet, and return the figures of all."""
    ends_s = time.monotonic() + begun_s
    for group in groups():
        if not group.path.exists() and time.monotonic() < ends_s:
            record(home, group, longest_s=longest_s)
    results = {task: {**results_of(task), "lying": lying_of(task)} for task in TASKS}
    is_complete = all(one["repetitions"] == REPETITIONS for one in results.values())
    lying = [one["lying"] for one in results.values()]
    is_safe = all(one["repetitions"] and not one["adopted_in_vain"] for one in lying)
    holds = is_complete and is_safe
    return {"holds": holds, **results, "nights": {task: night_of(task) for task in NIGHT_TASKS}}


def record(home: Path, group: Group, *, longest_s: float = _LONGEST_S) -> None:
    """Run a group, measure its true gains and record them."""
    played = _played_once(home, group, longest_s)
    gains = asyncio.run(_true_gains(home, group, played))
    changes = [*_changes(played["seen"]), played["seen"][-1]]
    group.path.write_text(json.dumps({**played, "seen": changes, "gains": gains}))


def _changes(seen: Sequence[Sequence[tuple[str, int]]]) -> Iterator[Sequence[tuple[str, int]]]:
    """Yield the rows in which a working line is another one than in the row before."""
    before: list[str] = []
    for row in seen:
        trees = [tree for tree, _ in row]
        if trees != before:
            yield row
            before = trees


def _played_once(home: Path, group: Group, longest_s: float) -> Played:
    """Return the observations of a group, from an earlier unfinished call or a new run."""
    kept = home / f"{group.name}.json"
    if not kept.exists():
        place = home / group.name
        shutil.rmtree(place, ignore_errors=True)
        watched = asyncio.run(_played(place, group, longest_s))
        homes = [Home(place / f"node-{number}") for number in range(group.nodes)]
        baseline = load_task(group.task_place, data_dir=home / "data").source
        start, changes = kept_changes(homes[0], baseline)
        results = {
            **watched,
            "adopted": [move for one in homes for move in _adopted(one)],
            "spent": [runs_by_kind(one) for one in homes],
            "start": start,
            "kept": [asdict(change) for change in changes],
        }
        kept.write_text(json.dumps(results))
    played: Played = json.loads(kept.read_text())
    return played


async def _played(place: Path, group: Group, longest_s: float) -> Played:
    """Let the nodes work, then another node that joins them.

    Return each honest node's working line and number of runs over time, those of the newcomer, and
    the costs of a node.
    """
    seen: list[list[tuple[str, int]]] = []
    of_newcomer: list[tuple[str, int]] = []
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
        liars = [
            await cast.start(f"liar-{number}", "tools.soak.liar", start, _SETTINGS)
            for number in range(group.liars)
        ]
        everyone = [*nodes, *liars]
        await asyncio.gather(*(_awaited(node) for node in everyone))
        end_s = time.monotonic() + longest_s
        turns = _Turns(everyone)
        while time.monotonic() < end_s:
            await turns.give()
            if dead := next((one for one in everyone if one.process.returncode is not None), None):
                raise ended(dead)
            row = await asyncio.to_thread(lambda: [_progress(node) for node in nodes])
            if all(tree for tree, _ in row) and (not seen or row != seen[-1]):
                seen.append(row)
                print(f"  {group.name}: {[runs for _, runs in row]}", file=sys.stderr, flush=True)
            if statistics.fmean(runs for _, runs in row) >= group.runs:
                break
        costs = await asyncio.to_thread(_costs, nodes)
        if group.nodes > 1:
            newcomer = await cast.start("newcomer", ARNODE, start, _SETTINGS)
            await _awaited(newcomer)
            turns.add(newcomer)
            await turns.settle(newcomer)
            # Not more than the others have: they would get the turns.
            runs = min(_NEWCOMER_RUNS, group.runs)
            while not of_newcomer or of_newcomer[-1][1] < runs:
                await turns.give()
                of_newcomer.append(await asyncio.to_thread(_progress, newcomer))
    return {"seen": seen, "newcomer": of_newcomer, "costs": costs}


def _costs(nodes: Sequence[Actor]) -> Figures:
    """Return the means of records held, bytes sent and CPU seconds; runs are not counted."""
    cpu_s, sent, records = [], [], []
    sockets = subprocess.run(("ss", "-tinpH"), check=True, capture_output=True, text=True).stdout
    by_process = Counter[int]()
    for pid, count in _BYTES.findall(sockets):
        by_process[int(pid)] += int(count)
    for node in nodes:
        core = family_of(node.process.pid)[1]  # the first process only guards it
        parts = {name: pid for pid, name in parts_of(core)}
        cpu_s.append(used_cpu_s([parts["core"], parts["network"]]))
        sent.append(by_process[parts["network"]])
        with Store.open_read_only(node.home) as store:
            records.append(store.records.last_number())
    return {
        "records_of_each": round(statistics.fmean(records)),
        "bytes_sent_by_each": round(statistics.fmean(sent)),
        "cpu_s_of_each": round(statistics.fmean(cpu_s), 1),
    }


def _adopted(home: Home) -> list[tuple[str, str]]:
    """Return the changes of a node's verified head: the tree before, and the tree after."""
    with Store.open_read_only(home) as store:
        return [
            (adoption.body.from_tree.hex(), adoption.body.to_tree.hex())
            for line in store.jobs.lines()
            for adoption in store.experiments.adoptions(line.key)
        ]


class _Turns:
    """The turns of the nodes: only one at a time may start runs."""

    def __init__(self, nodes: Sequence[Actor]) -> None:
        self._nodes = list(nodes)
        self._at_work = list(nodes)

    def add(self, node: Actor) -> None:
        """Add a node that is at work already."""
        self._nodes.append(node)
        self._at_work.append(node)

    async def settle(self, node: Actor) -> None:
        """Let a node connect to the others before its first run; usual runs take minutes."""
        await _asked(node, "pause", at_end=True)
        await _paused(node)
        await asyncio.sleep(_CONNECTING_S)
        await _asked(node, "resume")

    async def give(self) -> None:
        """Give the next turn to the node with the fewest runs, once the others are paused."""
        following = min(self._nodes, key=lambda node: _progress(node)[1])
        ending = [node for node in self._at_work if node is not following]
        for node in ending:
            await _asked(node, "pause", at_end=True)
        for node in ending:
            await _paused(node)
        if following not in self._at_work:
            await _asked(following, "resume")
        self._at_work = [following]
        await _worked(following)


async def _worked(node: Actor) -> None:
    """Wait until a node has made another run, for at most two minutes."""
    _, before = await asyncio.to_thread(_progress, node)
    ends_s = time.monotonic() + _LONGEST_RUN_S
    while time.monotonic() < ends_s and node.process.returncode is None:
        if (await asyncio.to_thread(_progress, node))[1] >= before + 1:
            return
        await asyncio.sleep(0.2)


async def _asked(node: Actor, command: str, **arguments: Message) -> Message:
    socket = node.home.socket
    return await asyncio.to_thread(call, socket, command, arguments, timeout_s=_LONGEST_ANSWER_S)


async def _paused(node: Actor) -> None:
    async with asyncio.timeout(_LONGEST_RUN_S):
        while True:
            results = await _asked(node, "is_decided", id=b"")
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


async def _true_gains(home: Path, group: Group, played: Played) -> dict[str, float]:
    """Return the true gain of each line and head over the baseline, in the metric's unit.

    A line with fewer than half of its runs successful is omitted. It took too much CPU time.
    """
    task = load_task(group.task_place, data_dir=home / "data")
    sources: dict[str, Source] = {task.source.tree.hex(): task.source}
    trees = {tree for row in played["seen"] for tree, _ in row}.union(*played["adopted"])
    trees |= {tree for tree, _ in played["newcomer"] if tree}
    for name in (*(f"node-{number}" for number in range(group.nodes)), "newcomer"):
        blobs = Blobs(Home(home / group.name / name).blobs)
        for tree in sorted(trees - sources.keys()):
            if not blobs.lacking(bytes.fromhex(tree)):  # else it is another node's
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
