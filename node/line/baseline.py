"""The first job of a line: measure the task's baseline, from which the line starts.

The baseline runs twice. If the task does not state its noise, it runs twice on each of two seeds.
Nothing is judged before these runs show the noise (`node.line.noise`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Final

from agent.source.canonical import fingerprint
from node.line.desk import Desk
from node.line.job_step import JobStep, RunDescription, ended_runs
from node.line.ledger import Ledger
from node.store.jobs import Job, PlannedRun
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.fields import Digest
from protocol.records import Record
from protocol.runs import Run
from protocol.units import NANO

BASELINE_RUNS: Final = 2
_NOISE_SEEDS: Final = 2
_MOST_FAILURES: Final = 3  # this many are no accident


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineStep(JobStep):
    """The baseline's runs."""

    tree: Digest

    KIND: ClassVar = "baseline"
    IS_ON_ONE_SPLIT: ClassVar = True

    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        return RunDescription("baseline", "baseline", "measuring")

    def advance(self, desk: Desk, job: Job[Any], runs: list[PlannedRun]) -> None:
        """Record the baseline once it ran often enough; repeat one run that failed."""
        ended = ended_runs(runs)
        if len(ended) < len(runs):
            return
        failed = [run for run in ended if run.status != "ok"]
        if len(failed) >= _MOST_FAILURES:
            desk.store.jobs.close_job(job.id)  # the next start measures it again
            raise ArnodeError(
                f"the task's baseline failed here ({failed[-1].status}): {failed[-1].reason}",
                "`arnode doctor` checks this machine",
                printed=runs[-1].outcome.log_tail if runs[-1].outcome else "",
            )
        wanted = BASELINE_RUNS * _seeds(desk.ledger)
        if (missing := wanted + len(failed) - len(ended)) > 0:  # for example, something killed it
            desk.activity.say(f"a run of the baseline failed ({failed[-1].reason}): trying again")
            for _ in range(missing):
                desk.ledger.plan(job, role="base", tree=self.tree)
            return
        mark = fingerprint(desk.session.task.source)
        record = close_baseline(desk.ledger, job, ended, mark)
        desk.learner.mark_tried(mark)
        desk.noise.read_anew()
        mean = fmean(run.metric_nano for run in ended if run.metric_nano is not None) / NANO
        often = "twice" if wanted == BASELINE_RUNS else f"{wanted} times"
        desk.activity.say(f"baseline measured {often}: {mean:.4f}", record=record.id)
        desk.on_record()

    def open_again(self, ledger: Ledger) -> Job[Any]:
        return _opened(ledger, self)


def open_baseline(ledger: Ledger) -> Job[BaselineStep]:
    """Queue the baseline's runs."""
    return _opened(ledger, BaselineStep(tree=ledger.blobs.put_source(ledger.subject.source)))


def _opened(ledger: Ledger, step: BaselineStep) -> Job[BaselineStep]:
    if _seeds(ledger) == 1:
        return ledger.open_runs(step, role="base", tree=step.tree, count=BASELINE_RUNS)
    return ledger.open_repeated(step, tree=step.tree, seeds=_NOISE_SEEDS, times=BASELINE_RUNS)


def _seeds(ledger: Ledger) -> int:
    """Return on how many seeds the baseline is repeated; 1 if each run has its own seed."""
    is_unknown = not ledger.subject.manifest.noise_floor_nano
    return _NOISE_SEEDS if is_unknown and ledger.style.name == "differences" else 1


def close_baseline(
    ledger: Ledger, job: Job[BaselineStep], runs: Sequence[Run], mark: bytes
) -> Record:
    """Record the baseline, whose canonical AST is `mark`, as head and working line."""
    tree = job.step.tree
    with ledger.store.transaction():
        record = ledger.publication.result(
            None,
            tree,
            tree,
            stage="baseline",
            runs=runs,
            note="the task's baseline",
            has_verdict=True,
        )
        ledger.store.jobs.mark_tried(ledger.key.task, mark, record.id)
        ledger.begin_at(tree, runs)
        ledger.store.jobs.close_job(job.id)
    return record
