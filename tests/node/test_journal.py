"""The journal reads as a lab notebook, follows the store and is never overwritten."""

import os
import subprocess
from pathlib import Path

import pytest

from node.home.home import Home
from node.store.journal import Journal, JournalEditedError
from protocol.errors import ArnodeError
from tests.node.examples import BASELINE, BETTER, LINE, TASK, Notebook


@pytest.fixture
def journal(home: Home, notebook: Notebook) -> Journal:
    notebook.task_and_baseline()
    return opened(home, notebook)


def opened(home: Home, notebook: Notebook) -> Journal:
    """Return the journal as another process would open it."""
    return Journal(home, notebook.store, notebook.blobs, LINE)


def git(journal: Journal, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", str(journal.path), *words],
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_AUTHOR_NAME": "a person",
            "GIT_AUTHOR_EMAIL": "a@person.invalid",
            "GIT_COMMITTER_NAME": "a person",
            "GIT_COMMITTER_EMAIL": "a@person.invalid",
        },
    )
    return done.stdout.rstrip("\n")


def refs(journal: Journal) -> str:
    return git(journal, "for-each-ref", "--format=%(refname) %(objectname)")


def test_a_session_reads_as_a_lab_notebook(journal: Journal, notebook: Notebook) -> None:
    kept = notebook.kept()
    crashed = notebook.crashed()
    assert journal.catch_up() == 3
    assert git(journal, "log", "--format=%s", "main") == "baseline 1.500000: baseline"
    assert git(journal, "log", "--format=%s", "working").splitlines() == [
        "keep 1.480000: Raise LEARNING_RATE",
        "baseline 1.500000: baseline",
    ]
    message = git(journal, "log", "-1", "--format=%B", "working")
    assert "Too slow." in message
    assert "gain over its base: +0.020000 bpb" in message
    assert "candidate seed 3: 1.480000 (secret 1.480001), 5.0 s" in message
    trailers = git(journal, "log", "-1", "--format=%(trailers)", "working")
    assert f"Arnode-Record: {kept.id.hex()}" in trailers
    assert "Arnode-Metric: val_bpb 1.480000" in trailers
    assert "Arnode-Status: ok" in trailers
    ref = f"refs/arnode/{crashed.id.hex()}"
    assert git(journal, "log", "-1", "--format=%s%n%an", ref) == "crash: Break it\nsearch"
    assert "TypeError" in git(journal, "log", "-1", "--format=%B", ref)


