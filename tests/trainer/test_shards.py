"""A task of parquet shards from a server on loopback: fetched, tokenised, trained on, scored."""

import hashlib
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from node.terminal.progress import silent
from protocol.errors import ArnodeError, ConfigurationError
from tests.trainer.hub import SPLITS, documents_of, hashes_of, served
from tests.trainer.runners import measured, prepare_all
from trainer.language_model.data import TaskData, has_first, prepare
from trainer.language_model.text import download
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

TASK = """
extends = "tiny-short"
name = "sharded"
title = "tiny's model on shards"
limit_s = 60

[budget]
{budget}

[data]
recipe = "shards"
url = "{url}"
vocabulary = "vocabulary.tiktoken"
context = 128
rows = 64

[data.sha256]
{hashes}
"""
Made = Callable[..., Task]


@pytest.fixture
def made(shards: Path, tmp_path: Path) -> Made:
    def make(
        url: str = "http://127.0.0.1:9", budget: str = "tokens = 15_360", **changed: str
    ) -> Task:
        hashes = hashes_of(shards) | changed
        lines = [f'"{name}" = "{digest}"' for name, digest in hashes.items()]
        folder = tmp_path / "sharded"
        folder.mkdir(exist_ok=True)
        text = TASK.format(url=url, budget=budget, hashes="\n".join(lines))
        (folder / "task.toml").write_text(text)
        return load_task(folder, data_dir=tmp_path)

    return make


def prepared(task: Task, data_dir: Path, **options: str) -> TaskData:
    return prepare_all(
        task, data_dir=data_dir, progress=silent, visible=[], data_url=options.get("url")
    )


def text_of(data: TaskData, tokens: np.ndarray) -> str:
    return data.vocabulary.decode(tokens.ravel().tolist()).decode("utf-8", "replace")


def test_shards_are_fetched_once_and_become_the_splits_that_the_task_names(
    made: Made, shards: Path, tmp_path: Path
) -> None:
    progress_calls: list[tuple[str, float]] = []
    with served(shards, announces=False) as server:
        task = made(server.url)
        data = prepare_all(
            task,
            data_dir=tmp_path / "data",
            progress=lambda *expected: progress_calls.append(expected),
            visible=[],
        )
    training = [documents_of(name) for name in SPLITS if name.startswith("training")]
    assert [text_of(data, part) for part in data.training_parts] == ["".join(t) for t in training]
    assert all(isinstance(part, np.memmap) for part in data.training_parts)
    bos = data.vocabulary.bos
    assert [int((part == bos).sum()) for part in data.training_parts] == [*map(len, training)]
    assert data.public_rows.shape == (64, 129)
    assert "".join(documents_of("public/shard_8.parquet")).startswith(
        text_of(data, data.public_rows)
    )
    mine, other = (data.secret_rows(key) for key in (b"mine", b"another's"))
    assert mine.shape == other.shape == (64, 129)
    assert (mine != other).any()
    secret_text = "".join(documents_of("secret/shard_9.parquet"))
    assert all(text_of(data, row) in secret_text for row in mine)
    assert [share for _, share in progress_calls] == sorted(share for _, share in progress_calls)
    assert any("downloading" in what and "MB" in what for what, _ in progress_calls)
    assert any("into tokens" in what for what, _ in progress_calls)
    # The server is gone: the local files are enough, and the same.
    again = prepared(task, tmp_path / "data")
    assert (again.public_rows == data.public_rows).all()


