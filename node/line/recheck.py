"""A recheck: a fresh run of what passed its screen, and what that is compared with.

That is what the base's level is, as far as it is known. Where a seed says which instances are met,
it is a run of the base on the same, measured beside it: one that was kept would be every change's,
and the luck of that one run theirs.
"""

from collections.abc import Sequence
from typing import Any

from node.line.job_step import ended_runs
from node.line.ledger import Ledger
from node.line.trial import MAX_BASE_FAILURES
from node.store.jobs import Job, PlannedRun
from protocol.runs import Run


def plan_recheck(ledger: Ledger, job: Job[Any], base: bytes, tree: bytes) -> None:
    """Commit to a fresh run of a tree, and to one of its base where it is compared with that."""
    if ledger.style.name == "differences":
        ledger.plan_fresh_pair(job, base, tree)
    else:
        ledger.plan(job, role="candidate", tree=tree)


def beside_base(runs: Sequence[PlannedRun], level_nano: int) -> tuple[list[PlannedRun], list[int]]:
    """Return a change's runs, and in 1e-9 units what each is compared with: `level_nano`, or a run.

    Without those whose base failed.
    """
    bases = {run.seed: run.run.metric_nano for run in runs if run.role == "base" and run.run}
    own = [(run, bases.get(run.seed, level_nano)) for run in runs if run.role == "candidate"]
    compared = [(run, base_nano) for run, base_nano in own if base_nano is not None]
    return [run for run, _ in compared], [base_nano for _, base_nano in compared]


def does_base_fail(runs: Sequence[PlannedRun]) -> bool:
    """Say whether the base failed beside a change so often that it is no accident."""
    bases = [run.run for run in runs if run.role == "base" and run.run]
    return sum(run.metric_nano is None for run in bases) >= MAX_BASE_FAILURES


def told_runs(runs: list[PlannedRun]) -> list[Run]:
    """Return the runs that a record tells of: that a base failed is no failure of the change."""
    return [
        run for run in ended_runs(runs) if run.role == "candidate" or run.metric_nano is not None
    ]
