"""Restarts of open jobs after this machine has changed.

Runs from before and after a change are never compared. Nothing else that they depend on can change
unnoticed. The queue belongs to a line, and so to one task (with its evaluator) and one hardware
class. The head cannot be moved by hand during a trial.
"""

from dataclasses import replace
from typing import Any

from node.line.experiment import ExperimentStep
from node.line.job_kinds import KINDS, VoidedPairsStep, VoidedStep
from node.line.ledger import Ledger
from node.line.open_work import is_told_of, progress_of
from node.store.jobs import Job

_MOVED_ON = "its base is no longer the working line"


def begin_anew(ledger: Ledger, because: str) -> list[str]:
    """Close open jobs that measured before the machine changed, and open them again.

    Each new job has a fresh split, fresh seeds and, if it draws one, a new alpha. The old trial was
    looked at and could have passed, so its alpha is used up. Return a message for each job. Callers
    hold the transaction.
    """
    told: list[str] = []
    for job in ledger.store.jobs.open_jobs(ledger.key, *KINDS):
        runs = ledger.store.jobs.runs_of(job.id)
        if not job.step.is_void(runs):
            continue
        _put_aside(ledger, job, because)
        is_again = job.step.open_again(ledger) is not None
        if is_told_of(job) and any(run.outcome for run in runs):
            what = "starts again" if is_again else "is dropped"
            told.append(
                f"{progress_of(job, runs)} {what}: runs before and after a change are not compared"
            )
    return told


def has_bank(ledger: Ledger, job: Job[Any], bank_size: int) -> bool:
    """Return True if a job has reference runs to compare with; reopened experiments wait for them.

    A reopened experiment takes the line's reference runs once there are `bank_size` of them. If its
    base is no longer the working line by then, it is dropped. A submitted source is queued again.
    """
    step = job.step
    if not isinstance(step, ExperimentStep) or step.bank_nano:
        return True
    line = ledger.known_line
    if step.base != line.working:
        with ledger.store.transaction():
            _put_aside(ledger, job, _MOVED_ON)
            step.open_again(ledger)
    elif len(line.bank_nano) >= bank_size:
        ledger.store.jobs.update_step(job, replace(step, bank_nano=line.bank_nano))
        return True
    return False


def _put_aside(ledger: Ledger, job: Job[Any], because: str) -> None:
    kind = VoidedPairsStep if job.step.IS_ON_ONE_SPLIT else VoidedStep
    ledger.store.jobs.close_as(job, kind(was=job.step.KIND, because=because[:200]))
