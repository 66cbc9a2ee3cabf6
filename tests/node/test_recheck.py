"""A recheck on drawn instances: candidate and base meet the same ones, side by side."""

from collections import Counter
from dataclasses import replace

import pytest

from node.home.home import Home
from node.line.level import compared_runs
from node.loop.session_plan import Goal
from node.store.jobs import PlannedRun, StoredOutcome
from node.store.store import Store
from protocol.record_kinds import ResultBody
from protocol.runs import Role
from protocol.styles import Style
from tests.node.line_writers import BASELINE, GAIN_NANO
from tests.node.scripted import CRASHED, OUTCOME, Bench, better
from tests.node.test_research import settled


@pytest.fixture
def bench(home: Home, store: Store, monkeypatch: pytest.MonkeyPatch) -> Bench:
    drawing = Style.drawing(64)
    monkeypatch.setattr(Style, "of", classmethod(lambda _cls, _manifest: drawing))
    return Bench(home=home, store=store, ideas=1, goal=Goal(max_experiments=1))


def experiment(bench: Bench) -> ResultBody:
    (entry,) = (one for one in bench.store.experiments.listed() if one.stage in ("screen", "keep"))
    record = bench.store.records.get(entry.id)
    assert isinstance(record.body, ResultBody)
    return record.body


@pytest.mark.parametrize(
    ("gain_nano", "pairs"), [(GAIN_NANO, 1), (GAIN_NANO // 5, 3), (GAIN_NANO // 10, 5)]
)
def test_what_is_kept_was_compared_with_its_base_on_fresh_instances_each_time(
    bench: Bench, gain_nano: int, pairs: int
) -> None:
    """The larger the gain, the fewer pairs it takes."""
    bench.runner.outcomes = dict([better("0.200", gain_nano=gain_nano)])
    settled(bench.research().run())
    body = experiment(bench)
    assert body.stage == "keep"
    assert Counter(run.role for run in body.runs) == {"candidate": 1 + pairs, "base": pairs}
    screen, *rechecks = body.runs
    seeds = Counter(run.seed for run in rechecks)
    assert set(seeds.values()) == {2}
    assert screen.seed not in seeds


def test_what_gains_nothing_ends_with_its_screen(bench: Bench) -> None:
    settled(bench.research().run())
    assert [run.role for run in experiment(bench).runs] == ["candidate"]


def test_a_base_that_fails_next_to_it_is_no_failure_of_a_change(bench: Bench) -> None:
    bench.runner.outcomes = dict([better("0.200")])

    def fail_meanwhile(_count: int) -> None:
        has_begun = any(tree != BASELINE.tree for tree in bench.runner.started)
        if has_begun and bench.runner.started[-1] == BASELINE.tree:
            bench.runner.outcomes = {**bench.runner.outcomes, BASELINE.tree: CRASHED}

    bench.runner.on_start = fail_meanwhile
    settled(bench.research().run())
    body = experiment(bench)
    assert (body.stage, body.status) == ("screen", "ok")
    assert {run.role for run in body.runs} == {"candidate"}


def planned(ordinal: int, role: Role, nano: int | None, seed: int) -> PlannedRun:
    outcome = CRASHED if nano is None else replace(OUTCOME, metric_nano=nano, secret_nano=nano)
    ended = replace(outcome.to_run(role), seed=seed)
    kept = StoredOutcome(run=ended, log_tail="")
    return PlannedRun(job_id=1, ordinal=ordinal, role=role, tree=bytes(32), seed=seed, outcome=kept)


def test_a_recheck_is_compared_with_its_own_pair_and_a_screen_with_the_level() -> None:
    runs = [
        planned(0, "candidate", 5, seed=1),
        planned(1, "base", 8, seed=2),
        planned(2, "candidate", 6, seed=2),
        planned(3, "candidate", 7, seed=3),
        planned(4, "base", None, seed=3),
    ]
    shown, levels_nano = compared_runs(runs, 9)
    assert [run.ordinal for run in shown] == [0, 2]
    assert levels_nano == [9, 8]
