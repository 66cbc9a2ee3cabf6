"""A holdout folder is copied into the task's own; files that do not fit are rejected by name."""

from dataclasses import replace
from pathlib import Path

import pytest

from arnode_plugins import pi_autoresearch
from protocol.errors import ConfigurationError, UsageError
from tests.plugins.brought import brought, copied
from trainer.importing.command import Measured, Wanted, draft_of
from trainer.importing.draft import TaskDraft
from trainer.importing.holdout import SALT_FILE
from trainer.task_kinds import load_task


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    root = tmp_path / "place"
    for name, text in (
        ("fit.py", "x = 1\n"), ("score.py", "import fit\n"), ("data/a.csv", "seen"),
        ("data/b.png", "picture"), ("hidden/data/a.csv", "unseen"),
    ):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Wanted(
        targets=[root / "fit.py"], command="python score.py", metric="loss", root=root,
        holdout=root / "hidden",
    )  # fmt: skip


def drafted(wanted: Wanted) -> TaskDraft:
    return draft_of(wanted, Measured(direction="min"))


def test_what_it_replaces_comes_along_and_itself_lies_apart(wanted: Wanted, tmp_path: Path) -> None:
    made = brought(drafted(wanted), tmp_path / "made")
    assert made.table["files"] == ["measure.py", "reporting.py", "score.py", "data/a.csv"]
    assert made.table["data"] == {"holdout": "holdout"}
    assert made.table["private"] is True
    assert made.text("data/a.csv") == "seen"
    assert made.text("holdout/data/a.csv") == "unseen"
    assert len((made.folder / "holdout" / SALT_FILE).read_bytes()) == 32
    other = brought(drafted(wanted), tmp_path / "other")
    ids = {load_task(one.folder, data_dir=tmp_path).id for one in (made, other)}
    assert len(ids) == 2, "each has a salt of its own"


def test_a_folder_that_comes_along_leaves_the_holdout_out(wanted: Wanted) -> None:
    extra_files = [wanted.root / "hidden", wanted.root / "data"]
    files = drafted(replace(wanted, extra_files=extra_files)).table["files"]
    assert files == ["measure.py", "reporting.py", "data/a.csv", "score.py"]


@pytest.mark.parametrize("name", ["data/b.png", "data/a.csv"])
def test_a_picture_is_held_out_too(wanted: Wanted, name: str) -> None:
    (wanted.root / "hidden" / "data" / "b.png").write_text("unseen picture")
    draft = drafted(wanted)
    assert f"holdout/{name}" in draft.files
    assert name in draft.files


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("odd.csv", "x", "odd.csv replaces no file"),
        ("fit.py", "x = 2\n", "fit.py is a file to edit"),
        ("data/b.png", "seen", "data/b.png has the same content as the visible data/a.csv"),
    ],
)
def test_what_does_not_fit_is_reported(wanted: Wanted, name: str, text: str, expected: str) -> None:
    (wanted.root / "hidden" / name).write_text(text)
    with pytest.raises(UsageError, match=expected):
        drafted(wanted)


def test_the_command_may_not_read_it_by_its_own_name(wanted: Wanted) -> None:
    with pytest.raises(UsageError, match=r"needs hidden/data/a\.csv, which is in the holdout"):
        drafted(replace(wanted, command="python score.py hidden/data/a.csv"))
    with pytest.raises(UsageError, match=r"needs hidden/data/a\.csv, which is in the holdout"):
        drafted(replace(wanted, extra_files=[wanted.root / "hidden" / "data" / "a.csv"]))
    (wanted.root / "hidden" / "data" / "a.csv").unlink()
    with pytest.raises(UsageError, match="has no files"):
        drafted(wanted)
    with pytest.raises(UsageError, match="there is no folder"):
        drafted(replace(wanted, holdout=wanted.root / "gone"))


def test_a_folder_called_as_the_tasks_own_is_reported(wanted: Wanted) -> None:
    (wanted.root / "holdout").mkdir()
    (wanted.root / "holdout" / "c.csv").write_text("visible")
    with pytest.raises(ConfigurationError, match="the name of the task's holdout folder"):
        drafted(replace(wanted, extra_files=[wanted.root / "holdout"]))


def test_a_session_of_pi_may_have_one(tmp_path: Path) -> None:
    folder = copied("pi", "words", tmp_path)
    plain = pi_autoresearch.read_task(folder)
    name = "bench.py"
    (folder / "hidden").mkdir()
    (folder / "hidden" / name).write_text("UNSEEN = 1\n")
    draft = pi_autoresearch.read_task(folder, holdout=folder / "hidden")
    assert draft.table["files"] == plain.table["files"]
    assert f"holdout/{name}" in draft.files
    assert draft.table["private"] is True
