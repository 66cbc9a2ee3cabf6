"""The context of proposers: the current line, the user's words, others' announced tries."""

from dataclasses import replace
from typing import Any

import pytest

from agent.proposal import NO_END, Context, Left
from node.home.clock import clock_ms
from node.home.home import Home
from node.line.line_writer import LineWriter
from node.line.reference_runs import open_reference_run
from node.loop.briefing import Briefing
from node.loop.outcomes import Outcomes
from node.store.blobs import Blobs
from node.store.jobs import StoredOutcome
from node.store.notes import keep_note
from node.store.store import Store
from protocol.remarks import IntentBody
from protocol.units import NANO
from tests.node.examples import BASELINE, LINE, MANIFEST, run
from tests.node.line_writers import BASE_NANO, GAIN_NANO, keep, line_writer_of
from tests.node.peer_authors import PeerAuthor
from tests.node.scripted import Bench
from trainer.measuring.loss_curve import LossPoint


def briefed(line_writer: LineWriter, home: Home, *, left: Left = NO_END, **parts: Any) -> Context:
    """Return a proposer's context; `parts` are optional parts of the briefing."""
    task = Bench(home=home, store=line_writer.store).session().task
    briefing = Briefing(
        line_writer=line_writer,
        task=task,
        outcomes=Outcomes(line_writer, task.manifest, task.hyperparameters),
        program=lambda: "Lower it.",
        noise_sd=lambda: 0.01,
        **parts,
    )
    return briefing.context(tried=lambda _: False, seed=1, left=left)


def test_a_brief_says_what_is_measured_and_within_what(home: Home, line_writer: LineWriter) -> None:
    brief = briefed(line_writer, home).brief
    assert brief is not None
    limits = MANIFEST.limits
    assert (brief.task, brief.program, brief.noise_sd) == (MANIFEST.name, "Lower it.", 0.01)
    assert (brief.metric, brief.is_minimised) == (MANIFEST.metric.name, True)
    base = brief.base
    assert base is not None
    assert (base.metric, base.runs) == (pytest.approx(BASE_NANO / NANO), 2)
    assert base.error == pytest.approx(1.96 * 0.01 / 2**0.5)
    assert (base.number, base.seconds) == (0, run(BASE_NANO).ms / 1000)
    assert f"{limits.limit_s} s for training" in brief.limits
    assert f"weights of {limits.weights_mb} MB" in brief.limits


def test_the_source_is_the_working_line_s(home: Home, line_writer: LineWriter) -> None:
    keep(line_writer, "0.9")
    context = briefed(line_writer, home)
    assert context.source["train.py"] == b"LEARNING_RATE = 0.9\n"
    assert context.brief is not None
    assert context.brief.base is not None
    assert context.brief.base.metric == pytest.approx((BASE_NANO - GAIN_NANO) / NANO)
    (outcome,) = context.history
    assert (outcome.decision, outcome.base) == ("kept", 0)
    assert context.brief.base.number == outcome.number > 0


def test_the_loss_curve_is_that_of_the_latest_run_that_printed_one(
    home: Home, line_writer: LineWriter, store: Store
) -> None:
    curve = (LossPoint(step=5, loss_nano=3 * NANO), LossPoint(step=10, loss_nano=2 * NANO))
    for number, points in enumerate((curve, ())):
        job = open_reference_run(line_writer)
        (planned,) = store.jobs.runs_of(job.id)
        ended = replace(run(BASE_NANO), role="base", seed=planned.seed, cpu_ms=2_500 + number)
        store.jobs.finish_run(planned, StoredOutcome(run=ended, log_tail="", curve=points))
    brief = briefed(line_writer, home).brief
    assert brief is not None
    assert brief.base is not None
    assert brief.base.curve == ((5, 3.0), (10, 2.0))
    assert brief.base.cpu_seconds == 2.501


def test_what_is_left_is_reported_as_far_as_it_is_known(
    home: Home, line_writer: LineWriter
) -> None:
    session = Left(seconds=60.0, experiments=3)
    brief = briefed(line_writer, home, left=session, usd_left=lambda: 1.5).brief
    assert brief is not None
    assert brief.left == Left(seconds=60.0, experiments=3, usd=1.5)


def test_what_others_try_on_this_line_is_reported(
    home: Home, line_writer: LineWriter, store: Store
) -> None:
    ada = PeerAuthor(store, Blobs(home.blobs), number=50)
    here = IntentBody(
        task=LINE.task,
        hardware_class=LINE.hardware_class,
        base=BASELINE.tree,
        title="LAYERS 2 → 4",
        ttl_s=600,
    )
    ada.publish(here)
    ada.publish(replace(here, base=b"\1" * 32, title="elsewhere"))
    assert briefed(line_writer, home).intents == ("LAYERS 2 → 4",)


def test_before_the_first_run_it_is_about_the_task_s_baseline(home: Home, store: Store) -> None:
    context = briefed(line_writer_of(home, store), home)
    assert context.source == BASELINE
    assert context.brief is not None
    assert context.brief.base is None


def test_what_the_owner_says_is_reported_for_a_day(
    home: Home, line_writer: LineWriter, store: Store
) -> None:
    keep_note(store, LINE, "long ago", now_ms=1)
    keep_note(store, LINE, "try a warm-up", now_ms=clock_ms())
    brief = briefed(line_writer, home).brief
    assert brief is not None
    assert brief.notes == ("try a warm-up",)


def test_notes_on_experiments_are_part_of_their_outcomes(
    home: Home, line_writer: LineWriter
) -> None:
    store = line_writer.store
    one, other = keep(line_writer, "0.9"), keep(line_writer, "0.8")
    baseline = store.experiments.listed(LINE)[0].id
    keep_note(store, LINE, "it was the seed", now_ms=1, about=one.result)
    keep_note(store, LINE, "", now_ms=2, about=other.result, leave=True)
    keep_note(store, LINE, "slow today", now_ms=3, about=baseline)
    context = briefed(line_writer, home)
    assert [(past.note, past.leave) for past in context.history] == [
        ("it was the seed", False),
        ("", True),
    ]
    assert context.brief is not None
    assert context.brief.notes == ("On the baseline: slow today",)
