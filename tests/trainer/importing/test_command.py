"""A file and a command that prints a number become a self-scored task."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import UsageError
from tests.plugins.brought import FOLDERS, Brought, brought, measured
from trainer.importing.command import Measured, Wanted, draft_of
from trainer.importing.draft import TaskDraft
from trainer.importing.scripts import command

LINE = FOLDERS / "command"


def wanted(
    command: str = "python score.py", *, target: str = "fit.py", root: Path = LINE, **more: Any
) -> Wanted:
    return Wanted(targets=[root / target], command=command, metric="error", root=root, **more)


def drafted(command: str = "python score.py", **more: Any) -> TaskDraft:
    return draft_of(wanted(command, **more), Measured(direction="min"))


def figure_of(printed: str, monkeypatch: pytest.MonkeyPatch) -> float | None:
    """Return the score that is read from a command's output."""
    monkeypatch.setattr(command, "REPORTED", "score")
    reported = {**command._tabled(printed), **command._named(printed)}
    return reported.get("score")


@pytest.fixture
def line(tmp_path: Path) -> Brought:
    return brought(drafted(), tmp_path / "line")


def test_what_the_command_names_and_what_that_imports_come_along(line: Brought) -> None:
    table = line.table
    assert table["name"] == "fit-error"
    assert table["editable"] == ["fit.py"]
    assert table["files"] == ["measure.py", "reporting.py", "score.py", "points.py"]
    assert table["scoring"] == "self"
    assert "The command is `python score.py`." in line.text("program.md")


