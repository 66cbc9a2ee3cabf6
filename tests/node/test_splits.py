"""Secret splits: one for each confirmation, from when its sources are fixed until it is decided."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from node.home.home import Home
from node.line.experiment import ExperimentStep
from node.line.job_kinds import ON_ONE_SPLIT
from node.line.noise import known_noise
from node.line.promotion_trial import PromotionTrial, open_promotion_trial
from node.line.reference_runs import ReferenceRunStep
from node.line.splits import NONCE_BYTES, split_key
from node.loop.session_plan import Goal
from node.on_demand.measuring import compare, measure
from node.store.jobs import Job
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.rule import DEFAULT, VERIFY
from protocol.units import NANO
from tests.node.examples import BASELINE, LINE, TASK
from tests.node.line_writers import BASE_NANO, GAIN_NANO, end, keep, proposal_of, with_baseline
from tests.node.scripted import OUTCOME, Bench, better

SECRET = b"a node's secret"  # the bench's


@pytest.fixture
def bench(home: Home, store: Store) -> Bench:
    return Bench(home=home, store=store)


def work(bench: Bench) -> None:
    async def within() -> None:
        async with asyncio.timeout(20):
            await bench.research().run()

    asyncio.run(within())


def key_of(job: Job) -> bytes:
    assert job.split is not None
    return split_key(SECRET, task=TASK, nonce=job.split)


def test_each_confirmation_has_a_split_and_every_other_run_one_of_its_own(bench: Bench) -> None:
    bench.runner.outcomes = dict([better("0.200"), better("0.201")])
    bench.policy = replace(DEFAULT, keeps_per_promotion_trial=1)
    bench.goal = Goal(max_experiments=3)
    work(bench)
    shared = bench.store.jobs.closed_jobs(LINE, *ON_ONE_SPLIT)
    assert {job.step.KIND for job in shared} == {"baseline", "promotion_trial"}
    keys = {key_of(job): len(bench.store.jobs.runs_of(job.id)) for job in shared}
    assert len(keys) == len(shared) >= 2
    assert {key: bench.runner.splits.count(key) for key in keys} == keys
    others = [split for split in bench.runner.splits if split not in keys]
    assert len(others) >= 4  # screens, rechecks, the reference runs
    assert set(others) == {None}
    kinds = (ReferenceRunStep, ExperimentStep)
    assert all(job.split is None for job in bench.store.jobs.closed_jobs(LINE, *kinds))


def test_a_killed_confirmation_goes_on_on_its_own_split(bench: Bench) -> None:
    bench.runner.outcomes = dict([better("0.200")])
    line_writer = with_baseline(bench.home, bench.store)
    keep(line_writer, "0.200")
    job = open_promotion_trial(line_writer)
    bench.runner.is_broken_from = 3
    with pytest.raises(ArnodeError):
        work(bench)
    before = [split for split in bench.runner.splits if split]
    assert before
    bench.runner.is_broken_from = 10_000
    bench.goal = Goal(is_on_demand=True)
    work(bench)
    assert bench.store.jobs.open_jobs(LINE, PromotionTrial) == []
    assert {split for split in bench.runner.splits if split} == {key_of(job)} == set(before)


def test_text_that_is_harder_on_one_split_is_no_change_and_no_noise(bench: Bench) -> None:
    """Confirmations are compared with each other on the public split."""
    head = proposal_of(BASELINE, "0.200").source
    first = replace(OUTCOME, metric_nano=BASE_NANO - GAIN_NANO)
    lucky = replace(OUTCOME, metric_nano=BASE_NANO - 2 * GAIN_NANO)
    bench.runner.outcomes = {head.tree: first}
    bench.runner.hardness_nano = lambda split: (split or b"\0")[0] * GAIN_NANO
    bench.policy = replace(DEFAULT, keeps_per_promotion_trial=1)
    bench.rates, bench.goal = ["0.200"], Goal(max_experiments=1)
    work(bench)
    second = proposal_of(head, "0.201").source.tree
    bench.runner.outcomes = {head.tree: first, second: lucky}

    def measure_truly(_count: int) -> None:  # once it is on trial
        if bench.runner.started.count(second) == 3:
            bench.runner.outcomes = {head.tree: first, second: first}

    bench.runner.on_start = measure_truly
    bench.rates = ["0.201"]
    work(bench)
    trials = bench.store.jobs.closed_jobs(LINE, PromotionTrial)
    assert [job.step.passed for job in trials] == [True, False]
    assert not any("than before" in said for said in bench.said)
    assert known_noise(bench.store, LINE, 1_000_000).sd < 2 * GAIN_NANO / NANO / 10


def test_what_is_measured_by_hand_has_a_split_for_each_question(bench: Bench) -> None:
    candidate = proposal_of(BASELINE, "0.200").source
    bench.runner.outcomes = dict([better("0.200")])

    async def ask() -> None:
        session = bench.session()
        for _ in range(2):
            await compare(
                session, BASELINE, candidate, policy=VERIFY, prior_runs=0, on_pair=lambda *_: None
            )
        await measure(session, [(BASELINE, 1), (BASELINE, 2)], on_run=lambda *_: None)

    asyncio.run(ask())
    *comparisons, last = [list(group) for _, group in itertools.groupby(bench.runner.splits)]
    assert len(comparisons) == 2
    assert all(len(group) >= 4 for group in comparisons)
    assert len(last) == 2
    keys = {group[0] for group in [*comparisons, last]}
    assert len(keys) == 3
    assert None not in keys


def test_what_is_measured_by_hand_while_the_machine_slept_is_made_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slept, reported = iter([0.0, 7200.0, 60.0]), list[int]()

    class Suspended:
        @property
        def slept_s(self) -> float:
            return next(slept, 0.0)

    monkeypatch.setattr("node.on_demand.measuring.Steady", Suspended)
    runs = [(BASELINE, 1), (BASELINE, 2)]
    work = measure(bench.session(), runs, on_run=lambda _, run: reported.append(run.seed))
    assert len(asyncio.run(work)) == len(reported) == 2
    assert len(set(bench.runner.splits)) == 1
    assert sorted(bench.runner.seeds) == [1, 2, 2, 2]
    assert "suspended for 2 h 00 during a run, which is repeated" in capsys.readouterr().err


def test_a_split_follows_from_the_nodes_secret_the_task_and_the_nonce() -> None:
    keys = {
        split_key(secret, task=task, nonce=nonce)
        for secret in (b"mine", b"another's")
        for task in (b"t" * 32, b"u" * 32)
        for nonce in (bytes(NONCE_BYTES), b"\1" * NONCE_BYTES)
    }
    assert len(keys) == 8


def test_runs_that_could_have_revealed_a_pool_are_counted(bench: Bench) -> None:
    line_writer = with_baseline(bench.home, bench.store)
    assert bench.store.jobs.count_runs(TASK, *ON_ONE_SPLIT) == 2
    keep(line_writer, "0.200")  # a screen and a recheck: on splits that decide nothing
    job = open_promotion_trial(line_writer)
    line_writer.plan_fresh_pair(job, job.step.base, job.step.tree)
    assert bench.store.jobs.count_runs(TASK, *ON_ONE_SPLIT) == 2
    for planned in bench.store.jobs.runs_of(job.id):
        end(bench.store, planned, 1_000_000_000)
    assert bench.store.jobs.count_runs(TASK, *ON_ONE_SPLIT) == 4
    assert bench.store.jobs.count_runs(TASK, *ON_ONE_SPLIT, before_job=job.id) == 2
    assert bench.store.jobs.count_runs(bytes(32), *ON_ONE_SPLIT) == 0
