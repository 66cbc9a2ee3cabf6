"""A ledger of the example task, and proposals and runs to write into it."""

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
from node.line.checkpoint import CheckpointStep, open_checkpoint
from node.line.experiment import RecordedExperiment, close_experiment, open_experiment
from node.line.idea import Idea
from node.line.ledger import Ledger
from node.line.open_task import Subject
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
        self.now_ms = time.time_ns() // 1_000_000  # the loop asks how long ago a checkpoint was

    def __call__(self) -> int:
        self.now_ms += 1000
        return self.now_ms


def ledger_of(
    home: Home,
    store: Store,
    *,
    seeds: Iterator[int] | None = None,
    clock_ms: Callable[[], int] | None = None,
) -> Ledger:
    """Return the books of the example task, as they stand in the store."""
    return Ledger(
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
) -> Ledger:
    """Return books in which the baseline is measured."""
    ledger = ledger_of(home, store, seeds=seeds, clock_ms=clock_ms)
    ledger.announce()
    job = open_baseline(
        ledger,
    )
    runs = finished(store, job, BASE_NANO - 1, BASE_NANO + 1)
    close_baseline(ledger, job, runs, fingerprint(BASELINE))
    return ledger


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
    proposal = proposal_by(edit, base, key="knob:LEARNING_RATE:up", title=title)
    assert proposal is not None
    return proposal


def proposal_by(
    edit: Edit, base: Source, *, key: str, title: str, proposer: str = "knobs"
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
    ledger: Ledger,
    proposal: Proposal,
    decision: str,
    *metrics_nano: int | None,
    arm: str | None = None,
) -> RecordedExperiment:
    """Open an experiment, run it and record what was decided; `arm` thought of it."""
    job = open_experiment(ledger, Idea.of(ledger, proposal, arm=arm))
    step = job.step
    for _ in metrics_nano[1:]:
        ledger.plan(job, role="candidate", tree=job.step.tree)
    runs = finished(ledger.store, job, *metrics_nano)
    closed = replace(step, decision=decision, gain_milli=2000)
    return close_experiment(ledger, job, closed, runs, note=decision)


def keep(ledger: Ledger, rate: str) -> RecordedExperiment:
    """Record an experiment that is kept: the working line moves to it."""
    proposal = proposal_of(ledger.source(ledger.known_line.working), rate)
    return conclude(ledger, proposal, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO + 1)


def go_on(ledger: Ledger, root: Root, *metrics_nano: int | None) -> BranchStep:
    """Let the line go on from a tree that measures so, a little below the head."""
    job = open_branch(ledger, root, why="nothing was kept", runs=len(metrics_nano))
    return end_branch(ledger, job, *metrics_nano)


def go_back(ledger: Ledger) -> BranchStep:
    """Let the line go back from its branch to what it left."""
    branch = branch_of(ledger.store, ledger.known_line)
    assert branch is not None
    job = open_return(ledger, branch, why="it got nowhere", runs=2)
    return end_branch(ledger, job, BASE_NANO, BASE_NANO)


def end_branch(ledger: Ledger, job: Job, *metrics_nano: int | None) -> BranchStep:
    """Let the runs of a branch end with these metrics; None is a crash."""
    runs = finished(ledger.store, job, *metrics_nano)
    behind_sd = None if None in metrics_nano else 5.0
    return close_branch(ledger, job, runs, behind_sd)


def checkpoint(ledger: Ledger, *, gain_nano: int | None, pairs: int = 4) -> Record:
    """Confirm the working line with pairs that gain so much; None lets the candidate crash."""
    return end_checkpoint(ledger, open_checkpoint(ledger), gain_nano=gain_nano, pairs=pairs)


def end_checkpoint(
    ledger: Ledger, job: Job[CheckpointStep], *, gain_nano: int | None, pairs: int = 4
) -> Record:
    """Let the pairs of a checkpoint end likewise, and settle it."""
    for _ in range(pairs):
        ledger.plan_fresh_pair(job, job.step.base, job.step.tree)
    for planned in ledger.store.jobs.runs_of(job.id):
        metric_nano: int | None = BASE_NANO + planned.ordinal
        if planned.role == "candidate":
            metric_nano = None if gain_nano is None else BASE_NANO - gain_nano + planned.ordinal
        end(ledger.store, planned, metric_nano)
    confirmation = confirmation_of(ledger, job)
    return job.step.close(
        ledger, job, outcomes(ledger.store, job), confirmation, note="a checkpoint"
    )


def confirmation_of(ledger: Ledger, job: Job) -> Confirmation:
    """Return what the job's runs say, with a millibit of noise."""
    reading = MetricReading(sign=1, noise=NoiseEstimate.from_class(0.001), policy=DEFAULT)
    return next_of_confirmation(ledger.store.jobs.runs_of(job.id), reading, needs_anchor=False)