def test_an_adoption_moves_main_and_its_checked_out_files(
    journal: Journal, notebook: Notebook
) -> None:
    journal.catch_up()
    assert (journal.path / "train.py").read_bytes() == BASELINE["train.py"]
    notebook.kept()
    notebook.adopted()
    assert journal.catch_up() == 3
    assert (journal.path / "train.py").read_bytes() == BETTER["train.py"]
    assert git(journal, "log", "--first-parent", "--format=%s", "main").splitlines() == [
        "adopt 1.480000: confirmed here",
        "baseline 1.500000: baseline",
    ]
    assert git(journal, "rev-parse", "working") == git(journal, "rev-parse", "main")
    assert git(journal, "status", "--porcelain") == ""
    assert git(journal, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(journal, "fsck", "--strict") == ""


def test_a_failed_confirmation_sends_the_working_line_back(
    journal: Journal, notebook: Notebook
) -> None:
    notebook.kept()
    journal.catch_up()
    assert git(journal, "rev-parse", "working") != git(journal, "rev-parse", "main")
    notebook.unconfirmed()
    journal.catch_up()
    assert git(journal, "rev-parse", "working") == git(journal, "rev-parse", "main")


def test_results_tsv_has_the_columns_of_autoresearch(journal: Journal, notebook: Notebook) -> None:
    notebook.kept()
    journal.catch_up()
    notebook.crashed()
    journal.catch_up()
    table = [line.split("\t") for line in (journal.path / "results.tsv").read_text().splitlines()]
    assert table[0] == ["commit", "val_bpb", "memory_gb", "status", "description"]
    assert [row[1:] for row in table[1:]] == [
        ["1.500000", "0.3", "keep", "baseline"],
        ["1.480000", "0.3", "keep", "Raise LEARNING_RATE"],
        ["0.000000", "0.0", "crash", "Break it"],
    ]
    assert git(journal, "rev-parse", "--short=7", "working") == table[2][0]


def test_a_confirmation_is_a_keep_once_it_is_adopted(journal: Journal, notebook: Notebook) -> None:
    notebook.unconfirmed()
    notebook.adopted()
    journal.catch_up()
    rows = (journal.path / "results.tsv").read_text().splitlines()
    assert [row.split("\t")[3] for row in rows[1:]] == ["keep", "discard", "keep"]


def test_catching_up_twice_adds_nothing(journal: Journal, notebook: Notebook, home: Home) -> None:
    notebook.kept()
    journal.catch_up()
    before = refs(journal)
    assert journal.catch_up() == 0
    assert opened(home, notebook).catch_up() == 0
    assert refs(journal) == before
    assert journal.check() == []


def test_an_experiment_that_could_not_be_written_is_written_later(
    journal: Journal, notebook: Notebook
) -> None:
    journal.catch_up()
    refs_folder = journal.path / ".git" / "refs"
    packed = refs_folder.with_name("refs-aside")
    notebook.kept()
    refs_folder.rename(packed)
    refs_folder.write_text("in the way")
    with pytest.raises(ArnodeError):
        journal.catch_up()
    refs_folder.unlink()
    packed.rename(refs_folder)
    journal.catch_up()
    assert journal.check() == []


def test_a_rebuilt_journal_has_the_same_commits(
    journal: Journal, notebook: Notebook, home: Home, tmp_path: Path
) -> None:
    for step in (notebook.kept, notebook.crashed, notebook.adopted):
        step()
        journal.catch_up()
    before = refs(journal)
    journal.path.rename(tmp_path / "away")
    rebuilt = opened(home, notebook)
    rebuilt.catch_up()
    assert refs(rebuilt) == before
    assert rebuilt.check() == []


def test_refs_lost_in_the_middle_come_back(
    journal: Journal, notebook: Notebook, home: Home
) -> None:
    kept = notebook.kept()
    notebook.adopted()
    journal.catch_up()
    before = refs(journal)
    git(journal, "update-ref", "-d", f"refs/arnode/{kept.id.hex()}")
    assert any("is missing" in problem for problem in journal.check())
    opened(home, notebook).catch_up()
    assert refs(journal) == before


def test_stale_locks_are_removed(journal: Journal, notebook: Notebook, home: Home) -> None:
    journal.catch_up()
    locks = [journal.path / ".git" / name for name in ("index.lock", "refs/heads/main.lock")]
    for lock in locks:
        lock.touch()
    notebook.adopted()
    assert opened(home, notebook).catch_up() == 2
    assert not any(lock.exists() for lock in locks)


def test_another_commit_on_main_is_an_error_and_is_kept(
    journal: Journal, notebook: Notebook, home: Home
) -> None:
    journal.catch_up()
    (journal.path / "train.py").write_text("LEARNING_RATE = 9\n")
    git(journal, "commit", "--quiet", "--all", "--message", "mine")
    other_commit = git(journal, "rev-parse", "main")
    assert any("did not make" in problem for problem in journal.check())
    notebook.kept()
    again = opened(home, notebook)
    with pytest.raises(JournalEditedError) as caught:
        again.catch_up()
    assert "fsck --rebuild" in caught.value.hint
    aside = again.rebuild()
    assert aside is not None
    assert again.check() == []
    kept = Path(aside / ".git" / "refs" / "heads" / "main").read_text().strip()
    assert kept == other_commit


def test_an_amended_experiment_is_reported(journal: Journal, notebook: Notebook) -> None:
    kept = notebook.kept()
    journal.catch_up()
    ref = f"refs/arnode/{kept.id.hex()}"
    commit = git(journal, "commit-tree", "-m", "better numbers", f"{ref}^{{tree}}")
    git(journal, "update-ref", ref, commit)
    assert any("did not make" in problem and ref in problem for problem in journal.check())


def test_edited_files_are_reported_and_set_aside_when_main_moves(
    journal: Journal, notebook: Notebook
) -> None:
    journal.catch_up()
    (journal.path / "train.py").write_text("# my own idea\n")
    assert any("train.py was edited" in problem for problem in journal.check())
    notebook.adopted()
    journal.catch_up()
    assert (journal.path / "train.py").read_bytes() == BETTER["train.py"]
    assert (journal.path / "train.py.edited-1").read_text() == "# my own idea\n"


def test_a_corrupt_object_is_reported(journal: Journal) -> None:
    journal.catch_up()
    objects = sorted((journal.path / ".git" / "objects").glob("??/*"))
    objects[0].chmod(0o600)
    objects[0].write_bytes(b"rubbish")
    assert journal.check() != []
    assert journal.rebuild() is not None
    assert journal.check() == []


def test_the_users_git_configuration_and_hooks_have_no_say(
    home: Home,
    notebook: Notebook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "reference-transaction").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "reference-transaction").chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(
        f"[core]\nhooksPath = {hooks}\nautocrlf = true\n[init]\ndefaultBranch = trunk\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    notebook.task_and_baseline()
    journal = opened(home, notebook)
    assert journal.catch_up() == 1
    assert journal.check() == []
    assert not (tmp_path / "elsewhere").exists()


def test_the_folder_is_named_after_task_and_class(journal: Journal, home: Home) -> None:
    assert journal.path == home.journal / f"tiny-{TASK.hex()[:8]}-cpu-x86_64"


def test_a_journal_opened_before_its_task_is_recorded_has_the_same_name_and_table(
    home: Home, notebook: Notebook
) -> None:
    early = opened(home, notebook)
    notebook.task_and_baseline()
    early.catch_up()
    assert early.path == home.journal / f"tiny-{TASK.hex()[:8]}-cpu-x86_64"
    assert (early.path / "results.tsv").read_text() == early.expected_table()
    assert early.expected_table().startswith("commit\tval_bpb\t")


def test_a_line_without_records_has_no_journal(home: Home, notebook: Notebook) -> None:
    assert opened(home, notebook).check() == []
