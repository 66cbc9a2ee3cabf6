"""A task that is opened, with what the user's settings say of its runs."""

import asyncio

import pytest

from node.home.config import Config
from node.home.home import Home
from node.line import open_task
from node.line.open_task import opened
from trainer.host.device import processor
from trainer.language_model.data import TaskData
from trainer.language_model.kind import LanguageModel
from trainer.task_folder.task import Task


@pytest.mark.parametrize(
    ("config", "patience_s", "forks_untrusted"),
    [(Config(), 180.0, True), (Config(quiet_minutes=0.5, fork="own"), 30.0, False)],
)
def test_settings_reach_the_runs(
    config: Config,
    patience_s: float,
    home: Home,
    short_task: Task,
    short_data: TaskData,
    monkeypatch: pytest.MonkeyPatch,
    *,
    forks_untrusted: bool,
) -> None:
    asked: list[float] = []

    class Runner(open_task.Runner):
        def __init__(self, *words: object, patience_s: float, **named: object) -> None:
            asked.append(patience_s)
            super().__init__(*words, patience_s=patience_s, **named)  # type: ignore[arg-type]

    async def open_it() -> bool:
        progress = lambda _what, _share: None  # noqa: E731
        async with opened(
            home, config, short_task, progress, devices=[processor()], needs_all=False
        ) as session:
            return session.forks_untrusted

    monkeypatch.setattr(open_task, "Runner", Runner)
    monkeypatch.setattr(LanguageModel, "prepare", lambda *_words, **_named: short_data)
    assert asyncio.run(open_it()) == forks_untrusted
    assert asked == [patience_s]
