"""A file and a command that prints a number become a self-scored task."""

from pathlib import Path

import pytest

from protocol.errors import UsageError
from tests.trainer.importing.brought import FOLDERS, Brought, brought, measured
from trainer.importing.command import draft_of
from trainer.importing.draft import Draft

LINE = FOLDERS / "command"


def drafted(command: str = "python score.py", metric: str = "error") -> Draft:
    return draft_of(
        [LINE / "fit.py"], command, metric=metric, direction="min", root=LINE, beside=[]
    )


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
def test_a_number_is_read_however_it_is_told(
    line: Brought, tmp_path: Path, printed: str, figure: float
) -> None:
    program = f"print({printed!r}.replace('\\\\n', chr(10)))\n"
    figures, said = measured(line, tmp_path, changed={"score.py": program})
    assert figures == {"error": figure}, said


@pytest.mark.parametrize("program", ["print('nothing')", "print('nan')", "raise SystemExit(3)"])
def test_a_command_that_tells_no_number_gives_none(
    line: Brought, tmp_path: Path, program: str
) -> None:
    figures, _ = measured(line, tmp_path, changed={"score.py": f"{program}\n"})
    assert figures is None


def test_a_target_that_is_not_there_is_told() -> None:
    with pytest.raises(UsageError, match="there is no file"):
        draft_of([LINE / "gone.py"], "true", metric="x", direction="min", root=LINE)


def test_a_target_outside_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lies outside"):
        draft_of([LINE / "fit.py"], "true", metric="x", direction="min", root=tmp_path)


def test_a_command_that_cannot_be_read_is_told() -> None:
    with pytest.raises(UsageError, match="the command cannot be read"):
        drafted("python 'score.py")
    with pytest.raises(UsageError, match="the command is empty"):
        drafted("")
