"""`task import` and `task init` write task folders and say what they are."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from node.commands import guessing
from node.commands.task_import import task
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
    assert f"  next: `arnode task check {into}`, then `arnode start --task {into}`" in said


def test_a_task_may_be_self_scored_on_request(tmp_path: Path) -> None:
    folder, into = FOLDERS / EXAMPLES["shinka"], tmp_path / "made"
    said = ran("import", "shinka", str(folder), "--into", str(into))
    assert (
        "  judged, public instances: the evaluator gives every candidate the same problem" in said
    )
    said = ran("import", "shinka", str(folder), "--into", f"{into}-too", "--self-scored")
    assert "  self-scored: you asked for it" in said


def test_the_task_is_called_as_its_folder_where_no_other_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran("import", "kernelbot", str(FOLDERS / EXAMPLES["kernelbot"]))
    assert (tmp_path / "double-py" / "task.toml").is_file()
    with pytest.raises(UsageError, match="exists and is not empty"):
        ran("import", "kernelbot", str(FOLDERS / EXAMPLES["kernelbot"]))


def test_one_systems_folder_is_not_anothers(tmp_path: Path) -> None:
    for system in EXAMPLES:
        other = "shinka" if system != "shinka" else "pi-autoresearch"
        with pytest.raises(ConfigurationError, match="not a folder of "):
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


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a folder with a script that reads a file which its command does not name."""
    place = tmp_path / "place"
    (place / "data").mkdir(parents=True)
    (place / "data" / "rows.txt").write_text("1\n2\n3\n")
    (place / "data" / "unread.txt").write_text("4\n")
    (place / "fit.py").write_text("SCALE = 1.0\n")
    (place / "score.sh").write_text(
        "cat data/rows.txt > rows\npython -c 'import fit; print(len(open(\"rows\").read()))' > n\n"
        'echo "delay: $(cat n)ms"\n'
    )
    monkeypatch.chdir(place)
    monkeypatch.setenv("ARNODE_HOME", str(tmp_path / "home"))
    return place


SCRIPTED = ["init", "--target", "fit.py", "--eval", "sh score.sh", "--metric", "delay"]


def test_what_a_trial_run_shows_is_reported_and_taken(scripted: Path, tmp_path: Path) -> None:
    said = ran(*SCRIPTED, "--yes", "--into", str(tmp_path / "made"))
    for line in (
        "direction  min: lower is better ('delay' in its name)",
        "unit       ms",
        "limit      10 s",
        "noise      none: all trial runs printed the same number",
        "opened     data/rows.txt, fit.py, score.sh",
    ):
        assert line in said
    table = tomllib.loads((tmp_path / "made" / "task.toml").read_text())
    assert "data/rows.txt" in table["files"]
    assert "data/unread.txt" not in table["files"]
    assert (table["limit_s"], table["metric"]["unit"], table["noise_floor"]) == (10, "ms", 0)


@pytest.mark.parametrize(
    ("seed", "instances"),
    [
        ('int(os.environ["ARNODE_SEED"])', {"public": 1, "secret": 1}),
        ("7", {"fixed": ["the command"]}),
    ],
)
def test_trial_runs_have_different_seeds_and_a_command_that_ignores_them_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: str, instances: dict[str, object]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARNODE_HOME", str(tmp_path / "home"))
    text = f"import os, random\nprint('loss', random.Random({seed}).random())\n"
    (tmp_path / "fit.py").write_text(text)
    line = ["--target", "fit.py", "--eval", "python fit.py", "--metric", "loss", "--yes"]
    said = ran("init", *line)
    assert ("one pair of runs decides" in said) == ("fixed" in instances)
    assert ("ARNODE_SEED" in said) == ("fixed" in instances)
    table = tomllib.loads((tmp_path / "fit-loss" / "task.toml").read_text())
    assert table["instances"] == instances
    assert (table["noise_floor"] == 0) == ("fixed" in instances)


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("python {place}/code/fit.py", "write code/fit.py instead of {place}/code/fit.py"),
        ("code/fit.py", "name the interpreter: --eval 'python code/fit.py'"),
        ("python code/fit.py", "begin it with `cd code &&`"),
    ],
)
def test_a_command_for_another_place_gets_a_hint_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, hint: str
) -> None:
    place = tmp_path / "place"
    (place / "code").mkdir(parents=True)
    (place / "code" / "rows.txt").write_text("1\n")
    (place / "code" / "fit.py").write_text("print('loss', len(open('rows.txt').read()))\n")
    monkeypatch.chdir(place)
    monkeypatch.setenv("ARNODE_HOME", str(tmp_path / "home"))
    line = ["--target", "code/fit.py", "--eval", command.format(place=place), "--metric", "loss"]
    with pytest.raises(ConfigurationError) as caught:
        ran("init", *line, "--yes")
    assert hint.format(place=place) in caught.value.hint


