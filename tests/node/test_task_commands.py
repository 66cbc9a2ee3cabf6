"""`task list`, `show` and `prepare`, on tasks whose shards nobody has looked at yet."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from node.commands.task_import import constants_in
from node.home.config import Config
from node.home.home import Home
from node.on_demand import verifying
from node.running.stand_in import awaited_download
from node.terminal.progress import silent
from protocol.errors import ConfigurationError
from tests.node.test_commands import arnode
from tests.trainer.hub import served, write_unpinned
from trainer.language_model.text import windows
from trainer.language_model.text.pin import PINS, write_pin
from trainer.task_folder.task import NotPreparedError
from trainer.task_kinds import load_task


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home; what sandboxes show is not searched, which takes seconds."""
    monkeypatch.setenv("ARNODE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ARNODE_DATA_URL", raising=False)
    monkeypatch.setattr(windows, "shared_windows", lambda *_given, **_options: [])
    return tmp_path / "home"


def test_a_task_that_is_not_prepared_is_listed_and_has_no_id(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = {row.split()[0]: row for row in arnode(capsys, "task", "list").splitlines()}
    assert listed["nanochat"].split()[1:3] == ["not", "prepared"]
    assert "not prepared" not in listed["tiny"]
    rows = {
        row["name"]: row for row in json.loads(arnode(capsys, "task", "list", "--json"))["tasks"]
    }
    assert (rows["nanochat"]["id"], rows["nanochat"]["prepared"]) == (None, False)
    assert len(rows["tiny"]["id"]) == 64
    assert rows["tiny"]["prepared"]


@pytest.mark.parametrize("digits", [12, 64])
def test_a_listed_id_names_its_task(
    home: Path, capsys: pytest.CaptureFixture[str], digits: int
) -> None:
    rows = json.loads(arnode(capsys, "task", "list", "--json"))["tasks"]
    wanted = next(row["id"] for row in rows if row["name"] == "digits")[:digits]
    shown = json.loads(arnode(capsys, "task", "show", wanted, "--json"))
    assert shown["name"] == "digits"
    assert arnode(capsys, "task", "prepare", wanted.upper()).startswith("digits is ready")
    assert awaited_download(Home(home), wanted) is None  # as `start` asks first
    assert "there is no task 'ffff'" in arnode(capsys, "task", "show", "ffff", code=2)


@pytest.mark.parametrize(
    "words",
    [
        ("task", "show"),
        ("run", "--task"),
        ("agent", "skill", "--task"),
        ("compare", "baseline", "x", "--task"),
        ("task", "replicate", "--task"),
    ],
    ids=" ".join,
)
def test_what_needs_it_says_how_to_prepare_it(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    said = arnode(capsys, *words, "nanochat", code=6)
    assert "task nanochat is not prepared yet" in said
    assert "hint: prepare it: arnode task prepare nanochat" in said


def test_a_claim_about_it_says_how_to_prepare_it(home: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    with pytest.raises(NotPreparedError) as caught:
        load_task("nanochat", data_dir=there)
    unpinned = caught.value.unknown
    digests = {name: bytes([at]) * 32 for at, name in enumerate(unpinned.names)}
    vocabulary = load_task("tiny", data_dir=there).recipe.vocabulary
    write_pin(unpinned, digests, vocabulary, data_dir=there)
    claimed = load_task("nanochat", data_dir=there).manifest
    with pytest.raises(NotPreparedError, match="task nanochat is not prepared"):
        verifying._task_of(Home(home), Config(), claimed, None, silent)
    other = replace(claimed, name="elsewhere")
    with pytest.raises(ConfigurationError, match="whose files are not here"):
        verifying._task_of(Home(home), Config(), other, None, silent)


def test_preparing_it_makes_it_a_task_like_any_other(
    capsys: pytest.CaptureFixture[str], shards: Path, home: Path, tmp_path: Path
) -> None:
    with served(shards) as hub:
        folder = str(write_unpinned(tmp_path / "unpinned", hub.url))
        said = arnode(capsys, "task", "prepare", folder, "--first")
        assert said.startswith("unpinned is ready: ")
        first = int(said.split()[3].replace(",", ""))
        assert "GET shard_1.parquet" not in hub.asked
        shown = json.loads(arnode(capsys, "task", "show", folder, "--json"))
        assert shown["name"] == "unpinned"
        said = arnode(capsys, "task", "prepare", folder)
        assert int(said.split()[3].replace(",", "")) > first
        assert hub.asked.count("GET shard_0.parquet") == 1
    assert len(list((home / "data" / PINS).glob("*/pin.toml"))) == 1


def test_a_folder_takes_the_place_of_its_url(
    capsys: pytest.CaptureFixture[str],
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = str(write_unpinned(tmp_path / "unpinned", "http://127.0.0.1:9"))
    monkeypatch.setenv("ARNODE_DATA_URL", str(shards))
    assert arnode(capsys, "task", "prepare", folder).startswith("unpinned is ready: ")
    monkeypatch.setenv("ARNODE_DATA_URL", str(tmp_path / "nowhere"))
    monkeypatch.setenv("ARNODE_HOME", str(tmp_path / "another"))
    said = arnode(capsys, "task", "prepare", folder, code=1)
    assert "shard_0.parquet cannot be read" in said
    assert "ARNODE_DATA_URL" in said


def test_the_constants_that_the_search_varies_are_named(tmp_path: Path) -> None:
    (tmp_path / "fit.py").write_text("N = 26\nRATE = 0.1\nn_circles = 26\nSEED = 1\n")
    (tmp_path / "data.csv").write_text("N = 5\n")
    assert constants_in([tmp_path / "fit.py", tmp_path / "data.csv"]) == ["N", "RATE"]
    assert constants_in([tmp_path / "data.csv"]) == []
