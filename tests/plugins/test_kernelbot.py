"""KernelBot's problems become self-scored tasks."""

from pathlib import Path

import pytest

from arnode_plugins import kernelbot
from protocol.errors import ConfigurationError
from tests.plugins.brought import FOLDERS, Brought, brought, copied, measured


@pytest.fixture
def double(tmp_path: Path) -> Brought:
    return brought(kernelbot.read_task(FOLDERS / "kernelbot" / "double_py"), tmp_path / "double")


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A copy with the files above it, to break."""
    for name in ("eval.py", "utils.py"):
        (tmp_path / "theirs").mkdir(exist_ok=True)
        (tmp_path / "theirs" / name).write_text((FOLDERS / "kernelbot" / name).read_text())
    return copied("kernelbot", "double_py", tmp_path)


def test_files_cases_and_limits_come_along(double: Brought) -> None:
    table = double.table
    assert table["name"] == "double-py"
    assert table["editable"] == ["submission.py"]
    assert table["files"] == [
        "measure.py", "reporting.py", "task.py", "utils.py", "reference.py", "eval.py",
    ]  # fmt: skip
    assert (table["scoring"], table["device"], table["limit_s"]) == ("self", "cpu", 60)
    measure = double.text("measure.py")
    assert '("size: 100; seed: 21", "size: 1000; seed: 22")' in measure
    assert 'RANKING = "geom"' in measure
    assert "Double each number of a list." in double.text("program.md")


def test_measuring_tests_then_ranks(
    double: Brought, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, _ = measured(double, tmp_path)
    assert figures is not None
    assert 0 < figures["microseconds"] < 1e5
    assert double.judge(monkeypatch).check({"seed": 5}, figures) == figures


def test_a_wrong_kernel_gives_no_figure(double: Brought, tmp_path: Path) -> None:
    wrong = "def custom_kernel(data):\n    return data\n"
    figures, said = measured(double, tmp_path, changed={"submission.py": wrong})
    assert figures is None
    assert "it did not pass: not the same" in said


def test_what_is_on_a_card_says_so(broken: Path, tmp_path: Path) -> None:
    reference = broken / "reference.py"
    reference.write_text(reference.read_text() + "\nDEVICE = 'cuda'\n")
    made = brought(kernelbot.read_task(broken), tmp_path / "made")
    assert made.table["device"] == "cuda"
    assert "its files name cuda, so it needs an NVIDIA card" in made.draft.notes[0]


def test_what_names_no_card_runs_without_one(double: Brought) -> None:
    assert double.table["device"] == "cpu"
    assert "it runs on the processor, without a card" in double.draft.notes[0]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('lang: "py"', 'lang: "cu"', "lang is 'cu'"),
        ('lang: "py"', "multi_gpu: true", "needs several cards"),
        ('"@SUBMISSION@"', '"submission.py"', "names no file whose source is @SUBMISSION@"),
        ('"../eval.py"', '"../gone.py"', "there is no ../gone.py"),
        ('ranking_by: "geom"', 'ranking_by: "best"', "ranking_by is 'best'"),
        ("benchmarks:", "marks:", "lists no benchmarks"),
        ("files:", "files: [", "not valid YAML"),
    ],
)
def test_a_problem_that_cannot_be_brought_is_reported_in_one_line(
    broken: Path, before: str, after: str, said: str
) -> None:
    task = broken / "task.yml"
    task.write_text(task.read_text().replace(before, after))
    with pytest.raises(ConfigurationError, match=said) as caught:
        kernelbot.read_task(broken)
    assert caught.value.hint


def test_a_folder_without_its_task_is_none_of_theirs(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"not a folder of KernelBot: there is no task\.yml"
    ):
        kernelbot.read_task(tmp_path)
