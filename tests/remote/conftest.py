"""Homes in which lanes find a task prepared."""

from pathlib import Path

import pytest

from tests.conftest import SHORT_TASK, UNHURRIED_TASK
from tests.remote.programs import LaneHome
from trainer.language_model.data import TaskData
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task


@pytest.fixture
def lane_home(tmp_path: Path) -> LaneHome:
    """A home whose lanes run a program."""
    task = load_task(UNHURRIED_TASK, data_dir=tmp_path)
    return LaneHome.of(tmp_path / "lane", task, UNHURRIED_TASK)


@pytest.fixture
def training_home(
    tmp_path: Path, short_task: Task, short_data: TaskData, data_dir: Path
) -> LaneHome:
    """A home whose lanes train a model."""
    assert short_data.is_complete
    home = LaneHome.of(tmp_path / "training", short_task, SHORT_TASK)
    (home.root / "data").symlink_to(data_dir)
    return home
