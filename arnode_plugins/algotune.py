"""An importer of AlgoTune's tasks: a class with `generate_problem`, `solve` and `is_solution`.

They become trusted tasks. The judge uses the class to make problems from seeds and to check
answers. The candidate contains only `solve` and the code that it needs, without the checker. The
metric is the time by the node's clock.
"""

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from arnode_plugins.extraction import bound_by
from arnode_plugins.solving import TaskModule, candidate_text, judge_text
from node.exchange.importers import Importer, Option, TaskReader
from trainer.host.folder_files import find_file, named_files
from trainer.importing.dependencies import packages_of
from trainer.importing.draft import (
    JUDGE_FILE,
    MAX_SOURCE_GROWTH,
    PROGRAM_FILE,
    TaskDraft,
    one_line,
    safe_name,
)
from trainer.importing.reading import System, explaining_reads, read_python, read_text
from trainer.importing.toml_text import Value

SYSTEM: Final = System(
    "AlgoTune",
    "name a task's folder: it holds description.txt and a module with a class that has"
    " generate_problem(n, random_seed), solve(problem) and is_solution(problem, solution)",
)
_METHODS: Final = ("generate_problem", "solve", "is_solution")
_SOLVE_FILE: Final = "solve.py"
_REPORT: Final = Path("reports", "generation.json")
_USUAL_SIZES: Final = (8, 16, 32)
_FEWEST_FOR_STRATA: Final = 16  # a quarter of a smaller size may not be a valid problem
_PROBLEM_MB: Final = 64  # the largest tenth of upstream's problems have more than 11 MB
_JUDGE_S: Final = 600  # a run's problems are made at once, the largest of them several times
_MAX_REPORT_BYTES: Final = 16 << 20
_NO_SIZES: Final = (
    "no problem sizes are known to take long enough: give --size, or set SIZES in judge.py"
)
_SCALED: Final = (
    f"a problem that would take more than {_PROBLEM_MB} MB (instance_mb in task.toml) is made"
    " smaller: its n is halved until it fits"
)
_WHOSE: Final = (
    "## How it is measured\n\nA judge makes the problems, takes the time and checks the answers."
    " This program cannot access the judge, so the task is trusted."
)
_NOISE: Final = 0.02  # as a share of the baseline's seconds, on a quiet machine


def read_task(folder: Path, *, size: Sequence[int] = ()) -> TaskDraft:
    """Return the task of a folder. `size` lists the sizes of its problems.

    By default the sizes are from AlgoTune's report. Raises ConfigurationError if it is not a folder
    of AlgoTune.
    """
    SYSTEM.check(folder)
    module = _module(folder)
    found = tuple(size) or _upstream_sizes(folder)
    chosen = found or _USUAL_SIZES
    candidate = candidate_text(module)
    judge = judge_text(module, chosen, most_bytes=_PROBLEM_MB * 1_000_000)
    about = find_file(folder, "description.txt")
    description = read_text(about).strip() if about else ""
    summary = f"problems of size {', '.join(map(str, chosen))}, checked by is_solution"
    notes = [f"trusted: {summary}", *([] if found else [_NO_SIZES]), _SCALED]
    name = folder.resolve().name
    judges = packages_of([ast.parse(judge)])
    # As upstream, a solution may import the packages that the checker imports.
    requires = sorted({*judges, *packages_of([ast.parse(candidate)])})
    return TaskDraft(
        table=_table(name, requires, judges),
        comments={
            "noise_floor": "not measured yet: `arnode task check` measures it",
            "metric.unit": "of the baseline's seconds on the same problems",
        },
        files={
            _SOLVE_FILE: candidate.encode(),
            JUDGE_FILE: judge.encode(),
            PROGRAM_FILE: _program(name, description, chosen).encode(),
        },
        is_trusted=True,
        notes=tuple(notes),
    )


def _module(folder: Path) -> TaskModule:
    named = find_file(folder, f"{folder.resolve().name}.py")
    with explaining_reads(folder):
        paths = [named] if named else named_files(folder, "*.py")
    for path in paths:
        tree = read_python(path)
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and _METHODS[1] in _members(node):
                missing = [name for name in _METHODS if name not in _members(node)]
                if missing:
                    raise SYSTEM.missing(folder, f"{node.name} has no {' and no '.join(missing)}")
                return TaskModule(path, read_text(path), tree, node)
    raise SYSTEM.missing(folder, "no module in it has a class with a method solve")


def _members(task: ast.ClassDef) -> set[str]:
    return set().union(*(bound_by(one) for one in task.body))


def _upstream_sizes(folder: Path) -> tuple[int, ...]:
    """Return problem sizes up to the one that AlgoTune's report gives for the task.

    Return no sizes if there is no valid report in the three folders above.
    """
    name = folder.resolve().name
    for parent in folder.resolve().parents[:3]:
        report = find_file(parent, _REPORT)
        if report is None:
            continue
        try:
            size = json.loads(report.read(limit_bytes=_MAX_REPORT_BYTES))[name]["n"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return ()
        if type(size) is not int or size < 1:
            return ()
        return (size // 4, size // 2, size) if size >= _FEWEST_FOR_STRATA else (size,)
    return ()


def _table(name: str, requires: list[str], judges: list[str]) -> dict[str, Value]:
    table: dict[str, Value] = {
        "name": safe_name(name),
        "version": 1,
        "kind": "program",
        "title": one_line(f"AlgoTune's {name}: the same answers in less time"),
        "editable": [_SOLVE_FILE],
        "program": PROGRAM_FILE,
        "entry": f"{_SOLVE_FILE}:solve",
        "encoding": "arrays",
        "isolation": "fresh",
        "warmup": 1,
        "warmup_limit_s": 30,  # compilers run in it
        "limit_s": 60,
        "memory_gb": 4.0,
        "instance_mb": _PROBLEM_MB,
        "answer_mb": _PROBLEM_MB,
        "max_source_growth": MAX_SOURCE_GROWTH,
        "noise_floor": _NOISE,
        "device": "cpu",
    }
    if requires:
        table["requires"] = requires
    judge: dict[str, Value] = {"file": JUDGE_FILE, "limit_s": _JUDGE_S}
    table["judge"] = {**judge, "requires": judges} if judges else judge
    table["metric"] = {
        "name": "wall_s",
        "unit": "share",
        "direction": "min",
        "aggregate": "geomean",
        "max_step": 1.0,  # the largest possible gain is the whole time
    }
    table["instances"] = {"public": 12, "secret": 12}
    return table


def _program(name: str, description: str, sizes: Sequence[int]) -> str:
    listed = ", ".join(str(size) for size in sizes)
    aim = (
        f"Make `solve(problem)` in `{_SOLVE_FILE}` as fast as you can: it must return a solution of"
        " every problem that it is given. The metric is its wall-clock time as a share of the"
        f" baseline's on the same problems, the geometric mean over them. n is {listed} in turn;"
        f" {_SCALED}."
    )
    problem = f"## The problem\n\n{description}" if description else ""
    parts = [f"# {name}, faster", aim, problem, _WHOSE]
    return "\n\n".join(part for part in parts if part) + "\n"


IMPORTER: Final = Importer(
    task=TaskReader(
        summary="Import a task's class: the judge gets the class, the candidate only solve.",
        read=read_task,
        options=(
            Option(name="size", help="A size n of the problems to solve.", kind=int, is_many=True),
        ),
    )
)
