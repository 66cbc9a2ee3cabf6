"""Small program tasks in a test's own folder, and runs of their sources.

Most tests use `add`: its baseline has an error of 3, so that there is a metric.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self, TypeVar

from protocol.source import Source
from tests.trainer.runners import SPLIT
from trainer.measuring.models import KeptModels
from trainer.measuring.outcome import RunOutcome
from trainer.program.stages import ProgramStages
from trainer.runner import Runner
from trainer.task_folder.task import Task
from trainer.task_kinds import kind_of, load_task

T = TypeVar("T")

HEAD = """\
name = "add"
version = 1
kind = "program"
title = "Add numbers"
program = "program.md"
limit_s = 20
memory_gb = 1.0
max_source_growth = 8000
noise_floor = 0.001
"""
CALLED = 'editable = ["solve.py"]\nentry = "solve.py:solve"\n'
METRIC = """\
[metric]
name = "error"
unit = "units"
direction = "min"
max_step = 10.0
"""
DRAWN = "[instances]\npublic = 2\nsecret = 2\n"
ONE_OF_EACH = "[instances]\npublic = 1\nsecret = 1\n"
SOLVE = """\
STEP = 3


def solve(instance):
    return sum(instance["numbers"]) + STEP
"""
JUDGE = """\
from judging import Wrong, random_of


def instance(seed, split, index):
    chance = random_of(seed)
    return {"numbers": [chance.randrange(100) for _ in range(10)]}


def check(instance, answer):
    if type(answer) is not int:
        raise Wrong("not a whole number")
    return {"error": abs(answer - sum(instance["numbers"]))}
"""


def write_task(
    folder: Path,
    *,
    head: str = HEAD,
    how: str = CALLED,
    metric: str = METRIC,
    instances: str = DRAWN,
    more: str = "",
    judge: str = JUDGE,
    judging: str = "",
    files: dict[str, str] | None = None,
) -> Path:
    """Write a task's folder.

    `how` are the lines about running it, `judging` additional lines about the judge, `more`
    additional sections.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = f'{head}{how}[judge]\nfile = "judge.py"\n{judging}{metric}{instances}{more}'
    written = {"task.toml": text, "judge.py": judge, "program.md": "Add.\n"}
    for name, content in (written | ({"solve.py": SOLVE} if files is None else files)).items():
        (folder / name).write_text(content)
    return folder


def read(folder: Path) -> Task:
    """Return the task of a folder. Raises ConfigurationError."""
    return load_task(folder, data_dir=folder)


class Bench:
    """A runner of a program task with its own event loop, for use with `with`."""

    def __init__(self, task: Task, *, models: KeptModels | None = None) -> None:
        self.task = task
        self._loop = asyncio.Runner()
        data = kind_of(task.manifest).prepare(
            task, data_dir=Path(), progress=lambda _what, _share: None
        )
        self.runner = Runner(task, data, audit_key=b"a test's key", patience_s=0.0, models=models)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self.runner.close())
        self._loop.close()

    @property
    def stages(self) -> ProgramStages:
        """The internal stages of the runner."""
        assert isinstance(self.runner._stages, ProgramStages)
        return self.runner._stages

    def do(self, wanted: Awaitable[T]) -> T:
        """Await something on this bench's loop."""

        async def awaited() -> T:
            return await wanted

        return self._loop.run(awaited())

    def calibrate(self, seed: int = 1) -> RunOutcome:
        """Run the baseline first."""
        return self.do(self.runner.calibrate(seed, split=SPLIT))

    def run(self, *texts: str, seed: int = 1, split: bytes = SPLIT) -> RunOutcome:
        """Run a source, given as texts of the editable files in order, or the baseline."""
        source = self.task.source
        if texts:
            both = zip(self.task.editable, texts, strict=True)
            source = Source.of({path: text.encode() for path, text in both})
        return self.do(self.runner.run(source, seed, split=split))


def figures(outcome: RunOutcome) -> tuple[int | None, int | None]:
    """Return both scores of a successful run."""
    assert (outcome.status, outcome.reason) == ("ok", None), (outcome.reason, outcome.log_tail)
    return outcome.metric_nano, outcome.secret_nano


MakeBench = Callable[..., Bench]
