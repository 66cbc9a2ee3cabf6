"""Fixtures for all tests: small tasks, their data (prepared once), edits of a baseline."""

import fcntl
import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

from protocol.source import Source
from tests.trainer.runners import prepare_all
from trainer.language_model.data import TaskData
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

pytest_plugins = ["tests.longest_first", "tests.skips"]

SHORT_TASK = Path(__file__).parent / "tasks" / "short"
DEAF_TASK = Path(__file__).parent / "tasks" / "deaf"
UNHURRIED_TASK = Path(__file__).parent / "tasks" / "unhurried"
SECONDS_TASK = Path(__file__).parent / "tasks" / "seconds"

# Continuous integration machines are shared, so the wall-clock time of an example means nothing.
hypothesis.settings.register_profile("arnode", deadline=None, max_examples=15)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=200)  # make soak
hypothesis.settings.load_profile("arnode")

# The modules imported to collect all tests are no garbage. Searching them, then and in each later
# test, would take a fifth of the time.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


# If a shell starts this with `&`, this process and its children would ignore interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _ignore_progress(_what: str, _share: float) -> None:
    pass


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Lock a folder against other workers until the block ends, or this process."""
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a folder for what is made once and used by all workers."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def data_dir(shared: Path) -> Path:
    """Return a folder with data of tasks, which one worker at a time may prepare."""
    folder = shared / "data"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def short_task(data_dir: Path) -> Task:
    return load_task(SHORT_TASK, data_dir=data_dir)


@pytest.fixture(scope="session")
def short_data(short_task: Task, data_dir: Path) -> TaskData:
    with one_at_a_time(data_dir):
        return prepare_all(short_task, data_dir=data_dir, progress=_ignore_progress)


@pytest.fixture(scope="session")
def seconds_task(data_dir: Path) -> Task:
    """Return a task with a script shaped like autoresearch's, which trains for a fixed time."""
    return load_task(SECONDS_TASK, data_dir=data_dir)


@pytest.fixture(scope="session")
def seconds_data(seconds_task: Task, data_dir: Path) -> TaskData:
    with one_at_a_time(data_dir):
        return prepare_all(seconds_task, data_dir=data_dir, progress=_ignore_progress)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of parquet shards, which is only to be read."""
    from tests.trainer.hub import write_hub  # loads pyarrow, which few tests need

    return write_hub(tmp_path_factory.mktemp("shards"))


@pytest.fixture
def edited(short_task: Task) -> Callable[..., Source]:
    """Return a function that replaces texts in the baseline: `edited((old, new), …)`.

    Each old text must occur.
    """

    def edit(*replacements: tuple[str, str]) -> Source:
        text = short_task.source["train.py"].decode()
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        return short_task.source.replacing("train.py", text.encode())

    return edit
