"""What a run of a line takes here, by its latest ones."""

from statistics import fmean

from node.line.attestation import AttestationStep
from node.line.baseline import BaselineStep
from node.line.job_step import ended_runs
from node.store.jobs import LineKey
from node.store.store import Store


def run_seconds(store: Store, line: LineKey) -> float | None:
    """Return what a run took here lately, in seconds; None before the first."""
    before = [
        run
        for kind in (BaselineStep, AttestationStep)
        for known in store.jobs.closed_jobs(line, kind)[-3:]
        for run in ended_runs(store.jobs.runs_of(known.id))
    ]
    return fmean((run.ms + run.serve_ms) / 1000 for run in before) if before else None
