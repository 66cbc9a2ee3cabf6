"""Drafts of tasks whose imported evaluator runs in another sandbox than the program.

Such a task folder differs from that of a self-scored task in two points: `module` names the
program, and only the judge has the evaluator's files. The program has the files that it imports.
"""

import ast
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from trainer.host.folder_files import FolderFile
from trainer.importing.draft import JUDGE_FILE, LARGEST_FIGURE, PROGRAM_FILE, TaskDraft
from trainer.importing.reading import read_python, read_text
from trainer.importing.self_scored import SelfScored
from trainer.importing.separable import imported_modules, varied, why_together
from trainer.importing.toml_text import Value

_JUDGE: Final = '''"""Runs the evaluator, which calls the program's functions with plain data.

Only the judge's sandbox has these files. `vary` is a field of [judge] in task.toml.
"""

import importlib
import math
import os
import random
from pathlib import Path

from judging import Wrong, random_of

METRIC = {metric}
GUARDS = {guards}
LARGEST = {largest}  # records cannot contain larger figures
DIVISOR = 1.0


def instance(seed, split, index):
    """Return an instance: the seed for the evaluator's random numbers and for `vary`."""
    return {{"seed": random_of(seed).randrange(1 << 31)}}


def evaluate(instance, program, vary):
    """Return the evaluator's figures for the metric and the guards of the task."""
    given = _varied(vary, instance["seed"])
    measure, reporting = map(importlib.import_module, ("measure", "reporting"))
    reporting.IS_JUDGED = True
    try:
        reported = measure.measured(program, **given)
    except reporting.Failed as why:
        raise Wrong(str(why)) from why
    print({{name: number for name, number in reported.items() if math.isfinite(number)}})
    figures = {{}}
    for name in [METRIC, *GUARDS]:
        number = reported.get(name, math.nan) / (DIVISOR if name == METRIC else 1.0)
        if not math.isfinite(number):
            raise Wrong(f"the evaluator reported no finite {{name}}, only {{sorted(reported)}}")
        if not abs(number) < LARGEST:
            raise Wrong(f"{{name}} is not below {{LARGEST:g}}: set DIVISOR in judge.py")
        figures[name] = number
    return figures


def _varied(vary, seed):
    """Apply the seed to an argument, an environment variable, or the choice of half the files."""
    what, _, name = vary.partition(" ")
    if what == "variable":
        os.environ[name] = str(seed)
    elif what == "folder":
        files = sorted(one for one in Path(name).rglob("*") if one.is_file())
        for one in random.Random(seed).sample(files, len(files) // 2):
            one.unlink()
    return {{name: seed}} if what == "argument" else {{}}
'''
_PUBLIC: Final = "judged, public instances: the evaluator gives every candidate the same problem"
_HELD_OUT: Final = "judged, held out: {} is drawn for each run"


def draft_of_evaluator(
    found: SelfScored,
    evaluator: str,
    *,
    scores: frozenset[str],
    enforced: Mapping[str, Mapping[str, float]],
    function: ast.FunctionDef | ast.AsyncFunctionDef | None = None,
    self_scored: bool = False,
) -> TaskDraft:
    """Return the draft of a task with an imported evaluator: judged if possible, else self-scored.

    `evaluator` is the name of the evaluator's file. `scores` are the figures that its score
    consists of. `enforced` are the guards that it checks itself. `function` is the evaluator's
    function that takes the program's path. Raises ConfigurationError if a task may not have these
    files.
    """
    modules = {
        name: file
        for name in (evaluator, *_needed(found.files, found.files[evaluator], with_named=True))
        if isinstance(file := found.files.get(name), FolderFile) and file.suffix == ".py"
    }
    why = "you asked for it" if self_scored else _why_together(found, modules, scores)
    if why is not None:
        return replace(found, why=why).draft()
    trees = {name: read_python(file) for name, file in modules.items()}
    found = replace(found, guards=enforced)
    return _judged_draft(found, modules=modules, vary=varied(function, trees))


