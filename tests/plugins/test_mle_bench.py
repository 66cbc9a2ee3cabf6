"""MLE-bench's competitions become trusted tasks: a new split, answers with the judge alone."""

import csv
import io
import math
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from arnode_plugins import mle_bench
from protocol.errors import ConfigurationError
from tests.plugins.brought import FOLDERS, Brought, brought, copied

TREES = FOLDERS / "mle_bench" / "mlebench" / "competitions" / "tree-heights"


@pytest.fixture
def trees(tmp_path: Path) -> Brought:
    return brought(mle_bench.read_task(TREES), tmp_path / "trees")


@pytest.fixture
def judge(trees: Brought, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return trees.judge(monkeypatch)


def submitted(trees: Brought, instance: bytes) -> bytes:
    """Return the baseline's output for an instance."""
    candidate = trees.module("solve.py")
    with zipfile.ZipFile(io.BytesIO(instance)) as files:
        answer: bytes = candidate.submission(files)
    return answer


def test_it_is_trusted_and_private_and_its_data_are_the_judges(trees: Brought) -> None:
    table = trees.table
    assert trees.draft.is_trusted
    assert table["private"] is True
    assert table["data"] == {"judge": "raw"}
    assert "files" not in table
    assert (trees.folder / "raw" / "trees.csv").is_file()
    assert (table["metric"]["name"], table["metric"]["direction"]) == ("mean_absolute_error", "min")
    assert (table["run"], table["encoding"]) == (["python", "solve.py"], "bytes")
    assert "requires" not in table
    assert table["judge"] == {"file": "judge.py", "scratch_mb": 128}
    assert "Say how high each tree is, from its girth." in trees.text("program.md")


def test_each_seed_splits_the_rows_differently_and_repeatably(judge: ModuleType) -> None:
    held = []
    for seed in (bytes(32), bytes([1]) * 32):
        sent = judge.instance(seed, "secret", 0)
        assert judge.instance(seed, "secret", 0) == sent
        with zipfile.ZipFile(io.BytesIO(sent)) as files:
            assert files.namelist() == ["sample_submission.csv", "test.csv", "train.csv"]
            assert b"height" not in files.read("test.csv")
            held.append(files.read("test.csv"))
    assert held[0] != held[1]


def test_what_is_sent_reports_neither_seed_nor_answers(judge: ModuleType) -> None:
    seed = bytes(range(32))
    sent = judge.instance(seed, "secret", 0)
    with zipfile.ZipFile(io.BytesIO(sent)) as files:
        token = files.comment
        shown = b"".join(files.read(name) for name in files.namelist() if name != "train.csv")
    assert seed.hex().encode() not in token
    assert judge.opened(token) == seed
    with judge.split_by(seed) as (_, private):
        answers = list(csv.DictReader((private / "test.csv").read_text().splitlines()))
    assert len(answers) == 10
    assert not any(row["height"].encode() in shown for row in answers)


def test_the_judge_grades_against_answers_that_it_makes_again(
    trees: Brought, judge: ModuleType
) -> None:
    sent = judge.instance(bytes(32), "public", 0)
    figures = judge.check(sent, submitted(trees, sent))
    assert 0 < figures["mean_absolute_error"] < 10
    with judge.split_by(bytes(32)) as (_, private):
        perfect = (private / "test.csv").read_bytes()
    assert judge.check(sent, perfect) == {"mean_absolute_error": 0.0}


@pytest.mark.parametrize("answer", [b"", b"\xff\xfe", b"tree,height\n", b"tree,height\nt1,2\n"])
def test_a_submission_that_cannot_be_graded_is_wrong(judge: ModuleType, answer: bytes) -> None:
    with pytest.raises(judge.Wrong):
        judge.check(judge.instance(bytes(32), "public", 0), answer)


def test_the_judge_has_what_it_needs_of_mle_bench_and_no_more(trees: Brought) -> None:
    text = trees.text("judge.py")
    assert "random.Random(drawn_seed(42))" in text
    assert "KEY_COLUMN = KEY" in text
    assert "def matched(" in text
    assert "nobody_needs_this" not in text
    assert "UNUSED" not in text
    assert "import mlebench" not in text
    assert "from mlebench" not in text


def test_tables_are_columns_of_numbers_where_all_of_them_are(judge: ModuleType) -> None:
    table = judge.read_csv(io.BytesIO(b"a,b,c,d\n1,0.5,x,\n2,1,2,3\n"))
    assert (table["a"], table["b"], table["c"]) == ([1, 2], [0.5, 1.0], ["x", "2"])
    assert math.isnan(table["d"][0])
    for broken in (b"a,b\n1\n", b"a,b\n1,2,3\n", b"a,b\n"):
        with pytest.raises(ValueError, match="row"):
            judge.read_csv(io.BytesIO(broken))


def test_a_grader_of_pandas_gets_its_tables(tmp_path: Path) -> None:
    folder = theirs(tmp_path)
    grade = folder / "grade.py"
    text = grade.read_text().replace("def grade(submission,", "def grade(submission: pd.DataFrame,")
    grade.write_text(f"import pandas as pd\n{text}")
    made = brought(mle_bench.read_task(folder), tmp_path / "made")
    assert made.table["requires"] == made.table["judge"]["requires"] == ["pandas"]
    assert "return pandas.read_csv(" in made.text("judge.py")
    assert "csv.DictReader(io." not in made.text("judge.py")


def theirs(tmp_path: Path) -> Path:
    return copied("mle_bench", "mlebench", tmp_path) / "competitions" / "tree-heights"


def test_a_split_that_no_number_draws_is_refused(tmp_path: Path) -> None:
    folder = theirs(tmp_path)
    path = folder / "prepare.py"
    path.write_text(path.read_text().replace("    random.Random(42).shuffle(rows)\n", ""))
    with pytest.raises(ConfigurationError, match="it splits the data without a seed") as caught:
        mle_bench.read_task(folder)
    assert "give its split a random_state" in caught.value.hint


def test_a_leaderboard_or_the_graders_name_says_which_way_is_better(tmp_path: Path) -> None:
    folder = theirs(tmp_path)
    (folder / "leaderboard.csv").write_text("team,score\na,3\nb,1\n")
    assert mle_bench.read_task(folder).table["metric"]["direction"] == "max"  # type: ignore[index]
    (folder / "leaderboard.csv").unlink()
    assert mle_bench.read_task(folder).table["metric"]["direction"] == "min"  # type: ignore[index]
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("mean-absolute-error", "thing"))
    with pytest.raises(ConfigurationError, match="shows whether lower or higher is better"):
        mle_bench.read_task(folder)
    draft = mle_bench.read_task(folder, direction="max")
    assert draft.table["metric"]["direction"] == "max"  # type: ignore[index]


def test_data_are_brought_by_the_importer(tmp_path: Path) -> None:
    folder = theirs(tmp_path)
    (folder / "raw").rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="the competition's data are missing") as caught:
        mle_bench.read_task(folder)
    assert "--data" in caught.value.hint
    assert "raw/trees.csv" in mle_bench.read_task(folder, data=tmp_path / "elsewhere").files


@pytest.mark.parametrize("gone", ["prepare.py", "grade.py", "config.yaml"])
def test_what_is_no_competition_is_reported_in_one_line(tmp_path: Path, gone: str) -> None:
    folder = theirs(tmp_path)
    (folder / gone).unlink()
    with pytest.raises(ConfigurationError, match=f"not a folder of MLE-bench: there is no {gone}"):
        mle_bench.read_task(folder)


def test_what_lies_in_a_checkout_is_asked_for_where_it_is_not(tmp_path: Path) -> None:
    folder = theirs(tmp_path)
    (folder.parent / "utils.py").unlink()
    with pytest.raises(ConfigurationError, match=r"module of `from mlebench\.competitions\.utils"):
        mle_bench.read_task(folder)
