"""Open work: a summary for the end of a session, and the runs that come next."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from node.line.baseline import BaselineStep
from node.line.branch import BranchStep, kept_in
from node.line.catch_up import CatchUpStep
from node.line.experiment import ExperimentStep
from node.line.head_recheck import HeadRecheckStep
from node.line.job_kinds import KINDS
from node.line.job_step import JobStep, RunDescription
from node.line.pair_trial import PairTrial
from node.line.promotion_trial import PromotionTrial
from node.line.rerun import RerunStep
from node.store.jobs import Job, LineKey, PlannedRun
from node.store.store import Store
from node.terminal.vocabulary import many

# Reference runs are left out: they show nothing by themselves.
_NAMES: Final[dict[type[JobStep], str]] = {
    BaselineStep: "the baseline",
    HeadRecheckStep: "the head in doubt",
    PromotionTrial: "the promotion trial",
    CatchUpStep: "the best tree of a peer",
    RerunStep: "the claim",
    BranchStep: "the tree to continue from",
    ExperimentStep: "an experiment",
}


def open_work(store: Store, line: LineKey) -> str:
    """Return the jobs that the next session resumes and the kept patches without a trial, in words.

    Empty if there are none.
    """
    in_progress = [
        progress_of(job, store.jobs.runs_of(job.id))
        for job in store.jobs.open_jobs(line, *KINDS)
        if is_reported(job)
    ]
    counted = [one if n == 1 else f"{one} ×{n}" for one, n in Counter(in_progress).items()]
    words = f"continues in the next session: {', '.join(counted)}" if in_progress else ""
    line_state = store.jobs.line(line)
    kept = kept_in(store, line_state.stack) if line_state else 0
    if not kept or store.jobs.open_jobs(line, PromotionTrial):
        return words
    waits = f"{many(kept, 'patch', 'patches')} kept, to be verified in a later session"
    return f"{words}; {waits}" if words else waits


def is_reported(job: Job[Any]) -> bool:
    """Return True if a job's progress is shown to people."""
    return type(job.step) in _NAMES


def progress_of(job: Job[Any], runs: Sequence[PlannedRun]) -> str:
    """Return a job's name and progress."""
    return f"{_NAMES[type(job.step)]} {_how_far(job, runs)}"


def _how_far(job: Job[Any], runs: Sequence[PlannedRun]) -> str:
    ended = [run for run in runs if run.outcome is not None]
    if not isinstance(job.step, PairTrial):
        return f"after {many(len(ended), 'run')}"
    base, candidate = (
        {run.seed for run in ended if run.role == it} for it in ("base", "candidate")
    )
    return f"after {many(len(base & candidate), 'pair')}"


def upcoming(
    store: Store, line: LineKey, begun: Collection[tuple[int, int]], *, most: int
) -> list[RunDescription]:
    """Return at most `most` upcoming runs, about in the order in which the agenda takes them.

    `begun` are the runs in progress, by job and ordinal.
    """
    return list(islice(_planned(store, line, begun), most))


def _planned(
    store: Store, line: LineKey, begun: Collection[tuple[int, int]]
) -> Iterator[RunDescription]:
    jobs = store.jobs.open_jobs(line, *KINDS)
    for job in sorted(jobs, key=lambda one: KINDS.index(type(one.step))):
        for run in store.jobs.open_runs_of(job.id):
            if (run.job_id, run.ordinal) not in begun:
                yield job.step.describe(store, run)
