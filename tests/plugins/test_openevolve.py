"""OpenEvolve's folders become tasks that their evaluator judges, or self-scored ones."""

from pathlib import Path

import pytest

from arnode_plugins import openevolve
from protocol.errors import ConfigurationError
from tests.plugins.brought import FOLDERS, Brought, brought, copied, measured

SPREAD = FOLDERS / "openevolve" / "spread"


@pytest.fixture
def spread(tmp_path: Path) -> Brought:
    return brought(openevolve.read_task(SPREAD, self_scored=True), tmp_path / "spread")


@pytest.fixture
def unstaged(tmp_path: Path) -> Brought:
    folder = copied("openevolve", "spread", tmp_path)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("evaluation: true", "evaluation: false"))
    return brought(openevolve.read_task(folder, self_scored=True), tmp_path / "unstaged")


def test_it_says_that_it_is_self_scored_and_what_would_make_it_trusted(spread: Brought) -> None:
    assert spread.table["scoring"] == "self"
    assert not spread.draft.is_trusted
    assert spread.draft.notes[-1] == "self-scored: you asked for it"
    assert "To make it a trusted task, " in spread.text("program.md")


def test_the_program_is_edited_and_its_evaluator_is_fixed(spread: Brought) -> None:
    table = spread.table
    assert table["editable"] == ["initial_program.py#EVOLVE-BLOCK"]
    assert table["files"] == ["measure.py", "reporting.py", "evaluator.py", "width.txt"]
    assert table["metric"]["direction"] == "max"
    assert table["limit_s"] == 45
    assert "requires" not in table


def test_stages_are_not_to_be_missed_where_the_baseline_does_not(spread: Brought) -> None:
    assert spread.table["guards"] == {"stages_missed": {"times": 1.0}}
    assert "THRESHOLDS: tuple[float, ...] = (0.5,)" in spread.text("measure.py")


def test_no_figure_becomes_a_guard_that_the_evaluator_does_not_enforce(unstaged: Brought) -> None:
    assert '"eval_time"' in unstaged.text("evaluator.py")
    assert "guards" not in unstaged.table


def test_an_evaluator_may_be_asynchronous(tmp_path: Path) -> None:
    folder = copied("openevolve", "spread", tmp_path)
    evaluator = (
        "import asyncio\n\n\nasync def evaluate(program_path):\n"
        "    await asyncio.sleep(0)\n    return {'combined_score': 0.25}\n"
    )
    (folder / "evaluator.py").write_text(evaluator)
    made = brought(openevolve.read_task(folder, self_scored=True), tmp_path / "made")
    figures, _ = measured(made, tmp_path)
    assert figures == {"combined_score": 0.25}


def test_the_system_message_is_what_a_proposer_reads(spread: Brought) -> None:
    program = spread.text("program.md")
    assert "You place points on a line.\nKeep them as far apart as you can." in program
    assert "Change only the lines between EVOLVE-BLOCK-START and EVOLVE-BLOCK-END." in program


