"""The task's baseline is measured twice before anything else; both lines start there."""

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
_MOST_FAILURES: Final = 3  # that many are no accident


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineStep(JobStep):
    """The baseline's runs."""

    tree: Digest

    KIND: ClassVar = "baseline"
    IS_ON_ONE_SPLIT: ClassVar = True

    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        return RunDescription("baseline", "baseline", "measuring")

    def advance(self, desk: Desk, job: Job[Any], runs: list[PlannedRun]) -> None:
        """Record the baseline once it ran twice; repeat one run that failed."""
        ended = ended_runs(runs)
        if len(ended) < len(runs):
            return
        failed = [run for run in ended if run.status != "ok"]
        if len(failed) >= _MOST_FAILURES:
            desk.store.jobs.close_job(job.id)  # the next start measures it anew
            raise ArnodeError(
                f"the task's own baseline failed here ({failed[-1].status}): {failed[-1].reason}",
                "`arnode doctor` looks at this machine",
                printed=runs[-1].outcome.log_tail if runs[-1].outcome else "",
            )
        if (missing := BASELINE_RUNS + len(failed) - len(ended)) > 0:  # something killed it, say
            desk.activity.say(f"a run of the baseline failed ({failed[-1].reason}): once more")
            for _ in range(missing):
                desk.ledger.plan(job, role="base", tree=self.tree)
            return
        mark = fingerprint(desk.session.task.source)
        record = close_baseline(desk.ledger, job, ended, mark)
        desk.learner.mark_tried(mark)
        desk.noise.read_anew()
        mean = fmean(run.metric_nano for run in ended if run.metric_nano is not None) / NANO
        desk.activity.say(f"baseline measured twice: {mean:.4f}", record=record.id)
        desk.on_record()

    def open_again(self, ledger: Ledger) -> Job[Any]:
        return ledger.open_runs(self, role="base", tree=self.tree, count=BASELINE_RUNS)


def open_baseline(ledger: Ledger) -> Job[BaselineStep]:
    """Queue the baseline's two runs."""
    tree = ledger.blobs.put_source(ledger.subject.source)
    return ledger.open_runs(BaselineStep(tree=tree), role="base", tree=tree, count=BASELINE_RUNS)


def close_baseline(
    ledger: Ledger, job: Job[BaselineStep], runs: Sequence[Run], mark: bytes
) -> Record:
    """Record the baseline, whose canonical AST is `mark`; both lines start there."""
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
