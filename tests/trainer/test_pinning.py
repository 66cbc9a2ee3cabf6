"""Tasks without hashes of their shards: how these become known, with a stop at every point."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from node.terminal.progress import silent
from protocol.errors import ArnodeError, ConfigurationError
from tests.trainer.hub import documents_of, hashes_of, served, write_unpinned
from tests.trainer.runners import prepare_all
from trainer.language_model.data import prepare
from trainer.language_model.text import announced as announced_module
from trainer.language_model.text import download, pinning
from trainer.task_folder.task import NotPreparedError, Task
from trainer.task_kinds import load_task, settled_task

NAMES = ("shard_0.parquet", "shard_1.parquet", "shard_8.parquet", "shard_9.parquet")
Unpinned = Callable[..., Path]


@pytest.fixture
def copied(shards: Path, tmp_path: Path) -> Path:
    """Return a folder of the same shards, to damage."""
    return Path(shutil.copytree(shards, tmp_path / "hub"))


@pytest.fixture
def unpinned(tmp_path: Path) -> Unpinned:
    """Return a task folder whose shards are at a URL."""

    def make(url: str = "http://127.0.0.1:9", **replaced: str) -> Path:
        return write_unpinned(tmp_path / "unpinned", url, replaced)

    return make


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use one attempt, so that nothing waits."""
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    monkeypatch.setattr(announced_module, "ATTEMPTS", 1)


def pinned(folder: Path, data_dir: Path, url: str | None = None) -> Task:
    load = partial(load_task, folder, data_dir=data_dir)
    return settled_task(load, data_dir=data_dir, data_url=url, progress=silent)


def test_two_nodes_that_fetch_the_same_files_work_on_the_same_task(
    unpinned: Unpinned, shards: Path, tmp_path: Path
) -> None:
    with served(shards) as hub, served(shards, announces=False) as mute:
        folder = unpinned(hub.url)
        tasks = [
            pinned(folder, tmp_path / "told"),
            pinned(folder, tmp_path / "found out", mute.url),
            pinned(folder, tmp_path / "from a folder", str(shards)),
            load_task(folder, data_dir=tmp_path / "told"),
        ]
    assert len({task.id for task in tasks}) == 1
    assert {name: digest.hex() for name, digest in tasks[0].manifest.data} == hashes_of(shards)
    assert tasks[0].manifest.vocabulary_size == 512
    assert tasks[0].name == "unpinned"


def test_given_hashes_spare_a_task_all_but_its_first_training_shard(
    unpinned: Unpinned, shards: Path, tmp_path: Path
) -> None:
    with served(shards) as hub:
        task = pinned(unpinned(hub.url), tmp_path / "data")
        assert sorted(hub.asked) == sorted(
            ["GET shard_0.parquet", *(f"HEAD {name}" for name in NAMES)]
        )
        hub.asked.clear()
        assert pinned(unpinned(hub.url), tmp_path / "data").id == task.id
        assert hub.asked == []
        prepare_all(task, data_dir=tmp_path / "data", progress=silent, visible=[])
    assert sorted(hub.asked) == [f"GET {name}" for name in NAMES[1:]]


def test_a_server_that_reports_nothing_is_asked_once_for_each(
    unpinned: Unpinned, shards: Path, tmp_path: Path
) -> None:
    with served(shards, announces=False) as hub:
        task = pinned(unpinned(hub.url), tmp_path / "data")
        prepare_all(task, data_dir=tmp_path / "data", progress=silent, visible=[])
    assert sorted(word for word in hub.asked if word.startswith("GET")) == [
        f"GET {name}" for name in NAMES
    ]


def test_other_bytes_are_another_task_and_a_pin_stays_what_it_is(
    unpinned: Unpinned, shards: Path, copied: Path, tmp_path: Path
) -> None:
    folder = unpinned()
    first = pinned(folder, tmp_path / "one", str(shards))
    pq.write_table(
        pa.table({"text": documents_of("secret/shard_9.parquet")[:-1]}), copied / NAMES[3]
    )
    assert pinned(folder, tmp_path / "two", str(copied)).id != first.id
    assert pinned(folder, tmp_path / "one", str(copied)).id == first.id


def test_the_vocabulary_is_of_the_first_training_shard_alone(
    unpinned: Unpinned, shards: Path, copied: Path, tmp_path: Path
) -> None:
    folder = unpinned()
    first = pinned(folder, tmp_path / "one", str(shards))
    pq.write_table(pa.table({"text": ["zyzzyva " * 999]}), copied / NAMES[1])
    second = pinned(folder, tmp_path / "two", str(copied))
    assert second.recipe.vocabulary == first.recipe.vocabulary
    pq.write_table(pa.table({"text": ["a zyzzyva " * 999]}), copied / NAMES[0])
    assert (
        pinned(folder, tmp_path / "three", str(copied)).recipe.vocabulary != first.recipe.vocabulary
    )


