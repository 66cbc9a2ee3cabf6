"""Own experiments continue during a promotion trial, which needs one lane."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from node.home.home import Home
from node.line.experiment import ExperimentStep
from node.line.idea import SUBMITTED, SubmissionStep
from node.line.promotion_trial import PromotionTrial, open_promotion_trial
from node.loop.session_plan import Goal
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.rule import DEFAULT
from protocol.source import Source
from tests.node.examples import BASELINE, LINE
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    conclude,
    end_promotion_trial,
    keep,
    proposal_of,
    with_baseline,
)
from tests.node.scripted import OUTCOME, Bench, Insertions, ScriptedRunner, until
from trainer.measuring.outcome import RunOutcome

AT_ONCE = replace(DEFAULT, keeps_per_promotion_trial=1)


@dataclass(kw_only=True)
class Concurrency:
    """Counts of running pairs and of screens started meanwhile, with their lanes."""

    pairs: int = 0
    screens: int = 0
    lanes: set[int] = field(default_factory=set)
    lanes_of_pairs: set[int] = field(default_factory=set)


@dataclass(kw_only=True)
class Hill(ScriptedRunner):
    """Lines of `good` numbers gain, in pairs only if they are `true`.

    Pairs end when `is_enough` experiments have been decided meanwhile.
    """

    good: frozenset[int]
    true: bool = True
    number: int = 0
    seen: Concurrency
    is_enough: Callable[[], bool]

    async def run(self, source: Source, seed: int, **how: Any) -> RunOutcome:
        is_pair = how["split"] is not None
        lines = source["train.py"].decode().splitlines()
        good = sum(int(line[1:].split()[0]) in self.good for line in lines if line[0] == "K")
        nano = BASE_NANO - GAIN_NANO * good * (self.true or not is_pair)
        self.outcomes = {source.tree: replace(OUTCOME, metric_nano=nano, secret_nano=nano)}
        if not is_pair and self.seen.pairs:
            self.seen.screens += 1
            self.seen.lanes.add(self.number)
        self.seen.pairs += is_pair
        if is_pair and len(lines) > 1:
            self.seen.lanes_of_pairs.add(self.number)
        try:
            if is_pair:
                await until(self.is_enough)
            return await super().run(source, seed, **how)
        finally:
            self.seen.pairs -= is_pair


def night(
    home: Home,
    store: Store,
    *,
    lanes: int,
    true: bool = True,
    good: frozenset[int],
    killed_after: int | None = None,
) -> Concurrency:
    """Work; with `killed_after`, stop writing after this many screens during a pair."""
    seen = Concurrency()

    def is_enough() -> bool:
        is_baseline = store.jobs.line(LINE) is None  # is measured on a split, too
        decided = len(store.jobs.closed_jobs(LINE, ExperimentStep))
        return is_baseline or lanes == 1 or decided >= 10

    runners = [
        Hill(good=good, true=true, number=number, seen=seen, is_enough=is_enough)
        for number in range(lanes)
    ]
    bench = Bench(
        home=home, store=store, runner=runners[0], others=runners[1:], is_shared=lanes > 1,
        proposer=Insertions(), policy=AT_ONCE, goal=Goal(max_experiments=12),
    )  # fmt: skip

    async def work() -> None:
        loop = asyncio.create_task(bench.research().run())
        if killed_after is not None:
            await until(lambda: seen.screens >= killed_after)
            loop.cancel()
        await asyncio.gather(loop, return_exceptions=killed_after is not None)

    asyncio.run(asyncio.wait_for(work(), 60))
    return seen


def promotion_trials(store: Store) -> list[PromotionTrial]:
    return [job.step for job in store.jobs.closed_jobs(LINE, PromotionTrial)]


def test_other_lanes_explore_while_one_has_a_promotion_trial(home: Home, store: Store) -> None:
    seen = night(home, store, lanes=4, good=frozenset({0}))
    assert seen.screens > 4
    assert len(seen.lanes_of_pairs) == 1
    assert seen.lanes.isdisjoint(seen.lanes_of_pairs)
    assert [step.passed for step in promotion_trials(store)] == [True]


def test_with_one_lane_nothing_runs_during_a_promotion_trial(home: Home, store: Store) -> None:
    seen = night(home, store, lanes=1, good=frozenset({0}))
    assert seen.screens == 0
    assert [step.passed for step in promotion_trials(store)] == [True]


def test_what_was_kept_during_a_promotion_trial_that_passed_is_judged_from_there(
    home: Home, store: Store
) -> None:
    seen = night(home, store, lanes=4, good=frozenset({0, 5}))
    first, second = promotion_trials(store)
    assert (first.passed, second.passed) == (True, True)
    assert (first.base, second.base) == (BASELINE.tree, first.tree)
    assert (len(first.stack), len(second.stack)) == (1, 1)
    line = store.jobs.line(LINE)
    assert line is not None
    assert (line.verified, line.working, line.stack) == (second.tree, second.tree, ())
    head = Blobs(home.blobs).get_source(line.verified)["train.py"].decode()
    assert "K0 = 1" in head
    assert "K5 = 1" in head
    assert seen.screens


def test_what_was_kept_during_one_that_did_not_pass_is_tried_again_on_the_head(
    home: Home, store: Store
) -> None:
    night(home, store, lanes=4, good=frozenset(range(12)), true=False)
    assert {step.passed for step in promotion_trials(store)} == {False}
    line = store.jobs.line(LINE)
    assert line is not None
    assert (line.verified, line.working) == (BASELINE.tree, BASELINE.tree)
    stack = promotion_trials(store)[0]
    steps = [job.step for job in store.jobs.closed_jobs(LINE, ExperimentStep)]
    kept = next(step for step in steps if (step.base, step.decision) == (stack.tree, "kept"))
    bases = [step.base for step in steps if step.title == kept.title]
    assert bases[:2] == [stack.tree, BASELINE.tree]


@pytest.mark.parametrize(("gain_nano", "queued"), [(GAIN_NANO, 0), (-GAIN_NANO, 1), (None, 1)])
def test_what_was_handed_in_and_kept_on_a_stack_that_does_not_pass_is_queued_for_the_head(
    home: Home, store: Store, gain_nano: int | None, queued: int
) -> None:
    line_writer = with_baseline(home, store)
    keep(line_writer, "0.2")
    trial = open_promotion_trial(line_writer)
    mine = proposal_of(line_writer.source(line_writer.known_line.working), "0.3", title="mine")
    mine = replace(mine, edits=(), proposer=SUBMITTED)
    kept = conclude(line_writer, mine, "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    keep(line_writer, "0.4")  # has edits, by which its proposer tries it again
    end_promotion_trial(line_writer, trial, gain_nano=gain_nano)
    waiting = [job.step for job in store.jobs.open_jobs(LINE, SubmissionStep)]
    assert len(waiting) == queued
    for step in waiting:
        assert (step.tree, step.title) == (mine.source.tree, "mine")
        assert step.parents == (kept.patch,)


@pytest.mark.parametrize("lanes", [1, 4])
def test_all_that_was_opened_is_decided(home: Home, store: Store, lanes: int) -> None:
    night(home, store, lanes=lanes, good=frozenset({0, 3, 5, 7}))
    steps = [job.step for job in store.jobs.closed_jobs(LINE, ExperimentStep)]
    assert len({step.title for step in steps}) == 12
    assert not store.jobs.open_ids(LINE)


@pytest.mark.parametrize("lanes", [1, 4])
def test_what_a_kill_cut_off_during_a_promotion_trial_goes_on(
    home: Home, store: Store, lanes: int
) -> None:
    night(home, store, lanes=4, good=frozenset({0, 5}), killed_after=3)
    (trial,) = store.jobs.open_jobs(LINE, PromotionTrial)
    cut_off = store.jobs.open_jobs(LINE, ExperimentStep)
    assert cut_off
    night(home, store, lanes=lanes, good=frozenset({0, 5}))
    assert not store.jobs.open_ids(LINE)
    first, *_ = promotion_trials(store)
    assert (first.tree, first.stack, first.passed) == (trial.step.tree, trial.step.stack, True)
    decided = {job.id for job in store.jobs.closed_jobs(LINE, ExperimentStep)}
    assert {job.id for job in cut_off} <= decided