def test_the_last_line_that_names_the_number_counts(
    line: Brought, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, _ = measured(line, tmp_path)
    assert figures == {"error": pytest.approx(1.0)}
    assert line.judge(monkeypatch).check({"seed": 5}, figures) == figures


@pytest.mark.parametrize(
    ("printed", "figure"),
    [
        ("1.5", 1.5), ("error=2e-3", 0.002), ("METRIC error=7", 7.0), ("error: 1,234.5 ms", 1234.5),
        ('{"error": 3, "other": 9}', 3.0), ("terror: 5\\n4", 4.0),
    ],
)  # fmt: skip
def test_a_number_is_read_however_it_is_reported(
    line: Brought, tmp_path: Path, printed: str, figure: float
) -> None:
    program = f"print({printed!r}.replace('\\\\n', chr(10)))\n"
    figures, said = measured(line, tmp_path, changed={"score.py": program})
    assert figures == {"error": figure}, said


@pytest.mark.parametrize(
    ("printed", "figure"),
    [
        ("score: 12.5ms", 12.5), ("score: 0.95s", 0.95), ("score=1.5e-3s", 0.0015),
        ("score: 3.25x", 3.25), ("score: 1.5k", 1500.0), ("score: 12 ms", 12.0),
        ("score: 93.5%", 93.5), ("score: 1_000", 1000.0), ("score: 1,234.5", 1234.5),
        ("score: 1,234,567", 1_234_567.0), ("score: -.5", -0.5), ("score: +2.", 2.0),
        ("Score is 0.4.", 0.4), ("score 0.4", 0.4), ('"score": 0.4,', 0.4), ("score\t=\t4", 4.0),
        ("step 3 score: 0.4 lr=0.1", 0.4), ("score: 0.4 (best 0.3)", 0.4),
        ("score: 0.4 | acc: 0.9", 0.4), ("score: 0.4 steps/s", 0.4), ("score: 2 MB", 2.0),
        ("\x1b[32mscore: 0.25\x1b[0m", 0.25), ("\x1b[1mscore\x1b[0m: 0.25", 0.25),
        ("10% score: 0.9\r20% score: 0.8\r", 0.8), ("score: 0.9\nscore: 0.8\ndone", 0.8),
        ('{"score": 0.9, "acc": 0.1}', 0.9), ('{"score": 0.9}\n{"acc": 0.1}', 0.9),
        ('{"mine": {"score": 0.9}}', 0.9), ("the score of 3 runs\nscore: 7", 7.0),
        ("highscore: 3\n0.25", 0.25), ("3\n0.25 s", 0.25), ("score: 3.25×", 3.25),
        ("score: 3.25X", 3.25), ("score: 5MiB", 5.0), ("score: 97.3 %", 97.3), ("score: .5s", 0.5),
        ("score: 1E-3", 0.001), ("score: 1.e3", 1000.0), ("score: 1_000.5", 1000.5),
        ("score: 2M", 2e6), ("score: 1.5 k", 1500.0), ("score: 2 hours", 2.0), ("score: 0", 0.0),
        ("score: 0.0e5", 0.0), ("SCORE=0.4;", 0.4), ("final score: 0.4", 0.4),
        ("score 0.4 at epoch 3", 0.4), ("score: 0.4 best=0.5", 0.4), ("score: 0.4 score: 0.4", 0.4),
        ("\x1b[38;5;82mscore: 0.25\x1b[m", 0.25), ("\x1b]0;title\x07score: 0.5", 0.5),
        ("score: 0.4\nscore_std: 0.1", 0.4), ("score: 0.4\nscore.std: 0.1", 0.4),
        ("score: 0.4\nscore-std: 0.1", 0.4), ("score: 0.5\r\n", 0.5), ("0.4ms", 0.4),
        ("{'score': 0.5, 'acc': 1}", 0.5), ("**score**: 0.4", 0.4), ("`score`: 0.4", 0.4),
    ],
)  # fmt: skip
def test_a_number_is_read_whole(
    printed: str, figure: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert figure_of(printed, monkeypatch) == figure


@pytest.mark.parametrize(
    "printed",
    [
        "score: 0,5", "score: 1,2345", "score: 1.234,5", "score: 1,234", "score: 1.2.3",
        "score: 0x1F", "score: 12:30", "score: 2024-01-02", "score: 3/4", "score: 1e",
        "score: 5abc", "score: 12.5ms/step", "score: 0.4 0.5", "score: 0.4 ± 0.1",
        "score: 0.4 -> 0.3", "score: 0.4 (0.5)", "score: 4 of 5", "score: 0.4 score: 0.5",
        "score: 1e999", "score: nan", "score: inf", "score: -inf", "score: None",
        "score: null", "score: FAILED",
        "score FAILED", "score:", "score: True", "score: [0.4]", "score: \u22120.4", "0.5\nnan",
        "0.5\nNone", '{"score": NaN}', '{"score": null}', '{"score": "0.5"}', '{"score": true}',
        '{"score": [0.5]}', "nothing", "score: 12.5 ms/step", "score: 5 KB/s", "score: 12 345.6",
        "score: 1'000", "score: 1.234.567", "score: 0,87 s", "score: 5Mb", "score: 5th",
        "score: 0.4 then 0.5", "score: 0.4 or 0.5", "score: 0.4 [0.3, 0.5]", "score: 0.4 of 1.0",
        "score: 0.4f", "score: 1+2j", "score: 4e2.5", "score: 1e-400", "score: 2×10³",
        "score: ½", "score: --5", "score: ~0.4", "score: <0.4", "score: $0.4", "score: 1:23.4",
        "score: v1.2", "score: 3%%", "score: 1%2", "score: 0b1", "score: 2d", "score: -nan",
        "score: Infinity", "score: ∞", "score: N/A", "score: -", "score: undefined",
        "score: timeout", "score: ERROR: 5", "score failed to compute",
        "score n/a", "score timed out", "score diverged",
        "score: \x1b[31mnan\x1b[0m",
        '{"score": Infinity}', '{"score": {"value": 0.5}}', "{'score': nan}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", ["", "score: 0.5\n", '{"score": 0.5}\n'])
def test_what_is_no_whole_number_is_none_whatever_was_reported_before(
    printed: str, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names_it = "score" in printed
    assert figure_of(before + printed, monkeypatch) == (0.5 if before and not names_it else None)


@pytest.mark.parametrize(
    ("unit", "printed", "figure"),
    [
        ("ms", "0.95s", 950.0), ("ms", "12", 12.0), ("s", "250 µs", 0.00025), ("MB", "2GB", 2000.0),
        ("s", "2 hours", 7200.0), ("s", "1 day", 86400.0), ("ms", "3 min", 180_000.0),
        ("kB", "1 MiB", 1048.576), ("%", "93 percent", 93.0), ("x", "2×", 2.0),
        ("s", "1 ms/it", None),
        ("ms", "2 MB", None), ("bits", "2 ms", None), ("bits", "2", 2.0), ("", "2 ms", 2.0),
    ],
)  # fmt: skip
def test_a_unit_is_converted_to_the_tasks(
    unit: str, printed: str, figure: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "UNIT", unit)
    assert figure_of(f"score: {printed}", monkeypatch) == pytest.approx(figure)


@pytest.mark.parametrize(
    ("last", "figure"),
    [("0.5", 0.5), ("nan", None), ("", None), ("0x1F", None), ("1,234.5", None), ("0.5s", None)],
)
def test_of_marked_lines_the_last_counts_too(last: str, figure: float | None) -> None:
    assert command._marked(f"METRIC score=0.4\nMETRIC score={last}\n").get("score") == figure


def test_the_last_marked_line_without_a_number_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "REPORTED", "score")
    printed = "METRIC score=0.4\nMETRIC other=x\nMETRIC score=nan\nMETRIC score_2=5\n"
    assert command._marked_line(printed) == "METRIC score=nan"
    assert command._marked_line("METRIC other=x\nscore=5\n") is None


def test_the_line_that_has_no_number_is_shown(line: Brought, tmp_path: Path) -> None:
    figures, said = measured(
        line, tmp_path, changed={"score.py": "print('error: 0.4'); print('error: nan (diverged)')"}
    )
    assert figures is None
    assert "cannot read error from 'error: nan (diverged)'" in said


@pytest.mark.parametrize("program", ["print('nothing')", "print('nan')", "raise SystemExit(3)"])
def test_a_command_that_reports_no_number_gives_none(
    line: Brought, tmp_path: Path, program: str
) -> None:
    figures, _ = measured(line, tmp_path, changed={"score.py": f"{program}\n"})
    assert figures is None


def test_a_target_that_is_not_there_is_reported() -> None:
    with pytest.raises(UsageError, match="there is no file"):
        drafted(target="gone.py")


def test_a_target_outside_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is outside"):
        draft_of(replace(wanted(), root=tmp_path), Measured(direction="min"))


def test_a_command_that_cannot_be_read_is_reported() -> None:
    with pytest.raises(UsageError, match="cannot parse the command"):
        drafted("python 'score.py")
    with pytest.raises(UsageError, match="the command is empty"):
        drafted("")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my fit.py", "it has a space; only ASCII letters"),
        ("größe.py", "it has 'ö' (U+00F6); only ASCII letters"),
        (".fit.py", "each part of it must begin with a letter, a digit or an underscore"),
    ],
)
def test_the_character_that_no_name_may_have_is_named(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_text("print('score', 1)\n")
    with pytest.raises(UsageError) as raised:
        draft_of(wanted("python fit.py", target=name, root=tmp_path), Measured(direction="max"))
    assert f"{name!r} cannot be a task's file: {said}" in raised.value.message
