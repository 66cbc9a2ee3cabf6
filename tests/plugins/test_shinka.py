"""ShinkaEvolve's folders become tasks that their evaluator judges, or self-scored ones."""

from pathlib import Path

import pytest

from arnode_plugins import shinka
from protocol.errors import ConfigurationError
from tests.plugins.brought import FOLDERS, Brought, brought, copied, measured


@pytest.fixture
def halves(tmp_path: Path) -> Brought:
    return brought(
        shinka.read_task(FOLDERS / "shinka" / "halves", self_scored=True), tmp_path / "halves"
    )


def test_program_evaluator_time_and_message_come_along(halves: Brought) -> None:
    table = halves.table
    assert table["editable"] == ["initial.py#EVOLVE-BLOCK"]
    assert table["files"] == ["measure.py", "reporting.py", "evaluate.py"]
    assert (table["scoring"], table["limit_s"]) == ("self", 150)
    assert "guards" not in table
    program = halves.text("program.md")
    assert "You split numbers into two parts of the same sum.\n\nThink of greedy" in program


def test_measuring_prints_what_the_evaluator_wrote(
    halves: Brought, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, _ = measured(halves, tmp_path)
    assert figures is not None
    assert 0 < figures["combined_score"] < 1
    assert halves.judge(monkeypatch).check({"seed": 5}, figures) == figures


def test_what_does_not_validate_gives_no_figure(halves: Brought, tmp_path: Path) -> None:
    unlike = halves.text("initial.py").replace("numbers[::2]", "[1000]")
    figures, said = measured(halves, tmp_path, changed={"initial.py": unlike})
    assert figures is None
    assert "not correct: validation failed: 1000 was not given" in said


def test_what_breaks_gives_no_figure(halves: Brought, tmp_path: Path) -> None:
    broken = halves.text("initial.py").replace("numbers[::2]", "numbers / 0")
    figures, said = measured(halves, tmp_path, changed={"initial.py": broken})
    assert figures is None
    assert "TypeError" in said


@pytest.mark.parametrize(
    "score",
    [
        "NaN", "null", '"0.9"', '""', "true", "false", "Infinity", "-Infinity", "[0.9]", "[]",
        "1e999", "1" * 400,
    ],
)  # fmt: skip
def test_a_score_that_is_no_finite_number_fails_whatever_is_public(
    halves: Brought, tmp_path: Path, score: str
) -> None:
    written = f"""
import json, pathlib, sys
folder = pathlib.Path(sys.argv[-1])
folder.mkdir(exist_ok=True)
(folder / "correct.json").write_text('{{"correct": true}}')
public = '{{"combined_score": 0.9}}'
(folder / "metrics.json").write_text(f'{{{{"combined_score": {score}, "public": {{public}}}}}}')
"""
    figures, said = measured(halves, tmp_path, changed={"evaluate.py": written})
    assert figures is None
    assert "reported no finite combined_score" in said


@pytest.mark.parametrize("gone", ["evaluate.py", "initial.py"])
def test_what_is_no_such_folder_is_reported_in_one_line(tmp_path: Path, gone: str) -> None:
    folder = copied("shinka", "halves", tmp_path)
    (folder / gone).unlink()
    with pytest.raises(ConfigurationError, match="not a folder of ShinkaEvolve: there") as caught:
        shinka.read_task(folder)
    assert "name the folder that holds initial.py" in caught.value.hint


def test_without_a_runner_it_has_no_message_and_the_usual_time(tmp_path: Path) -> None:
    folder = copied("shinka", "halves", tmp_path)
    (folder / "run_evo.py").unlink()
    made = brought(shinka.read_task(folder), tmp_path / "made")
    assert made.table["limit_s"] == 300
    assert "The prompt for ShinkaEvolve" not in made.text("program.md")


def test_an_evaluator_that_calls_the_program_judges_it(tmp_path: Path) -> None:
    made = brought(shinka.read_task(FOLDERS / "shinka" / "halves"), tmp_path / "judged")
    assert made.table["module"] == "initial.py"
    assert made.table["judge"]["files"] == ["evaluate.py", "measure.py", "reporting.py"]
    assert not made.table.keys() & {"files", "run", "scoring", "guards"}
    assert made.draft.is_trusted
    assert made.draft.notes[-1].startswith("judged, public instances: ")


def test_a_program_in_another_language_is_self_scored(tmp_path: Path) -> None:
    folder = copied("shinka", "halves", tmp_path)
    (folder / "initial.py").rename(folder / "initial.go")
    made = brought(shinka.read_task(folder), tmp_path / "made")
    assert made.table["scoring"] == "self"
    assert made.draft.notes[-1] == (
        "self-scored: initial.go is not a Python module, so it has no functions to call"
    )
