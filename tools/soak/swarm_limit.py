"""The runs of a home by kind of job, and the fewest runs in which a swarm can reach the same gain.

A swarm divides the work of a single node. But each of its nodes has to start, and a change that
depends on an earlier one must wait for it. A further limit holds if each node tests what it adopts,
one change at a time. All are computed from the runs of the single node.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.source.edits import reapply
from node.home.home import Home
from node.line.experiment import ExperimentStep
from node.line.job_kinds import KINDS
from node.line.job_step import JobStep
from node.store.jobs import Job
from node.store.store import Store
from protocol.ideas import Edit
from protocol.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptChange:
    """A change that was kept.

    `cost` is the number of runs for its decision, `runs` the node's total by then, and `needs` the
    numbers of the earlier changes that it depends on.
    """

    title: str
    cost: int
    runs: int
    needs: tuple[int, ...] = ()


def runs_by_kind(home: Home) -> dict[str, int]:
    """Return the number of ended runs of a home by kind of job."""
    with Store.open_read_only(home) as store:
        spent = Counter[str]()
        for job in _jobs(store):
            spent[job.step.KIND] += _ended_runs(store, job)
        return dict(spent)


def kept_changes(home: Home, baseline: Source) -> tuple[int, list[KeptChange]]:
    """Return the number of runs before the first experiment, and the changes kept afterwards."""
    start: int | None = None
    kept: list[KeptChange] = []
    edits: list[tuple[Edit, ...]] = []
    runs = 0
    with Store.open_read_only(home) as store:
        for job in _jobs(store):
            cost = _ended_runs(store, job)
            if isinstance(job.step, ExperimentStep):
                start = runs if start is None else start
                if job.state == "done" and job.step.decision == "kept":
                    idea = job.step.idea
                    needs = _needed(idea.edits, edits, baseline)
                    change = KeptChange(title=idea.title, cost=cost, runs=runs + cost, needs=needs)
                    kept.append(change)
                    edits.append(idea.edits)
            runs += cost
    return (runs if start is None else start), kept


def fewest_runs(
    start: int, kept: Sequence[KeptChange], runs: float, *, nodes: int, all_test: bool = False
) -> float:
    """Return the fewest runs per node in which `nodes` can get as far as one node in `runs`.

    Each node starts up. The single node's later runs are divided evenly; with `all_test` except for
    those of the kept changes, which each node makes itself. Chains of dependent changes do not get
    shorter.
    """
    chains: list[int] = []
    undivided = 0
    for change in kept:
        if change.runs <= runs:
            chains.append(change.cost + max((chains[one] for one in change.needs), default=0))
            undivided += change.cost if all_test else 0
    return start + max([undivided + (runs - start - undivided) / nodes, *chains])


def _jobs(store: Store) -> Iterator[Job[JobStep]]:
    for number in range(1, store.jobs.last_job() + 1):
        if (job := store.jobs.get(number, *KINDS)) is not None:
            yield job


def _ended_runs(store: Store, job: Job[JobStep]) -> int:
    return sum(run.outcome is not None for run in store.jobs.runs_of(job.id))


def _needed(
    edits: Sequence[Edit], before: Sequence[Sequence[Edit]], baseline: Source
) -> tuple[int, ...]:
    """Return the numbers of the earlier changes that this one depends on."""
    return tuple(
        left_out
        for left_out in range(len(before))
        if reapply(edits, _without(left_out, before, baseline)) is None
    )


def _without(left_out: int, changes: Sequence[Sequence[Edit]], baseline: Source) -> Source:
    """Apply all changes but one, as far as they can be applied without it."""
    made = baseline
    for number, edits in enumerate(changes):
        if number != left_out:
            made = reapply(edits, made) or made
    return made