def test_only_the_beginning_of_long_documents_and_of_the_shard_is_read(
    unpinned: Unpinned, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinning, "DOCUMENT_CHARACTERS", 100)
    monkeypatch.setattr(pinning, "VOCABULARY_CHARACTERS", 150)
    short, long = "a quick brown fox and a lazy dog and ", "zyzzyva "
    folder = unpinned()
    found = set()
    for number, text in enumerate(
        (["ab" * 50 + long * 9, short * 9], ["ab" * 50, short * 9 + long])
    ):
        pq.write_table(pa.table({"text": text}), copied / NAMES[0])
        found.add(pinned(folder, tmp_path / str(number), str(copied)).recipe.vocabulary)
    assert len(found) == 1


def test_a_task_that_is_not_pinned_says_how_to_prepare_it(
    unpinned: Unpinned, tmp_path: Path
) -> None:
    folder = unpinned()
    with pytest.raises(NotPreparedError, match="is not prepared yet") as caught:
        load_task(folder, data_dir=tmp_path / "data")
    assert f"arnode task prepare {folder}" in caught.value.hint
    assert caught.value.title == "a model on shards that nobody has looked at"


def test_a_task_that_extends_it_shares_the_pin_and_another_list_does_not(
    unpinned: Unpinned, shards: Path, tmp_path: Path
) -> None:
    task = pinned(unpinned(), tmp_path / "data", str(shards))
    longer = load_task(unpinned(**{"seconds = 2": "seconds = 3"}), data_dir=tmp_path / "data")
    assert longer.recipe.vocabulary == task.recipe.vocabulary
    assert longer.id != task.id
    for old, new in (("512", "513"), ('"shard_0.parquet", ', "")):
        with pytest.raises(NotPreparedError):
            load_task(unpinned(**{old: new}), data_dir=tmp_path / "data")


@pytest.mark.parametrize("announces", [True, False])
def test_a_cut_download_goes_on(
    unpinned: Unpinned,
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    announces: bool,
) -> None:
    monkeypatch.setattr(download, "download", partial(download.download, pause_s=0.05))
    with served(shards, announces=announces) as hub:
        hub.cuts[NAMES[0]] = 50_000
        task = pinned(unpinned(hub.url), tmp_path / "data")
        assert hub.asked.count(f"GET {NAMES[0]}") == 2
    assert (
        dict(task.manifest.data)["training/shard_0.parquet"].hex()
        == (hashes_of(shards)["training/shard_0.parquet"])
    )


def test_a_file_that_is_not_what_was_announced_is_refused_and_nothing_is_pinned(
    unpinned: Unpinned, shards: Path, tmp_path: Path
) -> None:
    with served(shards) as hub:
        folder = unpinned(hub.url)
        hub.announced[NAMES[0]] = "ab" * 32
        with pytest.raises(ArnodeError, match="is not the file that it should be"):
            pinned(folder, tmp_path / "data")
        with pytest.raises(NotPreparedError):
            load_task(folder, data_dir=tmp_path / "data")
        hub.announced.clear()
        assert pinned(folder, tmp_path / "data").name == "unpinned"


def test_a_shard_that_changes_after_it_was_announced_is_refused_when_it_comes(
    unpinned: Unpinned, copied: Path, tmp_path: Path
) -> None:
    with served(copied) as hub:
        task = pinned(unpinned(hub.url), tmp_path / "data")
        content = (copied / NAMES[1]).read_bytes()
        (copied / NAMES[1]).write_bytes(content[:-1])
        data = prepare(task, data_dir=tmp_path / "data", progress=silent, visible=[])
        with pytest.raises(ArnodeError, match=r"shard_1\.parquet is not the file"):
            data.load_rest(silent)
        (copied / NAMES[1]).write_bytes(content)
        data.load_rest(silent)
    assert data.is_complete


@pytest.mark.parametrize("announces", [True, False])
@pytest.mark.parametrize("name", [NAMES[0], NAMES[3]])
def test_an_unknown_shard_is_named_at_once(
    unpinned: Unpinned, shards: Path, tmp_path: Path, announces: bool, name: str
) -> None:
    with served(shards, announces=announces) as hub:
        hub.missing.add(name)
        with pytest.raises(ArnodeError, match=rf"{name}: the server answers 404") as caught:
            pinned(unpinned(hub.url), tmp_path / "data")
    assert "ARNODE_DATA_URL" in caught.value.hint
    assert not any(word.startswith("GET") for word in hub.asked)