def test_a_folder_that_is_not_empty_is_refused_before_any_trial_run(
    scripted: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is not empty"):
        ran(*SCRIPTED, "--yes", "--into", str(scripted))


def test_flags_go_before_what_a_trial_run_shows(scripted: Path, tmp_path: Path) -> None:
    flags = ["--direction", "max", "--unit", "s", "--limit", "33", "--repeats", "3"]
    said = ran(*SCRIPTED, *flags, "--into", str(tmp_path / "made"))
    assert "direction  max: higher is better (as given)" in said
    table = tomllib.loads((tmp_path / "made" / "task.toml").read_text())
    assert (table["limit_s"], table["metric"]["unit"]) == (33, "s")
    assert table["instances"] == {"public": 3, "secret": 3}


def test_without_a_terminal_a_direction_is_said_or_agreed_to(
    scripted: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="these guesses need to be confirmed") as caught:
        ran(*SCRIPTED, "--into", str(tmp_path / "made"))
    assert "--yes" in caught.value.hint
    assert not (tmp_path / "made").exists()


def test_which_is_better_is_never_guessed_from_nothing(scripted: Path, tmp_path: Path) -> None:
    (scripted / "score.sh").write_text("echo quux: 5\n")
    line = ["init", "--target", "fit.py", "--eval", "sh score.sh", "--metric", "quux", "--yes"]
    with pytest.raises(UsageError, match="shows if lower is better"):
        ran(*line, "--into", str(tmp_path / "made"))


@pytest.mark.parametrize(
    ("script", "expected", "hint"),
    [
        ("cat gone.txt", "ended with exit code 1", "it looks for gone.txt"),
        ("echo delay: 0,5", "no figure of delay can be read from 'delay: 0,5'", "print a line"),
        (
            "echo 'delay: 5ms'; echo 'delay: FAILED'",
            "can be read from 'delay: FAILED'",
            "print a",
        ),
        ("echo hello", "no line reports delay", "name another --metric"),
        ("echo delay: 5ms >&2", "no line reports delay", "add ` 2>&1` to the end"),
    ],
)
def test_a_command_that_fails_its_trial_run_makes_no_task(
    scripted: Path, tmp_path: Path, script: str, expected: str, hint: str
) -> None:
    (scripted / "score.sh").write_text(f"{script}\n")
    with pytest.raises(ConfigurationError) as caught:
        ran(*SCRIPTED, "--yes", "--into", str(tmp_path / "made"))
    assert expected in caught.value.message
    assert hint in caught.value.hint
    assert not (tmp_path / "made").exists()


def test_what_is_not_found_but_lies_in_the_folder_is_given_in_a_second_try(
    scripted: Path, tmp_path: Path
) -> None:
    (scripted / "notes.md").write_text("5\n")  # which no importer takes by itself
    (scripted / "score.sh").write_text('echo "delay: $(cat notes.md)ms"; cat notes.md\n')
    ran(*SCRIPTED, "--yes", "--into", str(tmp_path / "made"))
    assert (tmp_path / "made" / "notes.md").read_text() == "5\n"


def test_a_holdout_on_which_the_command_fails_is_reported_without_its_words(
    scripted: Path, tmp_path: Path
) -> None:
    (scripted / "hidden" / "data").mkdir(parents=True)
    (scripted / "hidden" / "data" / "rows.txt").write_text("held-out-4711\n")
    (scripted / "score.sh").write_text(
        "cat data/rows.txt\ngrep -q held-out data/rows.txt && exit 1\necho delay: 5ms\n"
    )
    line = [*SCRIPTED, "--yes", "--holdout", "hidden", "--into", str(tmp_path / "made")]
    runner = CliRunner()
    outcome = runner.invoke(task, line)
    assert isinstance(outcome.exception, ConfigurationError)
    assert "the command reports no delay on the holdout's files" in outcome.exception.message
    assert "held-out-4711" not in outcome.output + str(outcome.exception)


def test_a_command_that_cannot_be_tried_here_needs_a_direction(
    scripted: Path, tmp_path: Path
) -> None:
    (scripted / "fit.py").write_text("import no_such_package_4711\n")
    with pytest.raises(UsageError, match="cannot try the command here") as caught:
        ran(*SCRIPTED, "--yes", "--into", str(tmp_path / "made"))
    assert "--direction" in caught.value.hint
    said = ran(*SCRIPTED, "--direction", "max", "--into", str(tmp_path / "made"))
    assert "the command was not tried: " in said
    table = tomllib.loads((tmp_path / "made" / "task.toml").read_text())
    assert (table["limit_s"], table["metric"]["direction"]) == (600, "max")
    assert table["noise_floor"] == 0


@pytest.mark.parametrize("answer", ["y\n", "n\n"])
def test_at_a_terminal_the_guesses_are_asked_for(
    scripted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(guessing, "_is_at_terminal", lambda: True)
    runner = CliRunner()
    outcome = runner.invoke(task, [*SCRIPTED, "--into", str(tmp_path / "made")], input=answer)
    assert "Make the task with these settings?" in outcome.output
    assert (tmp_path / "made").exists() == (answer == "y\n")


def test_a_folder_of_more_files_than_a_task_has_is_named(scripted: Path, tmp_path: Path) -> None:
    for number in range(70):
        (scripted / "data" / f"{number}.csv").touch()
    (scripted / "score.sh").write_text("python -c 'import os; print(os.listdir(\"data\"))'\n")
    with pytest.raises(ConfigurationError) as caught:
        ran(*SCRIPTED, "--yes", "--into", str(tmp_path / "made"))
    assert caught.value.hint == "add --with data"
