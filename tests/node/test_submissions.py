"""Handing a source in: read without a trace, named sensibly, queued once."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from agent.source.canonical import fingerprint
from node.home.home import Home
from node.line.handed_in import check_submission, read_folder, submit, summary_of, title_of
from node.line.idea import SubmissionStep
from node.store.store import Store
from protocol.errors import ConfigurationError, UsageError
from protocol.source import Source
from tests.node.examples import BASELINE
from tests.node.line_writers import BASE_NANO, conclude, line_writer_of, proposal_of, with_baseline
from tests.node.scripted import ExampleTask
from tests.untrusted_repositories import LEADING, MARK, SUBJECT, hostile, repository
from tests.untrusted_repositories import SOURCE as COMMITTED
from trainer.task_folder.task import Task

SOURCE = proposal_of(BASELINE, "0.9").source
TASK = cast("Task", ExampleTask())


def of(text: str) -> Source:
    return Source.of({"train.py": text.encode()})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's working folder with an edited script."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "train.py").write_bytes(SOURCE["train.py"])
    return tmp_path / "work"


def git(folder: Path, *words: str) -> None:
    names = ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL")
    identity = {f"GIT_{name}": "a@example.org" for name in names}
    subprocess.run(["git", "-C", str(folder), *words], check=True, env={**os.environ, **identity})


def test_only_the_editable_files_are_read(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    assert read_folder(folder, ["train.py"]).tree == SOURCE.tree


def test_a_folder_without_the_file_is_an_error_that_names_both(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_folder(folder / "elsewhere", ["train.py"])
    assert "there is no train.py in" in caught.value.message
    assert "--folder" in caught.value.hint


def test_a_folder_to_try_without_a_source_is_answered_with_what_try_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        read_folder(Path(), ["train.py"])
    assert caught.value.message == "there is no train.py in this folder"
    assert caught.value.hint.startswith("`arnode try` measures a train.py that you edited: after")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("LEARNING_RATE = 0.1\u202e\n", "hidden character"),
        ("def\n", "not Python"),
        (f"LEARNING_RATE = '{os.urandom(9000).hex()}'\n", "grew by"),
    ],
)
def test_what_may_not_run_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_submission(of(text), TASK.manifest, TASK.source)
    assert said in caught.value.message
    assert caught.value.hint


def test_the_first_line_of_the_reason_is_the_title(folder: Path) -> None:
    assert title_of(folder, SOURCE, "  faster\n\nbecause") == "faster"


def test_else_the_commit_that_holds_the_source_names_it(folder: Path) -> None:
    assert title_of(folder, SOURCE, "") == ""
    git(folder, "init", "--quiet")
    git(folder, "add", "train.py")
    assert title_of(folder, SOURCE, "") == ""
    git(folder, "commit", "--quiet", "--message", "raise the rate\n\nmore")
    index = folder / ".git" / "index"
    before = (index.read_bytes(), sorted(path.name for path in (folder / ".git").iterdir()))
    assert title_of(folder, SOURCE, "") == "raise the rate"
    assert (index.read_bytes(), sorted(p.name for p in (folder / ".git").iterdir())) == before
    assert title_of(folder, BASELINE, "") == ""  # edited since


@pytest.mark.parametrize("name", ["fetch: uploadpack", "include"])
def test_a_folders_configuration_runs_nothing_for_a_title(name: str, tmp_path: Path) -> None:
    folder = hostile(tmp_path / "evil", name)
    named = Source.of({"train.py": COMMITTED})
    assert title_of(folder, named, "") == ("" if name.startswith("fetch") else SUBJECT)
    assert not (folder / MARK).exists()


def test_a_repository_that_leads_elsewhere_gives_no_title(tmp_path: Path) -> None:
    folder, secret = repository(tmp_path / "evil"), repository(tmp_path / "secret")
    LEADING["gitdir"](folder, secret)
    assert title_of(folder, Source.of({"train.py": COMMITTED}), "") == ""


def test_a_commit_in_a_folder_of_a_repository_names_its_source(tmp_path: Path) -> None:
    whole = repository(tmp_path / "whole")
    (whole / "sub").mkdir()
    (whole / "sub" / "train.py").write_bytes(b"RATE = 3\n")
    git(whole, "add", "sub")
    git(whole, "commit", "--quiet", "--message", "three times\nthe rate\n\nmore")
    source = Source.of({"train.py": b"RATE = 3\n"})
    assert title_of(whole / "sub", source, "") == "three times the rate"


@pytest.mark.parametrize("made", [os.mkfifo, lambda path: path.symlink_to("/etc/hostname")])
def test_a_source_that_is_no_plain_file_of_the_folder_is_refused(
    made: Callable[[Path], None], folder: Path
) -> None:
    (folder / "train.py").unlink()
    made(folder / "train.py")
    with pytest.raises(ConfigurationError, match=r"train\.py (is a FIFO|lies outside)"):
        read_folder(folder, ["train.py"])


@pytest.mark.parametrize(
    ("old", "new", "summary"),
    [
        ("A = 1\nB = 2\n", "A = 1\nB = 3\n", "B = 2 → B = 3"),
        ("A = 1\n", "A = 1\nB = 2\nC = 3\n", "train.py: 2 lines added, 0 removed"),
        ("A = 1\nB = 2\n", "", "train.py: 0 lines added, 2 removed"),
    ],
)
def test_a_diff_is_summed_up(old: str, new: str, summary: str) -> None:
    assert summary_of(of(old), of(new)) == summary


def test_a_source_is_queued_once_however_it_is_written(home: Home, store: Store) -> None:
    line_writer = line_writer_of(home, store)
    mark = submit(line_writer, SOURCE, title="", why="")
    commented = SOURCE.replacing("train.py", b"# a comment\n" + SOURCE["train.py"])
    assert submit(line_writer, commented, title="", why="") == mark == fingerprint(SOURCE)
    (job,) = store.jobs.open_jobs(line_writer.key, SubmissionStep)
    assert job.step.tree == SOURCE.tree
    assert mark in store.jobs.fingerprints(line_writer.key.task)


def test_what_is_known_is_not_queued(home: Home, store: Store) -> None:
    line_writer = with_baseline(home, store)
    conclude(line_writer, proposal_of(BASELINE, "0.9"), "screened_out", BASE_NANO)
    for known in (SOURCE, BASELINE):
        submit(line_writer, known, title="", why="")
    assert store.jobs.open_jobs(line_writer.key, SubmissionStep) == []
