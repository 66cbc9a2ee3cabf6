"""Small tasks whose imported evaluator calls a program by value."""

from pathlib import Path

from tests.trainer.program.tasks import HEAD, ONE_OF_EACH, read, write_task
from trainer.task_folder.task import Task

CALLED = 'editable = ["solve.py"]\nmodule = "solve.py"\n'
SCORE = """\
[metric]
name = "score"
unit = "points"
direction = "max"
max_step = 10.0
"""
# The evaluator's use of the program's path replaces BODY.
EVALUATOR = """\
import importlib.util

from judging import Wrong, random_of


def instance(seed, split, index):
    return {"seed": random_of(seed).randrange(1 << 31)}


def imported(path):
    spec = importlib.util.spec_from_file_location("program", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def evaluate(instance, path, vary):
BODY
"""
SOLVE = """\
LEVEL = 3


def solve(values):
    return [2 * one for one in values]
"""
SUM = "    return {'score': float(sum(imported(path).solve([1, 2])))}"


def evaluated(
    folder: Path,
    body: str = SUM,
    *,
    judging: str = "",
    solve: str = SOLVE,
    head: str = HEAD,
    files: dict[str, str] | None = None,
) -> Task:
    """Return the task of an evaluator with this body, and a program."""
    written = write_task(
        folder,
        head=head,
        how=CALLED,
        metric=SCORE,
        instances=ONE_OF_EACH,
        judge=EVALUATOR.replace("BODY", body),
        judging=judging,
        files={"solve.py": solve, **(files or {})},
    )
    return read(written)
