"""Other tools' experiments: taken in as they are, given back without loss, on nobody's board."""

import contextlib
import json
import os
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.exchange.foreign_logs import FORMS, Form, read_log
from node.home import Home
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.errors import UsageError
from tests.node.test_commands import arnode

HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
ROWS = 126


@pytest.fixture(autouse=True)
def at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))


def git(folder: Path, *words: str) -> str:
    """Run git as somebody with no configuration."""
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{
            f"GIT_{who}_{what}": "a@b"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *words], check=True, capture_output=True, text=True,
        env=environment,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a night of autoresearch leaves: a branch of the keeps, and a table of everything."""
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
    assert "unsigned, unverified, on no board; the best" in arnode(capsys, "leaderboard")
    assert "unsigned, unverified, on no board" in arnode(capsys, "log")


def test_importing_again_changes_nothing(
    folder: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (
        json.loads(arnode(capsys, "import", "autoresearch", str(folder / "results.tsv"), "--json"))
        for _ in range(2)
    )
    assert (first["new"], second["new"]) == (True, False)
    assert first["imported"] == second["imported"]
    assert len(store.imported()) == 1


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
    (imported,) = store.imported()
    assert imported.log.text == PI
    assert [one.row.value for one in imported.rows] == [81.5, None, 83.25, 99.0]
    assert [one.row.label for one in imported.best(2)] == ["abc1236", "abc1234"]


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
    path.write_text(json.dumps([record, {**record, "status": "crash", "val_bpb": 0}]))
    said = json.loads(arnode(capsys, "import", "at-home", str(path), "--json"))
    assert said["with_source"] == 2
    (imported,) = store.imported()
    tree = imported.rows[0].tree
    assert tree is not None
    assert Blobs(home.blobs).get_source(tree)["train.py"] == b"WIDTH = 768\n"
    assert imported.rows[0].row.label == "nova abc1234"
    assert [one.row.value for one in imported.best(9)] == [0.9812]
    assert "\x1b" not in arnode(capsys, "log")


@given(
    st.lists(
        st.tuples(
            st.from_regex("[0-9a-f]{7}", fullmatch=True),
            st.floats(-9, 9).map(lambda value: f"{value:.6f}"),
            st.sampled_from(["keep", "discard", "crash"]),
            st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])),
        ),
        min_size=1,
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_any_table_is_given_back_byte_for_byte(
    rows: list[tuple[str, str, str, str]], end: str, ends: bool
) -> None:
    lines = [HEADER.strip(), *(f"{a}\t{b}\t1.0\t{c}\t{d}" for a, b, c, d in rows)]
    data = (end.join(lines) + (end if ends else "")).encode()
    log = read_log("autoresearch", data, "results.tsv")
    assert log.text.encode() == data
    assert [row.label for row in log.rows] == [row[0] for row in rows]


@pytest.mark.parametrize(
    ("form", "data", "said"),
    [
        ("autoresearch", b"", "is not autoresearch's results.tsv"),
        ("autoresearch", b"a,b,c\n", "is not autoresearch's results.tsv"),
        ("autoresearch", HEADER.encode(), "holds no experiment"),
        ("autoresearch", HEADER.encode() + b"abc\tkeep\n", "line 2"),
        ("autoresearch", HEADER.encode() + b"abc\tnan\t1\tkeep\tx\n", "line 2"),
        ("autoresearch", HEADER.encode() + b"abc\t1\t1\tkeep\t\xff\n", "not UTF-8"),
        ("pi-autoresearch", b"not json\n", "line 1"),
        ("pi-autoresearch", b'{"run": 1}\n', "line 1"),
        ("pi-autoresearch", b"[" * 100_000, "line 1"),
        ("at-home", b"[1]", "is not at-home records"),
        ("at-home", b'{"status": "keep"}', "no val_bpb"),
        ("at-home", b"[]", "holds no experiment"),
    ],
)
def test_what_does_not_read_is_named(form: Form, data: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_log(form, data, "the file")


@given(st.sampled_from(FORMS), st.binary(max_size=200))
def test_no_bytes_are_worse_than_a_clear_error(form: Form, data: bytes) -> None:
    with contextlib.suppress(UsageError):
        assert read_log(form, data, "the file").rows


def test_a_missing_branch_or_file_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "branch `gone`" in arnode(
        capsys, "import", "autoresearch", str(folder), "--branch", "gone", code=2
    )
    assert "there is no file" in arnode(
        capsys, "import", "autoresearch", str(tmp_path / "nowhere"), code=2
    )
    assert "names no single imported file" in arnode(
        capsys, "export", "results.tsv", "--imported", "00", code=2
    )
