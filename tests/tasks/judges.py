"""Judges of the shipped tasks, loaded as their sandbox loads them: by path, beside `judging`."""

import importlib.util
import sys
from types import ModuleType

from trainer.program.harness import judging
from trainer.task_folder.folder import BUILTIN_FOLDER


def load_judge(name: str) -> ModuleType:
    """Return a new copy of the judge of a shipped task, which a test may make smaller."""
    sys.modules["judging"] = judging
    path = BUILTIN_FOLDER / name / "judge.py"
    spec = importlib.util.spec_from_file_location(f"judge_of_{name.replace('-', '_')}", path)
    assert spec is not None
    assert spec.loader is not None
    judge = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(judge)
    return judge
