"""Fixtures for all tests: small tasks, their data (made once), edits of a baseline."""

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

# Continuous integration shares its processors; an example's wall-clock says nothing there.
hypothesis.settings.register_profile("arnode", deadline=None, max_examples=15)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=200)  # make soak
hypothesis.settings.load_profile("arnode")

# Of what is imported to collect all tests nothing is garbage: to look for it, then and in each test
# later, is a fifth of the work.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


# A shell that starts this with `&` has it, and all that it starts, ignore interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _silent(_what: str, _share: float) -> None:
    pass


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Keep other workers out of a folder until the block ends, or this process."""
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder for what is made once and used by all workers."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def data_dir(shared: Path) -> Path:
    """Data of tasks, to be prepared one at a time."""
    folder = shared / "data"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def short_task(data_dir: Path) -> Task:
    return load_task(SHORT_TASK, data_dir=data_dir)


@pytest.fixture(scope="session")
def short_data(short_task: Task, data_dir: Path) -> TaskData:
    with one_at_a_time(data_dir):
        return prepare_all(short_task, data_dir=data_dir, progress=_silent)


@pytest.fixture(scope="session")
def seconds_task(data_dir: Path) -> Task:
    """A script of autoresearch's shape with a budget of time."""
    return load_task(SECONDS_TASK, data_dir=data_dir)


@pytest.fixture(scope="session")
def seconds_data(seconds_task: Task, data_dir: Path) -> TaskData:
    with one_at_a_time(data_dir):
        return prepare_all(seconds_task, data_dir=data_dir, progress=_silent)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of parquet shards. Only to be read."""
    from tests.trainer.hub import write_hub  # loads pyarrow, which few tests need

    return write_hub(tmp_path_factory.mktemp("shards"))


@pytest.fixture
def edited(short_task: Task) -> Callable[..., Source]:
    """The baseline with texts replaced: `edited((old, new), …)`; each must be there."""

    def edit(*replacements: tuple[str, str]) -> Source:
        text = short_task.source["train.py"].decode()
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        return short_task.source.replacing("train.py", text.encode())

    return edit
