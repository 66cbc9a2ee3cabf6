"""n-autoresearch's experiments and autoresearch-mlx's run log, in their own formats."""

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.exchange.importers import read_history
from node.home.home import Home
from node.store.blobs import Blobs
from node.store.imported import Imported
from node.store.imported_rows import ImportedLog
from protocol.errors import UsageError
from tests.node.test_commands import arnode
from tests.node.test_imported import git

GOLDEN = Path(__file__).parent / "golden"
HISTORY = (GOLDEN / "n-autoresearch.json").read_bytes()
RUN_LOG = (GOLDEN / "rigor_ledger.jsonl").read_bytes()
TABLE = (
    b"commit\tval_bpb\tmemory_gb\tdiff_lines\tstatus\tdescription\treject_reason\n"
    b"aaa0001\t2.126246\t21.2\t0\tkeep\tbaseline\t-\n"
    b"aaa0002\t0.000000\t0.0\t9\tcrash\ta wider model\tout of memory\n"
    b"aaa0003\t1.908023\t21.2\t2\tkeep\thalve the batch\t-\n"
)


def read(form: str, data: bytes) -> ImportedLog:
    """Read a file, which comes out as it went in."""
    log = read_history(form, data, "a file")
    assert (log.form, log.data) == (form, data)
    return log


def rows(log: ImportedLog) -> list[tuple[str, float | None, str]]:
    return [(row.label, row.value, row.status) for row in log.read]


def experiments() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(HISTORY)["experiments"]
    return found


READ = [
    ("aaa1111", 0.9979, "keep"),
    ("bbb2222", 1.0012, "discard"),
    ("ccc3333", None, "crash"),
    ("ddd4444", 0.9951, "keep"),
    ("eee5555", None, "running"),
]


def test_a_history_is_read_as_its_server_answers_it() -> None:
    log = read("n-autoresearch", HISTORY)
    assert rows(log) == READ
    assert (log.rows[0].memory_gb, log.rows[2].memory_gb) == ("44.0", "")
    assert log.rows[0].description == "baseline: where it stands, {as it is}"
    assert log.rows[2].description.endswith(": RuntimeError: CUDA out of memory")
    assert [(one.metric, one.direction) for one in log.segments] == [("val_bpb", "min")]
    assert log.text_lines == []


def test_a_memory_that_no_machine_has_is_not_reported() -> None:
    found = experiments()
    for one, memory in zip(found, (10**400, -1, True, None, "much"), strict=True):
        one["peak_vram_mb"] = memory
    log = read("n-autoresearch", json.dumps(found).encode())
    assert [row.memory_gb for row in log.rows] == [""] * 5


def wrapped(form: str) -> bytes:
    """Return the same experiments in another of the forms that they are found in."""
    found = experiments()
    match form:
        case "answer":
            return json.dumps({"statusCode": 200, "body": json.loads(HISTORY)}).encode()
        case "list":
            return json.dumps(found, indent=1).encode()
        case "lines":
            return b"".join(json.dumps(one).encode() + b"\n" for one in found)
        case "two answers":
            first, second = ({"experiments": part} for part in (found[:2], found[2:]))
            return json.dumps(first).encode() + b"\n" + json.dumps(second).encode()
        case _:
            return archived({one["id"]: one for one in found})


def archived(state: object) -> bytes:
    """Return what iii-engine keeps: a text, padding, at the end its length and where it is."""
    text = json.dumps(state, separators=(",", ":")).encode()
    padded, low = text + bytes(-len(text) % 4), len(text) & 0x3F
    marked = low | 0x80 | (len(text) - low) << 2  # rkyv 0.8 marks a text that is not in there
    return padded + struct.pack("<Ii", marked, -len(padded))


@pytest.mark.parametrize("form", ["answer", "list", "lines", "two answers", "state"])
def test_whatever_is_around_them_they_are_the_same_experiments(form: str) -> None:
    log = read("n-autoresearch", wrapped(form))
    assert rows(log) == READ
    assert log.text_lines == []


def test_what_breaks_off_is_kept_as_text() -> None:
    cut = HISTORY[: HISTORY.index(b"ddd4444")]
    log = read("n-autoresearch", cut)
    assert rows(log) == READ[:3]
    assert len(log.text_lines) == 1
    assert len(log.rows) == 4


def test_an_experiment_without_a_figure_is_kept_as_text() -> None:
    found = experiments()
    del found[1]["val_bpb"], found[3]["status"]
    log = read("n-autoresearch", json.dumps({"experiments": found}).encode())
    assert rows(log) == [READ[0], READ[2], READ[4]]
    assert len(log.text_lines) == 2


def test_a_crash_s_zero_never_ranks() -> None:
    for form, data in (("n-autoresearch", HISTORY), ("autoresearch-mlx", RUN_LOG)):
        log = read(form, data)  # type: ignore[arg-type]
        best = Imported(id=b"", name="", log=log, at_ms=0).best(10, 0)
        assert best
        assert all(row.value and row.status == "keep" for row in best)


