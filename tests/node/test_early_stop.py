"""Screens that look hopeless are stopped, one in twenty is not, and the cost is reported."""

import random
from dataclasses import replace
from typing import Any, cast

import pytest

from node.home.home import Home
from node.line.early_stop import early_stopper_for, finished_runs, stopped_in
from node.line.experiment import ExperimentStep, close_experiment, open_experiment
from node.line.idea import Idea
from node.line.line_context import LineContext
from node.line.line_writer import LineWriter
from node.line.trial import MetricReading
from node.store.jobs import Job, StoredOutcome
from node.store.store import Store
from protocol.rule import DEFAULT
from protocol.statistics import NoiseEstimate
from protocol.units import NANO
from tests.node.examples import run
from tests.node.line_writers import BASE_NANO, proposal_of, with_baseline
from trainer.measuring.loss_curve import LossCurve, LossPoint

STEPS = 200
READING = MetricReading(sign=1, noise=NoiseEstimate.from_class(0.01), policy=DEFAULT)


class Bench:
    """A stand-in for the line from which an early stopper is made."""

    def __init__(self, line_writer: LineWriter, *, stops_early: bool = True) -> None:
        self.line_writer = line_writer
        self.stops_early = stops_early

    def reading(self) -> MetricReading:
        return READING


def points(off: float, *, until: int = STEPS) -> tuple[LossPoint, ...]:
    return tuple(
        LossPoint(step=step, loss_nano=round((2 + off + 1 / (1 + step)) * NANO))
        for step in range(0, until, 5)
    )


def printed(off: float, *, until: int) -> LossCurve:
    """Return the output of a script after this many steps."""
    curve = LossCurve()
    for point in points(off, until=until):
        curve.feed(b"step %d/%d loss %.4f\n" % (point.step, STEPS, point.loss))
    return curve


def end(line_writer: LineWriter, job: Job[Any], off: float, **more: Any) -> None:
    """Let the open run of a job end so far above its base, with its curve."""
    (planned,) = [one for one in line_writer.store.jobs.runs_of(job.id) if one.outcome is None]
    nano = BASE_NANO + round(off * NANO)
    ended = replace(run(nano), role=planned.role, seed=planned.seed)
    outcome = StoredOutcome(run=ended, log_tail="", curve=points(off), steps=STEPS)
    line_writer.store.jobs.finish_run(planned, replace(outcome, **more))


def tried(
    line_writer: LineWriter, rate: str, off: float, decision: str = "screened_out", **more: Any
) -> None:
    job = open_experiment(
        line_writer,
        Idea.of(line_writer, proposal_of(line_writer.source(line_writer.known_line.working), rate)),
    )
    end(line_writer, job, off, **more)
    runs = [one.run for one in line_writer.store.jobs.runs_of(job.id) if one.run]
    close_experiment(line_writer, job, replace(job.step, decision=decision), runs, note=decision)


@pytest.fixture
def line_writer(home: Home, store: Store) -> LineWriter:
    """A line writer with a measured baseline that printed its loss, and thirty changes of it."""
    line_writer = with_baseline(home, store)
    for planned in store.jobs.runs_of(1):
        assert planned.run is not None
        outcome = StoredOutcome(run=planned.run, log_tail="", curve=points(0.0), steps=STEPS)
        store.jobs.finish_run(replace(planned, outcome=None), outcome)
    chance = random.Random(1)
    for number in range(30):
        tried(line_writer, f"0.{number + 1:03}", chance.uniform(-0.01, 0.05))
    return line_writer


def screen(line_writer: LineWriter, rate: str, seed: int) -> tuple[Job[ExperimentStep], Any]:
    job = open_experiment(
        line_writer,
        Idea.of(line_writer, proposal_of(line_writer.source(line_writer.known_line.working), rate)),
    )
    (planned,) = line_writer.store.jobs.runs_of(job.id)
    return job, replace(planned, seed=seed)


def early_stopper(line_writer: LineWriter, job: Job[Any], planned: Any, **more: Any) -> Any:
    return early_stopper_for(job, planned, cast("LineContext", Bench(line_writer, **more)))


def test_what_cannot_pass_any_more_is_stopped_with_a_reason(line_writer: LineWriter) -> None:
    looks = early_stopper(line_writer, *screen(line_writer, "0.9", seed=7))
    assert looks(printed(0.5, until=40)) is None  # too early
    assert looks.stopped_at_milli is None
    why = looks(printed(0.5, until=100))
    assert why == "at 45% of training its loss predicted 2.0000 at best; 1.4925 is needed"
    assert looks.stopped_at_milli == 450


def test_what_may_pass_is_not(line_writer: LineWriter) -> None:
    looks = early_stopper(line_writer, *screen(line_writer, "0.9", seed=7))
    assert [looks(printed(-0.01, until=until)) for until in (70, 120, 199)] == [None] * 3
    assert looks.stopped_at_milli is None


def test_one_in_twenty_goes_on_and_is_known_for_it(line_writer: LineWriter) -> None:
    looks = early_stopper(line_writer, *screen(line_writer, "0.9", seed=40))
    assert looks(printed(0.5, until=199)) is None
    assert looks.stopped_at_milli == 900


def test_only_screens_are_looked_at_and_only_if_wanted(line_writer: LineWriter) -> None:
    job, planned = screen(line_writer, "0.9", seed=7)
    assert early_stopper(line_writer, job, planned) is not None
    assert early_stopper(line_writer, job, planned, stops_early=False) is None
    assert early_stopper(line_writer, job, replace(planned, ordinal=1)) is None
    assert early_stopper(line_writer, job, replace(planned, role="base")) is None
    other = replace(job, step=cast("ExperimentStep", object()))
    assert early_stopper(line_writer, other, planned) is None


def test_after_a_keep_that_would_have_been_lost_it_learns_again(line_writer: LineWriter) -> None:
    store = line_writer.store
    assert len(finished_runs(store, line_writer.key, 1)) >= 30
    tried(line_writer, "0.8", -0.05, "kept", stopped_at_milli=450)
    assert len(finished_runs(store, line_writer.key, 1)) == 1
    looks = early_stopper(line_writer, *screen(line_writer, "0.9", seed=7))
    assert looks(printed(0.5, until=199)) is None


def test_what_stopping_saved_and_cost_is_counted(line_writer: LineWriter) -> None:
    cut = replace(run(None, status="stopped", reason="hopeless"), ms=600)
    job = open_experiment(
        line_writer,
        Idea.of(
            line_writer, proposal_of(line_writer.source(line_writer.known_line.working), "0.7")
        ),
    )
    (planned,) = line_writer.store.jobs.runs_of(job.id)
    ended = replace(cut, role=planned.role, seed=planned.seed)
    line_writer.store.jobs.finish_run(
        planned,
        StoredOutcome(run=ended, log_tail="", curve=points(0.5), steps=STEPS, stopped_at_milli=300),
    )
    close_experiment(
        line_writer, job, replace(job.step, decision="screened_out"), [ended], note="hopeless"
    )
    tried(line_writer, "0.71", 0.4, stopped_at_milli=300)
    tried(line_writer, "0.72", -0.05, "kept", stopped_at_milli=300)
    found = stopped_in(line_writer.store, line_writer.key, since_ms=0, until_ms=1 << 60)
    assert (found.screens, found.stopped, found.let_go_on, found.kept) == (33, 1, 2, 1)
    assert found.saved_ms == 1400
    read = line_writer.store.jobs.runs_of(job.id)[0].outcome
    assert read is not None
    assert (read.steps, read.stopped_at_milli, read.run.status) == (STEPS, 300, "stopped")
