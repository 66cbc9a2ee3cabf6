"""Reference runs: runs of the working line that screens are compared with; never evidence.

If two reference runs in a row fail, the working line no longer runs on this machine.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from node.line.desk import Desk
from node.line.drift import doubt_head, has_failed
from node.line.job_step import JobStep, RunDescription
from node.line.ledger import Ledger
from node.line.remeasure import RemeasureStep
from node.store.jobs import Job, PlannedRun
from node.store.store import Store
from protocol.fields import Digest

_FAILURES: Final = 2  # in a row; a single one may be an accident


@dataclass(frozen=True, slots=True, kw_only=True)
class BankStep(JobStep):
    """One more run of the working line."""

    tree: Digest

    KIND: ClassVar = "bank"
    TIME_SPENT_ON: ClassVar = "reference runs"

    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        return RunDescription("working line", "bank", "one more reference run")

    def advance(self, desk: Desk, job: Job[Any], runs: list[PlannedRun]) -> None:
        """Add the run to the reference runs; leave a working line that fails repeatedly."""
        (run,) = runs
        if run.outcome is None:
            return
        close_bank(desk.ledger, job, run)
        if has_failed(run.outcome.run) and (told := doubt_failing_line(desk.ledger)):
            desk.activity.say(told)


def open_bank(ledger: Ledger) -> Job[BankStep]:
    """Queue one more run of the working line, for screening only."""
    line = ledger.known_line
    with ledger.store.database.writing():
        job = ledger.open_job(BankStep(tree=line.working))
        seed = ledger.screening_seed(line.working, len(line.bank_nano))
        ledger.store.jobs.plan_run(job.id, role="base", tree=line.working, seed=seed)
    return job


def close_bank(ledger: Ledger, job: Job[BankStep], run: PlannedRun) -> None:
    """Add a run to the reference runs, unless the working line has moved on since."""
    line = ledger.known_line
    with ledger.store.transaction():
        if run.outcome and run.outcome.run.metric_nano is not None and run.tree == line.working:
            bank = (*line.bank_nano, run.outcome.run.metric_nano)
            ledger.save(replace(line, bank_nano=bank))
        ledger.store.jobs.close_job(job.id)


def doubt_failing_line(ledger: Ledger) -> str | None:
    """React if the line's last two reference runs failed; return a message if they did.

    A working line that is ahead of the head returns to it. A failing head is put in doubt.
    """
    line, store = ledger.known_line, ledger.store
    since = max((job.id for job in store.jobs.closed_jobs(line.key, RemeasureStep)), default=0)
    failures = 0
    for job in reversed(store.jobs.closed_jobs(line.key, BankStep, after=since)):
        (planned,) = store.jobs.runs_of(job.id)
        if planned.tree != line.working or planned.outcome is None:
            break
        if not has_failed(planned.outcome.run):
            break
        failures += 1
    if failures < _FAILURES:
        return None
    if line.working != line.verified:
        ledger.move_to(line.verified, [])
        return "the working line no longer runs here: back to the head"
    doubt_head(ledger, "it no longer runs here", is_failing=True)
    return "the head no longer runs here: it is in doubt"