def test_a_run_log_is_read_with_its_means() -> None:
    log = read("autoresearch-mlx", RUN_LOG)
    assert rows(log) == [
        ("sha1 1a2b3c4", 1.312, "keep"),
        ("sha1 2b3c4d5", 1.341, "discard"),
        ("sha1 3c4d5e6", None, "crash"),
        ("sha1 4d5e6f7", None, "crash"),
        ("sha1 5e6f7a8", 1.287, "keep"),
    ]
    assert log.rows[0].description == (
        "baseline; 3 runs with a standard deviation of 0.008165; better with a chance of 1"
    )
    assert log.rows[1].description == "wider; one run; better with a chance of 0"
    assert log.text_lines == [6]


@pytest.mark.parametrize("form", ["n-autoresearch", "autoresearch-mlx"])
def test_the_tables_of_both_are_read_as_tables(form: str) -> None:
    log = read(form, TABLE)
    assert rows(log) == [
        ("aaa0001", 2.126246, "keep"),
        ("aaa0002", None, "crash"),
        ("aaa0003", 1.908023, "keep"),
    ]
    assert [row.memory_gb for row in log.rows] == ["21.2", "0.0", "21.2"]


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("n-autoresearch", b'{"error": "Tag \'x\' not found"}'),
        ("n-autoresearch", b"{}"),
        ("n-autoresearch", b"[" * 100_000),
        ("n-autoresearch", b'{"a":' * 100_000),
        ("n-autoresearch", b"not json\n"),
        ("n-autoresearch", b""),
        ("autoresearch-mlx", b'{"hash": "1a2b3c4"}\n'),
        ("autoresearch-mlx", b"[1, 2]\n"),
        ("autoresearch-mlx", b""),
    ],
)
def test_what_holds_no_experiment_is_refused_with_a_hint(form: str, data: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        read_history(form, data, "a file")
    assert caught.value.hint


@given(st.binary(max_size=80), st.integers(0, len(HISTORY)), st.integers(0, 60))
def test_nothing_is_lost_of_a_spoilt_history(junk: bytes, at: int, gone: int) -> None:
    data = HISTORY[:at] + junk + HISTORY[at + gone :]
    try:
        log = read_history("n-autoresearch", data, "a file")
    except UsageError:
        return
    assert log.data == data


@given(st.binary(max_size=80), st.integers(0, len(RUN_LOG)), st.integers(0, 60))
def test_nor_of_a_spoilt_run_log(junk: bytes, at: int, gone: int) -> None:
    data = RUN_LOG[:at] + junk + RUN_LOG[at + gone :]
    try:
        log = read_history("autoresearch-mlx", data, "a file")
    except UsageError:
        return
    assert log.data == data


# The commands


@pytest.fixture
def at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    return home


@pytest.mark.parametrize(
    "place", ["data/state_store.db/experiments.bin", "state_store.db/experiments.bin", ""]
)
def test_a_checkout_s_state_is_taken_in_with_the_sources_of_its_branch(
    at_home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    folder, found = tmp_path / "checkout", experiments()
    folder.mkdir()
    git(folder, "init", "-q", "-b", "autoresearch/mar11")
    (folder / "train.py").write_text("DEPTH = 8\n")
    git(folder, "add", "train.py")
    git(folder, "commit", "-q", "-m", "baseline")
    found[0]["commit_sha"] = git(folder, "rev-parse", "--short", "HEAD")
    file = folder / (place or "history.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(archived({one["id"]: one for one in found}))
    said = json.loads(
        arnode(capsys, "import", "n-autoresearch", str(folder if place else file), "--json")
    )
    assert (said["form"], said["read"], said["text"], said["with_source"]) == (
        *("n-autoresearch", 5, 0),
        1,
    )
    (imported,) = json.loads(arnode(capsys, "log", "--json"))["imported"]
    tree = bytes.fromhex(imported["rows"][0]["tree"])
    assert Blobs(at_home.blobs).get_source(tree)["train.py"] == b"DEPTH = 8\n"
    assert [row["metric"] for row in imported["rows"]] == [value for _, value, _ in READ]


def test_a_folder_s_table_and_run_log_are_both_taken_in(
    at_home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.tsv").write_bytes(TABLE)
    (tmp_path / "rigor_ledger.jsonl").write_bytes(RUN_LOG)
    said = json.loads(arnode(capsys, "import", "autoresearch-mlx", str(tmp_path), "--json"))
    (other,) = said["more_files"]
    assert (said["read"], other["read"], other["text"]) == (3, 5, 1)
    assert said["imported"] != other["imported"]
    output = arnode(capsys, "import", "autoresearch-mlx", str(tmp_path)).splitlines()
    assert len(output) == 2
    assert all("imported before" in line and "unsigned" in line for line in output)
    given_back = arnode(capsys, "export", "results.tsv", "--imported", other["imported"][:12])
    assert given_back.encode() == RUN_LOG


@pytest.mark.parametrize("form", ["n-autoresearch", "autoresearch-mlx"])
def test_a_folder_without_any_of_it_is_said_so(
    at_home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    assert "there is no file" in arnode(capsys, "import", form, str(tmp_path), code=2)


def test_a_long_history_is_read_at_once() -> None:
    chance, found = random.Random(3), []
    for number in range(5_000):
        one = {**experiments()[0], "id": f"exp-{number}", "val_bpb": chance.random() + 0.5}
        found.append(one)
    log = read("n-autoresearch", archived({one["id"]: one for one in found}))
    assert len(log.read) == 5_000
