"""Sessions with an end: planned from it, bounded by it, and continued where they ended."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from node.home.home import Home
from node.line.catch_up import CatchUpStep
from node.line.experiment import ExperimentStep, open_experiment
from node.line.head_recheck import HeadRecheckStep
from node.line.idea import SUBMITTED, Idea, SubmissionStep
from node.line.job_kinds import KINDS, InvalidatedPairsStep, InvalidatedStep
from node.line.promotion_trial import PromotionTrial, open_promotion_trial
from node.line.rerun import RerunStep, WantedClaim, open_rerun
from node.loop.session_plan import (
    Goal,
    Opening,
    SessionPlan,
    Span,
    fewest_pairs,
    is_time_to_judge,
    runs_to_keep,
    too_short,
)
from node.store.jobs import Job, StoredOutcome
from node.store.store import Store
from node.terminal.durations import duration_text, parse_duration, parse_hours
from protocol.rule import DEFAULT, policy_of, trial_alpha
from protocol.runs import Env
from protocol.styles import RUNS, Style
from protocol.units import NANO
from tests.node.examples import BASELINE, LINE, run
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    end,
    keep,
    line_writer_of,
    proposal_of,
    with_baseline,
)
from tests.node.scripted import Bench, better, until

RUN_S = 300.0
MIDNIGHT = datetime(2026, 3, 1, 23, tzinfo=UTC)


@dataclass
class Time:
    """A clock that the runs move: each takes so long."""

    run_s: float = RUN_S
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s

    def passes(self) -> None:
        self.now_s += self.run_s

    def now(self) -> datetime:
        return MIDNIGHT + timedelta(seconds=self.now_s)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def bench(home: Home, store: Store, time: Time) -> Bench:
    bench = Bench(home=home, store=store, ideas=400, clock_s=time, now=time.now)
    bench.seeds = count(1000)  # none of a session is one of another's
    bench.runner.takes = time.passes
    return bench


def settled(bench: Bench) -> None:
    """Run one session to its end, which is a matter of milliseconds."""

    async def within() -> None:
        async with asyncio.timeout(20):
            await bench.research().run()

    asyncio.run(within())


def for_runs(bench: Bench, runs: float) -> int:
    """Run a session with time for `runs` runs; return how many it began."""
    before = len(bench.runner.started) + bench.runner.calibrations
    bench.goal = Goal(duration_s=runs * RUN_S)
    settled(bench)
    return len(bench.runner.started) + bench.runner.calibrations - before


def open_jobs(bench: Bench) -> list[Job[Any]]:
    return bench.store.jobs.open_jobs(LINE, *KINDS)


# The plan


@pytest.mark.parametrize(
    ("whole", "needs_anchor", "begins", "no_more"),
    [
        (96, False, 10, 7),
        (96, True, 14, 11),
        (24, False, 10, 7),
        (24, True, 13, 11),  # not more than a run before it must: half of it is 12
        (14, False, 9, 7),
    ],
)
def test_the_last_promotion_trial_begins_so_early_that_it_fits(
    whole: int, needs_anchor: bool, begins: int, no_more: int
) -> None:
    def is_due(left: float) -> bool:
        span = Span(left_s=left * RUN_S, whole_s=whole * RUN_S)
        return is_time_to_judge(span, RUN_S, needs_anchor=needs_anchor)

    assert not is_due(begins + 0.01)
    assert is_due(begins)
    assert is_due(no_more + 0.01)
    assert not is_due(no_more)


def test_the_trial_begins_in_time_where_much_happens_between_runs(time: Time) -> None:
    """A session of an exact task missed its trial: runs ended less often than the plan looked."""
    plan = SessionPlan(Goal(duration_s=60.0), now=time.now, clock_s=time, pairs=1, tries=1)
    begun_at = []
    while not plan.is_over:
        time.now_s += 1.7
        plan.took(0.4)
        if plan.is_time_to_judge(needs_anchor=True) and plan.left_s < 30:
            begun_at.append(plan.left_s)
    assert begun_at


def test_a_change_takes_more_runs_where_its_base_runs_next_to_it() -> None:
    styles = (RUNS, Style(name="exact"), Style.drawing(32))
    assert [runs_to_keep(style) for style in styles] == [2, 1, 11]


@pytest.mark.parametrize(
    ("style", "pairs"),
    [
        (RUNS, 4),
        (Style(name="exact"), 1),
        (Style.drawing(32), 13),
        (Style.drawing(4), 16),
        (Style.drawing(1), 29),
    ],
)
def test_where_more_pairs_are_needed_the_promotion_trial_begins_as_much_earlier(
    style: Style, pairs: int
) -> None:
    """A night of a task with few instances ended after 8 of the 16 pairs that it takes."""
    assert fewest_pairs(style) == pairs
    whole_s = 100 * RUN_S
    due = [
        left
        for left in range(100)
        if is_time_to_judge(
            Span(left_s=left * RUN_S, whole_s=whole_s),
            RUN_S,
            needs_anchor=False,
            pairs=pairs,
            tries=runs_to_keep(style),
        )
    ]
    # A change on trial goes before it: there is room for all of its runs.
    tries = runs_to_keep(style)
    assert due[-1] == max(min(2 * pairs + tries, 50), 2 * pairs + max(1, tries // 2))
    assert due[0] == 2 * pairs
    opening = Opening(runs=2, pairs=pairs)
    assert opening.least_runs == 4 + 2 * pairs


@pytest.mark.parametrize(("whole", "needs_anchor"), [(6, False), (11, False), (15, True)])
def test_a_session_too_short_for_a_promotion_trial_begins_with_one(
    whole: int, needs_anchor: bool
) -> None:
    def is_due(left: float) -> bool:
        span = Span(left_s=left * RUN_S, whole_s=whole * RUN_S)
        return is_time_to_judge(span, RUN_S, needs_anchor=needs_anchor)

    assert is_due(whole - 1)
    assert not any(is_due(left) for left in range(whole - 1))


def test_what_a_run_takes_is_what_the_latest_took(time: Time) -> None:
    plan = SessionPlan(Goal(duration_s=1e6), now=time.now, clock_s=time)
    assert plan.run_s is None
    assert not plan.is_time_to_judge(needs_anchor=False)
    for took_s in [40.0] * 9 + [1800.0]:  # one waited for a quiet minute
        plan.took(took_s)
    assert plan.run_s == 40.0
    for _ in range(10):
        plan.took(90.0)
    assert plan.run_s == 90.0


def test_the_nearer_end_counts_and_a_night_is_what_is_left_of_it(time: Time) -> None:
    hours = parse_hours("22:00-04:00")
    plan = SessionPlan(Goal(duration_s=8 * 3600.0, hours=hours), now=time.now, clock_s=time)
    assert plan.span == Span(left_s=5 * 3600.0, whole_s=5 * 3600.0)
    time.now_s = 5.5 * 3600
    assert plan.rests_until == MIDNIGHT + timedelta(hours=23)
    assert plan.left_s == 2.5 * 3600
    time.now_s = 8 * 3600.0
    assert plan.is_over


@pytest.mark.parametrize(
    ("style", "gain_sd", "runs", "with_anchor_runs"),
    [
        (RUNS, 9.0, (8, 8), (12, 12)),
        (RUNS, 1.0, (8, 40), (12, 44)),
        (Style(name="exact"), 1.0, (2, 2), (3, 3)),
        (Style.drawing(32), 1.0, (26, 58), (30, 62)),
    ],
)
def test_a_last_trial_takes_as_long_as_its_task_needs_pairs(
    time: Time,
    style: Style,
    gain_sd: float,
    runs: tuple[int, int],
    with_anchor_runs: tuple[int, int],
) -> None:
    plan = SessionPlan(Goal(), now=time.now, clock_s=time, pairs=fewest_pairs(style))
    most = policy_of(style, DEFAULT).max_pairs
    assert plan.trial_s(gain_sd, needs_anchor=False, most_pairs=most, pairs_done=0) is None
    plan.took(1.0)
    for needs_anchor, expected in ((False, runs), (True, with_anchor_runs)):
        takes = plan.trial_s(gain_sd, needs_anchor=needs_anchor, most_pairs=most, pairs_done=0)
        assert takes == expected


def test_a_late_turn_is_planned_as_part_of_the_session_that_it_ends(time: Time) -> None:
    late, alone = (
        SessionPlan(Goal(duration_s=5 * RUN_S, earlier_s=earlier_s), now=time.now, clock_s=time)
        for earlier_s in (95 * RUN_S, 0.0)
    )
    for plan in (late, alone):
        plan.begin(Opening(runs=2))
    assert late.span == Span(left_s=5 * RUN_S, whole_s=100 * RUN_S)
    assert late.took(RUN_S) is None
    assert "too short to verify anything" in (alone.took(RUN_S) or "")


def test_a_session_of_one_run_is_described_in_the_singular() -> None:
    said = too_short(Span(left_s=40, whole_s=40), 22, Opening(runs=2)) or ""
    assert said.startswith("40 s is too short to verify anything: 1 run of 22 s, but at least ")


@pytest.mark.parametrize(
    ("opening", "least"),
    [
        (Opening(runs=2), 12),
        (Opening(runs=3), 13),
        (Opening(runs=3, needs_anchor=True), 17),
        (Opening(runs=1, has_stack=True), 9),
    ],
)
def test_a_session_is_too_short_below_the_fewest_runs_that_verify(
    opening: Opening, least: int
) -> None:
    long, short = (Span(left_s=1.0, whole_s=(least - less) * RUN_S) for less in (0, 0.01))
    assert too_short(long, RUN_S, opening) is None
    assert f"--for {duration_text(least * RUN_S)}" in (too_short(short, RUN_S, opening) or "")


def test_a_slow_start_makes_no_session_too_short(time: Time) -> None:
    def plan_of(duration_s: float) -> SessionPlan:
        plan = SessionPlan(Goal(duration_s=duration_s), now=time.now, clock_s=time, pairs=1)
        plan.begin(Opening(runs=2))
        return plan

    plan = plan_of(10.0)
    assert [plan.took(run_s) for run_s in (4.0, 0.5, 4.0)] == [None] * 3
    short = plan_of(2.0)
    assert short.took(4.0) is None
    assert "runs of 1 s" in (short.took(1.0) or "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(50, "50s"), (61, "1m10s"), (3600, "1h"), (3900, "1h5m"), (3901, "1h6m"), (40_000, "11h15m")],
)
def test_a_span_is_reported_as_it_is_read(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
    assert parse_duration(text) >= seconds


# At work


def test_what_was_kept_is_judged_within_the_session(bench: Bench, time: Time) -> None:
    bench.runner.outcomes = dict([better("0.201", gain_nano=3 * GAIN_NANO)])
    begun: list[float] = []

    def note(_: int) -> None:
        if any(isinstance(job.step, PromotionTrial) for job in open_jobs(bench)):
            begun.append(time.now_s / RUN_S)

    bench.runner.on_start = note
    assert for_runs(bench, 24) == 24
    assert "adopted" in bench.decisions()
    assert 13 <= begun[0] <= 15  # ten runs before the end
    assert len(begun) == 8
    assert not any("too short" in line for line in bench.said)


@pytest.mark.parametrize("runs", [1, 6, 11, 12, 17, 18, 40])
def test_nothing_begins_after_the_end(bench: Bench, runs: int) -> None:
    """Whatever is under way by then; the last run begins before the end."""
    bench.runner.outcomes = dict(
        [better(f"0.{n}", gain_nano=GAIN_NANO) for n in range(203, 230, 3)]
    )
    assert for_runs(bench, runs) <= runs + 1
    assert for_runs(bench, runs) <= runs + 1


def test_a_promotion_trial_goes_on_in_the_next_session_with_its_pairs(bench: Bench) -> None:
    with_baseline(bench.home, bench.store)
    line_writer = line_writer_of(bench.home, bench.store)
    keep(line_writer, "0.201")
    job = open_promotion_trial(line_writer)
    bench.runner.outcomes = dict([better("0.201", gain_nano=3 * GAIN_NANO)])
    for_runs(bench, 6)  # one of them says what the baseline costs
    assert [one.id for one in open_jobs(bench)] == [job.id]
    planned = bench.store.jobs.runs_of(job.id)
    assert [run.outcome is None for run in planned] == [False] * 5 + [True]
    assert bench.said[-1] == "continues in the next session: the promotion trial after 2 pairs"
    assert not any("too short" in line for line in bench.said)  # it has only to be ended
    for_runs(bench, 6)
    again = bench.store.jobs.runs_of(job.id)
    assert [(run.seed, run.role) for run in again[:6]] == [(run.seed, run.role) for run in planned]
    assert [run.outcome for run in again[:5]] == [run.outcome for run in planned[:5]]
    assert bench.store.jobs.closed_jobs(LINE, PromotionTrial)[0].step.passed
    assert len(again) == 8


def test_a_kill_costs_the_run_at_hand_of_a_promotion_trial(bench: Bench) -> None:
    with_baseline(bench.home, bench.store)
    keep(line_writer_of(bench.home, bench.store), "0.201")
    job = open_promotion_trial(line_writer_of(bench.home, bench.store))
    bench.runner.outcomes = dict([better("0.201", gain_nano=3 * GAIN_NANO)])
    bench.goal = Goal(duration_s=1e6)

    async def killed() -> None:
        task = asyncio.create_task(bench.research().run())
        await until(lambda: len(bench.runner.started) == 4)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(killed())
    before = bench.store.jobs.runs_of(job.id)
    for_runs(bench, 12)
    after = bench.store.jobs.runs_of(job.id)
    assert len(after) == 8
    assert [run.seed for run in after[: len(before)]] == [run.seed for run in before]
    assert "adopted" in bench.decisions()


def test_what_is_kept_too_late_waits_for_the_next_session(bench: Bench) -> None:
    bench.runner.outcomes = dict([better("0.210")])
    for_runs(bench, 16)
    assert bench.decisions().count("kept") == 1
    assert bench.store.jobs.closed_jobs(LINE, PromotionTrial) == []
    assert "1 patch kept, to be verified in a later session" in bench.said[-1]
    for_runs(bench, 16)
    assert "adopted" in bench.decisions()


def test_a_session_in_which_nothing_can_be_verified_says_so_once(bench: Bench) -> None:
    for_runs(bench, 6)
    (said,) = (line for line in bench.said if "too short" in line)
    assert said == (
        "30 min is too short to verify anything: 6 runs of 5 min, but at least 12 are "
        "needed (`--for 1h`); kept patches are judged in a later session"
    )
    assert bench.said.index(said) == 0
    bench.said.clear()
    for_runs(bench, 11)
    assert any("`--for 1h`" in line for line in bench.said)  # it measures its reference runs again


def test_short_sessions_verify_together_what_none_of_them_could(bench: Bench) -> None:
    bench.runner.outcomes = dict([better("0.201", gain_nano=3 * GAIN_NANO)])
    for _ in range(5):
        for_runs(bench, 6)
    assert bench.decisions().count("adopted") == 1
    assert (
        sum("continues in the next session: the promotion trial" in line for line in bench.said)
        == 1
    )


def test_out_of_ideas_a_session_ends_on_time_all_the_same(bench: Bench) -> None:
    bench.ideas, bench.runner.outcomes = 1, dict([better("0.200")])
    assert for_runs(bench, 8) <= 9
    assert "adopted" not in bench.decisions()
    assert "the promotion trial after" in bench.said[-1]
    for_runs(bench, 12)
    assert "adopted" in bench.decisions()


def test_so_many_experiments_are_judged_after_the_last(bench: Bench) -> None:
    bench.runner.outcomes = dict([better("0.201", gain_nano=3 * GAIN_NANO)])
    bench.goal = Goal(max_experiments=10)
    settled(bench)
    decisions = bench.decisions()
    assert decisions[-1] == "adopted"
    assert len(decisions) == 1 + 10 + 1


def test_runs_are_shown_when_their_session_ends(bench: Bench) -> None:
    for_runs(bench, 4)
    assert all(math.isfinite(ends_s) for ends_s in bench.runner.ends_s)
    bench.goal = Goal(max_experiments=1)
    settled(bench)
    assert bench.runner.ends_s[-1] == math.inf


# Nights


def test_every_night_is_planned_from_its_end_and_bounded_by_it(bench: Bench, time: Time) -> None:
    bench.goal = Goal(hours=parse_hours("23:00-01:30"))  # 30 runs
    bench.runner.outcomes = dict(
        [better("0.201", gain_nano=3 * GAIN_NANO), better("0.222", gain_nano=6 * GAIN_NANO)]
    )
    research = bench.research()

    async def night(number: int) -> None:
        time.now_s = number * 24 * 3600.0
        started = len(bench.runner.started)
        research._wake.set()
        await until(lambda: len(bench.runner.started) > started)
        await until(lambda: research.activity.stage == "resting until 23:00")
        assert time.now_s == number * 24 * 3600 + 9000
        assert bench.decisions().count("adopted") == number + 1

    async def nights() -> None:
        task = asyncio.create_task(research.run())
        await night(0)
        await night(1)
        assert not task.done()
        research.stop()
        await task

    asyncio.run(within_seconds(nights))


def test_what_a_night_leaves_open_goes_on_in_the_next(bench: Bench, time: Time) -> None:
    with_baseline(bench.home, bench.store)
    keep(line_writer_of(bench.home, bench.store), "0.201")
    job = open_promotion_trial(line_writer_of(bench.home, bench.store))
    bench.runner.outcomes = dict([better("0.201", gain_nano=3 * GAIN_NANO)])
    bench.goal = Goal(hours=parse_hours("23:00-23:30"))
    research = bench.research()

    async def nights() -> None:
        task = asyncio.create_task(research.run())
        await until(lambda: research.activity.stage == "resting until 23:00")
        assert bench.said[-2:] == [
            "continues in the next session: the promotion trial after 2 pairs",
            "resting until 23:00",
        ]
        runs = [run for run in bench.store.jobs.runs_of(job.id) if run.outcome]
        assert len(runs) == 5
        time.now_s = 24 * 3600.0
        research._wake.set()
        await until(lambda: "adopted" in bench.decisions())
        research.stop()
        await task

    asyncio.run(within_seconds(nights))


async def within_seconds(work: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        await work()


# A machine that has changed

NEWER = Env.of({"torch": "2.14.0"})


class Changed(Bench):
    """The same home on a machine with another torch."""

    def session(self) -> Any:
        session = super().session()
        return replace(session, subject=replace(session.subject, env=NEWER))


def changed(bench: Bench) -> Changed:
    return Changed(
        home=bench.home,
        store=bench.store,
        runner=bench.runner,
        goal=bench.goal,
        ideas=bench.ideas,
        clock_s=bench.clock_s,
        now=bench.now,
        seeds=bench.seeds,
    )


def begun(bench: Bench) -> None:
    """Have the surroundings noted, and a baseline measured."""
    bench.goal = Goal(max_experiments=1)
    settled(bench)
    bench.runner.started.clear()


def test_a_trial_of_pairs_starts_again_where_the_machine_has_changed(bench: Bench) -> None:
    begun(bench)
    line_writer = line_writer_of(bench.home, bench.store)
    keep(line_writer, "0.201")
    job = open_promotion_trial(line_writer)
    bench.runner.outcomes = dict([better("0.201", gain_nano=3 * GAIN_NANO)])
    for_runs(bench, 6)
    old = [run for run in bench.store.jobs.runs_of(job.id) if run.outcome]
    assert len(old) == 5
    again = changed(bench)
    for_runs(again, 3)
    assert any(
        line.startswith("the promotion trial after 2 pairs starts again") for line in again.said
    ), again.said
    (trial,) = open_jobs(again)
    assert isinstance(trial.step, PromotionTrial)
    assert trial.split not in (None, job.split)
    assert not {run.seed for run in old} & {run.seed for run in bench.store.jobs.runs_of(trial.id)}
    # The one that ended was looked at: the next draws the second alpha of the line.
    first, second = (max(1, int(trial_alpha(n) * NANO)) for n in (1, 2))
    assert (job.step.alpha_nano, trial.step.alpha_nano) == (first, second)
    # What was measured stays, where nobody looks for a verdict.
    (invalidated,) = bench.store.jobs.closed_jobs(LINE, InvalidatedPairsStep)
    assert (invalidated.id, invalidated.step.was, invalidated.split) == (
        job.id,
        "promotion_trial",
        job.split,
    )
    assert [run for run in bench.store.jobs.runs_of(invalidated.id) if run.outcome] == old
    assert bench.store.jobs.closed_jobs(LINE, PromotionTrial) == []
    for_runs(again, 20)
    (closed,) = bench.store.jobs.closed_jobs(LINE, PromotionTrial)
    assert closed.step.passed
    assert closed.step.measured is not None
    assert closed.step.measured.pairs == 4
    assert len(bench.store.jobs.closed_jobs(LINE, InvalidatedPairsStep)) == 1


def test_a_trial_that_has_no_run_yet_stays_as_it_is(bench: Bench) -> None:
    begun(bench)
    keep(line_writer_of(bench.home, bench.store), "0.201")
    job = open_promotion_trial(line_writer_of(bench.home, bench.store))
    bench.runner.outcomes = dict([better("0.201", gain_nano=3 * GAIN_NANO)])
    again = changed(bench)
    for_runs(again, 3)
    (trial,) = open_jobs(again)
    assert (trial.id, trial.split) == (job.id, job.split)


def test_a_claim_that_is_run_again_loses_its_pairs_and_keeps_the_seeds_of_its_proof(
    bench: Bench,
) -> None:
    begun(bench)
    line_writer = line_writer_of(bench.home, bench.store)
    wanted = WantedClaim(
        base=BASELINE,
        candidate=proposal_of(BASELINE, "0.201").source,
        author=b"a" * 32,
        gain_nano=GAIN_NANO,
    )
    job = open_rerun(line_writer, wanted)
    for_runs(bench, 4)
    seeds = [run.seed for run in bench.store.jobs.runs_of(job.id)]
    again = changed(bench)
    research = again.research()
    number = research.rerun(wanted)  # before the loop has begun
    assert number != job.id
    trial = bench.store.jobs.get(number, RerunStep)
    assert trial is not None
    assert trial.step == job.step
    assert trial.split != job.split
    for_runs(again, 4)
    assert [run.seed for run in bench.store.jobs.runs_of(number)][:3] == seeds[:3]


def test_a_head_that_is_measured_again_is_so_once(bench: Bench) -> None:
    bench.runner.outcomes = dict([better("0.201", gain_nano=3 * GAIN_NANO)])
    for_runs(bench, 24)
    assert "adopted" in bench.decisions()
    bench.ideas = 0
    for_runs(changed(bench), 4)  # torch has changed: the head is rechecked
    (job,) = open_jobs(bench)
    assert isinstance(job.step, HeadRecheckStep)
    bench.goal = Goal(max_experiments=1)
    settled(bench)  # and back
    assert len(bench.store.jobs.closed_jobs(LINE, InvalidatedPairsStep)) == 1
    assert len(bench.store.jobs.closed_jobs(LINE, HeadRecheckStep)) == 1


def test_a_peers_tree_is_tried_with_another_alpha_of_the_peers(bench: Bench) -> None:
    begun(bench)
    line_writer = line_writer_of(bench.home, bench.store)
    tree = line_writer.blobs.put_source(proposal_of(BASELINE, "0.201").source)
    step = CatchUpStep(
        base=BASELINE.tree,
        tree=tree,
        theirs=tree,
        patch=b"p" * 32,
        target=b"t" * 32,
        author=b"a" * 32,
        gain_nano=GAIN_NANO,
        alpha_nano=7,
    )
    job = line_writer.open_job(step)
    line_writer.plan_fresh_pair(job, step.base, step.tree)
    end(bench.store, bench.store.jobs.runs_of(job.id)[0], BASE_NANO)
    bench.goal = Goal(duration_s=1.0)
    settled(changed(bench))
    (trial,) = open_jobs(bench)
    assert isinstance(trial.step, CatchUpStep)
    assert trial.step == replace(step, alpha_nano=max(1, int(trial_alpha(1, introducer=1) * NANO)))


def test_an_experiment_is_compared_with_what_its_base_measures_now(bench: Bench) -> None:
    begun(bench)
    line_writer = line_writer_of(bench.home, bench.store)
    idea = proposal_of(BASELINE, "0.399")
    job = open_experiment(line_writer, Idea.of(line_writer, replace(idea, proposer=SUBMITTED)))
    (screen,) = bench.store.jobs.runs_of(job.id)
    ended = replace(run(BASE_NANO - GAIN_NANO), role=screen.role, seed=screen.seed)
    bench.store.jobs.finish_run(screen, StoredOutcome(run=ended, log_tail=""))
    # With the new torch everything measures a lot better, this one no better than its base.
    lower = {BASELINE.tree: better("0.200", gain_nano=9 * GAIN_NANO)[1]}
    lower[idea.source.tree] = lower[BASELINE.tree]
    bench.runner.outcomes = lower
    again = changed(bench)
    again.goal, again.ideas = Goal(max_experiments=1), 1
    settled(again)
    assert bench.runner.started[0] == BASELINE.tree  # the reference runs go before it
    closed = bench.store.jobs.closed_jobs(LINE, ExperimentStep)
    (tried,) = (one.step for one in closed if one.step.tree == idea.source.tree)
    assert tried.decision == "screened_out"
    assert min(tried.reference_nano) < BASE_NANO - 8 * GAIN_NANO
    assert [one.step.was for one in bench.store.jobs.closed_jobs(LINE, InvalidatedStep)] == [
        "experiment"
    ]


def test_what_was_handed_in_is_queued_again_if_its_base_is_gone(bench: Bench) -> None:
    begun(bench)
    line_writer = line_writer_of(bench.home, bench.store)
    for name, proposer in (("0.398", SUBMITTED), ("0.399", "search")):
        open_experiment(
            line_writer,
            Idea.of(line_writer, replace(proposal_of(BASELINE, name), proposer=proposer)),
        )
    keep(line_writer, "0.201")
    bench.goal = Goal(duration_s=0.0)
    settled(changed(bench))
    assert open_jobs(bench) == []
    (queued,) = bench.store.jobs.open_jobs(LINE, SubmissionStep)
    assert queued.step.tree == proposal_of(BASELINE, "0.398").source.tree


def test_a_baseline_that_was_interrupted_starts_again_on_a_changed_machine(bench: Bench) -> None:
    for_runs(bench, 1)
    (job,) = open_jobs(bench)
    assert len([run for run in bench.store.jobs.runs_of(job.id) if run.outcome]) == 1
    again = changed(bench)
    again.goal = Goal(max_experiments=1)
    settled(again)
    assert bench.decisions() == ["baseline", "discarded"]
    assert len(bench.store.jobs.closed_jobs(LINE, InvalidatedPairsStep)) == 1
