"""The command `arnode carry`: transfer patches from another rung, and wait for the decisions.

A running node is asked over its socket. Without one, this process is the node, until all patches
are decided and the kept ones had their common promotion trial. In both cases the patches wait in
the store's queue, and the results are read from the store.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from node.home.control_socket import call, is_running, nonsense
from node.home.sandboxing import require_peer_sandbox
from node.line.carried import UNFIT, CarriedStep, Find
from node.line.run_time import run_seconds
from node.on_demand.session import Workbench, be_node, find_workbench, follow
from node.running.loads import Load
from node.running.node import Node
from node.running.program import at_work
from node.store.blobs import Blobs
from node.store.experiments import Experiment
from node.store.jobs import Job
from node.store.store import Store
from node.terminal.durations import span_words
from node.terminal.vocabulary import word
from protocol.codecs import plain
from protocol.errors import NotRunningError
from protocol.manifest import TaskManifest
from protocol.units import from_nano

_LOOKED_AT = 20  # of the newest records
_STAYS = "it stays in the queue: the same `arnode carry` or `arnode start` continues it"


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedOne:
    """A transferred patch and its result: its experiment, or None if there was none."""

    step: CarriedStep
    experiment: Experiment | None

    @property
    def find(self) -> Find:
        """The patch as found on the other rung; each is transferred alone."""
        return self.step.finds[0]

    @property
    def gain(self) -> float | None:
        """The gain of its runs here, in the metric's unit."""
        return None if self.experiment is None else from_nano(self.experiment.gain_nano)


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedAll:
    """The results of all patches. `trial` records the kept ones' promotion trial, once ended."""

    manifest: TaskManifest
    changes: tuple[CarriedOne, ...]
    trial: Experiment | None = None

    @property
    def gain_alone(self) -> float:
        """The sum of the kept patches' gains, each from a few runs: a guess."""
        return sum(one.gain or 0.0 for one in self.changes if one.step.decision == "kept")


def carry_up(what: str, *, to: str | None, rung: str | None) -> CarriedAll:
    """Try patches on another rung. Raises ArnodeError, KeyboardInterrupt."""
    bench = find_workbench(to, None)
    load = Load(what=what, to=bench.task.id, rung=rung)
    with Store.open_read_only(bench.home) as store:
        newest = store.experiments.listed(newest_first=True, limit=1)
    has_ended = False
    numbers: Sequence[int] = ()
    with contextlib.suppress(KeyboardInterrupt):
        if is_running(bench.home.socket):
            numbers = _ask_node(bench, load)
            has_ended = follow(bench.home, _shown(numbers))
        else:
            numbers = _work_alone(bench, load)
    with Store.open_read_only(bench.home) as store:
        jobs = _jobs(store, numbers)
        if jobs and all(job.state == "done" for job in jobs):
            return _told(store, bench.task.manifest, jobs, after=newest[0].n if newest else 0)
    if has_ended:
        raise NotRunningError("the node ended before all of it was decided", _STAYS)
    print(f"  not all of it is decided yet; {_STAYS}", file=sys.stderr)
    raise KeyboardInterrupt


def _ask_node(bench: Workbench, load: Load) -> Sequence[int]:
    match call(bench.home.socket, "carry", load.to_message()):
        case list() as numbers:
            return [number for number in numbers if isinstance(number, int)]
    raise nonsense()


def _work_alone(bench: Workbench, load: Load) -> Sequence[int]:
    """Act as the node until all patches are decided and judged."""
    numbers: tuple[int, ...] = ()

    def hand_in(node: Node) -> Callable[[], bool]:
        nonlocal numbers
        numbers = node.carry(load)
        return partial(_shown(numbers), node.books.store)

    home, config, task = bench.home, bench.config, bench.task
    with contextlib.suppress(KeyboardInterrupt), at_work(home, config, to_terminal=True):
        with Store.open_read_only(home) as store:  # impossible requests fail before anything runs
            finds = load.finds(store, Blobs(home.blobs), task.manifest)
        is_peers = any(find.author is not None for find in finds)
        if is_peers:
            require_peer_sandbox(config)
        asyncio.run(be_node(home, config, task, hand_in, runs_strangers=is_peers))
    return numbers


def _shown(numbers: Sequence[int]) -> Callable[[Store], bool]:
    """Return a function that prints the expected cost on stderr, then each decision.

    It returns True once all are decided.
    """
    told: set[int] = set()
    is_cost_told = False

    def show(store: Store) -> bool:
        nonlocal is_cost_told
        jobs = _jobs(store, numbers)
        if jobs and not is_cost_told and (run_s := run_seconds(store, jobs[0].line)) is not None:
            is_cost_told = True
            print(f"  {_cost(len(jobs), run_s)}", file=sys.stderr, flush=True)
        for job in jobs:
            if job.state == "done" and job.id not in told:
                told.add(job.id)
                one = _one(store, job)
                print(f"  {decision_words(one)}  {plain(one.step.title)}", file=sys.stderr)
        return len(told) == len(numbers)

    return show


def decision_words(one: CarriedOne) -> str:
    """Return the result of a patch in a few words."""
    decision = one.step.decision
    gain = "" if one.gain is None else f" {one.gain:+.4f}"
    return f"{decision if decision in UNFIT else word(decision)}{gain}"


def _cost(changes: int, run_s: float) -> str:
    few, many = (span_words(changes * runs * run_s) for runs in (1, 3))
    return f"{changes} to try, a run or a few each: {few} to {many}; then pairs of what is kept"


def _jobs(store: Store, numbers: Sequence[int]) -> list[Job[CarriedStep]]:
    found = (store.jobs.get(number, CarriedStep) for number in numbers)
    return [job for job in found if job is not None]


def _one(store: Store, job: Job[CarriedStep]) -> CarriedOne:
    result = job.step.result
    return CarriedOne(
        step=job.step, experiment=None if result is None else store.experiments.find(result)
    )


def _told(
    store: Store, manifest: TaskManifest, jobs: Sequence[Job[CarriedStep]], *, after: int
) -> CarriedAll:
    trials = [
        entry
        for entry in store.experiments.listed(jobs[0].line, newest_first=True, limit=_LOOKED_AT)
        if entry.stage == "confirm" and entry.n > after
    ]
    return CarriedAll(
        manifest=manifest,
        changes=tuple(_one(store, job) for job in jobs),
        trial=trials[0] if trials else None,
    )
