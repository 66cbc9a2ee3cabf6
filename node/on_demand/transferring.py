"""The command `arnode try --from`: transfer patches from another rung, and wait for the decisions.

If a node runs, it gets the request over its socket. Otherwise this process acts as the node until
all patches are decided and the kept patches had their common promotion trial. Either way the
patches are queued in the store, and the results are read from the store.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from node.home.control_socket import call, is_running, nonsense
from node.home.sandboxing import require_peer_sandbox
from node.line.run_estimates import run_seconds
from node.line.rung_transfer import UNFIT, RungTransferStep, TransferCandidate
from node.on_demand.session import CommandSession, act_as_node, find_command_session, follow
from node.running.node import Node
from node.running.program import at_work
from node.running.transfer_request import TransferRequest
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
_STAYS = "the rest stays in the queue: the same `arnode try --from` or `arnode start` continues it"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferredPatch:
    """A transferred patch and its result: its experiment, or None if it had no experiment."""

    step: RungTransferStep
    experiment: Experiment | None

    @property
    def find(self) -> TransferCandidate:
        """The patch as found on the other rung; each patch is transferred alone."""
        return self.step.finds[0]

    @property
    def gain(self) -> float | None:
        """The gain in the runs on this rung, in the metric's unit."""
        return None if self.experiment is None else from_nano(self.experiment.gain_nano)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferReport:
    """The results of all patches. `trial` is the kept patches' promotion trial, once it ended."""

    manifest: TaskManifest
    changes: tuple[TransferredPatch, ...]
    trial: Experiment | None = None

    @property
    def gain_alone(self) -> float:
        """The sum of the kept patches' gains: a rough guess, since each is from a few runs."""
        return sum(one.gain or 0.0 for one in self.changes if one.step.decision == "kept")


def transfer_patches(what: str, *, to: str | None, rung: str | None) -> TransferReport:
    """Try patches on another rung. Raises ArnodeError, KeyboardInterrupt."""
    command = find_command_session(to, None)
    request = TransferRequest(what=what, to=command.task.id, rung=rung)
    with Store.open_read_only(command.home) as store:
        newest = store.experiments.listed(newest_first=True, limit=1)
    has_ended = False
    numbers: Sequence[int] = ()
    with contextlib.suppress(KeyboardInterrupt):
        if is_running(command.home.socket):
            numbers = _ask_node(command, request)
            has_ended = follow(command.home, _shown(numbers))
        else:
            numbers = _work_alone(command, request)
    with Store.open_read_only(command.home) as store:
        jobs = _jobs(store, numbers)
        if jobs and all(job.state == "done" for job in jobs):
            return _report(store, command.task.manifest, jobs, after=newest[0].n if newest else 0)
    if has_ended:
        raise NotRunningError("the node ended before all patches were decided", _STAYS)
    print(f"  not all patches are decided yet; {_STAYS}", file=sys.stderr)
    raise KeyboardInterrupt


def _ask_node(command: CommandSession, request: TransferRequest) -> Sequence[int]:
    match call(command.home.socket, "carry", request.to_message()):
        case list() as numbers:
            return [number for number in numbers if isinstance(number, int)]
    raise nonsense()


def _work_alone(command: CommandSession, request: TransferRequest) -> Sequence[int]:
    """Act as the node until all patches are decided and the kept ones had their trial."""
    numbers: tuple[int, ...] = ()

    def hand_in(node: Node) -> Callable[[], bool]:
        nonlocal numbers
        numbers = node.carry(request)
        return partial(_shown(numbers), node.line_resources.store)

    home, config, task = command.home, command.config, command.task
    with contextlib.suppress(KeyboardInterrupt), at_work(home, config, to_terminal=True):
        with Store.open_read_only(home) as store:  # so an impossible request fails before any run
            candidates = request.candidates(store, Blobs(home.blobs), task.manifest)
        is_peers = any(find.author is not None for find in candidates)
        if is_peers:
            require_peer_sandbox(config)
        asyncio.run(act_as_node(home, config, task, hand_in, runs_untrusted=is_peers))
    return numbers


def _shown(numbers: Sequence[int]) -> Callable[[Store], bool]:
    """Return a function that prints the expected cost on stderr, then each decision.

    It returns True once all are decided.
    """
    shown: set[int] = set()
    is_cost_shown = False

    def show(store: Store) -> bool:
        nonlocal is_cost_shown
        jobs = _jobs(store, numbers)
        if jobs and not is_cost_shown and (run_s := run_seconds(store, jobs[0].line)) is not None:
            is_cost_shown = True
            print(f"  {_cost(len(jobs), run_s)}", file=sys.stderr, flush=True)
        for job in jobs:
            if job.state == "done" and job.id not in shown:
                shown.add(job.id)
                one = _one(store, job)
                print(f"  {decision_words(one)}  {plain(one.step.title)}", file=sys.stderr)
        return len(shown) == len(numbers)

    return show


def decision_words(one: TransferredPatch) -> str:
    """Return the result of a patch in a few words."""
    decision = one.step.decision
    gain = "" if one.gain is None else f" {one.gain:+.4f}"
    return f"{decision if decision in UNFIT else word(decision)}{gain}"


def _cost(changes: int, run_s: float) -> str:
    few, many = (span_words(changes * runs * run_s) for runs in (1, 3))
    return f"{changes} to try, 1 to 3 runs each: {few} to {many}; then pairs of the kept patches"


def _jobs(store: Store, numbers: Sequence[int]) -> list[Job[RungTransferStep]]:
    found = (store.jobs.get(number, RungTransferStep) for number in numbers)
    return [job for job in found if job is not None]


def _one(store: Store, job: Job[RungTransferStep]) -> TransferredPatch:
    result = job.step.result
    return TransferredPatch(
        step=job.step, experiment=None if result is None else store.experiments.find(result)
    )


def _report(
    store: Store, manifest: TaskManifest, jobs: Sequence[Job[RungTransferStep]], *, after: int
) -> TransferReport:
    trials = [
        entry
        for entry in store.experiments.listed(jobs[0].line, newest_first=True, limit=_LOOKED_AT)
        if entry.stage == "confirm" and entry.n > after
    ]
    return TransferReport(
        manifest=manifest,
        changes=tuple(_one(store, job) for job in jobs),
        trial=trials[0] if trials else None,
    )
