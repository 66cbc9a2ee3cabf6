"""Other tools' experiments: taken in as they are, given back without loss, on nobody's board."""

import json
import os
import random
import re
from contextlib import closing
from pathlib import Path

import pytest

from node.exchange.importers import read_history
from node.home.home import Home
from node.store.blobs import Blobs
from node.store.salvage import salvage
from node.store.store import Store
from tests.node.histories import histories
from tests.node.test_commands import arnode
from tests.outsiders import OUTSIDERS, REFUSED, secret_next_to
from tests.untrusted_repositories import LEADING, MARK, git, hostile, repository

HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
ROWS = 126


@pytest.fixture(autouse=True)
def at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the result of a night of autoresearch: a branch of keeps, and a table of everything."""
    chance = random.Random(5)
    folder = tmp_path_factory.mktemp("autoresearch")
    git(folder, "init", "-q", "-b", "autoresearch/mar5")
    lines, best = [HEADER], 0.9979
    for number in range(ROWS):
        (folder / "train.py").write_text(f"DEPTH = {number}\n")
        git(folder, "add", "train.py")
        git(folder, "commit", "-q", "-m", f"experiment {number}")
        commit = git(folder, "rev-parse", "--short", "HEAD")
        value, memory = best + chance.gauss(0, 0.001), "44.0"
        status = "keep" if number == 0 or value < best else "discard"
        if number % 17 == 16:
            value, memory, status = 0.0, "0.0", "crash"
        if status == "keep":
            best = value
        else:
            git(folder, "reset", "-q", "--hard", "HEAD~1")
        lines.append(f"{commit}\t{value:.6f}\t{memory}\t{status}\ttry “depth” {number}\n")
    (folder / "results.tsv").write_text("".join(lines), "utf-8")
    return folder


def test_a_folder_of_autoresearch_is_taken_in_and_given_back_without_loss(
    folder: Path, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    said = json.loads(arnode(capsys, "import", "autoresearch", str(folder), "--json"))
    kept = int(git(folder, "rev-list", "--count", "HEAD"))
    assert (said["rows"], said["with_source"], said["metric"]) == (ROWS, kept, "val_bpb")
    (imported,) = json.loads(arnode(capsys, "log", "--json"))["imported"]
    assert len(imported["rows"]) == ROWS
    assert imported["level"] == "unsigned"
    crashes = [row for row in imported["rows"] if row["status"] == "crash"]
    assert crashes
    assert all(row["metric"] is None for row in crashes)
    last = next(row for row in reversed(imported["rows"]) if row["tree"])
    source = Blobs(home.blobs).get_source(bytes.fromhex(last["tree"]))
    assert source["train.py"].decode() == git(folder, "show", "HEAD:train.py") + "\n"
    given_back = arnode(capsys, "export", "results.tsv", "--imported", said["imported"][:12])
    assert given_back == (folder / "results.tsv").read_text("utf-8")


def test_it_ranks_on_no_board_and_a_crash_is_never_the_best(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arnode(capsys, "import", "autoresearch", str(folder))
    document = json.loads(arnode(capsys, "leaderboard", "--json", "--top", "5"))
    assert document["rows"] == []
    (imported,) = document["imported"]
    values = [row["metric"] for row in imported["rows"]]
    assert len(values) == 5
    assert values == sorted(values)
    assert 0.9 < values[0] < 1
    assert {row["status"] for row in imported["rows"]} == {"keep"}
    assert "unsigned, unverified, not ranked; the best" in arnode(capsys, "leaderboard")
    assert "unsigned, unverified, not ranked" in arnode(capsys, "log")


def test_importing_again_changes_nothing(
    folder: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (
        json.loads(arnode(capsys, "import", "autoresearch", str(folder / "results.tsv"), "--json"))
        for _ in range(2)
    )
    assert (first["new"], second["new"]) == (True, False)
    assert first["imported"] == second["imported"]
    assert len(store.imported.listed()) == 1


PI = """{"type":"config","name":"lr","metricName":"accuracy","bestDirection":"higher"}
{"run":1,"commit":"abc1234","metric":81.5,"metrics":{},"status":"keep","description":"baseline"}

