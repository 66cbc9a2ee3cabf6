"""Imported tasks run without an edit: the baseline is run and judged.

All of it in this machine's own sandbox.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from node.commands.cli import main
from node.home.consent import TaskOf
from protocol.errors import ConfigurationError
from protocol.units import NANO
from tests.plugins.brought import FOLDERS, copied
from tests.trainer.program.tasks import Bench, figures, read
from trainer.cards.cards import probe_cards
from trainer.task_folder.task import Task

ALGOTUNE = FOLDERS / "algotune" / "AlgoTuneTasks"
TREES = FOLDERS / "mle_bench" / "mlebench" / "competitions" / "tree-heights"
SELF_SCORED = "self-scored: the candidate reports its own number, so it is not ranked"

SELF_SCORING = {
    "kernelbot": (FOLDERS / "kernelbot" / "double_py", "microseconds"),
    "pi-autoresearch": (FOLDERS / "pi" / "words", "count_ms"),
}
TRUSTED = {
    "openevolve": (FOLDERS / "openevolve" / "spread", "combined_score"),
    "shinka": (FOLDERS / "shinka" / "halves", "combined_score"),
    "codeevolve": (FOLDERS / "codeevolve" / "gaps", "ratio"),
    "algotune": (ALGOTUNE / "longest_rise", "wall_s"),
    "mle-bench": (TREES, "mean_absolute_error"),
}


# Their evaluators are as careless as people's are: a check says so.
EVALUATED = {"openevolve", "shinka", "codeevolve"}

Call = Callable[..., tuple[str, str]]
Imported = Callable[[str], Task]


@pytest.fixture
def into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a task folder is to be, with a home of its own for the commands."""
    monkeypatch.setenv("ARNODE_HOME", str(tmp_path / "home"))
    return tmp_path / "made"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Call a command; return its stdout and its stderr."""

    def called(*words: str, code: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as ended:
            main(words)
        captured = capsys.readouterr()
        assert ended.value.code == code, captured.err
        return captured.out, captured.err

    return called


@pytest.fixture
def imported(call: Call, into: Path) -> Imported:
    """Bring one of the examples over with the command."""

    def brought(system: str) -> Task:
        folder, _ = {**SELF_SCORING, **TRUSTED}[system]
        call("task", "import", system, str(folder), "--into", str(into))
        return read(into)

    return brought


ONE_OF_EACH = (next(iter(SELF_SCORING)), next(iter(TRUSTED)))


@pytest.mark.parametrize(
    "system",
    [
        pytest.param(system, marks=[pytest.mark.soak] * (system not in ONE_OF_EACH))
        for system in (*SELF_SCORING, *TRUSTED)
    ],
)
def test_a_folder_is_brought_over_and_its_baseline_runs(system: str, imported: Imported) -> None:
    task = imported(system)
    assert task.manifest.metric.name == {**SELF_SCORING, **TRUSTED}[system][1]
    assert task.manifest.is_ranked == (system not in SELF_SCORING)
    with Bench(task) as bench:
        public, secret = figures(bench.calibrate())
    assert public is not None
    assert secret is not None
    assert min(public, secret) > 0


LOADED = """\
import importlib.util
import os
import random
from pathlib import Path


