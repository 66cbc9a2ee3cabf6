"""Whatever a title, a reason, a note or a name says, every outlet shows it as words.

The records hold all that the format still allows to be hostile: joiners, markup of three kinds,
and lines that git, mail programs and Markdown would take for something of ours.
"""

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from node.commands.cli import main
from node.home.home import Home
from node.store.journal import Journal
from node.store.notebook import as_prose
from node.store.store import Store
from protocol.record_kinds import ResultBody
from tests.node.examples import (
    BASELINE,
    BETTER,
    LINE,
    Notebook,
    patch_body,
    result_body,
    run,
)
from tests.node.peer_authors import PeerAuthor

TITLE = "Signed-off-by: x@y \u200d<b>x</b>`#1 ``` @you [l](http://e.example/) [bold]|"
REASON = "Arnode-Status: ok \u200d<i>`"
FORGED = """\
From: somebody <else@e.example>
Subject: forged

Text \u200dmore.
```
## Evidence
- gain in val_bpb: +9.990000, at least +9.900000 (95 %, 99 pairs of new runs)

Arnode-Status: forged
Arnode-Metric: val_bpb 0.1
Signed-off-by: forged <f@e.example>
---
# ------------------------ >8 ------------------------
-- >8 -- >8 --
diff --git a/train.py b/train.py
--- a/train.py
+++ b/train.py
@@ -1 +1 @@
-LEARNING_RATE = 0.1
+FORGED = 1
"""
JOINER = "\u200d"


@pytest.fixture
def hostile(home: Home, store: Store, notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A home with a task, a baseline and a kept patch that says all of that; the result's id."""
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    notebook.task_and_baseline()
    patch = notebook.write(patch_body(BASELINE, BETTER, title=TITLE, why=FORGED))
    failed = run(None, seed=4, status="crash", reason=REASON)
    runs = (run(1_480_000_001), run(1_480_000_001, seed=3), failed)
    body: ResultBody = replace(
        result_body("keep", runs, source=BETTER, patch=patch.id), note=FORGED[:500]
    )
    result = notebook.write(body)
    notebook.adopted()
    notebook.save_line()
    PeerAuthor(store, notebook.blobs, name=TITLE[:64])
    return result.id


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command line in this process and return what it printed."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    printed = capsys.readouterr()
    assert not ended.value.code, printed.err
    return printed.out + printed.err


def git(folder: Path, *words: str, given: str = "") -> str:
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", str(folder), *words],
        input=given,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"},
    )
    return done.stdout


@pytest.fixture
def journal(home: Home, notebook: Notebook, hostile: bytes) -> Journal:
    journal = Journal(home, notebook.store, notebook.blobs, LINE)
    journal.catch_up()
    return journal


def test_git_finds_our_trailers_and_no_others(journal: Journal, hostile: bytes) -> None:
    ref = f"refs/arnode/{hostile.hex()}"
    message = git(journal.path, "log", "-1", "--format=%B", ref)
    assert JOINER not in message
    names = ["Arnode-Record", "Arnode-Stage", "Arnode-Status", "Arnode-Patch"]
    for found in (
        git(journal.path, "log", "-1", "--format=%(trailers:only)", ref),
        git(journal.path, "interpret-trailers", "--parse", given=message),
    ):
        assert [line.partition(":")[0] for line in found.strip().splitlines()] == names
        assert "Arnode-Status: ok" in found
        assert "forged" not in found
    for line in message.splitlines()[:-6]:
        assert not re.match(r"Arnode-|Signed-off|---|#|diff -|From:|\+\+\+ b.*\n@@", line), line


def test_a_mail_of_a_commit_says_what_the_commit_does(
    journal: Journal, hostile: bytes, tmp_path: Path
) -> None:
    ref = f"refs/arnode/{hostile.hex()}"
    mail = git(journal.path, "format-patch", "-1", "--stdout", ref)
    info = git(
        tmp_path,
        "mailinfo",
        "--scissors",
        str(tmp_path / "text"),
        str(tmp_path / "patch"),
        given=mail,
    )
    assert "Author: search" in info
    assert "forged" not in info
    change = (tmp_path / "patch").read_text()
    assert "+LEARNING_RATE = 0.2" in change
    assert "FORGED" not in change
    (tmp_path / "train.py").write_bytes(BASELINE["train.py"])
    git(tmp_path, "apply", "-", given=change)
    assert (tmp_path / "train.py").read_bytes() == BETTER["train.py"]


def test_ordinary_prose_is_left_as_it_was_written() -> None:
    prose = "Hypothesis: it is too slow.\n\n- first, 3 > 8\n- second\nNote: 1 -> 8 layers"
    assert as_prose(prose) == prose


def test_a_pull_request_holds_it_in_code(
    hostile: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, "export", "pr", hostile.hex())
    assert JOINER not in text
    outside, fence = [], ""
    for line in text.splitlines():
        marker = re.match("`{3,}", line)
        if marker and not fence:
            fence = marker[0]
        elif fence and line.rstrip() == fence:
            fence = ""
        elif not fence:
            outside.append(re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", line))
    assert not fence
    shown = "\n".join(outside)
    assert shown.count("## Evidence") == 1
    for piece in ("forged", "+9.99", "@you", "<b>", "](http"):
        assert piece not in shown


@pytest.mark.parametrize(
    "words",
    [
        ("log",),
        ("log", "--json"),
        ("show", "ID"),
        ("show", "ID", "--json"),
        ("status",),
        ("status", "--json"),
        ("head", "--provenance"),
        ("head", "--provenance", "--json"),
        ("export", "jsonl"),
        ("export", "results.tsv"),
        ("export", "pr", "ID"),
        ("report", "--format", "md"),
        ("report", "--format", "html"),
        ("report", "--json"),
        ("leaderboard",),
        ("leaderboard", "--json"),
    ],
)
def test_nothing_invisible_is_printed(
    hostile: bytes, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    text = said(capsys, *(hostile.hex() if word == "ID" else word for word in words))
    assert JOINER not in text
    assert text.isascii() or all(one.isprintable() or one == "\n" for one in text)


def test_a_table_keeps_its_columns(hostile: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    table = said(capsys, "export", "results.tsv")
    assert {line.count("\t") for line in table.splitlines()} == {4}


def test_a_page_has_no_markup_of_theirs(hostile: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    page = said(capsys, "report", "--format", "html")
    assert "<b>x" not in page
    assert "<i>`" not in page


def test_a_bundle_says_it_in_its_records_alone(
    hostile: bytes, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "one.bundle"
    said(capsys, "export", "bundle", hostile.hex(), "-o", str(path))
    checked = said(capsys, "verify", str(path), "--check-only")
    assert JOINER not in checked
    assert json.loads(said(capsys, "verify", str(path), "--check-only", "--json"))["v"] == 1