{"run":2,"commit":"abc1235","metric":0,"metrics":{},"status":"crash","description":"boom"}
{"type":"config","name":"again","metricName":"accuracy","bestDirection":"higher"}
{"run":3,"commit":"abc1236","metric":83.25,"status":"keep","description":"better","segment":1}
{"run":4,"commit":"abc1237","metric":99,"status":"discard","description":"no"}"""


def test_a_log_of_pi_autoresearch(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(PI)
    said = json.loads(arnode(capsys, "import", "pi-autoresearch", str(path), "--json"))
    assert (said["rows"], said["metric"]) == (4, "accuracy")
    (imported,) = store.imported.listed()
    assert imported.log.data == PI.encode()
    assert [row.value for row in imported.log.rows] == [81.5, None, 83.25, 99.0]
    assert [one.label for one in imported.best(2, 0)] == ["abc1234"]
    assert [one.label for one in imported.best(2, 1)] == ["abc1236"]


def test_at_home_records_bring_their_source(
    tmp_path: Path, home: Home, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {
        "agent_id": "nova",
        "val_bpb": 0.9812,
        "memory_gb": 44.1,
        "status": "keep",
        "commit": "abc1234",
        "description": "wider \x1b[31mmodel",
        "train_py": "WIDTH = 768\n",
    }
    path = tmp_path / "results.json"
    path.write_text(json.dumps([record, {**record, "status": "crash", "val_bpb": 0}], indent=1))
    said = json.loads(arnode(capsys, "import", "at-home", str(path), "--json"))
    given_back = arnode(capsys, "export", "results.tsv", "--imported", said["imported"][:12])
    assert given_back == path.read_text()
    assert said["with_source"] == 2
    (imported,) = store.imported.listed()
    tree = imported.log.rows[0].tree
    assert tree is not None
    assert Blobs(home.blobs).get_source(tree)["train.py"] == b"WIDTH = 768\n"
    assert imported.log.rows[0].label == "nova abc1234"
    assert [one.value for one in imported.best(9, 0)] == [0.9812]
    assert "\x1b" not in arnode(capsys, "log")


LATER = """commit\tval_bpb\tmemory_gb\tstatus\tdescription
abc1234\t1.2\t4.0\tkeep\tbaseline
abc1235\tnan\t4.0\tdiscard\tit \x1b[31mblew\u202e up

## Notes \x1b]0;title\x07 <script>alert(1)</script>
abc1236\t1.1\t4.0\tkeep\tdeeper
"""


def test_what_does_not_read_is_counted_and_shown_as_text_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.tsv"
    path.write_text(LATER, "utf-8")
    said = json.loads(arnode(capsys, "import", "autoresearch", str(path), "--json"))
    assert (said["rows"], said["read"], said["text"], said["text_lines"]) == (4, 3, 1, [5])
    again = arnode(capsys, "import", "autoresearch", str(path))
    assert "4 rows: 3 read, 1 kept as text (the first is line 5), 0 with their source" in again
    (logged,) = json.loads(arnode(capsys, "log", "--json"))["imported"]
    assert logged["text"] == [{"line": 5, "text": LATER.splitlines()[4]}]
    assert [row["metric"] for row in logged["rows"]] == [1.2, None, 1.1]
    number = said["imported"][:12]
    assert json.loads(arnode(capsys, "show", number, "--json"))["imported"] == logged
    shown = [arnode(capsys, *words) for words in (("log",), ("show", number))]
    report = arnode(capsys, "report")
    assert all("line 5: ## Notes \\x1b]0;title\\x07" in text for text in shown)
    assert "3 experiments of `val_bpb`; 1 line kept as text" in report
    for text in (*shown, report, arnode(capsys, "leaderboard")):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert arnode(capsys, "leaderboard", "--json").count("Notes") == 0
    page = arnode(capsys, "report", "--format", "html")
    assert "<script>alert" not in page
    (document,) = json.loads(arnode(capsys, "report", "--json"))["imported"]
    assert (document["read"], document["text"], document["level"]) == (3, 1, "unsigned")


def test_a_segment_ranks_with_its_own_metric_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        {"type": "config", "name": "x", "metricName": "ms", "bestDirection": "lower"},
        {"run": 1, "commit": "aaa1111", "metric": 9, "status": "keep", "description": ""},
        {"run": 2, "commit": "aaa1112", "metric": 7, "status": "keep", "description": ""},
        {"type": "config", "name": "y", "metricName": "hits", "bestDirection": "higher"},
        {"run": 3, "commit": "aaa1113", "metric": 5, "status": "keep", "description": ""},
        {"run": 4, "commit": "aaa1114", "metric": 6, "status": "keep", "description": ""},
        {"run": 5, "commit": "aaa1115", "metric": 8, "status": "checks_failed", "description": ""},
    ]
    path = tmp_path / "autoresearch.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    arnode(capsys, "import", "pi-autoresearch", str(path))
    parts = json.loads(arnode(capsys, "leaderboard", "--json"))["imported"]
    assert [(part["metric"], part["direction"]) for part in parts] == [
        ("ms", "min"),
        ("hits", "max"),
    ]
    assert [[row["label"] for row in part["rows"]] for part in parts] == [
        ["aaa1112", "aaa1111"],
        ["aaa1114", "aaa1113"],
    ]
    (logged,) = json.loads(arnode(capsys, "log", "--json"))["imported"]
    assert [row["segment"] for row in logged["rows"]] == [0, 0, 1, 1, 1]


def kept(store: Store, form: str, data: bytes, blobs: Blobs) -> None:
    """Import a file."""
    log = read_history(form, data, "the file")
    store.imported.keep(blobs, log, name="the file", at_ms=1, sources={})


def test_what_was_imported_outlives_a_damaged_store(home: Home) -> None:
    home.prepare()
    data = (PI + '\n{"type":"config","metricName":"ms"}\n{"metric":3,"status":"keep"}').encode()
    with Store.open(home) as store:
        kept(store, "pi-autoresearch", data, Blobs(home.blobs))
        before = store.imported.listed()
    salvage(home)
    with Store.open(home) as store:
        assert store.imported.listed() == before
    assert before[0].log.data == data


def test_a_missing_branch_or_file_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "branch `gone`" in arnode(
        capsys, "import", "autoresearch", str(folder), "--branch", "gone", code=2
    )
    assert "there is no file" in arnode(
        capsys, "import", "autoresearch", str(tmp_path / "nowhere"), code=2
    )
    assert "no imported file's id begins with `0000`" in arnode(
        capsys, "export", "results.tsv", "--imported", "0000", code=2
    )


@pytest.mark.parametrize("name", ["fetch: uploadpack", "fetch: ext", "include"])
def test_a_checkouts_configuration_runs_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = hostile(tmp_path / "evil", name)
    commit = git(folder, "rev-parse", "--short", "HEAD")
    (folder / "results.tsv").write_text(f"{HEADER}{commit}\t1.0\t0.1\tkeep\tbaseline\n")
    said = json.loads(arnode(capsys, "import", "autoresearch", str(folder), "--json"))
    assert said["with_source"] == (0 if name.startswith("fetch") else 1)
    assert not (folder / MARK).exists()


@pytest.mark.parametrize("name", LEADING)
def test_a_checkout_that_leads_to_another_repository_is_refused(
    name: str, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, secret = repository(tmp_path / "evil"), repository(tmp_path / "secret")
    (secret / "train.py").write_text("KEY = 'secret'\n")
    git(secret, "commit", "-aqm", "a secret")
    commit = git(secret, "rev-parse", "--short", "HEAD")
    (folder / "results.tsv").write_text(f"{HEADER}{commit}\t1.0\t0.1\tkeep\tbaseline\n")
    LEADING[name](folder, secret)
    said = arnode(capsys, "import", "autoresearch", str(folder), code=6)
    assert ("Traceback" in said, said.count("\n")) == (False, 2)
    with closing(Store.open(home)) as store:
        assert store.imported.listed() == []


IN_FOLDERS = [
    ("autoresearch", "results.tsv"),
    ("n-autoresearch", "data/state_store.db/experiments.bin"),
    ("n-autoresearch", "experiments.bin"),
    ("autoresearch-mlx", "results.tsv"),
    ("autoresearch-mlx", "rigor_ledger.jsonl"),
]


@pytest.mark.parametrize("outsider", OUTSIDERS)
@pytest.mark.parametrize(("form", "name"), IN_FOLDERS)
def test_a_log_that_leads_out_of_its_folder_or_is_no_file_is_refused(
    form: str, name: str, outsider: str, home: Home, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    secret = secret_next_to(tmp_path)
    (secret / "id_rsa").write_text(f"{HEADER}abcdef0\t1.0\t0.1\tkeep\tbaseline\n")
    OUTSIDERS[outsider](tmp_path / "night" / name, secret)
    said = arnode(capsys, "import", form, str(tmp_path / "night"), code=6)
    assert re.search(REFUSED, said)
    assert said.count("\n") == 2
    with closing(Store.open(home)) as store:
        assert store.imported.listed() == []


@pytest.mark.parametrize("form", [*histories(), "bundle"])
def test_a_named_file_is_a_plain_one(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    said = arnode(capsys, "import", form, str(tmp_path / "pipe"), code=2 if form == "bundle" else 6)
    assert re.search(r"is a FIFO|is not a file", said)


def test_a_huge_log_is_refused_without_being_read_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "results.tsv").open("wb") as file:
        file.truncate(1 << 40)
    said = arnode(capsys, "import", "autoresearch", str(tmp_path), code=2)
    assert "larger than 64 MB" in said


def test_a_named_log_may_be_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "table").write_text(f"{HEADER}abcdef0\t1.0\t0.1\tkeep\tbaseline\n")
    (tmp_path / "link.tsv").symlink_to("real/table")
    said = json.loads(
        arnode(capsys, "import", "autoresearch", str(tmp_path / "link.tsv"), "--json")
    )
    assert said["read"] == 1
