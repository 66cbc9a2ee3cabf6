"""The first job of a line: measure the task's baseline, from which the line starts.

The baseline runs twice. If the task does not state its noise, it runs twice on each of two seeds.
Nothing is judged before these runs show the noise (`node.line.noise`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Final

from agent.source.canonical import fingerprint
from node.line.job_step import JobStep, RunDescription, ended_runs
from node.line.line_context import LineContext
from node.line.line_writer import LineWriter
from node.store.jobs import Job, PlannedRun
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.fields import Digest
from protocol.records import Record
from protocol.runs import Run
from protocol.units import NANO

BASELINE_RUNS: Final = 2
_NOISE_SEEDS: Final = 2
_MOST_FAILURES: Final = 3  # after this many the failure is not accidental


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineStep(JobStep):
    """The job that measures the baseline."""

    tree: Digest

    KIND: ClassVar = "baseline"
    IS_ON_ONE_SPLIT: ClassVar = True

    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        return RunDescription("baseline", "baseline", "measuring")

    def advance(self, line_context: LineContext, job: Job[Any], runs: list[PlannedRun]) -> None:
        """Record the baseline once it ran often enough; repeat a failed run."""
        ended = ended_runs(runs)
        if len(ended) < len(runs):
            return
        failed = [run for run in ended if run.status != "ok"]
        if len(failed) >= _MOST_FAILURES:
            line_context.store.jobs.close_job(job.id)  # the next start measures it again
            raise ArnodeError(
                f"the task's baseline failed here ({failed[-1].status}): {failed[-1].reason}",
                "`arnode doctor` checks this machine; `arnode task check` checks a task of yours",
                printed=runs[-1].outcome.log_tail if runs[-1].outcome else "",
            )
        wanted = BASELINE_RUNS * _seeds(line_context.line_writer)
        if (missing := wanted + len(failed) - len(ended)) > 0:  # such as after a kill
            line_context.activity.say(
                f"a run of the baseline failed ({failed[-1].reason}): trying again"
            )
            for _ in range(missing):
                line_context.line_writer.plan(job, role="base", tree=self.tree)
            return
        mark = fingerprint(line_context.session.task.source)
        record = close_baseline(line_context.line_writer, job, ended, mark)
        line_context.learner.mark_tried(mark)
        line_context.noise.refresh()
        mean = fmean(run.metric_nano for run in ended if run.metric_nano is not None) / NANO
        often = "twice" if wanted == BASELINE_RUNS else f"{wanted} times"
        metric = line_context.session.task.manifest.metric
        better = "lower" if metric.direction == "min" else "higher"
        line_context.activity.say(
            f"baseline measured {often}: {metric.name} {mean:.4f}, {better} is better",
            record=record.id,
        )
        line_context.on_record()

    def open_again(self, line_writer: LineWriter) -> Job[Any]:
        return _opened(line_writer, self)


def open_baseline(line_writer: LineWriter) -> Job[BaselineStep]:
    """Queue the baseline's runs."""
    return _opened(
        line_writer, BaselineStep(tree=line_writer.blobs.put_source(line_writer.subject.source))
    )


def _opened(line_writer: LineWriter, step: BaselineStep) -> Job[BaselineStep]:
    if _seeds(line_writer) == 1:
        return line_writer.open_runs(step, role="base", tree=step.tree, count=BASELINE_RUNS)
    return line_writer.open_repeated(step, tree=step.tree, seeds=_NOISE_SEEDS, times=BASELINE_RUNS)


def _seeds(line_writer: LineWriter) -> int:
    """Return 2 if the baseline runs twice on each of two seeds; 1 if each run has its own seed."""
    is_unknown = not line_writer.subject.manifest.noise_floor_nano
    return _NOISE_SEEDS if is_unknown and line_writer.style.name == "differences" else 1


def close_baseline(
    line_writer: LineWriter, job: Job[BaselineStep], runs: Sequence[Run], mark: bytes
) -> Record:
    """Record the baseline, whose canonical AST is `mark`, as head and working line."""
    tree = job.step.tree
    with line_writer.store.transaction():
        record = line_writer.record_writer.result(
            None,
            tree,
            tree,
            stage="baseline",
            runs=runs,
            note="the task's baseline",
            has_verdict=True,
        )
        line_writer.store.jobs.mark_tried(line_writer.key.task, mark, record.id)
        line_writer.begin_at(tree, runs)
        line_writer.store.jobs.close_job(job.id)
    return record
