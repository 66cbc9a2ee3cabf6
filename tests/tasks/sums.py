"""A small program task for tests: add up numbers. The baseline is off by a hyperparameter."""

from pathlib import Path
from typing import Final

SOLVE: Final = """\
OFF = 8


def solve(instance):
    return sum(instance["numbers"]) + OFF
"""
JUDGE: Final = """\
from judging import Wrong, random_of


def instance(seed, split, index):
    chance = random_of(seed)
    return {"numbers": [chance.randrange(100) for _ in range(10)]}


def check(instance, answer):
    if type(answer) is not int:
        raise Wrong("it is no whole number")
    return {"error": abs(answer - sum(instance["numbers"]))}
"""
TASK: Final = """\
name = "sums"
version = 1
kind = "program"
title = "Add up numbers"
editable = ["solve.py"]
program = "program.md"
entry = "solve.py:solve"
limit_s = 5
memory_gb = 0.5
max_source_growth = 4000
noise_floor = 0.5
device = "any"

[judge]
file = "judge.py"

[metric]
name = "error"
unit = "ones"
direction = "min"
max_step = 100.0

[instances]
public = 2
secret = 2

[bound]
impossible = -0.5

[hyperparameters.OFF]
type = "int"
low = 0
high = 8
"""


def write_sums(folder: Path, *, judge: str = JUDGE, solve: str = SOLVE, task: str = TASK) -> None:
    """Write the task's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("judge.py", judge), ("solve.py", solve), ("task.toml", task)):
        (folder / name).write_text(text)
    (folder / "program.md").write_text("Add up the numbers.\n")
