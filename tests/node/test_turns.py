"""Several tasks on one node: what the flags mean, and that turns change between trials."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from node.home.home import Home
from node.line.job_kinds import KINDS
from node.line.promotion_trial import PromotionTrial
from node.loop.research import Research
from node.loop.session_plan import Goal
from node.running.turns import TimeShare, Turn, Turns, for_a_turn, run_in_turn, rungs_of, shares_of
from node.store.store import Store
from protocol.errors import UsageError
from protocol.rule import DEFAULT
from tests.node.line_writers import line_writer_of
from tests.node.scripted import Bench, ScriptedRunner, better, until
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task


@pytest.fixture
def bench(home: Home, store: Store) -> Bench:
    return Bench(home=home, store=store)


def test_a_task_has_the_parts_of_the_time_that_its_flag_names() -> None:
    shares = shares_of(["tiny", "sql:2", "./a:b/tour:3"])
    assert shares == (
        TimeShare(task="tiny", parts=1),
        TimeShare(task="sql", parts=2),
        TimeShare(task="./a:b/tour", parts=3),
    )


@pytest.mark.parametrize(
    ("flags", "expected"),
    [(["tiny:0"], "must be at least 1"), (["tiny", "tiny:2"], "is given twice")],
)
def test_shares_that_are_none_are_refused(flags: list[str], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        shares_of(flags)


def test_a_turn_that_is_over_ends_the_session_once_what_is_open_is_decided(bench: Bench) -> None:
    research = bench.research()
    bench.runner.on_start = lambda count: research.make_way("next") if count == 6 else None
    asyncio.run(asyncio.wait_for(research.run(), 20))
    assert research.has_given_way
    assert not research.is_stopped
    line = line_writer_of(bench.home, bench.store).key
    assert bench.store.jobs.open_jobs(line, *KINDS) == []
    assert "next" in bench.said


def test_a_trial_of_pairs_is_decided_before_another_task_has_its_turn(bench: Bench) -> None:
    bench.rates = ["0.3"]
    bench.runner = ScriptedRunner(outcomes=dict([better("0.3")]))
    bench.policy = replace(DEFAULT, keeps_per_promotion_trial=1)
    research = bench.research()
    line = line_writer_of(bench.home, bench.store).key

    def give_way_in_a_trial(_count: int) -> None:
        if bench.store.jobs.open_jobs(line, PromotionTrial):
            research.make_way("next")

    bench.runner.on_start = give_way_in_a_trial
    asyncio.run(asyncio.wait_for(research.run(), 60))
    assert research.has_given_way
    assert bench.store.jobs.open_jobs(line, *KINDS) == []
    (trial,) = bench.store.jobs.closed_jobs(line, PromotionTrial)
    assert trial.step.measured is not None


def test_what_a_user_stops_is_no_turn(bench: Bench) -> None:
    research = bench.research()
    bench.runner.on_start = lambda count: research.stop() if count == 4 else None
    asyncio.run(asyncio.wait_for(research.run(), 20))
    research.make_way("too late")
    assert research.is_stopped
    assert not research.has_given_way


def test_the_clock_ends_a_turn(bench: Bench) -> None:
    research = bench.research()

    async def work() -> None:
        async with for_a_turn(research, Turn(lambda: 0.0, "sql")):
            running = asyncio.create_task(research.run())
            await until(lambda: research.has_given_way)
            await running

    asyncio.run(asyncio.wait_for(work(), 20))
    assert any("sql is next" in line for line in bench.said)


def test_a_turn_ends_by_what_is_known_of_its_length_then(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.running.turns._LOOKED_S", 0.01)
    research = bench.research()
    lengths_s = chain([1000.0, 1000.0], repeat(0.0))

    async def work() -> None:
        async with for_a_turn(research, Turn(lengths_s.__next__, "sql")):
            running = asyncio.create_task(research.run())
            await until(lambda: research.has_given_way)
            await running

    asyncio.run(asyncio.wait_for(work(), 20))


def ladder(
    data_dir: Path,
    *,
    took_s: Callable[[], float | None] = lambda: None,
    kept_ms: Callable[[bytes], int | None] = lambda _: None,
) -> Turns:
    """Return the turns of tiny and the rung below it, which has a quarter of the time."""
    return Turns.of_ladder(
        rungs_of(load_task("tiny", data_dir=data_dir), "tiny", 1, data_dir),
        run_s=took_s,
        turn_s=None,
        share_below=lambda _: 0.25,
        kept_ms=kept_ms,
    )


def test_turns_of_a_ladder_are_as_long_as_runs_of_its_task_ask_for(tmp_path: Path) -> None:
    took_s: list[float | None] = [None]
    turns = ladder(tmp_path, took_s=lambda: took_s[0])
    assert turns.names == ("tiny-short", "tiny")
    assert [turns.length_s(number, 0) for number in (0, 1)] == [300.0, 900.0]
    took_s[0] = 60.0
    assert [turns.length_s(number, 0) for number in (0, 1)] == [600.0, 1800.0]
    took_s[0] = 0.5  # nor so short that they are all beginning
    assert [turns.length_s(number, 0) for number in (0, 1)] == [60.0, 180.0]


def test_a_rung_below_makes_way_once_it_has_finds_and_keeps_no_more(tmp_path: Path) -> None:
    began_ms, kept_ms = 5_000_000, dict[bytes, int]()
    turns = ladder(tmp_path, kept_ms=kept_ms.get)
    below, task = turns.tasks
    kept_ms[below.id] = began_ms - 1000  # in an earlier turn
    assert turns.length_s(0, began_ms) == 300.0
    kept_ms[below.id] = began_ms + 50_000
    assert turns.length_s(0, began_ms) == 150.0
    kept_ms[below.id] = began_ms + 290_000
    assert turns.length_s(0, began_ms) == 300.0
    kept_ms[task.id] = began_ms + 50_000
    assert turns.length_s(1, began_ms) == 900.0


def test_what_a_task_measured_in_an_earlier_turn_holds_where_it_is_the_same_bits(
    tmp_path: Path,
) -> None:
    tiny = load_task("tiny", data_dir=tmp_path)
    metric = replace(tiny.manifest.metric, name="train_s", unit="of the baseline")
    timed = replace(tiny, manifest=replace(tiny.manifest, metric=metric, target_nano=1))
    reported: list[tuple[str, bool]] = []

    async def run(
        _task: Task, name: str, goal: Goal, _before: Research | None, _turn: Turn | None
    ) -> Research:
        reported.append((name, goal.measures_the_same))
        return cast("Research", SimpleNamespace(is_stopped=len(reported) == 4, has_given_way=True))

    turns = Turns(tasks=(tiny, timed), names=("tiny", "timed"), length_s=lambda *_: 1.0)
    asyncio.run(run_in_turn(turns, Goal(), run, lambda _: None))
    assert reported == [("tiny", False), ("timed", False), ("tiny", True), ("timed", False)]
