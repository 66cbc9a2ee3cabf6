"""Downloads during a session: the rest of a task's text, and a task with a stand-in."""

import asyncio
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from node.home.config import Config
from node.home.home import Home
from node.running import loading
from node.running.loading import ThrottledReport, loading_rest
from node.running.stand_in import Preparation, awaited_download, preparing, require_use
from node.terminal.progress import silent
from protocol.errors import ConfigurationError
from tests.trainer.hub import Hub, served, write_unpinned
from tests.trainer.nvml import FakeCard, FakeDriver
from trainer.language_model import card_checks
from trainer.language_model.data import TaskData, prepare
from trainer.language_model.kind import LanguageModel
from trainer.task_folder.task import Download
from trainer.task_kinds import load_task, settled_task

PATIENCE_S = 120.0


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardly any time between attempts."""
    monkeypatch.setattr(loading, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(loading, "LONGEST_PAUSE_S", 0.05)


def first_of(hub: Hub, folder: Path) -> TaskData:
    wanted = write_unpinned(folder / "task", hub.url)
    task = settled_task(
        partial(load_task, wanted, data_dir=folder / "data"),
        data_dir=folder / "data",
        data_url=None,
        progress=silent,
    )
    return prepare(task, data_dir=folder / "data", progress=silent, visible=[])


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 -- threads, a child and a server know no event of ours
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("eager")
def test_a_mirror_that_is_down_costs_nothing_but_time(
    shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []
    with served(shards) as hub:
        data = first_of(hub, tmp_path)
        hub.missing.add("shard_1.parquet")

        async def work() -> None:
            async with loading_rest(data, tmp_path / "data", said.append):
                await until(lambda: len(caplog.records) >= 2)
                assert not data.is_complete
                hub.missing.clear()
                await until(lambda: data.is_complete and len(said) == 2)

        asyncio.run(work())
    assert all("answers 404" in record.getMessage() for record in caplog.records)
    assert all("next try in" in record.getMessage() for record in caplog.records)
    assert said[0].startswith("training text is still loading")
    assert said[1] == f"all training text is here: {data.training_size:,} tokens"


def test_the_end_of_the_node_ends_it(shards: Path, tmp_path: Path) -> None:
    """asyncio.run waits for its threads: a running one would keep it from returning."""
    with served(shards) as hub:
        data = first_of(hub, tmp_path)
        hub.stalled.add("shard_1.parquet")

        async def work() -> None:
            async with loading_rest(data, tmp_path / "data", lambda _line: None):
                await until(lambda: "GET shard_1.parquet" in hub.asked)

        asyncio.run(work())
        assert not data.is_complete


def test_what_is_complete_is_not_spoken_of(shards: Path, tmp_path: Path) -> None:
    with served(shards) as hub:
        data = first_of(hub, tmp_path)
    data.coming = ()
    said: list[str] = []

    async def work() -> None:
        async with loading_rest(data, tmp_path / "data", said.append):
            await asyncio.sleep(0)

    asyncio.run(work())
    assert said == []


def test_how_far_it_is_is_said_now_and_then() -> None:
    said: list[str] = []
    now_s = 0.0
    throttled_report = ThrottledReport(said.append, lambda: now_s)
    for now_s in range(0, 200, 5):
        throttled_report(f"after {now_s} s")
    assert said == ["after 60 s", "after 120 s", "after 180 s"]


# A task whose data have to come before it can run


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


@pytest.mark.soak
@pytest.mark.usefixtures("eager")
def test_a_task_awaited_download_until_a_first_run_has_all_that_it_needs(
    home: Home, shards: Path, tmp_path: Path
) -> None:
    assert not awaited_download(home, "tiny")
    assert awaited_download(home, "nanochat")
    with served(shards) as hub:
        wanted = str(write_unpinned(tmp_path / "unpinned", hub.url))
        assert awaited_download(home, wanted)
        hub.missing.add("shard_9.parquet")
        said: list[str] = []

        async def work() -> None:
            preparation = Preparation(home, wanted)
            preparation._say = said.append
            working = asyncio.create_task(preparation.work())
            await until(lambda: sum(word == "HEAD shard_0.parquet" for word in hub.asked) > 2)
            hub.missing.clear()
            async with asyncio.timeout(PATIENCE_S):
                await working
            assert preparation.is_done

        asyncio.run(work())
        assert not awaited_download(home, wanted)
        shutil.rmtree(home.data / "tokens")
        assert awaited_download(home, wanted)
    (why,) = said  # once, however often it failed
    assert "cannot prepare unpinned's data, trying again later" in why
    assert "answers 404" in why
    assert "; try again later, or set ARNODE_DATA_URL" in why


def test_the_end_of_the_node_ends_the_child(home: Home, shards: Path, tmp_path: Path) -> None:
    with served(shards) as hub:
        wanted = str(write_unpinned(tmp_path / "unpinned", hub.url))
        hub.stalled.add("shard_0.parquet")

        async def work() -> None:
            async with preparing(home, wanted):
                await until(lambda: "GET shard_0.parquet" in hub.asked)

        asyncio.run(work())
        hub.stalled.clear()
        # Nobody holds its locks any more.
        load = partial(load_task, wanted, data_dir=home.data)
        assert settled_task(load, data_dir=home.data, data_url=None, progress=fail_if_waiting)


def fail_if_waiting(what: str, _share: float) -> None:
    assert "waiting" not in what


def settings(**given: Any) -> Config:
    return Config(task="nanochat", **given)


def test_what_is_made_for_a_card_is_not_fetched_without_one(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeDriver().install(monkeypatch)
    download = awaited_download(home, "nanochat")
    assert download is not None
    with pytest.raises(ConfigurationError) as caught:
        require_use(download, settings())
    said, hint = caught.value.message, caught.value.hint
    assert "task nanochat is made for an NVIDIA card, and no NVIDIA card was found" in said
    assert "about 1.3 GB in 13 files (2 min) at 100 Mbit/s" in said
    assert "the first run waits for 0.4 GB in 4 files (32 s)" in said
    for way in ("`arnode start` works on `tiny`", "--text", "`arnode task prepare nanochat`"):
        assert way in hint
    assert not home.data.exists() or not any(home.data.iterdir())


def test_what_is_made_for_a_card_that_cannot_be_used_is_not_fetched_for_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeDriver(cards=[FakeCard(name="NVIDIA GeForce RTX 3060", mib=12288)]).install(monkeypatch)
    monkeypatch.setattr(card_checks, "torch_cuda", lambda: None)
    download = awaited_download(home, "nanochat")
    assert download is not None
    with pytest.raises(ConfigurationError, match="torch is built for the CPU only") as caught:
        require_use(download, settings())
    assert " -m trainer.cards.install_torch cu1" in caught.value.hint
    with pytest.raises(ConfigurationError, match="found: 0 is rtx3060-12g"):
        require_use(download, settings(gpus=("1",)))


def test_what_is_made_for_a_card_is_fetched_with_one_and_what_is_not_is_fetched_without(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = FakeDriver(cards=[FakeCard(name="NVIDIA GeForce RTX 3060", mib=12288)])
    driver.install(monkeypatch)
    monkeypatch.setattr(LanguageModel, "card_fault", staticmethod(lambda _card: None))
    wanted = awaited_download(home, "nanochat")
    assert wanted is not None
    require_use(wanted, settings())
    driver.cards = []
    folder = write_unpinned(tmp_path / "unpinned", "http://127.0.0.1:1")
    plain = awaited_download(home, str(folder))
    assert plain == Download(files=4, first_files=3, file_mb=None, needs_card=False)
    require_use(plain, settings())
