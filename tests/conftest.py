"""What every test may use: a short task, its data made once, a runner, a fresh home."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import hypothesis
import pytest

from protocol.source import Source
from tests.trainer.runners import SPLIT, runner_of
from trainer.kinds import load_task
from trainer.language_model.data import TaskData, prepare
from trainer.runner import Runner
from trainer.task_folder.task import Task

SHORT_TASK = Path(__file__).parent / "tasks" / "short"
DEAF_TASK = Path(__file__).parent / "tasks" / "deaf"
SECONDS_TASK = Path(__file__).parent / "tasks" / "seconds"

# Continuous integration shares its processors; an example's wall-clock says nothing there.
hypothesis.settings.register_profile("arnode", deadline=None)
hypothesis.settings.load_profile("arnode")

MakeRunner = Callable[[], AbstractAsyncContextManager[Runner]]


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def short_task(data_dir: Path) -> Task:
    return load_task(SHORT_TASK, data_dir=data_dir)


@pytest.fixture(scope="session")
def short_data(short_task: Task, data_dir: Path) -> TaskData:
    return prepare(short_task, data_dir=data_dir, progress=lambda _what, _share: None)


@pytest.fixture(scope="session")
def seconds_task(data_dir: Path) -> Task:
    """A script of autoresearch's shape with a budget of time."""
    return load_task(SECONDS_TASK, data_dir=data_dir)


@pytest.fixture(scope="session")
def seconds_data(seconds_task: Task, data_dir: Path) -> TaskData:
    return prepare(seconds_task, data_dir=data_dir, progress=lambda _what, _share: None)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of parquet shards. Only to be read."""
    from tests.trainer.hub import write_hub  # loads pyarrow, which few tests need

    return write_hub(tmp_path_factory.mktemp("shards"))


@pytest.fixture
def make_runner(short_task: Task, short_data: TaskData) -> MakeRunner:
    """A calibrated runner of the short task, to be used with `async with`."""

    @asynccontextmanager
    async def make() -> AsyncIterator[Runner]:
        runner = runner_of(short_task, short_data)
        try:
            await runner.calibrate(1, split=SPLIT)
            yield runner
        finally:
            await runner.close()

    return make


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