def test_measuring_prints_what_the_evaluator_says(
    spread: Brought, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, said = measured(spread, tmp_path)
    assert figures is not None
    assert figures["combined_score"] == pytest.approx(0.1)
    assert figures["stages_missed"] == 0.0
    assert "evaluating" in said  # what is printed goes to the log
    judge = spread.judge(monkeypatch)
    instance = judge.instance(bytes(32), "public", 0)
    assert judge.instance(bytes(32), "public", 0) == instance
    assert judge.check(instance, figures) == figures


def test_a_stage_below_its_threshold_is_the_last(spread: Brought, tmp_path: Path) -> None:
    alone = spread.text("initial_program.py").replace("COUNT = 5", "COUNT = 1")
    figures, _ = measured(spread, tmp_path, changed={"initial_program.py": alone})
    assert figures is not None
    assert (figures["combined_score"], figures["stages_missed"]) == (0.0, 1.0)


def test_an_evaluator_that_names_an_error_gives_no_figure(
    unstaged: Brought, tmp_path: Path
) -> None:
    broken = "def answer():\n    raise ValueError('no places')\n"
    figures, said = measured(unstaged, tmp_path, changed={"initial_program.py": broken})
    assert figures is None
    assert "the evaluator says: no places" in said


@pytest.mark.parametrize(
    "score",
    ["float('nan')", "float('inf')", "-float('inf')", "None", "'0.9'", "''", "True", "[0.9]", "{}",
     "10**400", "numpy.float32('nan')", "complex(1)"],
)  # fmt: skip
def test_a_score_that_is_no_finite_number_fails_whatever_else_is_reported(
    unstaged: Brought, tmp_path: Path, score: str
) -> None:
    evaluator = (
        f"import numpy\ndef evaluate(path):\n    return {{'combined_score': {score}, 'a': 26.0}}\n"
    )
    figures, said = measured(unstaged, tmp_path, changed={"evaluator.py": evaluator})
    assert figures is None
    assert "the evaluator reported no finite combined_score, only ['a']" in said


@pytest.mark.parametrize(
    ("table", "score"),
    [
        ("{'a': 1.0, 'b': 3.0, 'told': 'well', 'valid': True, 'none': None}", 2.0),
        ("{'a': 1.0, 'b': float('nan')}", None),
        ("{'a': 1.0, 'b': numpy.float32('inf')}", None),
    ],
)
def test_a_mean_stands_for_the_score_only_where_the_evaluator_has_none(
    tmp_path: Path, table: str, score: float | None
) -> None:
    folder = copied("openevolve", "spread", tmp_path)
    text = f"import numpy\ndef evaluate(path):\n    return {table}\n"
    (folder / "evaluator.py").write_text(text)
    made = brought(openevolve.read_task(folder, self_scored=True), tmp_path / "made")
    figures, _ = measured(made, tmp_path)
    assert figures == (None if score is None else {"combined_score": score})


def test_a_score_that_is_missing_fails(unstaged: Brought, tmp_path: Path) -> None:
    reported = unstaged.text("evaluator.py").replace('"combined_score": score, ', "")
    figures, said = measured(unstaged, tmp_path, changed={"evaluator.py": reported})
    assert figures is None
    assert "reported no finite combined_score" in said


@pytest.mark.parametrize(
    "claim",
    [
        None, [], {}, {"combined_score": True, "stages_missed": 0},
        {"combined_score": "1", "stages_missed": 0},
        {"combined_score": float("nan"), "stages_missed": 0},
        {"combined_score": 10**400, "stages_missed": 0},
        {"combined_score": 1.0, "stages_missed": float("inf")},
    ],
)  # fmt: skip
def test_the_judge_takes_finite_numbers_alone(
    spread: Brought, monkeypatch: pytest.MonkeyPatch, claim: object
) -> None:
    judge = spread.judge(monkeypatch)
    with pytest.raises(judge.Wrong):
        judge.check({"seed": 1}, claim)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("evaluator.py", "there is no evaluator.py"),
        ("initial_program.py", "there is no initial_program"),
    ],
)
def test_what_is_no_such_folder_is_reported_in_one_line(
    tmp_path: Path, gone: str, said: str
) -> None:
    folder = copied("openevolve", "spread", tmp_path)
    (folder / gone).unlink()
    with pytest.raises(ConfigurationError, match=f"not a folder of OpenEvolve: {said}") as caught:
        openevolve.read_task(folder, self_scored=True)
    assert "name the folder that holds initial_program.py" in caught.value.hint


def test_an_evaluator_without_its_function_is_refused(tmp_path: Path) -> None:
    folder = copied("openevolve", "spread", tmp_path)
    (folder / "evaluator.py").write_text("def score(path): ...\n")
    with pytest.raises(ConfigurationError, match="has no function evaluate"):
        openevolve.read_task(folder, self_scored=True)


def test_nothing_of_it_is_executed(tmp_path: Path) -> None:
    folder = copied("openevolve", "spread", tmp_path)
    for name in ("evaluator.py", "initial_program.py"):
        text = (folder / name).read_text()
        (folder / name).write_text(f"{text}\nraise SystemExit('executed')\n")
    brought(openevolve.read_task(folder, self_scored=True), tmp_path / "made")


def test_an_evaluator_that_calls_the_program_judges_it(tmp_path: Path) -> None:
    made = brought(openevolve.read_task(SPREAD), tmp_path / "judged")
    assert made.table["module"] == "initial_program.py"
    judge = made.table["judge"]
    assert judge["files"] == ["evaluator.py", "measure.py", "reporting.py", "width.txt"]
    assert not made.table.keys() & {"files", "run", "scoring"}
    assert made.table["guards"] == {"stages_missed": {"times": 1.0}}
    assert made.draft.is_trusted
    assert made.draft.notes[-1].startswith("judged, public instances: ")


def test_the_program_has_what_it_imports_and_names(tmp_path: Path) -> None:
    folder = copied("openevolve", "spread", tmp_path)
    program = folder / "initial_program.py"
    text = program.read_text() + "\nimport helping\nTABLE = open('table.csv')\n"
    program.write_text(text)
    (folder / "helping.py").write_text("import deeper\n")
    (folder / "deeper.py").write_text("")
    (folder / "table.csv").write_text("1\n")
    made = brought(openevolve.read_task(folder), tmp_path / "made")
    assert made.table["files"] == ["deeper.py", "helping.py", "table.csv"]
    assert "width.txt" in made.table["judge"]["files"]


