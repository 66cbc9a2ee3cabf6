"""Bundles: one file that holds together anywhere, or is refused with what is wrong with it."""

import io
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from node.exchange.bundle import Bundle, read_bundle, write_bundle
from node.exchange.bundle_check import check_bundle
from node.exchange.bundling import gather
from node.home.home import Home
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.errors import SafetyError, UsageError
from protocol.records import Record
from protocol.rerun import RerunBody
from protocol.source import Source
from tests.node.examples import BASELINE, BETTER, KEY, Notebook
from tests.node.peer_authors import PeerAuthor
from tests.node.test_commands import arnode
from tests.untrusted_repositories import MARK, git, hostile, repository

Session = dict[str, Record]
Entries = dict[str, bytes]


@pytest.fixture
def session(home: Home, notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> Session:
    """The records of a short session on this home."""
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    records = {
        "baseline": notebook.task_and_baseline(),
        "kept": notebook.kept(),
        "confirmed": notebook.adopted(),
    }
    records["adoption"] = notebook.store.records.listed("adopt")[0]
    records["patch"] = notebook.store.records.listed("patch")[0]
    records["task"] = notebook.store.records.listed("task")[0]
    notebook.save_line()
    return records


@pytest.fixture
def made(session: Session, home: Home, notebook: Notebook, tmp_path: Path) -> Path:
    """A bundle about the confirmation."""
    path = tmp_path / "claim.bundle"
    write_bundle(path, gather(notebook.store, Blobs(home.blobs), session["confirmed"]))
    return path


def entries_of(path: Path) -> Entries:
    """Return the names and contents of a bundle."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_entries(path: Path, entries: Entries) -> Path:
    """Write a zip of these."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def faults(bundle: Bundle) -> list[str]:
    """Return the names of the checks that fail."""
    return [finding.name for finding in check_bundle(bundle) if not finding.ok]


@pytest.mark.parametrize("about", ["baseline", "kept", "confirmed", "adoption", "patch"])
def test_a_bundle_holds_together_without_its_node(
    session: Session, home: Home, notebook: Notebook, tmp_path: Path, about: str
) -> None:
    path = tmp_path / "one.bundle"
    write_bundle(path, gather(notebook.store, Blobs(home.blobs), session[about]))
    read = read_bundle(path)
    assert read.about == session[about].id
    assert faults(read) == []
    assert read.source(BASELINE.tree) == BASELINE


def test_the_same_content_makes_the_same_file(made: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.bundle"
    write_bundle(again, read_bundle(made))
    assert again.read_bytes() == made.read_bytes()


def test_any_tool_can_open_it(made: Path, session: Session) -> None:
    manifest = json.loads(entries_of(made)["manifest.json"])
    assert manifest["format"] == "arnode-bundle/1"
    assert manifest["about"] == session["confirmed"].id.hex()
    assert {f"records/{one}" for one in manifest["records"]} <= set(entries_of(made))


def change(name: str, made: Path) -> Callable[[Entries], None]:
    """Return what makes a bundle bad in the way that is named."""
    entries = entries_of(made)
    a_record = next(one for one in entries if one.startswith("records/"))
    a_blob = next(one for one in entries if one.startswith("blobs/"))
    return {
        "no manifest": lambda one: one.pop("manifest.json"),
        "a manifest that is no JSON": lambda one: one.update({"manifest.json": b"{"}),
        "a manifest of nested lists": lambda one: one.update({"manifest.json": b"[" * 100_000}),
        "another format": lambda one: one.update({"manifest.json": b'{"format": "zip"}'}),
        "about nothing in it": lambda one: one.update(
            {
                "manifest.json": json.dumps(
                    {"format": "arnode-bundle/1", "about": "00" * 32}
                ).encode()
            }
        ),
        "a flipped byte in a record": lambda one: one.update(
            {a_record: one[a_record][:-1] + bytes([one[a_record][-1] ^ 1])}
        ),
        "a record under another id": lambda one: one.update({f"records/{'0' * 64}": one[a_record]}),
        "a blob under another hash": lambda one: one.update({f"blobs/{'0' * 64}": one[a_blob]}),
        "a path that leaves the folder": lambda one: one.update({"../evil": b""}),
        "an absolute path": lambda one: one.update({"/etc/passwd": b""}),
        "a file of its own": lambda one: one.update({"readme.txt": b""}),
        "a bomb": lambda one: one.update({a_blob: bytes(50 << 20)}),
        "a record of 20,000 bytes": lambda one: one.update({a_record: bytes(20_000)}),
    }[name]  # type: ignore[return-value]


BAD = [
    *("no manifest", "a manifest that is no JSON", "a manifest of nested lists", "another format"),
    *("about nothing in it", "a flipped byte in a record", "a record under another id"),
    *("a blob under another hash", "a path that leaves the folder", "an absolute path"),
    *("a file of its own", "a bomb", "a record of 20,000 bytes"),
]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_bundle_is_refused_with_what_is_wrong(made: Path, tmp_path: Path, name: str) -> None:
    entries = entries_of(made)
    change(name, made)(entries)
    with pytest.raises(SafetyError, match="is not a bundle: ") as caught:
        read_bundle(write_entries(tmp_path / "bad.bundle", entries))
    assert "arnode export bundle" in caught.value.hint


def test_an_entry_twice_is_refused(made: Path, tmp_path: Path) -> None:
    bad = tmp_path / "twice.bundle"
    bad.write_bytes(made.read_bytes())
    with zipfile.ZipFile(bad, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("manifest.json", b"{}")
    with pytest.raises(SafetyError, match="two entries"):
        read_bundle(bad)


@pytest.mark.parametrize("data", [b"", b"PK\3\4 not really", b"\0" * 1000])
def test_what_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "no.bundle"
    path.write_bytes(data)
    with pytest.raises(SafetyError, match="not a readable zip file"):
        read_bundle(path)


def test_a_cut_bundle_is_refused(made: Path, tmp_path: Path) -> None:
    whole = made.read_bytes()
    cut = tmp_path / "cut.bundle"
    for size in range(0, len(whole), max(1, len(whole) // 40)):
        cut.write_bytes(whole[:size])
        with pytest.raises(SafetyError):
            read_bundle(cut)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        read_bundle(tmp_path / "nowhere")


def test_what_does_not_fit_together_is_found(made: Path, tmp_path: Path) -> None:
    whole = read_bundle(made)

    def without(*gone: bytes) -> Bundle:
        return Bundle(
            about=whole.about,
            records={one: record for one, record in whole.records.items() if one not in gone},
            blobs={one: data for one, data in whole.blobs.items() if one not in gone},
        )

    patch = next(one for one, record in whole.records.items() if record.kind == "patch")
    task = next(one for one, record in whole.records.items() if record.kind == "task")
    assert faults(without(patch)) == ["patch"]
    assert faults(without(task)) == ["task"]
    assert faults(without(BETTER.tree)) == ["tree"]
    assert faults(without(BASELINE.tree)) == ["baseline"]


def test_rerun_travel_with_what_they_answer(
    session: Session,
    home: Home,
    notebook: Notebook,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from protocol.rerun import prove_seeds, rerun_seed
    from protocol.runs import Env
    from tests.node.examples import HARDWARE_CLASS, TASK, run

    claim = session["confirmed"]
    proof = prove_seeds(KEY, target=claim.id, base=BASELINE.tree, tree=BETTER.tree)
    answer = RerunBody(
        task=TASK,
        hardware_class=HARDWARE_CLASS,
        env=Env(),
        base=BASELINE.tree,
        tree=BETTER.tree,
        target=claim.id,
        proof=proof,
        runs=(run(1_480_000_000, seed=rerun_seed(proof, 0)),),
        verdict="unconfirmed",
    )
    record = notebook.store.append_own(KEY, answer, ts_ms=1_790_000_900_000)
    assert record.id in gather(notebook.store, Blobs(home.blobs), claim).records
    path, folder = tmp_path / "answer.bundle", tmp_path / "replayed"
    write_bundle(path, gather(notebook.store, Blobs(home.blobs), record))
    arnode(capsys, "export", "experiment", str(path), str(folder))
    assert (folder / "train.py").read_bytes() == BETTER["train.py"]
    assert f"--seed {answer.runs[0].seed}" in (folder / "replay.sh").read_text()


def test_it_is_exported_checked_imported_and_replayed(
    session: Session,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "claim.bundle"
    claim = session["confirmed"].id.hex()
    said = json.loads(arnode(capsys, "export", "bundle", claim[:12], "-o", str(path), "--json"))
    assert (said["about"], said["file"]) == (claim, str(path))
    monkeypatch.setenv("ARNODE_HOME", str(tmp_path / "elsewhere"))
    checked = json.loads(arnode(capsys, "verify", str(path), "--check-only", "--json"))
    assert checked["ok"]
    assert checked["claimed"]["gain"] == pytest.approx(0.019833333)
    assert not (tmp_path / "elsewhere").exists(), "checking needs no home"
    text = arnode(capsys, "verify", str(path), "--check-only")
    assert "claims a gain of +0.019833" in text
    assert "nothing was run" in text
    assert checked["marks"] == []
    assert "marked" not in text
    taken = json.loads(arnode(capsys, "import", "bundle", str(path), "--json"))
    assert claim in taken["new"]
    again = json.loads(arnode(capsys, "import", "bundle", str(path), "--json"))
    assert (again["new"], again["known"]) == ([], len(taken["new"]))
    shown = json.loads(arnode(capsys, "show", claim[:12], "--json"))
    assert shown["level"] == "claimed"
    folder = tmp_path / "replayed"
    arnode(capsys, "export", "experiment", str(path), str(folder))
    assert (folder / "train.py").read_bytes() == BETTER["train.py"]
    rows = json.loads(arnode(capsys, "leaderboard", "--json"))["rows"]
    assert [row["result"] for row in rows] == [claim]
    assert rows[0]["here"] is None


def test_checking_a_bundle_says_what_its_code_does_beyond_arithmetic(
    session: Session,
    home: Home,
    notebook: Notebook,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    marked = Source.of({"train.py": b"import socket\nimport subprocess\n"})
    patch = PeerAuthor(notebook.store, Blobs(home.blobs)).patch(BASELINE, marked)
    path = tmp_path / "marked.bundle"
    write_bundle(path, gather(notebook.store, Blobs(home.blobs), notebook.store.records.get(patch)))
    marks = [
        "train.py line 1: import socket (import)",
        "train.py line 2: import subprocess (import)",
    ]
    checked = json.loads(arnode(capsys, "verify", str(path), "--check-only", "--json"))
    assert checked["marks"] == marks
    lines = arnode(capsys, "verify", str(path), "--check-only").splitlines()
    assert [f"marked: {mark}" for mark in marks] == lines[-3:-1]
    assert "never adopted automatically" in lines[-1]
    said = json.loads(
        arnode(capsys, "export", "experiment", str(path), str(tmp_path / "out"), "--json")
    )
    assert said["marks"] == marks


def test_a_bundle_of_another_network_is_not_taken_in(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARNODE_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("ARNODE_NET", "lab")
    assert "it belongs to the network main, not lab" in arnode(
        capsys, "import", "bundle", str(made), code=1
    )


def test_a_bundle_that_does_not_hold_together_ends_with_7(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = read_bundle(made)
    blobs = {one: data for one, data in whole.blobs.items() if one != BETTER.tree}
    torn = tmp_path / "torn.bundle"
    write_bundle(torn, Bundle(about=whole.about, records=whole.records, blobs=blobs))
    assert "the claim is invalid" in arnode(capsys, "verify", str(torn), "--check-only", code=7)


def test_experiments_as_json_lines_carry_their_diffs(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.loads(line) for line in arnode(capsys, "export", "jsonl").splitlines()]
    assert [line["decision"] for line in lines] == ["baseline", "kept", "adopted"]
    assert lines[0]["diff"] is None
    assert lines[1]["diff"].startswith("--- a/train.py")


def test_a_patch_applies_with_git(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_bytes(BASELINE["train.py"])
    text = arnode(capsys, "export", "patch")
    subprocess.run(["git", "apply", "-"], input=text.encode(), cwd=tmp_path, check=True)
    assert (tmp_path / "train.py").read_bytes() == BETTER["train.py"]


def test_a_pull_request_says_what_was_measured_and_by_whom(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    text = arnode(capsys, "export", "pr")
    assert "gain in val_bpb: +0.019833" in text
    assert session["confirmed"].id.hex() in text
    assert "were confirmed together, not one by one" in text
    assert "```diff\n--- a/train.py" in text
    kept = arnode(capsys, "export", "pr", session["kept"].id.hex()[:12])
    assert "no gain was confirmed: stage keep" in kept


def journal_of(home: Home, store: Store) -> None:
    """Write the journal of the line."""
    from node.store.journal import Journal
    from tests.node.examples import LINE

    Journal(home, store, Blobs(home.blobs), LINE).catch_up()


def test_the_heads_history_becomes_a_branch(
    session: Session, home: Home, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal_of(home, store)
    repository = tmp_path / "mine"
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", "init", "-q", str(repository)], check=True, env=environment)
    arnode(capsys, "export", "branch", str(repository))
    shown = subprocess.run(
        ["git", "-C", str(repository), "show", "arnode/head:train.py"],
        capture_output=True,
        check=True,
    )
    assert shown.stdout == BETTER["train.py"]
    assert "git cannot write the branch" in arnode(
        capsys, "export", "branch", str(tmp_path / "none"), code=2
    )


@pytest.mark.parametrize("name", ["insteadOf", "hooksPath", "alternateRefs", "fsmonitor", "alias"])
def test_a_branch_is_brought_without_what_the_repository_would_run(
    name: str, session: Session, home: Home, store: Store, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    journal_of(home, store)
    folder = hostile(tmp_path / "evil", name)
    arnode(capsys, "export", "branch", str(folder))
    assert not (folder / MARK).exists()
    (folder / ".git" / "config").unlink()
    assert git(folder, "show", "arnode/head:train.py") == BETTER["train.py"].decode().strip()


def test_a_branch_that_is_checked_out_or_ahead_is_not_moved(
    session: Session, home: Home, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal_of(home, store)
    folder = repository(tmp_path / "mine")
    git(folder, "branch", "other")
    git(folder, "worktree", "add", "-q", "-b", "third", str(tmp_path / "third"))
    before = git(folder, "rev-parse", "main", "other", "third")
    for branch in ("main", "other", "third"):
        said = arnode(capsys, "export", "branch", str(folder), "--name", branch, code=2)
        assert "git cannot write the branch" in said
    assert git(folder, "rev-parse", "main", "other", "third") == before
    arnode(capsys, "export", "branch", str(tmp_path / "third"), "--name", "new")
    assert git(folder, "show", "new:train.py") == BETTER["train.py"].decode().strip()


def test_large_headers_do_not_make_it_read_more(made: Path, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5_000):
            archive.writestr(f"blobs/{number:064x}", b"")
    many = tmp_path / "many.bundle"
    many.write_bytes(packed.getvalue())
    with pytest.raises(SafetyError, match="entries"):
        read_bundle(many)