def test_a_first_run_needs_one_training_shard_and_the_rest_comes_part_by_part(
    made: Made, shards: Path, tmp_path: Path
) -> None:
    with served(shards) as server:
        server.missing.add("shard_1.parquet")
        task = made(server.url, budget="seconds = 2")
        data = prepare(task, data_dir=tmp_path / "data", progress=silent, visible=[])
        assert has_first(task, data_dir=tmp_path / "data")
        assert not has_first(task, data_dir=tmp_path / "elsewhere")
        (first,) = data.training_parts
        assert text_of(data, first) == "".join(documents_of("training/shard_0.parquet"))
        assert not data.is_complete
        with pytest.raises(ArnodeError, match=r"shard_1\.parquet: the server answers 404"):
            data.load_rest(silent)
        assert data.training_parts == (first,)
        assert not data.is_complete
        server.missing.clear()
        data.load_rest(silent)
    assert data.is_complete
    assert data.training_parts[0] is first
    assert text_of(data, data.training_parts[1]) == "".join(
        documents_of("training/shard_1.parquet")
    )
    all_at_once = prepared(task, tmp_path / "data")
    assert all_at_once.is_complete
    assert all_at_once.training_size == data.training_size
    assert (all_at_once.public_rows == data.public_rows).all()
    assert (all_at_once.secret_rows(b"s") == data.secret_rows(b"s")).all()


def test_a_budget_of_tokens_needs_all_shards_first(
    made: Made, shards: Path, tmp_path: Path
) -> None:
    """The seed chooses among all documents; with fewer of them it would choose others."""
    with served(shards) as server:
        server.missing.add("shard_1.parquet")
        task = made(server.url)
        with pytest.raises(ArnodeError, match=r"shard_1\.parquet: the server answers 404"):
            prepare(task, data_dir=tmp_path / "data", progress=silent, visible=[])
        assert not has_first(task, data_dir=tmp_path / "data")
        server.missing.clear()
        data = prepare(task, data_dir=tmp_path / "data", progress=silent, visible=[])
    assert has_first(task, data_dir=tmp_path / "data")
    assert data.is_complete
    assert len(data.training_parts) == 2


def test_the_order_of_training_parts_is_the_manifests(
    made: Made, shards: Path, tmp_path: Path
) -> None:
    """The order decides what a seed trains on, and a task file may list its shards in any order."""
    task = made()
    data = prepared(task, tmp_path / "data", url=str(shards))
    path = tmp_path / "sharded" / "task.toml"
    lines = path.read_text().splitlines()
    start = lines.index("[data.sha256]") + 1
    path.write_text("\n".join(lines[:start] + lines[start:][::-1]))
    turned = load_task(path, data_dir=tmp_path)
    assert turned.id == task.id
    again = prepared(turned, tmp_path / "data", url=str(shards))
    for one, other in zip(data.training_parts, again.training_parts, strict=True):
        assert (one == other).all()


def test_who_gives_up_ends_a_download_that_stands_still(
    made: Made, shards: Path, tmp_path: Path
) -> None:
    """A mirror may accept a connection and then send nothing for minutes."""

    def give_up(what: str, _share: float) -> None:
        if "downloading" in what:
            raise InterruptedError(what)

    with socket.create_server(("127.0.0.1", 0)) as silent_server:
        url = f"http://127.0.0.1:{silent_server.getsockname()[1]}"
        with pytest.raises(InterruptedError):
            prepare_all(made(url), data_dir=tmp_path / "data", progress=give_up, visible=[])


def test_a_folder_or_another_server_takes_the_place_of_the_tasks_own(
    made: Made, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = made()
    assert prepared(task, tmp_path / "one", url=str(shards)).training_size > 100_000
    with served(shards) as server:
        assert prepared(task, tmp_path / "two", url=server.url).training_size > 100_000
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    with pytest.raises(ArnodeError, match="cannot fetch") as caught:
        prepared(task, tmp_path / "three")
    assert "ARNODE_DATA_URL" in str(caught.value.hint)


def test_a_shard_that_is_not_the_one_named_is_refused(
    made: Made, shards: Path, tmp_path: Path
) -> None:
    task = made(**{"training/shard_1.parquet": "ab" * 32})
    with pytest.raises(ArnodeError, match=r"shard_1\.parquet is not the file that it should be"):
        prepared(task, tmp_path / "data", url=str(shards))


def test_damaged_tokens_are_made_again(made: Made, shards: Path, tmp_path: Path) -> None:
    task = made()
    before = prepared(task, tmp_path / "data", url=str(shards)).public_rows.copy()
    for path in (tmp_path / "data" / "tokens").glob("*.u16"):
        path.write_bytes(path.read_bytes()[:-2] + b"xx")
    assert (prepared(task, tmp_path / "data", url=str(shards)).public_rows == before).all()


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: path.write_bytes(b"no parquet at all"), "is not a readable parquet file"),
        (
            lambda path: pq.write_table(pa.table({"words": ["a"]}), path),
            "has no column `text`",
        ),
        (
            lambda path: pq.write_table(pa.table({"text": ["a few words"]}), path),
            "too few for 64 to be scored",
        ),
    ],
    ids=["no parquet", "no text", "too little"],
)
def test_a_shard_that_cannot_serve_is_named(
    made: Made, shards: Path, tmp_path: Path, write: Callable[[Path], None], said: str
) -> None:
    folder = tmp_path / "hub"
    shutil.copytree(shards, folder)
    write(folder / "shard_8.parquet")
    digest = hashlib.sha256((folder / "shard_8.parquet").read_bytes()).hexdigest()
    task = made(**{"public/shard_8.parquet": digest})
    with pytest.raises(ConfigurationError, match=said):
        prepared(task, tmp_path / "data", url=str(folder))


