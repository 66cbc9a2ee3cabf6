"""Estimates of a command's duration."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from node.home.home import Home
from node.line.run_estimates import (
    experiment_duration_text,
    most_rerun_pairs,
    rerun_duration_text,
    rerun_pairs,
    run_seconds,
    runs_duration_text,
    seconds_of_next_run,
    trial_duration_text,
    usual_pairs,
)
from node.on_demand import trying
from node.store.store import Store
from protocol.rule import QUICK, VERIFY
from tests.node.examples import BASELINE, LINE
from tests.node.line_writers import with_baseline
from tests.node.scripted import OUTCOME
from trainer.measuring.timeline import Stage
from trainer.task_kinds import load_task

HandIn = Callable[[object], Callable[[], None]]
RUN_S = 5.8  # of the examples


def test_how_long_is_said_in_rounded_words() -> None:
    assert runs_duration_text(1, 40.4) == "about 40 s"
    assert runs_duration_text(20, 30.0) == "about 10 min"
    assert trial_duration_text(16, 30.0, usual=5.5) == "about 6 min, at most 16 min"
    assert trial_duration_text(4, 30.0, usual=5.5) == "at most 4 min"
    assert trial_duration_text(20, 30.0, usual=7.5, extra_runs=4) == "about 8 min, at most 22 min"
    assert (
        experiment_duration_text(30.0)
        == "about 30 s, twice that if the first run looks like a gain"
    )


def test_a_run_takes_what_it_took_here_lately(home: Home, store: Store) -> None:
    assert run_seconds(store, LINE) is None
    with_baseline(home, store)
    assert run_seconds(store, LINE) == pytest.approx(RUN_S)


def test_try_says_how_long_next_to_a_running_node(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_baseline(home, store)
    monkeypatch.setattr(trying, "call", lambda *_: {"decided": True})
    trying.hand_over(home, LINE, b"mark", BASELINE, title="", why="")
    assert f"after the current run; {experiment_duration_text(RUN_S)}" in capsys.readouterr().err


def test_a_step_of_try_is_shown_in_words(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_baseline(home, store)
    reference = {"stage": "reference_run", "title": "working line"}
    answers = iter(({}, reference, reference, {"decided": True}))
    monkeypatch.setattr(trying, "call", lambda *_: next(answers))
    trying.hand_over(home, LINE, b"mark", BASELINE, title="", why="")
    assert capsys.readouterr().err.splitlines()[1:] == ["  reference run: working line …"]


def test_try_alone_says_how_long_once_it_is_known(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    research = SimpleNamespace(
        submit=lambda *_, **__: None, activity=SimpleNamespace(stage="screen", title="")
    )
    node = SimpleNamespace(
        research=research,
        line_resources=SimpleNamespace(store=store, line_writer=SimpleNamespace(key=LINE)),
    )

    async def act_as_node(_home: Home, _config: object, _task: object, hand_in: HandIn) -> None:
        report_durations = hand_in(node)
        report_durations()
        assert "about" not in capsys.readouterr().err  # the baseline is measured first
        with_baseline(home, store)
        report_durations()
        report_durations()

    monkeypatch.setattr(trying, "at_work", lambda *_, **__: nullcontext())
    monkeypatch.setattr(trying, "act_as_node", act_as_node)
    bench = SimpleNamespace(home=home, config=None, task=None)
    trying.work_alone(bench, BASELINE, title="", why="")  # type: ignore[arg-type]
    assert capsys.readouterr().err.count(experiment_duration_text(RUN_S)) == 1


def test_a_task_of_drawn_instances_usually_takes_more_pairs(tmp_path: Path) -> None:
    runs, drawn, exact = (
        usual_pairs(load_task(name, data_dir=tmp_path).manifest)
        for name in ("tiny", "sql", "circles-26")
    )
    assert exact < runs < drawn


def test_the_next_run_takes_as_long_as_the_first_without_the_start_of_its_processes() -> None:
    stages = (
        Stage(part="train", name="spawn", start_ms=0, end_ms=3_000),
        Stage(part="train", name="train", start_ms=3_000, end_ms=3_800),
        Stage(part="score", name="import", start_ms=3_800, end_ms=3_900),
        Stage(part="score", name="score", start_ms=3_900, end_ms=4_300),
        Stage(part="audit", name="score", start_ms=4_300, end_ms=4_600),
    )
    assert seconds_of_next_run(replace(OUTCOME, ms=800, serve_ms=400, stages=stages)) == 1.5
    assert seconds_of_next_run(replace(OUTCOME, ms=800, serve_ms=400)) == 1.2


def test_an_exact_claim_is_rerun_in_one_pair(tmp_path: Path) -> None:
    exact, drawn = (load_task(name, data_dir=tmp_path).manifest for name in ("circles-26", "sql"))
    for policy in (VERIFY, QUICK):
        assert most_rerun_pairs(exact, policy) == 1
        assert rerun_pairs(exact, policy, is_published=True) == 1
    takes = rerun_duration_text(exact, 10.0, policy=VERIFY, is_published=True)
    assert takes == "at most 30 s"  # with one run of the baseline
    assert most_rerun_pairs(drawn, VERIFY) > VERIFY.max_pairs
