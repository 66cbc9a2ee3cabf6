"""A home in which lanes find the short task prepared."""

from pathlib import Path

import pytest

from tests.conftest import SHORT_TASK
from tests.remote.programs import LaneHome
from trainer.language_model.data import TaskData
from trainer.task_folder.task import Task


@pytest.fixture
def lane_home(tmp_path: Path, short_task: Task, short_data: TaskData, data_dir: Path) -> LaneHome:
    assert short_data.is_complete
    return LaneHome.of(tmp_path / "lane", short_task, SHORT_TASK, data_dir)
