"""A line writer of the example task, with proposals and runs to write."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from agent.proposal import Proposal
from agent.source.canonical import fingerprint
from agent.source.edits import reapply
from node.home.home import Home
from node.home.keyfile import Identity, NodeKeys
from node.line.baseline import close_baseline, open_baseline
from node.line.branch import (
    BranchStep,
    Root,
    branch_of,
    close_branch,
    open_branch,
    open_return,
)
from node.line.experiment import RecordedExperiment, close_experiment, open_experiment
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.line.open_task import Subject
from node.line.promotion_trial import PromotionTrial, open_promotion_trial
from node.line.trial import Confirmation, MetricReading, next_of_confirmation
from node.store.blobs import Blobs
from node.store.jobs import Job, PlannedRun, StoredOutcome
from node.store.store import Store
from protocol.ideas import Edit
from protocol.keys import SigningKey
from protocol.records import Record
from protocol.rule import DEFAULT
from protocol.runs import Env, Run
from protocol.source import Source
from protocol.statistics import NoiseEstimate
from tests.node.examples import BASELINE, HARDWARE_CLASS, KEY, MANIFEST, run

BASE_NANO = 1_500_000_000
GAIN_NANO = 20_000_000
IDENTITY = Identity(
    keys=NodeKeys(author=KEY, transport=SigningKey.from_seed(bytes(32)), transport_seed=bytes(32)),
    name="a node",
    version="0.1.0",
    net="main",
)
SUBJECT = Subject(
    manifest=MANIFEST,
    source=BASELINE,
    hardware_class=HARDWARE_CLASS,
    env=Env.of({"torch": "2.13.0"}),
)


class Clock:
    """A clock that a second passes on whenever somebody looks."""

    def __init__(self) -> None:
        self.now_ms = (
            time.time_ns() // 1_000_000
        )  # the loop asks how long ago a promotion trial was

    def __call__(self) -> int:
        self.now_ms += 1000
        return self.now_ms


def line_writer_of(
    home: Home,
    store: Store,
    *,
    seeds: Iterator[int] | None = None,
    clock_ms: Callable[[], int] | None = None,
) -> LineWriter:
    """Return a line writer of the example task on a store."""
    return LineWriter(
        store=store,
        blobs=Blobs(home.blobs),
        identity=IDENTITY,
        subject=SUBJECT,
        clock_ms=clock_ms or Clock(),
        random_seed=(seeds or itertools.count(100)).__next__,
    )


def with_baseline(
    home: Home,
    store: Store,
    *,
    seeds: Iterator[int] | None = None,
    clock_ms: Callable[[], int] | None = None,
) -> LineWriter:
    """Return books in which the baseline is measured."""
    line_writer = line_writer_of(home, store, seeds=seeds, clock_ms=clock_ms)
    line_writer.announce()
    job = open_baseline(
        line_writer,
    )
    runs = finished(store, job, BASE_NANO - 1, BASE_NANO + 1)
    close_baseline(line_writer, job, runs, fingerprint(BASELINE))
    return line_writer


def finished(store: Store, job: Job, *metrics_nano: int | None) -> list[Run]:
    """Let the job's planned runs end with these metrics; None is a crash."""
    waiting = [planned for planned in store.jobs.runs_of(job.id) if planned.outcome is None]
    for planned, metric_nano in zip(waiting, metrics_nano, strict=True):
        end(store, planned, metric_nano)
    return outcomes(store, job)


def end(store: Store, planned: PlannedRun, metric_nano: int | None) -> None:
    """Let one planned run end."""
    outcome = (
        run(None, status="crash", reason="TypeError") if metric_nano is None else run(metric_nano)
    )
    ended = replace(outcome, role=planned.role, seed=planned.seed)
    store.jobs.finish_run(planned, StoredOutcome(run=ended, log_tail=""))


def outcomes(store: Store, job: Job) -> list[Run]:
    """Return how the job's runs ended."""
    return [planned.outcome.run for planned in store.jobs.runs_of(job.id) if planned.outcome]