def test_an_evaluator_in_a_folder_of_its_own_is_found(tmp_path: Path) -> None:
    folder = copied("openevolve", "spread", tmp_path)
    (folder / "evaluator").mkdir()
    for name in ("evaluator.py", "width.txt"):
        (folder / name).rename(folder / "evaluator" / name)
    made = brought(openevolve.read_task(folder), tmp_path / "made")
    assert 'EVALUATOR = "evaluator/evaluator.py"' in made.text("measure.py")
    assert "evaluator/width.txt" in made.table["judge"]["files"]


@pytest.mark.parametrize(
    ("evaluator", "why"),
    [
        (
            (
                "def evaluate(path):\n    started = time.time()\n    program(path)\n"
                "    return {'combined_score': 1 / (time.time() - started)}\n"
            ),
            "its score contains time (in combined_score), and arnode never ranks such scores",
        ),
        (
            (
                "def evaluate(program_path):\n    return {'combined_score': len(open(program_path)"
                ".read())}\n"
            ),
            (
                "evaluator.py, line 2, reads the program's file, which the judge's sandbox does not"
                " contain"
            ),
        ),
        (
            "def evaluate(program_path):\n    subprocess.run([sys.executable, program_path])\n",
            ("evaluator.py, line 2, runs the program as a script instead of calling its functions"),
        ),
        (
            "from initial_program import *\ndef evaluate(program_path):\n    return {}\n",
            (
                "evaluator.py, line 1, imports all names of the program, which may overwrite the"
                " evaluator's names"
            ),
        ),
        (
            "import openai\ndef evaluate(program_path):\n    return {}\n",
            "evaluator.py imports openai, which needs a network; sandboxes have none",
        ),
    ],
)
def test_what_cannot_be_kept_apart_is_self_scored_with_the_reason(
    tmp_path: Path, evaluator: str, why: str
) -> None:
    folder = copied("openevolve", "spread", tmp_path)
    (folder / "evaluator.py").write_text(evaluator)
    made = brought(openevolve.read_task(folder), tmp_path / "made")
    assert made.table["scoring"] == "self"
    assert made.draft.notes[-1] == f"self-scored: {why}"


@pytest.mark.parametrize(
    ("evaluator", "vary"),
    [
        ("def evaluate(path, seed=0):\n    return {}\n", "argument seed"),
        (
            (
                "import os\ndef evaluate(path):\n    return {'combined_score':"
                " int(os.environ.get('CASE_SEED', 1))}\n"
            ),
            "variable CASE_SEED",
        ),
    ],
)
def test_what_a_seed_may_decide_is_held_out(tmp_path: Path, evaluator: str, vary: str) -> None:
    folder = copied("openevolve", "spread", tmp_path)
    (folder / "evaluator.py").write_text(evaluator)
    made = brought(openevolve.read_task(folder), tmp_path / "made")
    assert made.table["judge"]["vary"] == vary
    assert made.draft.notes[-1] == f"judged, held out: {vary} is drawn for each run"


def test_the_program_alone_decides_whether_it_may_start_processes(tmp_path: Path) -> None:
    folder = copied("openevolve", "spread", tmp_path)
    evaluator = folder / "evaluator.py"
    evaluator.write_text(f"import subprocess\n{evaluator.read_text()}")
    made = brought(openevolve.read_task(folder), tmp_path / "alone")
    assert "threads" not in made.table
    program = folder / "initial_program.py"
    program.write_text(f"import jax\n{program.read_text()}")
    made = brought(openevolve.read_task(folder), tmp_path / "several")
    assert (made.table["threads"], made.table["memory_gb"]) == (2, 4.0)


def test_a_seed_draws_half_of_a_folder_or_is_given_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = brought(openevolve.read_task(SPREAD), tmp_path / "made")
    judge = made.judge(monkeypatch)
    monkeypatch.chdir(tmp_path)
    kept = []
    for seed in (1, 1, 2):
        cases = tmp_path / "cases"
        cases.mkdir(exist_ok=True)
        for number in range(10):
            (cases / f"{number}.txt").write_text("")
        assert judge._varied("folder cases", seed) == {}
        kept.append(sorted(one.name for one in cases.iterdir()))
    assert [len(names) for names in kept] == [5, 5, 5]
    assert kept[0] == kept[1] != kept[2]
    assert judge._varied("argument seed", 7) == {"seed": 7}
    assert judge._varied("", 7) == {}
