"""Estimates of the time of a run of a line here, and of commands that make several runs."""

from collections.abc import Mapping
from statistics import fmean
from typing import Final

from node.line.baseline import BaselineStep
from node.line.job_step import ended_runs
from node.line.rerun import RerunStep
from node.line.trial import ANCHOR_PAIRS
from node.store.jobs import LineKey
from node.store.store import Store
from node.terminal.durations import span_words
from protocol.manifest import TaskManifest
from protocol.rule import Policy, policy_of
from protocol.styles import Style, StyleName
from trainer.measuring.outcome import RunOutcome

# Additional pairs of a published re-run, until peers can check its verdict from the record alone.
_MORE_FOR_OTHERS: Final = 2.0
# Average number of pairs that confirm a gain of 2 sd. More are needed on drawn instances, as the
# scatter of differences is not known beforehand.
_USUAL_PAIRS: Final[Mapping[StyleName, float]] = {"runs": 5.5, "differences": 13.0, "exact": 1.0}


def run_seconds(store: Store, line: LineKey) -> float | None:
    """Return the recent time of a run here, in seconds; None before the first."""
    before = [
        run
        for kind in (BaselineStep, RerunStep)
        for known in store.jobs.closed_jobs(line, kind)[-3:]
        for run in ended_runs(store.jobs.runs_of(known.id))
    ]
    return fmean((run.ms + run.serve_ms) / 1000 for run in before) if before else None


def seconds_of_next_run(outcome: RunOutcome) -> float:
    """Return the expected time of later runs, in seconds, given a session's first run.

    The time includes the audit. It does not include the start of processes, since they start during
    the previous run.
    """
    stages_ms = sum(
        stage.end_ms - stage.start_ms
        for stage in outcome.stages
        if stage.name not in ("spawn", "import")
    )
    return max(stages_ms, outcome.ms + outcome.serve_ms) / 1000


def usual_pairs(manifest: TaskManifest) -> float:
    """Return the number of pairs that a trial usually takes on a task."""
    return _USUAL_PAIRS[Style.of(manifest).name]


def runs_duration_text(runs: int, run_s: float) -> str:
    """Return how long this number of runs takes, in words."""
    return f"about {span_words(runs * run_s)}"


def trial_duration_text(most: int, run_s: float, *, usual: float, extra_runs: int = 0) -> str:
    """Return how long a trial in pairs takes, usually and at most, in words.

    `extra_runs` is the number of runs that may follow the pairs.
    """
    at_most = f"at most {span_words((most * 2 + extra_runs) * run_s)}"
    return f"about {span_words(usual * 2 * run_s)}, {at_most}" if most > usual else at_most


def most_rerun_pairs(manifest: TaskManifest, policy: Policy) -> int:
    """Return the largest number of pairs of a claim's re-run, by the rules of the task's style."""
    return policy_of(Style.of(manifest), policy).max_pairs


def rerun_pairs(manifest: TaskManifest, policy: Policy, *, is_published: bool) -> float:
    """Return the number of pairs that a claim's re-run usually takes on a task."""
    usual = usual_pairs(manifest) + (_MORE_FOR_OTHERS if is_published else 0)
    return min(most_rerun_pairs(manifest, policy), usual)


def rerun_duration_text(
    manifest: TaskManifest, run_s: float, *, policy: Policy, is_published: bool
) -> str:
    """Return how long a claim's re-run takes, usually and at most, in words."""
    anchors = Style.of(manifest).anchor_pairs(ANCHOR_PAIRS)  # of the baseline, if there is a gain
    return trial_duration_text(
        most_rerun_pairs(manifest, policy),
        run_s,
        usual=rerun_pairs(manifest, policy, is_published=is_published),
        extra_runs=anchors if is_published else 0,
    )


def experiment_duration_text(run_s: float) -> str:
    """Return how long an experiment on a source takes, with one run or with two, in words."""
    return f"about {span_words(run_s)}, twice that if the first run looks like a gain"
