"""Restarts of open jobs after this machine or the working line has changed.

Runs from before and after a change of the machine are never compared. Nothing else that runs depend
on can change during a job: a line has one task (with its evaluator) and one hardware class, and a
user cannot change the head during a trial. An experiment on an earlier working line would have to
be repeated if it passed.
"""

from dataclasses import replace
from typing import Any

from node.line.experiment import ExperimentStep
from node.line.idea import moved_idea
from node.line.job_kinds import KINDS, InvalidatedPairsStep, InvalidatedStep
from node.line.line_context import LineContext
from node.line.line_writer import LineWriter
from node.line.open_work import is_reported, progress_of
from node.store.jobs import Job

_MOVED_ON = "its base is no longer the working line"


def reopen_invalidated(line_writer: LineWriter, because: str) -> list[str]:
    """Close open jobs that measured before the machine changed, and open them again.

    Each new job has a fresh split, fresh seeds and, if it draws an alpha, a new alpha. The old
    trial could have passed, so its alpha is used up. Return a message for each job. Callers hold
    the transaction.
    """
    messages: list[str] = []
    for job in line_writer.store.jobs.open_jobs(line_writer.key, *KINDS):
        runs = line_writer.store.jobs.runs_of(job.id)
        if not job.step.is_invalidated(runs):
            continue
        _put_aside(line_writer, job, because)
        is_again = job.step.open_again(line_writer) is not None
        if is_reported(job) and any(run.outcome for run in runs):
            what = "starts again" if is_again else "is dropped"
            messages.append(
                f"{progress_of(job, runs)} {what}: runs before and after a change are not compared"
            )
    return messages


def has_reference_runs(line_writer: LineWriter, job: Job[Any], reference_runs: int) -> bool:
    """Return True if a job has reference runs to compare with; reopened experiments wait for them.

    A reopened experiment uses the line's reference runs once `reference_runs` of them are made. If
    its base is no longer the working line by then, it is dropped; a submitted source is queued
    again instead.
    """
    step = job.step
    if not isinstance(step, ExperimentStep) or step.reference_nano:
        return True
    line = line_writer.known_line
    if step.base != line.working:
        with line_writer.store.transaction():
            _put_aside(line_writer, job, _MOVED_ON)
            step.open_again(line_writer)
    elif len(line.reference_nano) >= reference_runs:
        line_writer.store.jobs.update_step(job, replace(step, reference_nano=line.reference_nano))
        return True
    return False


def rebase_outdated(line_context: LineContext, job: Job[ExperimentStep]) -> bool:
    """Close an experiment whose base is no longer the working line, to try it on the present one.

    It is decided by the runs that have ended; planned runs are not made. Return False if it stays
    open: its base is up to date, or its idea does not fit on the present line and was not screened.
    """
    line_writer, step = line_context.line_writer, job.step
    if step.base == line_writer.known_line.working or not step.can_move:
        return False
    ended = [run for run in line_writer.store.jobs.runs_of(job.id) if run.outcome]
    if any(run.role == "candidate" for run in ended):
        step.advance(line_context, job, ended)
    elif moved_idea(line_writer, step.idea) is None:
        return False
    else:
        with line_writer.store.transaction():
            _put_aside(line_writer, job, _MOVED_ON)
        line_context.learner.try_again(job)
    return job.id not in line_writer.store.jobs.open_ids(line_writer.key)


def _put_aside(line_writer: LineWriter, job: Job[Any], because: str) -> None:
    kind = InvalidatedPairsStep if job.step.IS_ON_ONE_SPLIT else InvalidatedStep
    line_writer.store.jobs.close_as(job, kind(was=job.step.KIND, because=because[:200]))