def test_training_shards_may_be_empty_but_not_all_of_them(
    made: Made, shards: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "hub"
    shutil.copytree(shards, folder)
    changed: dict[str, str] = {}
    for number, columns in enumerate(({"text": [""]}, {"text": [None, ""]})):
        path = folder / f"shard_{number}.parquet"
        pq.write_table(pa.table(columns), path)
        changed[f"training/{path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
        if number == 0:
            data = prepared(made(**changed), tmp_path / "one", url=str(folder))
            assert len(data.training_parts) == 1
            assert len(data.training_tokens(1, 200_000)) == 200_000  # more than once through it
    with pytest.raises(ConfigurationError, match="no text in its training shards"):
        prepared(made(**changed), tmp_path / "none", url=str(folder))


def test_without_what_reads_parquet_the_hint_says_what_to_install(
    made: Made, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigurationError) as caught:
        prepared(made(), tmp_path / "data", url=str(shards))
    assert "arnode[shards]" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"validation/shard_7.parquet": "ab" * 32}, "names no split"),
        ({"shard_7.parquet": "ab" * 32}, "names no split"),
        ({"training/shard_8.parquet": "ab" * 32}, "names one shard twice"),
        ({"public/shard_8.parquet": "12"}, "it must be a sha256"),
    ],
)
def test_shards_that_make_no_splits_are_refused(
    made: Made, changed: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        made(**changed)
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_splits_are_part_of_what_a_task_is(made: Made, shards: Path) -> None:
    """Scoring or training on other shards is another task."""
    digest = hashlib.sha256((shards / "shard_1.parquet").read_bytes()).hexdigest()
    assert made().id != made(**{"secret/shard_7.parquet": digest[::-1]}).id
    names = [name for name, _ in made().manifest.data]
    assert names == sorted(SPLITS)


@pytest.mark.soak
@pytest.mark.parametrize(
    "budget", [pytest.param("tokens = 15_360", marks=pytest.mark.soak), "seconds = 2"]
)
def test_a_run_trains_on_them_and_is_scored(
    made: Made, shards: Path, tmp_path: Path, budget: str
) -> None:
    """With a budget of seconds all shards are passed on, in the same memory to every run."""
    task = made(budget=budget)
    if "seconds" in budget:
        task = in_seconds(task)
    data = prepared(task, tmp_path / "data", url=str(shards))
    (outcome,) = measured(task, data, 1)
    assert (outcome.status, outcome.reason) == ("ok", None), outcome.log_tail
    assert outcome.audit is not None


def in_seconds(task: Task) -> Task:
    """Return the task with a script that trains for a number of seconds."""
    script = task.source["train.py"].decode()
    script = script.replace("TOKEN_BUDGET", "TIME_BUDGET").replace(
        "steps = TIME_BUDGET // (BATCH * SEQUENCE)", "steps = 40"
    )
    source = task.source.replacing("train.py", script.encode())
    files = tuple((path, hashlib.sha256(content).digest()) for path, content in source.files)
    return replace(task, source=source, manifest=replace(task.manifest, files=files))
