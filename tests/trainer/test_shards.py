"""A task of parquet shards, from a server on loopback: fetched, made tokens, trained on, scored."""

import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from protocol.errors import ArnodeError, ConfigurationError
from tests.trainer.runners import measured
from trainer import download
from trainer.data import TaskData, prepare
from trainer.task import Task, load_task
from trainer.tasks.tiny import world

SPLITS = {  # the number of each shard, and how many bytes of text it has at least
    "training/shard_0.parquet": (0, 480_000),
    "training/shard_1.parquet": (1, 480_000),
    "public/shard_8.parquet": (8, 120_000),
    "secret/shard_9.parquet": (9, 240_000),
}
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


def silent(_what: str, _share: float) -> None:
    pass


def documents_of(name: str) -> list[str]:
    """Return a shard's documents: of tiny's world, of another split for each shard."""
    number, size = SPLITS[name]
    split = world.secret_split(b"shards", number)
    return [document.text for document in world.first_documents(split, size)]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of shards."""
    folder = tmp_path_factory.mktemp("hub")
    for name in SPLITS:
        column = pa.array([*documents_of(name), None, ""], pa.string())
        table = pa.table({"id": pa.array(range(len(column))), "text": column})
        pq.write_table(table, folder / name.partition("/")[2], row_group_size=100)
    return folder


class Handler(SimpleHTTPRequestHandler):
    """Serves files, silently."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def made(hub: Path, tmp_path: Path) -> Made:
    def make(
        url: str = "http://127.0.0.1:9", budget: str = "tokens = 15_360", **changed: str
    ) -> Task:
        hashes = {
            name: hashlib.sha256((hub / name.partition("/")[2]).read_bytes()).hexdigest()
            for name in SPLITS
        }
        lines = [f'"{name}" = "{digest}"' for name, digest in (hashes | changed).items()]
        folder = tmp_path / "sharded"
        folder.mkdir(exist_ok=True)
        text = TASK.format(url=url, budget=budget, hashes="\n".join(lines))
        (folder / "task.toml").write_text(text)
        return load_task(folder, data_dir=tmp_path)

    return make


def prepared(task: Task, data_dir: Path, **options: str) -> TaskData:
    return prepare(
        task, data_dir=data_dir, progress=silent, visible=[], data_url=options.get("url")
    )


def text_of(data: TaskData, tokens: np.ndarray) -> str:
    return data.vocabulary.decode(tokens.ravel().tolist()).decode("utf-8", "replace")


def test_shards_are_fetched_once_and_become_the_splits_that_the_task_names(
    made: Made, hub: Path, tmp_path: Path
) -> None:
    heard: list[tuple[str, float]] = []
    with served(hub) as url:
        task = made(url)
        data = prepare(
            task,
            data_dir=tmp_path / "data",
            progress=lambda *told: heard.append(told),
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
    mine, other = (data.secret_rows(secret, 0) for secret in (b"mine", b"another's"))
    assert mine.shape == other.shape == (64, 129)
    assert (mine != other).any()
    secret_text = "".join(documents_of("secret/shard_9.parquet"))
    assert all(text_of(data, row) in secret_text for row in mine)
    assert [share for _, share in heard] == sorted(share for _, share in heard)
    assert any("downloading" in what and "MB" in what for what, _ in heard)
    assert any("into tokens" in what for what, _ in heard)
    # Nobody listens any more: what is here is enough, and the same.
    again = prepared(task, tmp_path / "data")
    assert (again.public_rows == data.public_rows).all()


def test_a_folder_or_another_server_takes_the_place_of_the_tasks_own(
    made: Made, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = made()
    assert prepared(task, tmp_path / "one", url=str(hub)).training_size > 100_000
    with served(hub) as url:
        assert prepared(task, tmp_path / "two", url=url).training_size > 100_000
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    with pytest.raises(ArnodeError, match="is not to be had") as caught:
        prepared(task, tmp_path / "three")
    assert "ARNODE_DATA_URL" in str(caught.value.hint)


def test_a_shard_that_is_not_the_one_named_is_refused(
    made: Made, hub: Path, tmp_path: Path
) -> None:
    task = made(**{"training/shard_1.parquet": "ab" * 32})
    with pytest.raises(ArnodeError, match=r"shard_1\.parquet is not the file that it should be"):
        prepared(task, tmp_path / "data", url=str(hub))


def test_damaged_tokens_are_made_again(made: Made, hub: Path, tmp_path: Path) -> None:
    task = made()
    before = prepared(task, tmp_path / "data", url=str(hub)).public_rows.copy()
    for path in (tmp_path / "data" / "tokens").glob("*.u16"):
        path.write_bytes(path.read_bytes()[:-2] + b"xx")
    assert (prepared(task, tmp_path / "data", url=str(hub)).public_rows == before).all()


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: path.write_bytes(b"no parquet at all"), "does not read as parquet"),
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
    made: Made, hub: Path, tmp_path: Path, write: Callable[[Path], None], said: str
) -> None:
    folder = tmp_path / "hub"
    shutil.copytree(hub, folder)
    write(folder / "shard_8.parquet")
    digest = hashlib.sha256((folder / "shard_8.parquet").read_bytes()).hexdigest()
    task = made(**{"public/shard_8.parquet": digest})
    with pytest.raises(ConfigurationError, match=said):
        prepared(task, tmp_path / "data", url=str(folder))


def test_training_shards_may_be_empty_but_not_all_of_them(
    made: Made, hub: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "hub"
    shutil.copytree(hub, folder)
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
    made: Made, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigurationError) as caught:
        prepared(made(), tmp_path / "data", url=str(hub))
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


def test_splits_are_part_of_what_a_task_is(made: Made, hub: Path) -> None:
    """Who scores on other shards, or trains on them, works on another task."""
    digest = hashlib.sha256((hub / "shard_1.parquet").read_bytes()).hexdigest()
    assert made().id != made(**{"secret/shard_7.parquet": digest[::-1]}).id
    names = [name for name, _ in made().manifest.data]
    assert names == sorted(SPLITS)


@pytest.mark.parametrize("budget", ["tokens = 15_360", "seconds = 2"])
def test_a_run_trains_on_them_and_is_scored(
    made: Made, hub: Path, tmp_path: Path, budget: str
) -> None:
    """With a budget of seconds all shards are handed over, the same memory to every run."""
    task = made(budget=budget)
    if "seconds" in budget:
        task = in_seconds(task)
    data = prepared(task, tmp_path / "data", url=str(hub))
    outcomes = measured(task, data, 1, 2)
    assert [outcome.reason or outcome.status for outcome in outcomes] == ["ok", "ok"]
    assert outcomes[0].metric_nano != outcomes[1].metric_nano


def in_seconds(task: Task) -> Task:
    """Return the task with a script that trains for a budget of seconds."""
    script = task.source["train.py"].decode()
    script = script.replace("TOKEN_BUDGET", "TIME_BUDGET").replace(
        "steps = TIME_BUDGET // (BATCH * SEQUENCE)", "steps = 40"
    )
    source = task.source.replacing("train.py", script.encode())
    files = tuple((path, hashlib.sha256(content).digest()) for path, content in source.files)
    return replace(task, source=source, manifest=replace(task.manifest, files=files))