def proposal_of(base: Source, rate: str, *, title: str = "") -> Proposal:
    """Return the proposal to set the learning rate."""
    from agent.source.edits import line_edit

    text = base["train.py"].decode()
    edit = line_edit("train.py", text, text.index("= ") + 2, len(text) - 1, rate)
    title = title or f"LEARNING_RATE → {rate}"
    proposal = proposal_by(edit, base, key="hyperparameter:LEARNING_RATE:up", title=title)
    assert proposal is not None
    return proposal


def proposal_by(
    edit: Edit, base: Source, *, key: str, title: str, proposer: str = "search"
) -> Proposal | None:
    """Return the proposal to make this edit, None where it does not fit."""
    source = reapply((edit,), base)
    if source is None:
        return None
    return Proposal(
        parent=base.tree,
        source=source,
        edits=(edit,),
        key=key,
        title=title,
        why="a local step",
        proposer=proposer,
        fingerprint=fingerprint(source),
    )


def conclude(
    line_writer: LineWriter,
    proposal: Proposal,
    decision: str,
    *metrics_nano: int | None,
    arm: str | None = None,
) -> RecordedExperiment:
    """Open an experiment, run it and record the decision; `arm` is its proposer."""
    job = open_experiment(line_writer, Idea.of(line_writer, proposal, arm=arm))
    step = job.step
    for _ in metrics_nano[1:]:
        line_writer.plan(job, role="candidate", tree=job.step.tree)
    runs = finished(line_writer.store, job, *metrics_nano)
    closed = replace(step, decision=decision, gain_milli=2000)
    return close_experiment(line_writer, job, closed, runs, note=decision)


def keep(line_writer: LineWriter, rate: str) -> RecordedExperiment:
    """Record an experiment that is kept: the working line moves to it."""
    proposal = proposal_of(line_writer.source(line_writer.known_line.working), rate)
    return conclude(line_writer, proposal, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO + 1)


def go_on(line_writer: LineWriter, root: Root, *metrics_nano: int | None) -> BranchStep:
    """Let the line go on from a tree that measures so, a little below the head."""
    job = open_branch(line_writer, root, why="nothing was kept", runs=len(metrics_nano))
    return end_branch(line_writer, job, *metrics_nano)


def go_back(line_writer: LineWriter) -> BranchStep:
    """Let the line go back from its branch to what it left."""
    branch = branch_of(line_writer.store, line_writer.known_line)
    assert branch is not None
    job = open_return(line_writer, branch, why="it got nowhere", runs=2)
    return end_branch(line_writer, job, BASE_NANO, BASE_NANO)


def end_branch(line_writer: LineWriter, job: Job, *metrics_nano: int | None) -> BranchStep:
    """Let the runs of a branch end with these metrics; None is a crash."""
    runs = finished(line_writer.store, job, *metrics_nano)
    behind_sd = None if None in metrics_nano else 5.0
    return close_branch(line_writer, job, runs, behind_sd)


def promotion_trial(line_writer: LineWriter, *, gain_nano: int | None, pairs: int = 4) -> Record:
    """Run a promotion trial with pairs of this gain; None lets the candidate crash."""
    return end_promotion_trial(
        line_writer, open_promotion_trial(line_writer), gain_nano=gain_nano, pairs=pairs
    )


def end_promotion_trial(
    line_writer: LineWriter, job: Job[PromotionTrial], *, gain_nano: int | None, pairs: int = 4
) -> Record:
    """Let all pairs of a promotion trial end alike, and settle it."""
    for _ in range(pairs):
        line_writer.plan_fresh_pair(job, job.step.base, job.step.tree)
    for planned in line_writer.store.jobs.runs_of(job.id):
        metric_nano: int | None = BASE_NANO + planned.ordinal
        if planned.role == "candidate":
            metric_nano = None if gain_nano is None else BASE_NANO - gain_nano + planned.ordinal
        end(line_writer.store, planned, metric_nano)
    confirmation = confirmation_of(line_writer, job)
    return job.step.close(
        line_writer, job, outcomes(line_writer.store, job), confirmation, note="a promotion trial"
    )


def confirmation_of(line_writer: LineWriter, job: Job) -> Confirmation:
    """Return what the job's runs say, with a millibit of noise."""
    reading = MetricReading(sign=1, noise=NoiseEstimate.from_class(0.001), policy=DEFAULT)
    return next_of_confirmation(line_writer.store.jobs.runs_of(job.id), reading, needs_anchor=False)
