"""The loop with a scripted runner: its starts, waits, ends and continuations.

The runner stands in for sandboxes and torch only; `tests/integration` runs the same loop with
the real one. What every tree measures is a table.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import Any, cast

import pytest

from agent.proposal import Proposal
from agent.source.canonical import fingerprint
from node.home.config import Config
from node.home.home import Home
from node.line import promotion_trial
from node.line.baseline import BaselineStep
from node.line.experiment import ExperimentStep, open_experiment
from node.line.head_by_hand import move_head
from node.line.idea import SUBMITTED, WHOLE_TREE, Idea, open_submission
from node.line.job_kinds import KINDS
from node.line.promotion_trial import PromotionTrial, open_promotion_trial
from node.loop import research as research_module
from node.loop.others_tries import OthersTries
from node.loop.research import Research
from node.loop.session_plan import Goal
from node.running import node
from node.store.blobs import Blobs
from node.store.jobs import PlannedRun
from node.store.store import Store
from node.terminal.durations import parse_hours
from node.terminal.vocabulary import sd_words
from protocol.errors import ArnodeError
from protocol.ideas import Edit, Move
from protocol.prospects import LARGE_SD
from protocol.record_kinds import ResultBody
from protocol.rule import DEFAULT
from protocol.runs import CONTENDED
from protocol.source import Source
from protocol.styles import RUNS, Style
from tests.node.examples import BASELINE, LINE
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    conclude,
    end,
    keep,
    line_writer_of,
    proposal_of,
    with_baseline,
)
from tests.node.peer_authors import SD_NANO, PeerAuthor
from tests.node.scripted import CRASHED, OUTCOME, Bench, Insertions, better, insertion, until
from tests.node.test_others_tries import publish
from trainer.host.device import processor
from trainer.measuring.host_load import Idle
from trainer.measuring.outcome import RunOutcome


@pytest.fixture
def bench(home: Home, store: Store) -> Bench:
    return Bench(home=home, store=store)


def settled(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, which is a matter of milliseconds."""

    async def within() -> None:
        async with asyncio.timeout(20):
            await work

    asyncio.run(within())