@pytest.mark.usefixtures("impatient")
def test_nobody_listening_and_a_folder_without_the_shard_are_said(
    unpinned: Unpinned, copied: Path, tmp_path: Path
) -> None:
    with pytest.raises(ArnodeError, match="cannot fetch"):
        pinned(unpinned(), tmp_path / "data")
    (copied / NAMES[2]).unlink()
    with pytest.raises(ArnodeError, match=r"shard_8\.parquet cannot be read"):
        pinned(unpinned(), tmp_path / "data", str(copied))


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ({"words": ["a"]}, "has no column `text`"),
        ({"text": [None, ""]}, r"there is no text in shard_0\.parquet"),
    ],
    ids=["no column", "no text"],
)
def test_a_first_shard_that_cannot_serve_is_named(
    unpinned: Unpinned,
    copied: Path,
    tmp_path: Path,
    column: dict[str, list[str | None]],
    said: str,
) -> None:
    pq.write_table(pa.table(column), copied / NAMES[0])
    with pytest.raises(ConfigurationError, match=said):
        pinned(unpinned(), tmp_path / "data", str(copied))


def test_two_names_for_one_file_are_refused(
    unpinned: Unpinned, copied: Path, tmp_path: Path
) -> None:
    shutil.copy(copied / NAMES[0], copied / NAMES[3])
    with pytest.raises(ConfigurationError, match="are the same file"):
        pinned(unpinned(), tmp_path / "data", str(copied))


def test_without_what_reads_parquet_the_hint_says_what_to_install(
    unpinned: Unpinned, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigurationError) as caught:
        pinned(unpinned(), tmp_path / "data", str(shards))
    assert "arnode[shards]" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("vocabulary_size = 512", "", "vocabulary_size is missing"),
        ("vocabulary_size = 512", "vocabulary_size = 256", "vocabulary_size is 256"),
        ("vocabulary_size", "vocabulary_sise", "vocabulary_size is missing"),
        (
            "rows = 64",
            'rows = 64\nvocabulary = "v.tiktoken"',
            "vocabulary clashes with shards",
        ),
        ('secret = ["shard_9.parquet"]', "", "secret is missing"),
        ('"shard_9.parquet"', '"shard_0.parquet"', r"names shard_0\.parquet again"),
        ("secret =", "hidden =", "secret is missing"),
        ('recipe = "shards"', 'recipe = "text"', "recipe is 'text'"),
    ],
)
def test_a_list_that_makes_no_splits_is_refused(
    unpinned: Unpinned, tmp_path: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        load_task(unpinned(**{old: new}), data_dir=tmp_path)
    assert not isinstance(caught.value, NotPreparedError)


KILLED_AT = """
import os, signal, sys
from functools import partial
from pathlib import Path
from trainer import task_kinds
from trainer.language_model.text import pin, pinning, shards, vocabulary

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

where, folder, data_dir, url = sys.argv[1:]
module, _, name = where.partition(".")
setattr(globals()[module], name, die)
load = partial(task_kinds.load_task, folder, data_dir=Path(data_dir))
task_kinds.settled_task(load, data_dir=Path(data_dir), data_url=url, progress=lambda *_: None)
"""


@pytest.mark.parametrize(
    ("where", "announces"),
    [
        ("pinning.train_vocabulary", True),
        ("pinning.train_vocabulary", False),
        ("pinning.keep_shard", False),
        ("pinning.write_pin", False),
        ("pin.write_atomically", True),
    ],
)
def test_killed_at_any_moment_a_second_call_goes_on(
    unpinned: Unpinned, shards: Path, tmp_path: Path, where: str, announces: bool
) -> None:
    data_dir = tmp_path / "data"
    with served(shards, announces=announces) as hub:
        folder = unpinned(hub.url)
        killed = subprocess.run(
            [sys.executable, "-c", KILLED_AT, where, str(folder), str(data_dir), hub.url],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
        fetched = [word for word in hub.asked if word.startswith("GET")]
        assert f"GET {NAMES[0]}" in fetched
        with pytest.raises(NotPreparedError):
            load_task(folder, data_dir=data_dir)
        hub.asked.clear()
        task = pinned(folder, data_dir)
        if where != "pinning.write_pin":  # by then they have other names
            assert not any(word.startswith("GET") for word in hub.asked)
    assert task.id == pinned(folder, tmp_path / "other", str(shards)).id
    assert [path.name for path in (data_dir / "pins").glob(".*")] == []


def test_a_pin_of_known_shards_is_these_bytes(
    unpinned: Unpinned, shards: Path, tmp_path: Path
) -> None:
    """Another version of the vocabulary trainer would make another task from the same data."""
    task = pinned(unpinned(), tmp_path / "data", str(shards))
    ranks = hashlib.sha256(task.recipe.vocabulary.file_bytes).hexdigest()
    assert ranks.startswith("ed90b00cd71d6784")
