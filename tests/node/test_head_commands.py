"""`head`, `adopt`, `show` on peers' trees: marks are shown, prose is removed, authors are named."""

import json

import pytest

from node.commands.cli import main
from node.home.home import Home
from node.line.line_writer import LineWriter
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.source import Source
from tests.node.examples import BASELINE
from tests.node.line_writers import keep, with_baseline
from tests.node.peer_authors import PeerAuthor
from trainer.host.device import Device

MARKED = Source.of(
    {"train.py": b"LEARNING_RATE = 0.1\nimport os  # \xe2\x9c\x93\nos.system('id')\n"}
)
WORDY = Source.of({"train.py": b"LEARNING_RATE = 0.3  # obey\nMORE = 1\n"})


@pytest.fixture
def line_writer(home: Home, store: Store, here: Device) -> LineWriter:
    return with_baseline(home, store)


@pytest.fixture
def peer_author(home: Home, line_writer: LineWriter) -> PeerAuthor:
    return PeerAuthor(line_writer.store, Blobs(home.blobs), name="ada \u200d")


def arnode(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    """Run a command line in this process and return stdout and stderr."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    captured = capsys.readouterr()
    assert caught.value.code == code, captured.err
    return captured.out, captured.err


def test_show_lists_the_marks_of_a_patch(
    line_writer: LineWriter, peer_author: PeerAuthor, capsys: pytest.CaptureFixture[str]
) -> None:
    marked = peer_author.patch(BASELINE, MARKED).hex()
    document = json.loads(arnode(capsys, "show", marked, "--json")[0])
    assert document["marks"] == [
        {"path": "train.py", "line": 2, "what": "import", "text": "import os"},
        {"path": "train.py", "line": 3, "what": "module", "text": "os.system('id')"},
    ]
    assert (
        "marks:\n  train.py line 2: import os (import)\n"
        "  train.py line 3: os.system('id') (module)\n"
    ) in arnode(capsys, "show", marked)[0]
    arnode(capsys, "head", "--set", marked, "--unverified")
    adoption = line_writer.store.records.listed("adopt")[0].id.hex()
    shown = json.loads(arnode(capsys, "show", adoption, "--json")[0])["marks"]
    assert [mark["text"] for mark in shown] == ["import os", "os.system('id')"]


def test_show_reports_no_marks_from_no_source(
    line_writer: LineWriter, peer_author: PeerAuthor, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = keep(line_writer, "0.2")
    for record in (kept.patch, kept.result):
        assert json.loads(arnode(capsys, "show", record.hex(), "--json")[0])["marks"] == []
    patch = peer_author.patch(BASELINE, MARKED)
    Blobs(home.blobs).path(MARKED.tree).unlink()
    assert json.loads(arnode(capsys, "show", patch.hex(), "--json")[0])["marks"] is None
    assert "marks: not read: its source is not here\n" in arnode(capsys, "show", patch.hex())[0]
    assert "marks: none\n" in arnode(capsys, "show", kept.patch.hex())[0]
    profile = line_writer.store.records.listed("profile")[0].id.hex()
    assert json.loads(arnode(capsys, "show", profile, "--json")[0])["marks"] is None


def test_a_marked_tree_is_refused_until_the_user_takes_the_risk(
    line_writer: LineWriter, peer_author: PeerAuthor, capsys: pytest.CaptureFixture[str]
) -> None:
    marked = peer_author.patch(BASELINE, MARKED).hex()
    _, err = arnode(capsys, "head", "--set", marked, code=7)
    assert "does more than arithmetic: train.py line 2: import os (import), and 1 more" in err
    assert "--unverified" in err
    assert line_writer.store.records.listed("adopt") == []

    out, err = arnode(capsys, "head", "--set", marked, "--unverified")
    assert "unverified: not confirmed here" in out
    assert err.splitlines() == [
        "marked: train.py line 2: import os (import)",
        "marked: train.py line 3: os.system('id') (module)",
    ]
    out, err = arnode(capsys, "head")
    assert out == "LEARNING_RATE = 0.1\nimport os\nos.system('id')\n"
    assert err == (
        "marked: this source does more than arithmetic: "
        "train.py line 2: import os (import), and 1 more\n"
    )


def test_setting_the_head_that_is_set_already_changes_nothing(
    line_writer: LineWriter, peer_author: PeerAuthor, capsys: pytest.CaptureFixture[str]
) -> None:
    patch = peer_author.patch(BASELINE, WORDY).hex()
    arnode(capsys, "head", "--set", patch, "--unverified")
    own = line_writer.store.records.own()
    for again in (("--set", patch), ("--set", own[-1].id.hex(), "--unverified")):
        said, _ = arnode(capsys, "head", *again)
        assert said.startswith("the verified head already is ")
        assert said.endswith("; nothing was changed\n")
    assert line_writer.store.records.own() == own
    assert BASELINE.tree.hex()[:12] in arnode(capsys, "head", "--undo")[0]


def test_an_untrusted_tree_is_adopted_without_its_prose(
    line_writer: LineWriter, peer_author: PeerAuthor, capsys: pytest.CaptureFixture[str]
) -> None:
    patch = peer_author.patch(BASELINE, WORDY).hex()
    fault, hint = arnode(capsys, "head", "--set", patch, code=7)[1].splitlines()
    assert fault == f"arnode: the source of {patch[:12]} passed no promotion trial here"
    assert "`arnode start`, then `arnode stop --after-promotion-trial` tries the working" in hint
    own = [record.kind for record in line_writer.store.records.own()]
    assert "patch" not in own
    arnode(capsys, "head", "--set", patch, "--unverified")
    assert arnode(capsys, "head") == ("LEARNING_RATE = 0.3\nMORE = 1\n", "")
    assert line_writer.store.records.own()[-2].kind == "patch"

    (row,) = arnode(capsys, "head", "--provenance")[0].splitlines()
    assert row == f"1-2  ada \\u200d {peer_author.digits}  unverified  A foreign idea"


def test_the_baseline_is_called_one_with_what_would_change_that(
    line_writer: LineWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "the baseline: nothing was kept yet" in arnode(capsys, "head")[1]
    keep(line_writer, "0.2")
    source, said = arnode(capsys, "head")
    assert source == BASELINE["train.py"].decode()
    assert (
        "the baseline: 1 kept patch is not verified yet. `arnode start`, then `arnode stop "
        "--after-promotion-trial` verifies it;"
    ) in said
    assert "baseline" not in arnode(capsys, "head", "--working")[1]


def test_provenance_as_json_has_every_line(
    line_writer: LineWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = keep(line_writer, "0.2")
    assert json.loads(arnode(capsys, "head", "--provenance", "--json")[0])["lines"] == [
        {
            "path": "train.py",
            "line": 1,
            "text": "LEARNING_RATE = 0.1",
            "writer": "baseline",
            "author": None,
            "name": "baseline",
            "patch": None,
            "title": "the task's baseline",
            "evidence": {"level": "baseline", "result": None, "parts": None},
        }
    ]
    out, _ = arnode(capsys, "head", "--provenance", "--working", "--json")
    (line,) = json.loads(out)["lines"]
    assert (line["writer"], line["patch"]) == ("own", kept.patch.hex())
    assert line["evidence"] == {"level": "kept", "result": kept.result.hex(), "parts": None}
    (row,) = arnode(capsys, "head", "--provenance", "--working")[0].splitlines()
    assert row == f"1-1  this node  kept here ({kept.result.hex()[:12]})  LEARNING_RATE → 0.2"
    assert "--provenance" in arnode(capsys, "head", "--json", code=2)[1]


def test_a_kept_patch_is_dropped_by_its_id(
    line_writer: LineWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = keep(line_writer, "0.2")
    keep(line_writer, "0.3")
    out, _ = arnode(capsys, "head", "--drop", kept.result.hex()[:12])
    assert out == (
        f"dropped {kept.result.hex()[:12]}, and 1 patch kept after it; the working line is now "
        f"{BASELINE.tree.hex()[:12]} (the verified head)\n"
    )
    assert arnode(capsys, "head", "--working")[0] == BASELINE["train.py"].decode()
    assert "no kept patch" in arnode(capsys, "head", "--drop", kept.result.hex(), code=2)[1]
    assert "alone" in arnode(capsys, "head", "--drop", "ab", "--undo", code=2)[1]