def _why_together(
    found: SelfScored, modules: Mapping[str, FolderFile], scores: frozenset[str]
) -> str | None:
    programs = list(found.editable.values())
    program = programs[0] if len(programs) == 1 else None
    if not isinstance(program, FolderFile):
        return "several files are edited"
    return why_together(program, modules, scores=scores, device=found.device)


def _judged_draft(
    found: SelfScored, *, modules: Mapping[str, FolderFile], vary: str | None
) -> TaskDraft:
    found.check_files()
    (program,) = found.editable
    needed = _needed(found.files, found.editable[program])
    own = found.own_files()
    judges = {**own, **{name: one for name, one in found.files.items() if name not in needed}}
    judge = _JUDGE.format(
        metric=repr(found.metric), guards=list(found.guards), largest=LARGEST_FIGURE
    )
    says = _PUBLIC if vary is None else _HELD_OUT.format(vary)
    return TaskDraft(
        table=_table(found, program, sorted(needed), _judge(found, judges, modules, vary)),
        comments={
            "module": "the evaluator calls its functions with plain data, from another sandbox",
            "threads": "more than one, so that the program may start processes",
            "noise_floor": "not measured yet: `arnode task check` measures it",
            "metric.max_step": "the largest plausible gain is unknown",
        },
        files={
            **found.editable,
            **{name: found.files[name] for name in needed},
            **judges,
            JUDGE_FILE: judge.encode(),
            PROGRAM_FILE: found.program_text(
                f"An evaluator imports `{program}`, calls its functions with plain"
                " data and sees only what they return.",
                f"This task was imported from {found.system}. Its evaluator runs in another"
                " sandbox. Only numbers, texts, lists, dicts and numpy arrays cross between them.",
            ).encode(),
        },
        is_trusted=True,
        notes=(*found.notes, says),
    )


def _judge(
    found: SelfScored,
    files: Mapping[str, FolderFile | bytes],
    modules: Mapping[str, FolderFile],
    vary: str | None,
) -> dict[str, Value]:
    """Return the [judge] section of task.toml."""
    judge: dict[str, Value] = {"file": JUDGE_FILE, "files": sorted(files)}
    if vary is not None:
        judge["vary"] = vary
    if requires := found.requires(modules):
        judge["requires"] = requires
    return judge


def _table(
    found: SelfScored, program: str, needed: list[str], judge: dict[str, Value]
) -> dict[str, Value]:
    table: dict[str, Value] = {}
    shown = {**found.editable, **{name: found.files[name] for name in needed}}
    for name, value in found.table(needed).items():
        if name == "threads" and not found.starts_processes(shown):
            continue  # the evaluator starts processes in its own sandbox
        if name == "run":
            table["module"] = program
        elif name == "judge":
            table["judge"] = judge
        elif name not in ("encoding", "scoring", "requires") and value != []:
            table[name] = value
    if requires := found.requires(shown):
        table = _with_requires(table, requires)
    return table


def _with_requires(table: Mapping[str, Value], requires: list[str]) -> dict[str, Value]:
    """Return a table with `requires` placed before its sections, as TOML needs it."""
    plain = {name: value for name, value in table.items() if not isinstance(value, Mapping)}
    return {**plain, "requires": requires, **table}


def _needed(
    files: Mapping[str, FolderFile | bytes],
    first: FolderFile | bytes,
    *,
    with_named: bool = False,
) -> list[str]:
    """Return the files that a module imports or names, and the files that these need in turn.

    `with_named` includes Python modules that are only named, since an evaluator may start one as a
    script.
    """
    waiting, needed = [first], list[str]()
    while waiting:
        file = waiting.pop()
        if not isinstance(file, FolderFile) or file.suffix != ".py":
            continue
        text = read_text(file)
        roots = {part for one in imported_modules(read_python(file)) for part in one.split(".")}
        for name, other in files.items():
            path = PurePosixPath(name)
            is_module = path.suffix == ".py" and not roots.isdisjoint({path.stem, *path.parts})
            is_named = path.name in text and (with_named or path.suffix != ".py")
            if name not in needed and (is_module or is_named) and other is not first:
                needed.append(name)
                waiting.append(other)
    return needed