@contextlib.asynccontextmanager
async def running(research: Research) -> AsyncIterator[asyncio.Task[None]]:
    """Run the loop until the block ends."""
    task = asyncio.create_task(research.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_it_stops_after_so_many_experiments(bench: Bench) -> None:
    bench.goal = Goal(max_experiments=3)
    settled(bench.research().run())
    assert bench.decisions() == ["baseline", *["discarded"] * 3]
    assert bench.store.jobs.open_jobs(LINE, *KINDS) == []


def test_experiments_are_counted_by_session(bench: Bench) -> None:
    bench.goal = Goal(max_experiments=2)
    for _ in range(2):
        settled(bench.research().run())
    assert bench.decisions() == ["baseline", *["discarded"] * 4]


def test_a_gain_is_kept_checkpointed_at_the_sessions_end_and_adopted(bench: Bench) -> None:
    bench.runner.outcomes = dict([better("0.201")])
    bench.goal = Goal(max_experiments=3)
    settled(bench.research().run())
    assert bench.decisions().count("kept") == 1
    assert bench.decisions()[-1] == "adopted"
    line = bench.store.jobs.line(LINE)
    assert line is not None
    assert line.verified == better("0.201")[0]


def test_a_gain_is_the_figure_that_decided_wherever_it_is_reported(bench: Bench) -> None:
    """A base's level differs from the metric in the last record of that base."""
    bench.runner.outcomes = dict([better("0.201"), better("0.203")])
    bench.goal = Goal(max_experiments=12)
    settled(bench.research().run())
    jobs = bench.store.jobs.closed_jobs(LINE, ExperimentStep)
    decided = {(job.step.base, job.step.tree): job.step for job in jobs}
    reported = [row for row in bench.store.experiments.listed() if row.stage in ("screen", "keep")]
    assert len(reported) == 12
    levels = set()
    for row in reported:
        step = decided[row.parent, row.tree]
        assert row.gain_nano is not None
        assert row.metric_nano is not None
        assert row.gain_nano == step.level_nano - row.metric_nano
        levels.add(step.level_nano)
        (line,) = [one for one in bench.said if row.id.hex()[:12] in one]
        sd = step.gain_milli / 1000
        assert sd_words(sd) in line
    assert len(levels) > 2


@pytest.mark.parametrize(("pool_bytes", "adopted"), [(None, 1), (1_000_000, 1), (100, 0)])
def test_where_the_text_is_public_a_stack_must_gain_more_than_it_grew_by(
    bench: Bench, pool_bytes: int | None, adopted: int
) -> None:
    longer = "0.201 + 0.0012345678987654321"
    bench.runner.outcomes = dict([better(longer)])
    bench.rates, bench.pool_bytes = [longer], pool_bytes
    bench.goal = Goal(max_experiments=1)
    settled(bench.research().run())
    assert bench.decisions().count("kept") == 1
    assert bench.decisions().count("adopted") == adopted


def test_a_stop_finishes_the_run_at_hand(bench: Bench) -> None:
    research = bench.research()
    bench.runner.on_start = lambda count: research.stop() if count == 3 else None
    settled(research.run())
    assert bench.decisions() == ["baseline", "discarded"]
    assert len(bench.runner.started) == 3


@pytest.mark.parametrize("word", ["stop", "give way"])
def test_a_run_that_waits_for_a_quiet_minute_is_put_off_when_the_session_ends(
    bench: Bench, word: str
) -> None:
    """It has no outcome, and is made in the next session with the same seed."""
    bench.runner.disturbed = asyncio.Event()
    research = bench.research()

    async def work() -> None:
        async with running(research) as loop:
            await until(lambda: any("a quiet minute" in line for line in bench.said))
            research.stop() if word == "stop" else research.give_way("other data")
            await loop

    settled(work())
    (job,) = bench.store.jobs.open_jobs(LINE, *KINDS)
    planned = bench.store.jobs.runs_of(job.id)
    assert [run.outcome for run in planned] == [None, None]
    bench.runner.disturbed = None
    bench.goal = Goal(max_experiments=1)
    settled(bench.research().run())
    assert [run.seed for run in bench.store.jobs.runs_of(job.id)] == [run.seed for run in planned]
    assert bench.decisions() == ["baseline", "discarded"]


def test_runs_that_wait_for_a_quiet_minute_keep_no_other_run_waiting(bench: Bench) -> None:
    """However many they are: each frees its device, and the next one begins."""
    waiting = 4
    research = bench.research()

    def disturb(count: int) -> None:
        if count == 3:  # the baseline was measured
            bench.runner.disturbed = asyncio.Event()

    bench.runner.on_start = disturb

    async def work() -> None:
        async with running(research) as loop:
            await until(lambda: bench.runner.waiting == waiting)
            assert research.activity.waits_s() == (60.0,) * waiting
            research.stop()
            await loop

    bench.rates = [f"0.{number}" for number in range(201, 201 + waiting)]
    settled(work())
    assert bench.decisions() == ["baseline"]
    assert len({job.id for job in bench.store.jobs.open_jobs(LINE, *KINDS)}) == waiting


def test_what_cuts_a_run_off_while_it_is_scored_is_written_down_before_the_node_ends(
    bench: Bench,
) -> None:
    """Started again, the node must not repeat a run that a script may have cut off on purpose."""
    fault = ArnodeError("the card has fallen off the bus", "look at it")
    cut_off = {RATE.tree: replace(CRASHED, fault=fault)}
    bench.runner.outcomes = cut_off
    with pytest.raises(ArnodeError, match="fallen off the bus"):
        settled(tried(bench).run())
    bench.runner.outcomes = {}
    settled(tried(bench).run())
    assert bench.decisions() == ["baseline", "failed"]
    assert bench.runner.started.count(RATE.tree) == 1


def test_it_gives_way_after_the_run_at_hand_unless_it_ends_anyway(bench: Bench) -> None:
    research = bench.research()
    bench.runner.on_start = lambda count: research.give_way("other data") if count == 3 else None
    settled(research.run())
    assert research.has_given_way
    assert len(bench.runner.started) == 3
    assert sum("other data" in line for line in bench.said) == 1


def test_a_stop_is_a_stop_whether_it_gives_way_or_not(bench: Bench) -> None:
    for order in (("stop", "give way"), ("give way", "stop")):
        research = bench.research()

        def say(count: int, research: Research = research, order: tuple[str, ...] = order) -> None:
            for word in order if count % 2 else ():
                research.stop() if word == "stop" else research.give_way("other data")

        bench.runner.on_start = say
        settled(research.run())
        assert not research.has_given_way, order


class WallClock:
    """A wall clock that stands until a test moves it."""

    def __init__(self, time: str) -> None:
        self.shows(time)

    def __call__(self) -> datetime:
        return self._now

    def shows(self, time: str, *, day: int = 1) -> None:
        self._now = datetime.fromisoformat(f"2026-03-0{day}T{time}+00:00")


def test_runs_start_in_its_hours_only(bench: Bench) -> None:
    bench.goal = Goal(max_experiments=1)
    settled(bench.research().run())
    started, calibrations = len(bench.runner.started), bench.runner.calibrations
    wall_clock = WallClock("22:59:59.9")
    bench.goal, bench.now = Goal(max_experiments=2, hours=parse_hours("23:00-08:00")), wall_clock
    research = bench.research()

    async def night() -> None:
        async with running(research) as working:
            await until(lambda: research.activity.stage == "resting until 23:00")
            assert len(bench.runner.started) == started
            assert bench.runner.calibrations == calibrations
            wall_clock.shows("23:00:00")  # a tenth of a second later it looks at it again
            await working

    settled(night())
    assert bench.runner.calibrations == calibrations + 1
    assert bench.decisions() == ["baseline", *["discarded"] * 3]


def test_a_stop_at_the_moment_at_which_a_rest_ends_is_one(bench: Bench) -> None:
    bench.goal, bench.now = Goal(hours=parse_hours("23:00-08:00")), WallClock("22:59:59.9")
    research = bench.research()

    async def night() -> None:
        async with running(research) as working:
            await until(lambda: research.activity.stage == "resting until 23:00")
            research._agenda.is_over = True  # and the rest ends before anybody is woken
            await working

    settled(night())
    assert bench.runner.started == []


def test_runs_start_only_while_others_leave_the_machine_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.loop.agenda.LOOKED_S", 0.001)
    seconds, shares = count(0, 10), iter([0.5, 0.0, *[0.01] * 1_000])
    idle = Idle(others=lambda: next(shares), clock=lambda: float(next(seconds)))
    bench.goal, bench.idle = Goal(max_experiments=1, when_idle=True), idle
    research = bench.research()

    async def work() -> None:
        async with running(research) as working:
            await until(lambda: "other programs use this machine" in research.activity.stage)
            assert bench.runner.started == []
            await working

    settled(work())
    assert bench.decisions() == ["baseline", "discarded"]
    assert sum("other programs use this machine" in line for line in bench.said) == 1


def test_the_run_at_hand_ends_and_the_rest_waits_for_the_next_night(bench: Bench) -> None:
    wall_clock = WallClock("01:00")
    bench.goal, bench.now = Goal(hours=parse_hours("23:00-08:00")), wall_clock
    bench.runner.on_start = lambda count: wall_clock.shows("08:00") if count == 4 else None
    research = bench.research()

    async def morning() -> None:
        async with running(research) as working:
            await until(lambda: research.activity.stage == "resting until 23:00")
            research.stop()
            await working

    settled(morning())
    assert len(bench.runner.started) == 4


def test_nothing_new_starts_while_paused_not_even_in_a_promotion_trial(bench: Bench) -> None:
    bench.runner.outcomes = dict([better("0.200")])
    bench.policy = replace(DEFAULT, keeps_per_promotion_trial=1)
    research = bench.research()

    def is_confirming() -> bool:
        return any(
            job.step.KIND == "promotion_trial" for job in bench.store.jobs.open_jobs(LINE, *KINDS)
        )

    def pause_in_a_trial(_: int) -> None:
        if is_confirming() and not research.is_paused:
            research.pause()

    bench.runner.on_start = pause_in_a_trial

    async def work() -> None:
        async with running(research) as loop:
            await until(lambda: research.activity.stage == "paused")
            assert is_confirming()
            count = len(bench.runner.started)
            for _ in range(100):
                await asyncio.sleep(0)
            assert len(bench.runner.started) == count
            bench.runner.on_start = lambda _: None
            research.resume()
            await until(lambda: "adopted" in bench.decisions())
            research.stop()
            await loop

    settled(work())


def test_a_pause_ends_what_runs_and_it_is_made_again(bench: Bench) -> None:
    research = bench.research()
    bench.runner.training = asyncio.Event()

    async def work() -> None:
        async with running(research) as loop:
            await until(lambda: len(bench.runner.started) == 1)
            lost = await research.pause_at_once()
            assert (lost.runs, len(research._in_flight)) == (1, 0)
            await until(lambda: research.activity.stage == "paused")
            nothing = await research.pause_at_once(for_s=3600)
            assert str(nothing) == "nothing was running"
            await until(lambda: research.activity.stage.startswith("paused until "))
            assert len(bench.runner.started) == 1
            bench.runner.training = None
            research.resume()
            research.resume()  # without a pause
            await until(lambda: "kept" in bench.decisions() or "discarded" in bench.decisions())
            research.stop()
            await loop

    settled(work())
    assert bench.said.count("the pause is over: runs start again") == 1
    assert bench.runner.seeds[0] == bench.runner.seeds[1]
    assert bench.runner.started[0] == bench.runner.started[1]


def test_a_run_that_spans_a_suspend_is_made_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = iter([0.0, 7200.0])

    class Suspended:
        @property
        def slept_s(self) -> float:
            return next(slept, 0.0)

    monkeypatch.setattr("node.loop.research.Steady", Suspended)
    bench.goal = Goal(max_experiments=1)
    research = bench.research()
    settled(research.run())
    assert bench.decisions() == ["baseline", "discarded"]
    assert bench.runner.seeds[1] == bench.runner.seeds[2]
    assert research.activity.runs == len(bench.runner.started) - 1
    (line,) = [line for line in research.activity.messages if "suspended" in line]
    assert line == "the machine was suspended for 2 h 00 during a run, which is repeated"


def test_a_session_rests_on_its_battery(bench: Bench) -> None:
    research = bench.research()
    on_battery = True
    research._agenda._is_on_battery = lambda: on_battery

    async def work() -> None:
        nonlocal on_battery
        async with running(research) as loop:
            await until(lambda: research.activity.stage.startswith("resting while this machine"))
            assert bench.runner.started == []
            on_battery = False
            research._wake.set()
            await until(lambda: bench.runner.started != [])
            research.stop()
            await loop

    settled(work())


def test_what_somebody_waits_for_is_measured_on_the_battery_too(bench: Bench) -> None:
    research = tried(bench)
    research._agenda._is_on_battery = lambda: True
    settled(research.run())
    assert bench.decisions() == ["baseline", "discarded"]


@pytest.mark.parametrize(
    ("battery", "is_card", "rests"),
    [
        ("auto", True, True), ("rest", True, True), ("work", True, False),
        ("auto", False, False), ("rest", False, True), ("work", False, False),
    ],
)  # fmt: skip
def test_the_battery_is_spared_as_its_setting_says(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, battery: str, is_card: bool, rests: bool
) -> None:
    monkeypatch.setattr(node, "is_on_battery", lambda: True)
    device = replace(processor(), cuda="GPU-1" if is_card else None)
    monkeypatch.setattr(bench.runner, "device", device, raising=False)
    asks = node._resting_on_battery(Config(battery=battery), bench.session())
    assert asks() is rests


def test_a_session_ends_when_it_should_also_where_the_machine_slept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(research_module, "_NAP_S", 0.001)
    now_s = 0.0
    bench.goal, bench.clock_s = Goal(duration_s=3600), lambda: now_s
    research = bench.research()

    async def work() -> None:
        nonlocal now_s
        async with running(research) as loop:
            await until(lambda: bench.runner.started != [])
            await research.pause_at_once()
            await until(lambda: research.activity.stage == "paused")
            now_s += 3601  # of a suspend, in which no timer moves
            await loop

    settled(work())


def test_a_pause_goes_over_by_itself(bench: Bench) -> None:
    research = bench.research()

    async def work() -> None:
        async with running(research) as loop:
            await until(lambda: bench.runner.started != [])
            await research.pause_at_once(for_s=0.05)
            assert research.is_paused
            await until(lambda: not research.is_paused)
            count = len(bench.runner.started)
            await until(lambda: len(bench.runner.started) > count)
            research.stop()
            await loop

    settled(work())


def test_a_pause_while_the_baseline_is_timed_does_that_again(bench: Bench) -> None:
    bench.goal = Goal(max_experiments=1)
    settled(bench.research().run())
    bench.goal = Goal()
    research, timing = bench.research(), asyncio.Event()
    calibrate, begun = bench.runner.calibrate, list[int]()

    async def slow(seed: int) -> RunOutcome:
        begun.append(seed)
        if len(begun) == 1:
            await timing.wait()
        return await calibrate(seed)

    bench.runner.calibrate = slow  # type: ignore[method-assign]

    async def work() -> None:
        async with running(research) as loop:
            await until(lambda: begun != [])
            assert (await research.pause_at_once()).runs == 1
            await until(lambda: research.activity.stage == "paused")
            before = bench.runner.calibrations
            research.resume()
            await until(lambda: bench.runner.calibrations > before)
            research.stop()
            await loop

    settled(work())


def test_a_paused_node_stops_when_asked(bench: Bench) -> None:
    research = bench.research()

    async def work() -> None:
        async with running(research) as loop:
            research.pause()
            await until(lambda: research.activity.stage == "paused")
            research.stop()
            await loop

    settled(work())
    assert bench.runner.started == []


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_node_judges_its_stack_when_asked_to_stop_at_a_promotion_trial(
    bench: Bench, is_paused: bool
) -> None:
    bench.runner.outcomes = dict([better("0.200")])
    research = bench.research()

    async def work() -> None:
        async with running(research) as loop:
            await until(lambda: "kept" in bench.decisions())
            if is_paused:
                research.pause()
                await until(lambda: research.activity.stage == "paused")
            research.stop(after_promotion_trial=True)
            await loop

    settled(work())
    assert bench.decisions()[-1] == "adopted"
    assert bench.decisions().count("discarded") < 5  # it did not go on with its ideas first


def test_an_announced_session_ends_on_time_even_when_paused(bench: Bench) -> None:
    bench.goal = Goal(duration_s=0.05)
    research = bench.research()
    research.pause()
    settled(research.run())


def test_a_word_while_two_runs_are_under_way_does_not_make_the_loop_spin(bench: Bench) -> None:
    research = bench.research()
    turns = 0
    settle = research._settle_one

    async def counted(following: PlannedRun | None) -> None:
        nonlocal turns
        turns += 1
        await settle(following)

    research._settle_one = counted  # type: ignore[method-assign]

    async def work() -> None:
        bench.runner.gate = asyncio.Event()
        async with running(research) as loop:
            await until(lambda: len(bench.runner.started) == 2)
            research.stop()
            for _ in range(100):
                await asyncio.sleep(0)
            bench.runner.gate.set()
            await loop

    settled(work())
    assert turns < 10


def test_it_stops_when_every_idea_was_tried(bench: Bench) -> None:
    bench.ideas = 2
    settled(bench.research().run())
    assert bench.decisions() == ["baseline", "discarded", "discarded"]
    assert any("out of ideas" in line for line in bench.said)


def test_out_of_ideas_it_still_judges_what_it_kept(bench: Bench) -> None:
    bench.ideas = 1
    bench.runner.outcomes = dict([better("0.200")])
    settled(bench.research().run())
    assert bench.decisions() == ["baseline", "kept", "adopted"]


@pytest.mark.parametrize(
    ("run_s", "goal", "is_early"),
    [
        (3.0, Goal(), True),
        (3.0, Goal(max_experiments=10), False),  # its trial is much of such a session
        (300.0, Goal(), False),  # as it is of a night of long runs
    ],
)
def test_a_lines_first_trial_does_not_wait_for_a_full_stack_where_it_is_cheap(
    bench: Bench, run_s: float, goal: Goal, is_early: bool
) -> None:
    """Two patches that gain much are in, and the head would be the baseline all night."""
    now_s = 0.0

    def pass_time() -> None:
        nonlocal now_s
        now_s += run_s

    first = proposal_of(BASELINE, "0.200").source
    bench.runner.outcomes = dict([better("0.200"), better("0.201", first, 2 * GAIN_NANO)])
    bench.runner.takes, bench.clock_s = pass_time, lambda: now_s
    bench.rates = ["0.200", "0.3", "0.201", *(f"0.{number}" for number in range(401, 408))]
    bench.goal = goal
    settled(bench.research().run())
    decisions = bench.decisions()
    assert decisions.count("kept") == 2
    adopted = decisions.index("adopted")
    assert decisions[adopted + 1 :].count("discarded") == (7 if is_early else 0), decisions


@pytest.mark.parametrize(
    ("style", "is_assigned", "is_early"),
    [
        (Style(name="exact"), False, True),
        (RUNS, True, True),
        (RUNS, False, False),
        (Style.drawing(64), False, False),
    ],
    ids=["one pair", "assigned", "assigned to others", "drawn"],
)
def test_an_early_trial_of_many_pairs_is_made_by_some_of_the_nodes(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    style: Style,
    *,
    is_assigned: bool,
    is_early: bool,
) -> None:
    monkeypatch.setattr(Style, "of", lambda _manifest: style)
    monkeypatch.setattr(OthersTries, "is_assigned", lambda *_: is_assigned)
    first = proposal_of(BASELINE, "0.200").source
    bench.runner.outcomes = dict([better("0.200"), better("0.201", first, 2 * GAIN_NANO)])
    bench.rates = ["0.200", "0.3", "0.201", *(f"0.{number}" for number in range(401, 408))]
    settled(bench.research().run())
    decisions = bench.decisions()
    adopted = decisions.index("adopted")
    assert ("discarded" in decisions[adopted + 1 :]) is is_early, decisions


def test_an_early_trial_waits_for_a_move_that_peers_kept(bench: Bench) -> None:
    """It joins the trial, or is tried in vain; without it the trial would be repeated."""
    edit = Edit(path="train.py", search="LEARNING_RATE", replace="RATE")
    bench.moves = (Move(name="rename", title="Rename it", why="", edits=(edit,)),)
    first = proposal_of(BASELINE, "0.200").source
    bench.runner.outcomes = dict([better("0.200"), better("0.201", first, 2 * GAIN_NANO)])
    bench.rates = ["0.200", "0.3", "0.201", *(f"0.{number}" for number in range(401, 408))]
    now_s = 0.0

    def pass_time() -> None:
        nonlocal now_s
        now_s += 3.0

    bench.runner.takes, bench.clock_s = pass_time, lambda: now_s
    publish(PeerAuthor(bench.store, Blobs(bench.home.blobs)), "Rename it", stage="keep")
    settled(bench.research().run())
    decisions = bench.decisions()
    adopted = decisions.index("adopted")
    assert "discarded" not in decisions[adopted + 1 :], "it came last, after all ideas"


@pytest.mark.parametrize(
    ("gain_sd", "rechecks", "is_found", "others", "waits"),
    [
        (2, 5, True, 0, True),
        (2, 5, False, 0, False),
        (2, 5, False, 3, True),
        (LARGE_SD, 5, True, 0, False),
        (2, 1, True, 0, False),
    ],
)
def test_rechecks_of_a_small_gain_wait_for_a_listed_move(
    bench: Bench, gain_sd: float, rechecks: int, is_found: bool, others: int, waits: bool
) -> None:
    """It moves the line, so that the experiment begins again without these rechecks.

    Peers kept it, or this node repeats it because one of `others`' moves is the peer's part.
    """
    bench.policy = replace(DEFAULT, rechecks_sd=(0.25,) * rechecks)
    edit = Edit(path="train.py", search="LEARNING_RATE", replace="RATE")
    rename = Move(name="rename", title="Rename it", why="", edits=(edit,))
    unfit = (replace(edit, search="nowhere"),)
    bench.moves = (
        rename,
        *(replace(rename, name=f"m{at}", title=f"m{at}", edits=unfit) for at in range(others)),
    )
    line_writer = with_baseline(bench.home, bench.store)
    peer = PeerAuthor(bench.store, Blobs(bench.home.blobs))
    publish(peer, "Rename it", stage="keep" if is_found else "screen")
    job = open_experiment(line_writer, Idea.of(line_writer, proposal_of(BASELINE, "0.7")))
    gain_nano = round(gain_sd * SD_NANO)
    end(bench.store, bench.store.jobs.runs_of(job.id)[0], BASE_NANO - gain_nano)
    line_writer.plan(job, role="candidate", tree=job.step.tree)
    reference_nano = line_writer.known_line.reference_nano
    line_writer.forget_reference_runs()
    lacking = bench.research()._agenda.next_run(())
    assert lacking is not None
    assert lacking.job_id == job.id, "a screen needs a reference run"
    line_writer.save(replace(line_writer.known_line, reference_nano=reference_nano))
    research = bench.research()
    first = research._agenda.next_run(())
    assert first is not None
    assert (first.job_id != job.id) == waits
    if waits:
        (other,) = [
            one for one in bench.store.jobs.open_jobs(LINE, ExperimentStep) if one.id != job.id
        ]
        end(bench.store, first, BASE_NANO - 10 * gain_nano)
        line_writer.plan(other, role="candidate", tree=first.tree)
        after = research._agenda.next_run(())
        assert after is not None
        assert after.job_id == other.id, "its recheck comes first too"


@pytest.mark.parametrize(("passed", "waits"), [(3, True), (4, False)])
def test_several_small_gains_wait_for_a_move_that_peers_kept(
    bench: Bench, passed: int, *, waits: bool
) -> None:
    """Else two moves of its own that gain little occupy a node for twenty runs."""
    edit = Edit(path="train.py", search="LEARNING_RATE", replace="RATE")
    bench.moves = (Move(name="rename", title="Rename it", why="", edits=(edit,)),)
    bench.goal, bench.policy = Goal(max_experiments=9), replace(DEFAULT, rechecks_sd=(0.25, 0.25))
    line_writer = with_baseline(bench.home, bench.store)
    research, peer = bench.research(), PeerAuthor(bench.store, Blobs(bench.home.blobs))
    publish(peer, "Rename it", stage="keep")
    jobs: list[int] = []
    for number in range(passed):
        proposal = proposal_of(BASELINE, f"0.{5 + number}")
        job = open_experiment(line_writer, Idea.of(line_writer, proposal))
        end(bench.store, bench.store.jobs.runs_of(job.id)[0], BASE_NANO - 2 * SD_NANO)
        line_writer.plan(job, role="candidate", tree=job.step.tree)
        jobs.append(job.id)
    run = research._agenda.next_run(())
    assert run is not None
    assert (run.job_id not in jobs) == waits


def test_a_passed_screen_whose_base_moved_on_is_tried_on_the_new_one(bench: Bench) -> None:
    # Two ideas gain at once: the second one is screened while the first is being kept.
    first = proposal_of(BASELINE, "0.200").source
    bench.runner.outcomes = dict(
        [better("0.200"), better("0.201"), better("0.201", first, 2 * GAIN_NANO)]
    )
    bench.goal = Goal(max_experiments=4)
    settled(bench.research().run())
    assert bench.decisions().count("kept") + bench.decisions().count("adopted") >= 2


def test_next_to_an_experiment_that_passed_its_screen_none_is_begun(bench: Bench) -> None:
    """It would begin again on the new working line."""
    bench.goal = Goal(max_experiments=1)
    settled(bench.research().run())
    bench.goal = Goal()
    research = bench.research()
    line_writer = line_writer_of(bench.home, bench.store)
    job = open_experiment(line_writer, Idea.of(line_writer, proposal_of(BASELINE, "0.7")))

    def next_to(ordinal: int, *, has_lanes: bool = False) -> PlannedRun | None:
        return research._agenda.next_run({(job.id, ordinal)}, has_lanes=has_lanes)

    other = next_to(0)
    assert other is not None, "next to a screen another is begun"
    bench.store.jobs.close_job(other.job_id)
    end(bench.store, bench.store.jobs.runs_of(job.id)[0], BASE_NANO - GAIN_NANO)
    line_writer.plan(job, role="candidate", tree=job.step.tree)
    assert next_to(1) is None
    assert next_to(1, has_lanes=True) is not None


@pytest.mark.parametrize("is_whole_tree", [False, True])
def test_next_to_the_screen_of_an_idea_that_passed_elsewhere_none_is_begun(
    bench: Bench, *, is_whole_tree: bool
) -> None:
    """It will probably be kept."""
    line_writer = with_baseline(bench.home, bench.store)
    idea = Idea.of(line_writer, proposal_of(BASELINE, "0.7"))
    found = replace(idea, key=WHOLE_TREE) if is_whole_tree else replace(idea, parents=(b"p" * 32,))
    job = open_experiment(line_writer, found)
    research = bench.research()
    assert research._agenda.next_run({(job.id, 0)}) is None
    assert research._agenda.next_run({(job.id, 0)}, has_lanes=True) is not None


@pytest.mark.parametrize("title", ["Rename it", "another idea"])
@pytest.mark.parametrize("decision", [None, "kept", "screened_out"])
def test_while_experiments_in_company_are_often_kept_none_is_begun_next_to_a_screen(
    bench: Bench, decision: str | None, title: str
) -> None:
    """They are: the first one, the next one after a keep, and those of moves that a peer kept."""
    edit = Edit(path="train.py", search="LEARNING_RATE", replace="RATE")
    bench.moves = (Move(name="rename", title="Rename it", why="", edits=(edit,)),)
    line_writer = with_baseline(bench.home, bench.store)
    if decision is not None:
        conclude(line_writer, proposal_of(BASELINE, "0.6"), decision, BASE_NANO, BASE_NANO)
    publish(PeerAuthor(bench.store, Blobs(bench.home.blobs)), title, stage="keep")
    idea = Idea.of(line_writer, proposal_of(line_writer.explored, "0.7"))
    job = open_experiment(line_writer, idea)
    another = bench.research()._agenda.next_run({(job.id, 0)})
    assert (another is None) == (decision != "screened_out" or title == "Rename it")


@pytest.mark.parametrize("is_base_tight", [False, True])
def test_a_patch_that_leaves_no_room_under_the_ceiling_is_not_kept(
    bench: Bench, *, is_base_tight: bool
) -> None:
    """Whatever is changed afterwards, most runs would exceed the ceiling."""
    tree, outcome = better("0.200")
    tight = replace(outcome, flags=("tight",))
    bench.runner.outcomes = {tree: tight}
    if is_base_tight:
        bench.runner.outcomes[BASELINE.tree] = replace(OUTCOME, flags=("tight",))
    bench.goal = Goal(max_experiments=1)
    settled(bench.research().run())
    (step,) = steps_of(bench)
    assert step.decision == ("kept" if is_base_tight else "screened_out")
    notes = [
        record.body.note
        for record in bench.store.records.listed("result")
        if isinstance(record.body, ResultBody)
    ]
    assert ("uses nearly all of the time" in "".join(notes)) != is_base_tight


def test_rechecks_on_an_earlier_working_line_are_not_made(bench: Bench) -> None:
    """They could only show that it must be tried again on the present one."""
    line_writer = with_baseline(bench.home, bench.store)
    job = open_experiment(line_writer, Idea.of(line_writer, inserted(0)))
    end(bench.store, bench.store.jobs.runs_of(job.id)[0], BASE_NANO - GAIN_NANO)
    line_writer.plan(job, role="candidate", tree=job.step.tree)
    conclude(line_writer, inserted(1), "kept", BASE_NANO - GAIN_NANO, BASE_NANO - GAIN_NANO)
    bench.goal, bench.ideas = Goal(max_experiments=1), 1
    settled(bench.research().run())
    first, again = [step for step in steps_of(bench) if step.title == "K0"]
    assert (first.base, first.decision) == (BASELINE.tree, "rebased")
    assert again.base == line_writer.known_line.working
    assert job.step.tree not in bench.runner.started


def test_an_idea_that_does_not_fit_on_the_new_line_is_screened_on_the_old_one(
    bench: Bench,
) -> None:
    """Otherwise it would be lost without a run."""
    line_writer = with_baseline(bench.home, bench.store)
    job = open_experiment(line_writer, Idea.of(line_writer, inserted(0)))
    keep(line_writer, "0.200")
    bench.goal, bench.ideas = Goal(max_experiments=1), 1
    settled(bench.research().run())
    assert job.step.tree in bench.runner.started
    assert [step.decision for step in steps_of(bench) if step.title == "K0"] == ["screened_out"]


def test_of_an_idea_that_does_not_fit_on_the_new_line_no_recheck_is_made(bench: Bench) -> None:
    """It could not be kept even if it passed."""
    line_writer = with_baseline(bench.home, bench.store)
    job = open_experiment(line_writer, Idea.of(line_writer, inserted(0)))
    end(bench.store, bench.store.jobs.runs_of(job.id)[0], BASE_NANO - GAIN_NANO)
    line_writer.plan(job, role="candidate", tree=job.step.tree)
    keep(line_writer, "0.200")
    bench.goal, bench.ideas = Goal(max_experiments=1), 1
    settled(bench.research().run())
    assert job.step.tree not in bench.runner.started
    assert [step.decision for step in steps_of(bench) if step.title == "K0"] == ["rebased"]


def test_a_screen_that_began_during_the_kept_one_begins_again_on_the_new_line(
    bench: Bench,
) -> None:
    """A patch that one run decides is kept while the next one has just begun to train."""
    kept, other = inserted(0).source.tree, inserted(1).source.tree
    better_nano = BASE_NANO - GAIN_NANO
    bench.runner.outcomes = {
        kept: replace(OUTCOME, metric_nano=better_nano, secret_nano=better_nano)
    }
    bench.proposer, bench.policy = Insertions(), replace(DEFAULT, rechecks_sd=())
    bench.goal = Goal(max_experiments=2)
    bench.runner.gate = gate = asyncio.Event()
    gate.set()

    def on_start(_count: int) -> None:
        """Score the first patch only once the second one trains, which does not end."""
        trees = bench.runner.started
        gate.clear() if trees == [BASELINE.tree, BASELINE.tree, kept] else gate.set()
        bench.runner.training = asyncio.Event() if trees[-1] == other else None

    bench.runner.on_start = on_start
    settled(bench.research().run())
    assert bench.runner.started.count(other) == 1
    again = [step for step in steps_of(bench) if step.title == "K1"]
    assert [step.base for step in again] == [kept]


def inserted(number: int) -> Proposal:
    """Return the proposal of a line that fits next to other such lines."""
    proposal = insertion(number, BASELINE)
    assert proposal is not None
    return proposal


def test_a_baseline_that_fails_is_an_error_now_and_measured_again_next_time(bench: Bench) -> None:
    bench.runner.outcomes = {BASELINE.tree: CRASHED}
    with pytest.raises(ArnodeError) as caught:
        settled(bench.research().run())
    assert "it fell over" in caught.value.message
    bench.runner.outcomes = {}
    bench.goal = Goal(max_experiments=1)
    settled(bench.research().run())
    assert bench.decisions() == ["baseline", "discarded"]


@pytest.mark.parametrize("lost", [{1}, {2}, {1, 2}, {1, 3}])
def test_a_lost_run_of_the_baseline_is_repeated(bench: Bench, lost: set[int]) -> None:
    """Something outside may kill a run in the night: nobody is there to start the node again."""

    def lose(count: int) -> None:
        bench.runner.outcomes = {BASELINE.tree: CRASHED} if count in lost else {}

    bench.runner.on_start = lose
    bench.goal = Goal(max_experiments=1)
    settled(bench.research().run())
    assert bench.decisions() == ["baseline", "discarded"]
    (baseline,) = (
        record.body
        for record in bench.store.records.own()
        if isinstance(record.body, ResultBody) and record.body.stage == "baseline"
    )
    assert baseline.status == "ok"
    assert sorted(run.status for run in baseline.runs) == [*["crash"] * len(lost), "ok", "ok"]


@pytest.mark.parametrize(
    ("goal", "runs"),
    [
        (Goal(max_experiments=1), 1),
        (Goal(max_experiments=1, is_on_demand=True), 0),
        (Goal(max_experiments=1, measures_the_same=True), 0),
    ],
)
def test_a_new_session_measures_its_reference_runs_again(
    bench: Bench, goal: Goal, runs: int
) -> None:
    """Another day measures everything a little off; one answer is not worth a run of its own."""
    bench.goal = Goal(max_experiments=1)
    settled(bench.research().run())
    bench.runner.started.clear()
    bench.goal = goal
    settled(bench.research().run())
    assert bench.runner.started.count(BASELINE.tree) == runs


def test_nothing_is_screened_without_reference_runs(bench: Bench) -> None:
    bench.goal = Goal(max_experiments=1)
    settled(bench.research().run())
    line_writer = line_writer_of(bench.home, bench.store)
    move_head(line_writer, BASELINE.tree, evidence=None)
    assert line_writer.known_line.reference_nano == ()
    bench.runner.gate = asyncio.Event()

    async def work() -> None:
        async with running(bench.research()) as loop:
            for _ in range(200):
                await asyncio.sleep(0)
            assert bench.runner.started[3:] == [BASELINE.tree]
            cast("asyncio.Event", bench.runner.gate).set()
            await loop

    settled(work())
    assert bench.decisions() == ["baseline", *["discarded"] * 2]


@pytest.mark.parametrize("is_broken_from", range(1, 12))
def test_a_fault_at_any_run_ends_the_session_and_the_next_goes_on(
    bench: Bench, is_broken_from: int
) -> None:
    bench.runner.outcomes = dict([better("0.200")])
    bench.policy = replace(DEFAULT, keeps_per_promotion_trial=1)
    bench.goal = Goal(max_experiments=3)
    bench.runner.is_broken_from = is_broken_from
    with pytest.raises(ArnodeError):
        settled(bench.research().run())
    planned = {
        (job.step.KIND, run.ordinal): run.seed
        for job in bench.store.jobs.open_jobs(LINE, *KINDS)
        for run in bench.store.jobs.runs_of(job.id)
    }
    jobs = bench.store.jobs.open_jobs(LINE, *KINDS)
    bench.runner.is_broken_from = 10_000
    settled(bench.research().run())
    assert bench.store.jobs.open_jobs(LINE, *KINDS) == []
    assert "adopted" in bench.decisions()
    # What was planned before the fault was run with the seed it was planned with.
    for job in jobs:
        for run in bench.store.jobs.runs_of(job.id)[:1]:
            assert run.seed == planned[job.step.KIND, run.ordinal]
            assert run.outcome is not None


def test_a_promotion_trial_opened_before_a_kill_goes_on_from_nothing(
    bench: Bench,
) -> None:
    bench.goal = Goal(max_experiments=1)
    settled(bench.research().run())
    line_writer = line_writer_of(bench.home, bench.store)
    keep(line_writer, "0.200")
    job = open_promotion_trial(line_writer)
    bench.runner.outcomes = dict([better("0.200")])
    settled(bench.research().run())
    assert bench.store.jobs.open_jobs(LINE, *KINDS) == []
    closed = bench.store.jobs.closed_jobs(LINE, PromotionTrial)[0]
    assert closed.id == job.id
    assert closed.step.passed


def test_a_stack_whose_trial_others_cut_off_stays_and_is_tried_again_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine nothing that was kept is lost."""
    tree, good = better("0.200")
    cut_off = replace(CRASHED, status="timeout", flags=(CONTENDED,), serve_ms=0, reason="too slow")
    bench.runner.outcomes = {tree: good}
    bench.policy = replace(DEFAULT, keeps_per_promotion_trial=1)
    bench.goal = Goal(max_experiments=3)
    trials: list[int] = []

    def play(_: int) -> None:
        jobs = bench.store.jobs.open_jobs(LINE, PromotionTrial)
        trials.extend(job.id for job in jobs)
        bench.runner.outcomes = {tree: cut_off if jobs else good}

    bench.runner.on_start = play
    settled(bench.research().run())
    (closed,) = bench.store.jobs.closed_jobs(LINE, PromotionTrial)
    assert set(trials) == {closed.id}, "not tried again at once"
    assert [one.role for one in bench.store.jobs.runs_of(closed.id)].count("candidate") == 3
    line = bench.store.jobs.line(LINE)
    assert line is not None
    assert (line.working, line.verified) == (tree, BASELINE.tree)
    assert any(
        "interrupted the promotion trial of 1 patch: nothing is lost" in one for one in bench.said
    )

    bench.runner.on_start = lambda _count: None
    bench.runner.outcomes = {tree: good}
    monkeypatch.setattr(promotion_trial, "REST_S", 0)
    settled(bench.research().run())
    line = bench.store.jobs.line(LINE)
    assert line is not None
    assert (line.stack, line.verified) == ((), tree)


def test_a_promotion_trial_waits_for_the_experiments_under_way(bench: Bench) -> None:
    bench.runner.outcomes = dict([better("0.200")])
    bench.policy = replace(DEFAULT, keeps_per_promotion_trial=1)
    bench.goal = Goal(max_experiments=4)
    open_meanwhile: list[int] = []

    def look(_: int) -> None:
        kinds = [job.step.KIND for job in bench.store.jobs.open_jobs(LINE, *KINDS)]
        if "promotion_trial" in kinds:
            open_meanwhile.append(len(kinds))

    bench.runner.on_start = look
    settled(bench.research().run())
    assert open_meanwhile
    assert set(open_meanwhile) == {1}


def test_the_records_of_a_session_hold_every_run_that_was_planned(bench: Bench) -> None:
    bench.runner.outcomes = dict([better("0.201")])
    bench.goal = Goal(max_experiments=3)
    settled(bench.research().run())
    recorded = [
        run.seed
        for record in bench.store.records.listed("result")
        if isinstance(record.body, ResultBody)
        for run in record.body.runs
    ]
    planned = [
        run.seed
        for job in bench.store.jobs.closed_jobs(LINE, BaselineStep, ExperimentStep, PromotionTrial)
        for run in bench.store.jobs.runs_of(job.id)
    ]
    assert sorted(recorded) == sorted(planned)
    assert len(set(recorded)) >= 4


# What was handed in


RATE = proposal_of(BASELINE, "0.9").source  # none of the proposer's own


def tried(bench: Bench, source: Source = RATE) -> Research:
    """Open a session for one source, as `arnode try` does without a running node."""
    bench.goal = Goal(is_on_demand=True)
    research = bench.research()
    research.submit(source, title="", why="to see")
    return research


def steps_of(bench: Bench) -> list[ExperimentStep]:
    """The experiments that were closed, oldest first."""
    jobs = bench.store.jobs.closed_jobs(LINE, ExperimentStep)
    return [job.step for job in jobs]


def test_a_source_is_judged_on_a_fresh_home_and_nothing_else_is_proposed(bench: Bench) -> None:
    research = tried(bench)
    settled(research.run())
    assert bench.decisions() == ["baseline", "discarded"]
    assert bench.runner.started == [BASELINE.tree, BASELINE.tree, RATE.tree]
    (step,) = steps_of(bench)
    assert (step.base, step.tree, step.idea.proposer) == (BASELINE.tree, RATE.tree, SUBMITTED)
    assert (step.title, step.idea.why) == ("LEARNING_RATE = 0.1 → LEARNING_RATE = 0.9", "to see")
    attempt = research.attempt_of(fingerprint(RATE))
    assert attempt is not None
    assert (attempt.word, attempt.exit_code) == ("discard", 0)


def test_the_baseline_handed_in_on_a_fresh_home_is_measured_and_is_no_experiment(
    bench: Bench,
) -> None:
    research = tried(bench, BASELINE)
    settled(research.run())
    assert bench.decisions() == ["baseline"]
    attempt = research.attempt_of(fingerprint(BASELINE))
    assert attempt is not None
    assert attempt.is_working


def test_a_working_line_with_no_reference_runs_is_measured_before_it_is_reported(
    bench: Bench,
) -> None:
    settled(tried(bench).run())
    move_head(line_writer_of(bench.home, bench.store), RATE.tree, evidence=None)
    settled(tried(bench).run())
    assert bench.runner.started[3:]
    assert set(bench.runner.started[3:]) == {RATE.tree}
    assert bench.decisions().count("discarded") == 1


def test_a_source_that_was_measured_is_not_run_again(bench: Bench) -> None:
    settled(tried(bench).run())
    started = len(bench.runner.started)
    commented = BASELINE.replacing("train.py", RATE["train.py"] + b"# the same\n")
    settled(tried(bench, commented).run())
    assert len(bench.runner.started) == started


@pytest.mark.parametrize("is_broken_from", range(1, 5))
def test_a_source_that_a_fault_cut_off_goes_on_with_its_seed(
    bench: Bench, is_broken_from: int
) -> None:
    bench.runner.outcomes = {RATE.tree: better("0.200")[1]}
    bench.runner.is_broken_from = is_broken_from
    with pytest.raises(ArnodeError):
        settled(tried(bench).run())
    planned = [
        run
        for job in bench.store.jobs.open_jobs(LINE, *KINDS)
        for run in bench.store.jobs.runs_of(job.id)
    ]
    bench.runner.is_broken_from = 10_000
    settled(tried(bench).run())
    assert bench.decisions() == ["baseline", "kept"]
    for run in planned:
        again = bench.store.jobs.runs_of(run.job_id)[run.ordinal]
        assert (again.seed, again.tree) == (run.seed, run.tree)


def test_a_source_goes_before_own_ideas(bench: Bench) -> None:
    bench.goal = Goal(max_experiments=4)
    research = bench.research()
    research.submit(RATE, title="mine", why="")
    settled(research.run())
    assert steps_of(bench)[0].title == "mine"
    assert len(steps_of(bench)) == 4


def test_a_source_handed_in_while_the_node_works_is_next(bench: Bench) -> None:
    bench.goal = Goal(max_experiments=6)
    research = bench.research()
    bench.runner.on_start = lambda count: (
        research.submit(RATE, title="mine", why="") if count == 4 else None
    )
    settled(research.run())
    assert bench.runner.started[4:6].count(RATE.tree) == 1


def test_the_kept_patch_that_makes_a_promotion_trial_due_waits_for_it(bench: Bench) -> None:
    bench.runner.outcomes = {RATE.tree: better("0.200")[1]}
    bench.policy = replace(DEFAULT, keeps_per_promotion_trial=1)
    research = tried(bench)
    settled(research.run())
    assert bench.decisions() == ["baseline", "kept", "adopted"]
    attempt = research.attempt_of(fingerprint(RATE))
    assert attempt is not None
    assert attempt.judged is not None
    assert (attempt.word, attempt.judged.word) == ("keep", "passed")


def test_a_good_source_whose_base_moved_on_is_judged_again_on_the_new_one(bench: Bench) -> None:
    bench.runner.outcomes = dict(
        [better("0.200"), (RATE.tree, better("0.200", gain_nano=3 * GAIN_NANO)[1])]
    )
    line_writer = with_baseline(bench.home, bench.store)
    mark = fingerprint(RATE)
    waiting = open_submission(line_writer, RATE, fingerprint=mark, title="mine", why="")
    idea = replace(proposal_of(BASELINE, "0.9", title="mine"), edits=(), proposer=SUBMITTED)
    open_experiment(line_writer, replace(Idea.of(line_writer, idea), submission=waiting.id))
    keep(line_writer, "0.200")  # ends while the other's screen is still to run
    settled(tried(bench).run())
    mine = [step for step in steps_of(bench) if step.title == "mine"]
    assert [step.decision for step in mine] == ["rebased", "kept"]
    first, second = (step.base for step in mine)
    assert first == BASELINE.tree != second
    (old,) = mine[1].idea.parents
    assert bench.store.records.patch(old) is not None
    # What it measured against the old base is not counted again: the new one had both its runs.
    jobs = bench.store.jobs.closed_jobs(LINE, ExperimentStep)
    assert [len(bench.store.jobs.runs_of(job.id)) for job in jobs] == [1, 2, 2]


def test_a_source_that_became_the_working_line_by_hand_is_not_run(bench: Bench) -> None:
    bench.goal = Goal(max_experiments=1)
    settled(bench.research().run())
    line_writer = line_writer_of(bench.home, bench.store)
    open_submission(line_writer, RATE, fingerprint=fingerprint(RATE), title="mine", why="")
    move_head(line_writer, RATE.tree, evidence=None)
    settled(bench.research().run())
    assert "mine" not in [step.title for step in steps_of(bench)]
    assert bench.store.jobs.open_jobs(LINE, *KINDS) == []
