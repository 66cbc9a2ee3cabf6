"""An importer of CodeEvolve's folders: `input/evaluate.py`, `input/src/` and `configs/`.

The evaluator writes a table of figures, and the configuration names the figure that is the score.
The evaluator becomes a judge in a separate sandbox if it only calls functions of the program with
plain data, and if the figure contains no measured time. Otherwise the task is self-scored.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from node.exchange.importers import SELF_SCORED, Importer, TaskReader
from trainer.importing.draft import TaskDraft, safe_figure
from trainer.importing.judged import draft_of_evaluator
from trainer.importing.reading import (
    System,
    number_in,
    other_files,
    read_yaml,
    table_in,
    text_in,
)
from trainer.importing.self_scored import SelfScored

_SCRIPT: Final = Path(__file__).parent / "scripts" / "codeevolve.py"
SYSTEM: Final = System(
    "CodeEvolve",
    "name the folder that holds input/evaluate.py, input/src/ with the first program, and"
    " configs/config*.yaml",
)
_INPUT: Final = "input"
_CONFIGS: Final = "configs"
_EVALUATOR: Final = "evaluate.py"
_SOURCES: Final = "src/"
_PROGRAM: Final = "init_program.py"
_TIMEOUT_S: Final = 180
_TRUST: Final = (
    "To make it a trusted task, move what the evaluator checks into judge.py's"
    " check(instance, answer), which computes the score from a result alone."
)


def read_task(folder: Path, *, self_scored: bool = False) -> TaskDraft:
    """Return the task of a folder. Raises ConfigurationError if it is not one of CodeEvolve."""
    SYSTEM.check(folder)
    files = {
        name.removeprefix(f"{_INPUT}/"): file
        for name, file in other_files(folder, within=_INPUT).items()
    }
    if _EVALUATOR not in files:
        raise SYSTEM.missing(folder, f"there is no {_INPUT}/{_EVALUATOR}")
    config = _config(folder)
    figure = text_in(table_in(config, "EVOLVE_CONFIG"), "fitness_key")
    if not figure:
        raise SYSTEM.missing(folder, "no configs/*.yaml names EVOLVE_CONFIG.fitness_key")
    first = table_in(config, "INIT_FILE_DATA")
    name = text_in(config, "CODEBASE_PATH") or _SOURCES
    path = f"{name.strip('/')}/{text_in(first, 'filename') or _PROGRAM}"
    program = files.pop(path, None)
    if program is None:
        raise SYSTEM.missing(folder, f"there is no {_INPUT}/{path}")
    metric = safe_figure(figure)
    called = (
        "-".join(folder.resolve().parts[-2:]) if folder.name.isdigit() else folder.resolve().name
    )
    found = SelfScored(
        system=SYSTEM.name,
        name=called,
        title=f"CodeEvolve's {called}: raise {figure}",
        script=_SCRIPT,
        settings={"PROGRAM": path, "REPORTED": figure},
        editable={path: program},
        files=files,
        metric=metric,
        unit="score",
        direction="max",
        limit_s=int(number_in(config, "EVAL_TIMEOUT") or _TIMEOUT_S),
        description=_description(config),
        trust=_TRUST,
    )
    return draft_of_evaluator(
        found, _EVALUATOR, scores=frozenset({figure}), enforced={}, self_scored=self_scored
    )


def _config(folder: Path) -> Mapping[str, object]:
    """Return the configuration with the shortest file name; variants usually have longer ones."""
    others = other_files(folder, within=_CONFIGS).values()
    found = [one for one in others if one.suffix in {".yaml", ".yml"}]
    file = min(found, key=lambda one: (len(one.name), one.name), default=None)
    return read_yaml(file) if file else {}


def _description(config: Mapping[str, object]) -> str:
    message = text_in(config, "SYS_MSG")
    return f"## The prompt for CodeEvolve\n\n{message}" if message else ""


IMPORTER: Final = Importer(
    task=TaskReader(
        summary="""Import input/evaluate.py, input/src/ and configs/.

        The task is judged if its evaluator only exchanges plain data, else self-scored.""",
        read=read_task,
        options=(SELF_SCORED,),
    )
)
