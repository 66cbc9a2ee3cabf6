"""CodeEvolve's folders become tasks that their evaluator judges, or self-scored ones."""

from pathlib import Path

import pytest

from arnode_plugins import codeevolve
from protocol.errors import ConfigurationError
from tests.plugins.brought import FOLDERS, brought, copied, measured

GAPS = FOLDERS / "codeevolve" / "gaps"


def test_the_evaluator_judges_by_the_figure_that_the_configuration_names(tmp_path: Path) -> None:
    made = brought(codeevolve.read_task(GAPS), tmp_path / "made")
    table = made.table
    assert table["editable"] == ["src/init_program.py#EVOLVE-BLOCK"]
    assert (table["module"], table["limit_s"]) == ("src/init_program.py", 40)
    assert table["metric"]["name"] == "ratio"
    assert table["judge"]["files"] == ["evaluate.py", "measure.py", "reporting.py"]
    assert "You place marks on a ruler." in made.text("program.md")


def test_measuring_prints_what_the_evaluator_wrote(tmp_path: Path) -> None:
    made = brought(codeevolve.read_task(GAPS, self_scored=True), tmp_path / "made")
    figures, _ = measured(made, tmp_path)
    assert figures == {"ratio": 0.2}
    broken = {"src/init_program.py": "def marks(length):\n    return [length + 1]\n"}
    figures, said = measured(made, tmp_path, changed=broken)
    assert figures is None
    assert "the evaluator says: ValueError: a mark that is not on the ruler" in said


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("input/evaluate.py", "there is no input/evaluate.py"),
        ("input/src/init_program.py", "there is no input/src/init_program.py"),
        ("configs/config.yaml", "names EVOLVE_CONFIG.fitness_key"),
    ],
)
def test_what_is_no_such_folder_is_reported_in_one_line(
    tmp_path: Path, gone: str, said: str
) -> None:
    folder = copied("codeevolve", "gaps", tmp_path)
    (folder / gone).unlink()
    with pytest.raises(ConfigurationError, match=said):
        codeevolve.read_task(folder)