def answer(path):
    spec = importlib.util.spec_from_file_location("program", path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program.answer()


"""
VARYING = {
    "argument seed": """\
def evaluate(program_path, seed=0):
    return {"combined_score": len(answer(program_path)) + random.Random(seed).random()}
""",
    "variable CASE_SEED": """\
CHANCE = random.Random(int(os.environ.get("CASE_SEED", "0")))


def evaluate(program_path):
    return {"combined_score": len(answer(program_path)) + CHANCE.random()}
""",
    "folder cases": """\
def evaluate(program_path):
    cases = sorted((Path(__file__).parent / "cases").glob("*.txt"))
    assert len(cases) == 10
    drawn = sum(float(case.read_text()) for case in cases)
    return {"combined_score": len(answer(program_path)) + drawn}
""",
}


@pytest.mark.parametrize("vary", VARYING)
def test_what_varies_is_drawn_for_each_run_that_is_held_out(
    vary: str, call: Call, into: Path, tmp_path: Path
) -> None:
    folder = copied("openevolve", "spread", tmp_path)
    (folder / "evaluator.py").write_text(LOADED + VARYING[vary])
    (folder / "cases").mkdir()
    for number in range(20):
        (folder / "cases" / f"{number}.txt").write_text(f"{2.0**-number}")
    call("task", "import", "openevolve", str(folder), "--into", str(into))
    description = into / "task.toml"
    if vary.startswith("folder"):  # no importer can know which files are cases
        described = description.read_text().replace("[judge]\n", f'[judge]\nvary = "{vary}"\n')
        description.write_text(described)
    assert f'vary = "{vary}"' in description.read_text()
    with Bench(read(into)) as bench:
        first = figures(bench.calibrate())
        again, other = figures(bench.run()), figures(bench.run(split=bytes(32)))
        more = figures(bench.run((folder / "initial_program.py").read_text() + MORE_PLACES))
    assert first == again
    # Public instances stay; what is held out is another in each run.
    assert other[0] == first[0]
    assert len({*first, *other}) == 3
    # Candidates of one run meet the same: what varies cancels.
    assert [one - of for one, of in zip(more, first, strict=True)] == [NANO, NANO]
    said = f"judged, held out: {vary} is drawn for each run"
    assert said in call("task", "show", str(into))[0]


MORE_PLACES = "\n\nfirst = answer\n\n\ndef answer():\n    return [*first(), 2.0]\n"


def test_the_commands_run_it_and_say_whose_word_its_figure_is(
    imported: Imported, call: Call, into: Path
) -> None:
    imported("pi-autoresearch")
    printed, said = call("run", "--task", str(into), "--json")
    assert SELF_SCORED in said
    document: dict[str, Any] = json.loads(printed)
    assert document["scoring"] == "self"
    assert [run["status"] for run in document["runs"]] == ["ok"]
    assert SELF_SCORED in call("task", "show", str(into))[0]


def test_what_a_script_calls_is_there_and_what_it_writes_is_gone(
    imported: Imported, into: Path
) -> None:
    """A shell with pipes and processes, what such scripts call, and files next to it."""
    before = imported("pi-autoresearch")
    (into / "auto" / "measure.sh").write_text(
        "#!/bin/bash\nset -euo pipefail\n"
        "test ! -e left; touch left\n"
        "seq 3 | sort -r | head -n 1 | sed 's/^/METRIC count_ms=/' > said &\n"
        "wait\ncat said; echo METRIC peak_memory=$(grep -c METRIC < said)\n"
    )
    task = read(into)
    assert task.id != before.id
    with Bench(task) as bench:
        for seed in (1, 2):
            assert figures(bench.run(seed=seed)) == (3 * NANO, 3 * NANO)


def test_a_submission_is_made_where_no_answers_are(imported: Imported, into: Path) -> None:
    task = imported("mle-bench")
    assert task.is_private
    assert TaskOf.of(task, data_dir=into) is TaskOf.THIS_MACHINE
    places = ["/data", "raw", "/job/raw", "../data", str(into / "raw")]
    looking = f"""\
import sys
from pathlib import Path

for place in {places}:
    try:
        print("found", list(Path(place).iterdir()), file=sys.stderr)
    except OSError as fault:
        print("no", place, file=sys.stderr)
"""
    with Bench(task) as bench:
        bench.calibrate()
        outcome = bench.run(looking)
    assert outcome.status == "rejected"  # it submits nothing
    assert {line for line in outcome.log_tail.splitlines() if line} == {
        f"no {place}" for place in places
    }


def test_a_split_may_copy_and_unpack_files(call: Call, into: Path, tmp_path: Path) -> None:
    """As competitions do, with their modes: what a judge may not change is left as it is."""
    folder = copied("mle_bench", "mlebench", tmp_path) / "competitions" / TREES.name
    with ZipFile(folder / "raw" / "more.zip", "w") as archive:
        archive.writestr("deep/more.txt", "more")
    prepare = folder / "prepare.py"
    prepare.write_text(
        f"import shutil\nimport zipfile\n{prepare.read_text()}"
        "    with zipfile.ZipFile(raw / 'more.zip') as archive:\n"
        "        archive.extractall(raw)\n"
        "    shutil.copy(raw / 'trees.csv', private / 'all.csv')\n"
        "    shutil.copytree(raw / 'deep', public / 'deep')\n"
        "    shutil.copy2(raw / 'deep' / 'more.txt', public)\n"
    )
    call("task", "import", "mle-bench", str(folder), "--into", str(into))
    solve = into / "solve.py"
    text = solve.read_text()
    reading = 'assert files.read("deep/more.txt") == files.read("more.txt") == b"more"'
    solve.write_text(
        text.replace("    return files.read(", f"    {reading}\n    return files.read(")
    )
    with Bench(read(into)) as bench:
        assert figures(bench.calibrate())[0]


def test_data_that_have_changed_are_refused(imported: Imported, into: Path) -> None:
    task = imported("mle-bench")
    table = into / "raw" / "trees.csv"
    kept = table.read_bytes()
    with Bench(task) as bench:
        assert figures(bench.run())[0]
        table.write_bytes(kept.replace(b"1", b"2", 1))
        with pytest.raises(ConfigurationError, match="have changed since the task was loaded"):
            bench.run(seed=2)
        table.write_bytes(kept)
        assert figures(bench.run(seed=2))[0]
    table.write_bytes(kept + b"\n")
    assert read(into).id != task.id


@pytest.mark.soak
@pytest.mark.parametrize("system", sorted(set(TRUSTED) - EVALUATED))
def test_what_is_trusted_stands_the_whole_check(
    system: str, imported: Imported, call: Call, into: Path
) -> None:
    imported(system)
    printed, _ = call("task", "check", str(into), "--json")
    remarks = json.loads(printed)["remarks"]
    assert not [one for one in remarks if one["level"] == "fault"]
    kind = "private" if system == "mle-bench" else "generated"
    assert kind in [one["about"] for one in remarks]


def test_packages_that_are_not_here_are_reported_with_what_to_install(
    imported: Imported, call: Call, into: Path
) -> None:
    imported("algotune")
    file = into / "task.toml"
    file.write_text(f'requires = ["no-such-package"]\n{file.read_text()}')
    _, said = call("run", "--task", str(into), code=6)
    assert "these Python packages are not installed: no-such-package" in said
    assert f"arnode task prepare {into}" in said
    assert "Traceback" not in said


def test_a_task_for_a_card_is_refused_where_there_is_none(
    imported: Imported, call: Call, into: Path
) -> None:
    if probe_cards().cards:
        pytest.skip("there is one")
    imported("kernelbot")
    file = into / "task.toml"
    file.write_text(file.read_text().replace('device = "cpu"', 'device = "cuda"'))
    _, said = call("run", "--task", str(into), code=6)
    assert "task double-py needs an NVIDIA card, and " in said
    assert "`nvidia-smi`" in said
    assert "Traceback" not in said
