"""`arnode task check`: what it prints, its JSON, and its exit code."""

import json
import shutil
from pathlib import Path

import pytest

from node.commands.cli import main
from node.home.home import Home
from tests.trainer.program.planted import CLEAN, PLANTED, Planted, write_planted
from tests.trainer.program.tasks import ONE_OF_EACH, write_task
from trainer.language_model.data import TaskData


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ARNODE_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


def checked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int | str | None, str, str]:
    """Return the exit code and what was printed, on stdout and stderr."""
    with pytest.raises(SystemExit) as caught:
        main(["task", "check", *words])
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


def test_a_task_without_a_fault_is_printed_line_by_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = write_planted(tmp_path / "task", Planted(judge=CLEAN))
    code, out, err = checked(capsys, str(folder))
    assert code == 0, out
    lines = out.splitlines()
    assert lines[0].split()[:2] == ["ok", "generated"]
    assert {line.split()[0] for line in lines[:-1]} <= {"ok", "note"}
    assert lines[-1].startswith("limits: no faults, ")
    assert "running the baseline …" in err
    assert "attacking the judge" in err


def test_a_fault_says_how_to_fix_it_and_fails(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = write_planted(tmp_path / "task", PLANTED["instances from a counter"])
    code, out, _ = checked(capsys, str(folder))
    assert code == 1
    assert out.startswith(
        "FAULT  instances     the judge makes different instances from the same seed"
    )
    assert "hint: let instance() depend only on its arguments" in out
    assert out.endswith("limits: 1 fault, no notes\n")


def test_a_baseline_that_fails_shows_its_cause_and_what_it_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    broken = "print('loading')\n\n\ndef solve(instance):\n    return nothing\n"
    folder = write_task(tmp_path / "task", instances=ONE_OF_EACH, files={"solve.py": broken})
    code, out, _ = checked(capsys, str(folder))
    assert code == 1
    cause = "NameError: name 'nothing' is not defined"
    first, *rest = out.splitlines()
    if "secret split" not in first:  # of which nothing is reported: it may be the first to fail
        assert cause in first
        assert "| loading" in rest
        assert f"| {cause}" in rest


def test_scripts_are_shown_the_same(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = write_planted(tmp_path / "task", PLANTED["instances from a counter"])
    code, out, _ = checked(capsys, str(folder), "--json")
    assert code == 1
    document = json.loads(out)
    assert (document["v"], document["ok"], document["task"]["name"]) == (1, False, "limits")
    (remark,) = document["remarks"]
    assert set(remark) == {"about", "level", "what", "hint", "figures", "printed"}
    assert (remark["about"], remark["level"]) == ("instances", "fault")


def test_what_is_no_task_is_said_without_a_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = checked(capsys, str(tmp_path))
    assert code == 2
    assert "is not a task folder" in err
    assert "hint: `arnode task init --target FILE --eval COMMAND --metric NAME` makes one" in err
    code, _, err = checked(capsys, "nowhere")
    assert code == 2
    assert "hint: possible: " in err
    folder = write_planted(tmp_path / "task", PLANTED["instances from a counter"])
    (folder / "task.toml").write_text("name = 3\n")
    code, _, err = checked(capsys, str(folder))
    assert code == 6
    assert "Traceback" not in err


def test_a_language_model_is_run_once(
    capsys: pytest.CaptureFixture[str], home: Home, data_dir: Path, short_data: TaskData
) -> None:
    home.prepare()
    shutil.copytree(data_dir, home.data, dirs_exist_ok=True)
    code, out, _ = checked(capsys, "tiny-short")
    assert code == 0, out
    assert [line.split()[1] for line in out.splitlines()[:-1]] == [
        "data",
        "baseline",
        "costs",
        "judge",
    ]
