"""An importer of OpenEvolve's folders: `initial_program.*`, `evaluator.py` and `config.yaml`.

SkyDiscover's folders have the evaluator in `evaluator/`. The evaluator becomes a judge in a sandbox
of its own if it only calls functions of the program with plain data, and if its score contains no
measured time. Otherwise the task is self-scored. Evaluation stages are imported too: a candidate
must reach at least the stage that the baseline reaches.
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
    explaining_reads,
    functions_in,
    number_in,
    other_files,
    read_python,
    read_text,
    read_yaml,
    table_in,
    text_in,
)
from trainer.importing.self_scored import SelfScored

_SCRIPT: Final = Path(__file__).parent / "scripts" / "openevolve.py"
SYSTEM: Final = System(
    "OpenEvolve",
    "name the folder that holds initial_program.py with an EVOLVE-BLOCK, evaluator.py with"
    " evaluate(program_path), and config.yaml",
)
_EVALUATOR: Final = "evaluator.py"
_IN_ITS_FOLDER: Final = "evaluator/evaluator.py"  # in SkyDiscover, which builds a container of it
_METRIC: Final = "combined_score"
_MARK: Final = "EVOLVE-BLOCK-START"
_SUFFIXES: Final = (".py", ".rs", ".r", ".cpp", ".c", ".js", ".txt")
_MAX_PROGRAM_BYTES: Final = 4 << 20  # a longer file is not a program
_THRESHOLDS: Final = (0.5, 0.75, 0.9)  # upstream's defaults
_TIMEOUT_S: Final = 300  # upstream's default
_TRUST: Final = (
    "To make it a trusted task, let the program print its result instead of returning it to the"
    " evaluator, and move what the evaluator checks into judge.py's check(instance, answer), which"
    " computes the score from that result alone."
)


def read_task(folder: Path, *, self_scored: bool = False) -> TaskDraft:
    """Return the task of a folder. Raises ConfigurationError if it is not one of OpenEvolve."""
    SYSTEM.check(folder)
    evaluator = find_file(folder, _EVALUATOR) or find_file(folder, _IN_ITS_FOLDER)
    if evaluator is None:
        raise SYSTEM.missing(folder, f"there is no {_EVALUATOR}")
    tree = read_python(evaluator)
    functions = functions_in(tree)
    if "evaluate" not in functions:
        raise SYSTEM.missing(folder, f"{_EVALUATOR} has no function evaluate(program_path)")
    program = _program(folder)
    config = _config(folder)
    thresholds = _thresholds(table_in(config, "evaluator"), functions)
    guards = {"stages_missed": {"times": 1.0}} if thresholds else {}
    is_combined = _METRIC in read_text(evaluator)
    found = SelfScored(
        system=SYSTEM.name,
        name=folder.resolve().name,
        title=f"OpenEvolve's {folder.resolve().name}: raise {_METRIC}",
        script=_SCRIPT,
        settings={
            "PROGRAM": program.name,
            "EVALUATOR": evaluator.inside,
            "THRESHOLDS": thresholds,
            "IS_COMBINED": is_combined,
            "FEATURES": _features(config),
        },
        editable={program.name: program},
        files={
            name: path
            for name, path in other_files(folder, without={program.name}).items()
            if not _is_of_a_run(path)
        },
        metric=_METRIC,
        unit="score",
        direction="max",
        guards=guards,
        limit_s=int(number_in(table_in(config, "evaluator"), "timeout") or _TIMEOUT_S),
        packages_without=frozenset({"openevolve", "wrapper"}),
        toolchains=toolchains_called([tree]),
        description=_description(read_text(program), config, thresholds),
        trust=_TRUST,
    )
    return draft_of_evaluator(
        found,
        evaluator.inside,
        enforced=guards,
        scores=frozenset({_METRIC}) if is_combined else frozenset(_summed(tree)),
        function=functions["evaluate"],
        self_scored=self_scored,
    )


def _summed(tree: ast.Module) -> list[str]:
    """Return the names of all figures that an evaluator may report; the score is their mean."""
    return [
        key.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    ]


def _program(folder: Path) -> FolderFile:
    with explaining_reads(folder):
        named = named_files(folder, "initial_program.*")
        marked = [
            file
            for suffix in _SUFFIXES
            for file in named_files(folder, f"*{suffix}")
            if file.name != _EVALUATOR
            if _MARK.encode() in file.beginning(limit_bytes=_MAX_PROGRAM_BYTES)
        ]
    if len(named) == 1 or (not named and len(marked) == 1):
        return (named or marked)[0]
    raise SYSTEM.missing(
        folder,
        "there are several initial_program.* in it"
        if named
        else f"there is no initial_program.*, nor one file with a {_MARK}",
    )


def _config(folder: Path) -> Mapping[str, object]:
    plain = find_file(folder, "config.yaml")
    with explaining_reads(folder):
        others = [*named_files(folder, "config*.yaml"), *named_files(folder, "config*.yml")]
    file = plain or next(iter(sorted(others, key=lambda one: one.name)), None)
    return read_yaml(file) if file else {}


def _thresholds(
    evaluator: Mapping[str, object], functions: Mapping[str, object]
) -> tuple[float, ...]:
    if "evaluate_stage1" not in functions or evaluator.get("cascade_evaluation") is False:
        return ()
    values = evaluator.get("cascade_thresholds")
    if not isinstance(values, list):
        return _THRESHOLDS
    return tuple(float(one) for one in values if isinstance(one, int | float))


def _features(config: Mapping[str, object]) -> tuple[str, ...]:
    values = table_in(config, "database").get("feature_dimensions")
    return tuple(one for one in values if isinstance(one, str)) if isinstance(values, list) else ()


def _is_of_a_run(path: FolderFile) -> bool:
    is_config = path.name.startswith("config") and path.suffix in {".yaml", ".yml"}
    return is_config or path.name.startswith("best_program") or path.name == "requirements.txt"


def _description(program: str, config: Mapping[str, object], thresholds: tuple[float, ...]) -> str:
    parts = []
    if _MARK in program:
        parts.append("Change only the lines between EVOLVE-BLOCK-START and EVOLVE-BLOCK-END.")
    if thresholds:
        steps = ", ".join(f"{one:g}" for one in thresholds)
        parts.append(
            f"The evaluator has stages. The next one is run if the {_METRIC} reaches its threshold"
            f" ({steps}). A candidate must reach at least the stage that the baseline reaches."
        )
    if message := text_in(table_in(config, "prompt"), "system_message"):
        parts.append(f"## The prompt for OpenEvolve\n\n{message}")
    return "\n\n".join(parts)


IMPORTER: Final = Importer(
    task=TaskReader(
        summary="""Import initial_program.py, evaluator.py and config.yaml.

        The task is judged if its evaluator only exchanges plain data, else self-scored.""",
        read=read_task,
        options=(SELF_SCORED,),
    )
)
