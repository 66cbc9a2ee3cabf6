"""Reference runs: runs of the working line that screens are compared with; never evidence.

If two reference runs in a row fail, the working line no longer runs on this machine.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from node.line.environment_change import has_failed, request_head_recheck
from node.line.head_recheck import HeadRecheckStep
from node.line.job_step import JobStep, RunDescription
from node.line.line_context import LineContext
from node.line.line_writer import LineWriter
from node.store.jobs import Job, PlannedRun
from node.store.store import Store
from protocol.fields import Digest

_FAILURES: Final = 2  # in a row; a single failure may be an accident


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRunStep(JobStep):
    """One more run of the working line."""

    tree: Digest

    KIND: ClassVar = "reference_run"
    TIME_SPENT_ON: ClassVar = "reference runs"

    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        return RunDescription("working line", "reference_run", "one more reference run")

    def advance(self, line_context: LineContext, job: Job[Any], runs: list[PlannedRun]) -> None:
        """Add the run to the reference runs; abandon a working line whose runs fail repeatedly."""
        (run,) = runs
        if run.outcome is None:
            return
        close_reference_run(line_context.line_writer, job, run)
        if has_failed(run.outcome.run) and (
            message := handle_failing_line(line_context.line_writer)
        ):
            line_context.activity.say(message)


def open_reference_run(line_writer: LineWriter) -> Job[ReferenceRunStep]:
    """Queue one more run of the working line, for screening only."""
    line = line_writer.known_line
    with line_writer.store.database.writing():
        job = line_writer.open_job(ReferenceRunStep(tree=line.working))
        seed = line_writer.screening_seed(line.working, len(line.reference_nano))
        line_writer.store.jobs.plan_run(job.id, role="base", tree=line.working, seed=seed)
    return job


def close_reference_run(
    line_writer: LineWriter, job: Job[ReferenceRunStep], run: PlannedRun
) -> None:
    """Add a run to the reference runs, unless the working line has moved on since."""
    line = line_writer.known_line
    with line_writer.store.transaction():
        if run.outcome and run.outcome.run.metric_nano is not None and run.tree == line.working:
            reference_nano = (*line.reference_nano, run.outcome.run.metric_nano)
            line_writer.save(replace(line, reference_nano=reference_nano))
        line_writer.store.jobs.close_job(job.id)


def handle_failing_line(line_writer: LineWriter) -> str | None:
    """If the line's last two reference runs failed, react and return a message.

    If the working line has patches on the head, it is reset to the head. Otherwise the head itself
    fails, so it is queued to be measured again.
    """
    line, store = line_writer.known_line, line_writer.store
    since = max((job.id for job in store.jobs.closed_jobs(line.key, HeadRecheckStep)), default=0)
    failures = 0
    for job in reversed(store.jobs.closed_jobs(line.key, ReferenceRunStep, after=since)):
        (planned,) = store.jobs.runs_of(job.id)
        if planned.tree != line.working or planned.outcome is None:
            break
        if not has_failed(planned.outcome.run):
            break
        failures += 1
    if failures < _FAILURES:
        return None
    if line.working != line.verified:
        line_writer.move_to(line.verified, [])
        return "the working line no longer runs here: back to the head"
    request_head_recheck(line_writer, "it no longer runs here", is_failing=True)
    return "the head no longer runs here: it is in doubt"
