"""An importer of ShinkaEvolve's folders: `initial.*`, `evaluate.py` and `run_evo.py`.

`run_evo.py` has the prompt for models. The evaluator becomes a judge in a sandbox of its own if it
only calls functions of the program with plain data, and if its score contains no measured time.
Otherwise the task is self-scored.
"""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from node.exchange.importers import SELF_SCORED, Importer, TaskReader
from trainer.host.folder_files import FolderFile, find_file, named_files
from trainer.importing.dependencies import toolchains_called
from trainer.importing.draft import TaskDraft
from trainer.importing.judged import draft_of_evaluator
from trainer.importing.reading import (
    System,
    constant_texts,
    explaining_reads,
    other_files,
    read_python,
    read_text,
    read_yaml,
    table_in,
    text_in,
)
from trainer.importing.self_scored import SelfScored

_SCRIPT: Final = Path(__file__).parent / "scripts" / "shinka.py"
SYSTEM: Final = System(
    "ShinkaEvolve",
    "name the folder that holds initial.py with an EVOLVE-BLOCK, and evaluate.py, which takes"
    " --program_path and --results_dir",
)
_EVALUATOR: Final = "evaluate.py"
_RUNNER: Final = "run_evo.py"
_METRIC: Final = "combined_score"
_TIMEOUT_S: Final = 300  # our own choice: upstream's jobs have no limit by default
_TRUST: Final = (
    "To make it a trusted task, let the program print what its experiment function returns, and"
    " move validation and aggregation into judge.py's check(instance, answer), which recomputes the"
    " score instead of believing a reported one."
)


def read_task(folder: Path, *, self_scored: bool = False) -> TaskDraft:
    """Return the task of a folder. Raises ConfigurationError if it is not one of ShinkaEvolve."""
    SYSTEM.check(folder)
    evaluator = find_file(folder, _EVALUATOR)
    if evaluator is None:
        raise SYSTEM.missing(folder, f"there is no {_EVALUATOR}")
    tree = read_python(evaluator)
    if "program_path" not in read_text(evaluator):
        raise SYSTEM.missing(folder, f"{_EVALUATOR} takes no --program_path")
    with explaining_reads(folder):
        programs = named_files(folder, "initial.*")
    if len(programs) != 1:
        raise SYSTEM.missing(folder, f"there are {len(programs)} files initial.* in it")
    program = programs[0]
    runner = find_file(folder, _RUNNER)
    message, limit_s = _runner(runner) if runner else ("", _TIMEOUT_S)
    marked = "EVOLVE-BLOCK-START" in read_text(program)
    parts = ["Change only the lines between the EVOLVE-BLOCK marks."] if marked else []
    if message := message or _configured(folder):
        parts.append(f"## The prompt for ShinkaEvolve\n\n{message}")
    found = SelfScored(
        system=SYSTEM.name,
        name=folder.resolve().name,
        title=f"ShinkaEvolve's {folder.resolve().name}: raise {_METRIC}",
        script=_SCRIPT,
        settings={"PROGRAM": program.name},
        editable={program.name: program},
        files={
            name: path
            for name, path in other_files(folder, without={program.name, _RUNNER}).items()
            if not (name.startswith("results") or path.suffix in {".yaml", ".yml"})
        },
        metric=_METRIC,
        unit="score",
        direction="max",
        limit_s=limit_s,
        packages_without=frozenset({"shinka"}),
        toolchains=toolchains_called([tree]),
        description="\n\n".join(parts),
        trust=_TRUST,
    )
    return draft_of_evaluator(
        found, _EVALUATOR, scores=frozenset({_METRIC}), enforced={}, self_scored=self_scored
    )


def _runner(path: FolderFile) -> tuple[str, int]:
    """Return the prompt for models and the time limit of an evaluation in seconds."""
    tree = read_python(path)
    texts = constant_texts(tree)
    message, limit_s = "", _TIMEOUT_S
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "task_sys_msg":
            message = message or _text(node.value, texts)
        elif isinstance(node, ast.keyword) and node.arg == "time":
            limit_s = _seconds(_text(node.value, texts)) or limit_s
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            key = node.targets[0].slice
            if isinstance(key, ast.Constant) and key.value == "task_sys_msg":
                message = message or _text(node.value, texts)
    return message.strip(), limit_s


def _configured(folder: Path) -> str:
    with explaining_reads(folder):
        tables = [read_yaml(file) for file in named_files(folder, "*.yaml")]
    messages = [text_in(table_in(table, "evo_config"), "task_sys_msg") for table in tables]
    return next((one for one in messages if one), "")


def _text(node: ast.expr, texts: Mapping[str, str]) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return texts.get(node.id, "") if isinstance(node, ast.Name) else ""


def _seconds(clock: str) -> int:
    """Return the seconds of `hours:minutes:seconds`, or 0 if the text has another form."""
    parts = clock.split(":")
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        return 0
    hours, minutes, seconds = map(int, parts)
    return hours * 3600 + minutes * 60 + seconds


IMPORTER: Final = Importer(
    task=TaskReader(
        summary="""Import initial.py, evaluate.py and run_evo.py.

        The task is judged if its evaluator only exchanges plain data, else self-scored.""",
        read=read_task,
        options=(SELF_SCORED,),
    )
)
