"""`task import` and `task init` write task folders and say what they are."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from node.commands.bringing import task
from protocol.errors import ConfigurationError, UsageError
from tests.plugins.brought import FOLDERS

EXAMPLES = {
    "openevolve": "openevolve/spread",
    "shinka": "shinka/halves",
    "codeevolve": "codeevolve/gaps",
    "algotune": "algotune/AlgoTuneTasks/longest_rise",
    "kernelbot": "kernelbot/double_py",
    "mle-bench": "mle_bench/mlebench/competitions/tree-heights",
    "pi-autoresearch": "pi/words",
}


def ran(*words: str) -> str:
    return CliRunner().invoke(task, words, catch_exceptions=False).output


@pytest.mark.parametrize("system", EXAMPLES)
def test_each_system_is_brought_over_into_a_folder(system: str, tmp_path: Path) -> None:
    into = tmp_path / "made"
    said = ran("import", system, str(FOLDERS / EXAMPLES[system]), "--into", str(into), "--json")
    document = json.loads(said)
    assert (into / "task.toml").is_file()
    assert document["trusted"] == (system not in ("kernelbot", "pi-autoresearch"))
    assert document["notes"]


def test_it_says_what_would_make_it_trusted_and_what_to_do_next(tmp_path: Path) -> None:
    into = tmp_path / "made"
    said = ran("import", "kernelbot", str(FOLDERS / EXAMPLES["kernelbot"]), "--into", str(into))
    assert "  self-scored: To make it a trusted task, " in said
    assert f"  try it: arnode task check {into}" in said


def test_a_task_may_be_self_scored_on_request(tmp_path: Path) -> None:
    folder, into = FOLDERS / EXAMPLES["shinka"], tmp_path / "made"
    said = ran("import", "shinka", str(folder), "--into", str(into))
    assert "  judged, public instances: the evaluator asks the same of every candidate" in said
    said = ran("import", "shinka", str(folder), "--into", f"{into}-too", "--self-scored")
    assert "  self-scored: that was asked for" in said


def test_the_task_is_called_as_its_folder_where_no_other_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran("import", "kernelbot", str(FOLDERS / EXAMPLES["kernelbot"]))
    assert (tmp_path / "double-py" / "task.toml").is_file()
    with pytest.raises(UsageError, match="is there and not empty"):
        ran("import", "kernelbot", str(FOLDERS / EXAMPLES["kernelbot"]))


def test_one_systems_folder_is_not_anothers(tmp_path: Path) -> None:
    for system in EXAMPLES:
        other = "shinka" if system != "shinka" else "pi-autoresearch"
        with pytest.raises(ConfigurationError, match="no folder of "):
            ran("import", system, str(FOLDERS / EXAMPLES[other]), "--into", str(tmp_path / "made"))
    assert not (tmp_path / "made").exists()


def test_init_makes_a_task_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDERS / "command")
    into = tmp_path / "made"
    line = ["--target", "fit.py", "--eval", "python score.py", "--metric", "error"]
    ran("init", *line, "--direction", "min", "--unit", "ms", "--into", str(into))
    assert 'UNIT = "ms"' in (into / "measure.py").read_text()
    assert 'unit = "ms"' in (into / "task.toml").read_text()
    assert sorted(path.name for path in into.iterdir()) == [
        "fit.py", "judge.py", "measure.py", "points.py", "program.md", "reporting.py", "score.py",
        "task.toml",
    ]  # fmt: skip
