"""Judges of the shipped tasks, loaded as their sandbox loads them: by path, next to `judging`."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from trainer.program.harness import judging
from trainer.task_folder.folder import BUILTIN_FOLDER


def load_judge(name: str) -> ModuleType:
    """Return a new copy of the judge of a shipped task, which a test may make smaller."""
    return judge_of(BUILTIN_FOLDER / name)


def judge_of(folder: Path) -> ModuleType:
    """Return a new copy of the judge of a task's folder."""
    sys.modules["judging"] = judging
    name = f"judge_of_{folder.name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, folder / "judge.py")
    assert spec is not None
    assert spec.loader is not None
    judge = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(judge)
    return judge
