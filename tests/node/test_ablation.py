"""Ablation measures the parts of a head one by one, and removes those without a gain."""

import asyncio
from dataclasses import replace

import pytest

from agent.proposal import Proposal
from agent.source.canonical import fingerprint
from node.home.home import Home
from node.line.ablation import only_simplifies, open_ablation
from node.line.promotion_trial import PromotionTrial
from node.line.rerun import RerunStep
from node.loop.session_plan import Goal
from node.store.blobs import Blobs
from node.store.journal import Journal
from node.store.store import Store
from protocol.record_kinds import PatchBody, ResultBody
from protocol.rerun import RerunBody
from protocol.source import Source
from tests.node.examples import BASELINE, LINE
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    conclude,
    line_writer_of,
    promotion_trial,
    proposal_of,
    with_baseline,
)
from tests.node.scripted import OUTCOME, Bench
from trainer.measuring.outcome import RunOutcome

FASTER = Source.of({"train.py": b"LEARNING_RATE = 0.2\n"})
WIDER = Source.of({"train.py": b"LEARNING_RATE = 0.2\nWIDTH = 8\n"})


def gains(*, nano: int) -> RunOutcome:
    return replace(OUTCOME, metric_nano=BASE_NANO - nano, secret_nano=BASE_NANO - nano)


def step_to(base: Source, source: Source, title: str) -> Proposal:
    return replace(
        proposal_of(BASELINE, "0.2", title=title),
        parent=base.tree,
        source=source,
        edits=(),
        fingerprint=fingerprint(source),
    )


@pytest.fixture
def bench(home: Home, store: Store) -> Bench:
    """A node whose head is a stack of two."""
    line_writer = with_baseline(home, store)
    kept = BASE_NANO - GAIN_NANO
    conclude(line_writer, step_to(BASELINE, FASTER, "faster"), "kept", kept, kept)
    conclude(line_writer, step_to(FASTER, WIDER, "wider"), "kept", kept, kept)
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    return Bench(home=home, store=store, ideas=0)


def asked(store: Store) -> list[RerunStep]:
    return [job.step for job in store.jobs.closed_jobs(LINE, RerunStep)]


def test_a_part_that_does_nothing_is_taken_out_and_waits_for_a_gain_to_ride_with(
    bench: Bench,
) -> None:
    good = gains(nano=GAIN_NANO)
    bench.runner.outcomes = {WIDER.tree: good, FASTER.tree: good}
    asyncio.run(bench.research().run())
    line = bench.store.jobs.line(LINE)
    assert line is not None
    # The same runs on both sides: equal, and no worse without.
    assert (line.verified, line.working) == (WIDER.tree, FASTER.tree)
    assert only_simplifies(bench.store, line.stack)
    (without,) = (bench.store.records.patch(part) for part in line.stack)
    assert isinstance(without, PatchBody)
    assert (without.title, without.tree) == ("without: wider", FASTER.tree)
    (keep,) = (
        record.body
        for record in bench.store.records.listed("result")
        if isinstance(record.body, ResultBody) and record.body.patch == line.stack[0]
    )
    assert {run.role for run in keep.runs} == {"base", "candidate"}
    assert not bench.store.jobs.closed_jobs(LINE, PromotionTrial)[1:]  # nothing to confirm in it
    journal = Journal(bench.home, bench.store, Blobs(bench.home.blobs), LINE)
    journal.catch_up()
    assert journal.check() == []

    faster = proposal_of(FASTER, "0.201").source
    bench.runner.outcomes = {**bench.runner.outcomes, faster.tree: gains(nano=2 * GAIN_NANO)}
    bench.ideas, bench.goal = 3, Goal(max_experiments=3)
    asyncio.run(bench.research().run())
    line = bench.store.jobs.line(LINE)
    assert line is not None
    assert (line.verified, line.stack) == (faster.tree, ())


def test_a_part_that_gains_is_confirmed_alone_and_stays(bench: Bench) -> None:
    bench.runner.outcomes = {WIDER.tree: gains(nano=GAIN_NANO)}
    asyncio.run(bench.research().run())
    line = bench.store.jobs.line(LINE)
    assert line is not None
    assert (line.verified, line.working, line.stack) == (WIDER.tree, WIDER.tree, ())
    (rerun,) = (record.body for record in bench.store.records.listed("rerun"))
    assert isinstance(rerun, RerunBody)
    assert (rerun.base, rerun.tree) == (FASTER.tree, WIDER.tree)
    assert rerun.verdict == "confirmed"


def test_each_part_is_asked_about_once_and_one_that_cannot_be_taken_out_never(
    bench: Bench,
) -> None:
    bench.runner.outcomes = {WIDER.tree: gains(nano=GAIN_NANO)}
    for _ in range(2):
        asyncio.run(bench.research().run())
    assert [step.base for step in asked(bench.store)] == [FASTER.tree]  # `faster` is next to it
    assert open_ablation(line_writer_of(bench.home, bench.store)) is None


def test_on_a_plateau_a_part_is_asked_about_now_and_then(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.line.plateaus.ENOUGH", 0.45)  # of ten experiments without a keep
    bench.runner.outcomes = {WIDER.tree: gains(nano=GAIN_NANO)}
    bench.ideas, bench.goal = 100, Goal(max_experiments=9)
    asyncio.run(bench.research().run())
    assert asked(bench.store) == []
    bench.goal = Goal(max_experiments=3)
    asyncio.run(bench.research().run())
    assert len(asked(bench.store)) == 1


def test_a_patch_that_was_confirmed_alone_is_not_asked_about_again(
    home: Home, store: Store
) -> None:
    line_writer = with_baseline(home, store)
    kept = BASE_NANO - GAIN_NANO
    conclude(line_writer, step_to(BASELINE, FASTER, "faster"), "kept", kept, kept)
    promotion_trial(line_writer, gain_nano=GAIN_NANO)
    assert open_ablation(line_writer) is None
