"""Trial runs show how to read a command's number, and which files it opens."""

import json
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ConfigurationError
from tests.plugins.brought import FOLDERS
from trainer.importing.command import Wanted, trial_draft
from trainer.importing.scripts.trial import _missing
from trainer.importing.trial import LEAST_RUNS, MOST_RUNS, Report, guess_from, more_runs, report_of

LINE = FOLDERS / "command"


def report(figure: float | None = 1.0, **other: Any) -> Report:
    reported = {"exit": 0, "seconds": 0.5, "figure": figure, "unit": "", "line": "", "opened": []}
    return report_of(json.dumps({**reported, "missing": [], "tail": "", **other}).encode())


@pytest.mark.parametrize(
    ("metric", "unit", "direction"),
    [
        ("val_loss", "", "min"), ("error_rate", "", "min"), ("latency_ms", "", "min"),
        ("rmse", "", "min"), ("elapsed", "", "min"), ("binarySize", "", "min"),
        ("seconds_per_step", "", "min"), ("tour_length", "", "min"), ("result", "ms", "min"),
        ("result", "kB", "min"), ("accuracy", "", "max"), ("f1", "", "max"), ("r2", "", "max"),
        ("tokens_per_second", "", "max"), ("requests/s", "", "max"), ("speedup", "", "max"),
        ("score", "", "max"), ("combined_score", "", "max"), ("result", "x", "max"),
        ("quux", "", None), ("result", "%", None), ("loss_score", "", "min"),
    ],
)  # fmt: skip
def test_which_is_better_is_guessed_from_name_and_unit_or_not_at_all(
    metric: str, unit: str, direction: str | None
) -> None:
    assert guess_from([report(unit=unit)], metric).direction == direction


def test_the_unit_that_was_printed_becomes_the_tasks_and_others_are_converted() -> None:
    reports = [report(900, unit="ms"), report(1.1, unit="s"), report(1000, unit="ms")]
    guess = guess_from(reports, "result")
    assert guess.unit == "ms"
    assert guess.noise_sd == pytest.approx(100.0)
    assert guess_from(reports, "result", unit="s").noise_sd == pytest.approx(0.1)
    assert guess_from([report()], "wall_ms").unit == "ms"
    assert guess_from([report(unit="made up")], "result").unit == ""


def test_a_timeout_is_ten_times_the_slowest_run() -> None:
    assert guess_from([report(seconds=7.2), report(seconds=3.0)], "x").limit_s == 72
    assert guess_from([report(seconds=0.01)], "x").limit_s == 10
    assert guess_from([report(seconds=9e9)], "x").limit_s == 86_400


def test_the_noise_of_a_run_is_that_of_the_mean_of_its_calls() -> None:
    calm = guess_from([report(100.0), report(100.0)], "x")
    assert (calm.is_exact, calm.noise_floor(1)) == (True, 0.0)
    loud = guess_from([report(90.0), report(110.0), report(100.0)], "x")
    assert not loud.is_exact
    assert loud.noise_floor(4) == pytest.approx(5.0)
    assert guess_from([report(1.0)], "x").noise_sd is None
    assert guess_from([report(1.0)], "x").noise_floor(1) == 0.0


@pytest.mark.parametrize("metric", ["latency", "fit_time", "tokens_per_s", "speedup"])
def test_equal_times_are_not_taken_for_exact(metric: str) -> None:
    assert not guess_from([report(0.1), report(0.1)], metric).is_exact


def test_slow_commands_are_tried_less_often() -> None:
    assert 1 + more_runs(0.1) == MOST_RUNS
    assert 1 + more_runs(20.0) == 3
    assert 1 + more_runs(3600.0) == LEAST_RUNS


def test_a_report_is_untrusted() -> None:
    odd = report(
        exit=True, seconds="7", unit=["s"], opened=["fit.py", "../out", 3, "a b"], tail="\x1b[2J",
        missing={"a": 1},
    )  # fmt: skip
    assert (odd.exit, odd.seconds, odd.unit, odd.missing) == (0, 0.0, "", ())
    assert odd.opened is not None
    assert "\x1b" not in odd.tail
    assert guess_from([odd], "x").opened == ("fit.py",)
    for answer in (b"", b"[]", b"3", b"{"):
        with pytest.raises(ValueError, match=r"."):
            report_of(answer)
    assert report_of(b'{"figure": NaN}').figure is None


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("FileNotFoundError: [Errno 2] No such file or directory: 'data/a.csv'", "data/a.csv"),
        ("cat: data/a.csv: No such file or directory", "data/a.csv"),
        ("sh: 1: ./tool.sh: not found", "./tool.sh"),
        ("python: can't open file '/job/run.py': [Errno 2] No such file", "/job/run.py"),
        ("ModuleNotFoundError: No module named 'helper'", "helper"),
        ("Error: ENOENT: no such file or directory, open 'a.json'", "a.json"),
        ("awk: cannot open a.txt (No such file or directory)", "a.txt"),
    ],
)
def test_what_was_not_found_is_read_from_what_tools_say(said: str, name: str) -> None:
    assert name in _missing(f"before\n{said}\nafter")


def test_a_trial_is_given_the_folders_files_but_none_that_is_held_out(tmp_path: Path) -> None:
    for name in ("fit.py", "score.py", "points.py"):
        (tmp_path / name).write_bytes((LINE / name).read_bytes())
    for name in ("data.csv", "hidden/data.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    wanted = Wanted(
        targets=[tmp_path / "fit.py"], command="python score.py", metric="error", root=tmp_path,
        holdout=tmp_path / "hidden",
    )  # fmt: skip
    draft = trial_draft(wanted, unit="", limit_s=9)
    assert set(draft.table["files"]) == {  # type: ignore[arg-type]
        "measure.py", "reporting.py", "arnode_command.py", "score.py", "points.py", "data.csv",
    }  # fmt: skip
    assert draft.table["limit_s"] == 9


def test_a_folder_of_too_many_files_is_tried_without_them(tmp_path: Path) -> None:
    (tmp_path / "fit.py").write_text("x = 1\n")
    for number in range(70):
        (tmp_path / f"other_{number}.csv").write_text("x")
    wanted = Wanted(targets=[tmp_path / "fit.py"], command="true", metric="x", root=tmp_path)
    assert len(trial_draft(wanted, unit="", limit_s=9).files) < 10
    with pytest.raises(ConfigurationError, match="more than 60 files"):
        trial_draft(
            Wanted(
                targets=[tmp_path / "fit.py"], command="true", metric="x", root=tmp_path,
                extra_files=[tmp_path],
            ),
            unit="", limit_s=9,
        )  # fmt: skip
