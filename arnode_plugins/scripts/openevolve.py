"""Run an evaluator of OpenEvolve on the program next to it, and print one line of figures."""

import importlib.util
import inspect
import math
import os
import sys
import types
from collections.abc import Mapping
from pathlib import Path

from trainer.importing.scripts.reporting import awaited, begin, fail, figures_of, finish

PROGRAM = "initial_program.py"
EVALUATOR = "evaluator.py"
METRIC = "combined_score"
GUARDS: tuple[str, ...] = ()
DIVISOR = 1.0
# A stage is run if the one before reached its threshold; without thresholds there are no stages.
THRESHOLDS: tuple[float, ...] = ()
IS_COMBINED = False  # True if the evaluator gives a combined score; then a result without it failed
# Figures that only describe a program. They do not count if the evaluator gives no combined score.
FEATURES: tuple[str, ...] = ()
_MISSED = "stages_missed"


class EvaluationResult:
    """A result that an evaluator may return instead of a table: figures, and texts for people."""

    def __init__(
        self, metrics: Mapping[str, float], artifacts: Mapping[str, object] | None = None
    ) -> None:
        self.metrics = dict(metrics)
        self.artifacts = dict(artifacts or {})


def main() -> None:
    begin()
    finish(measured(str(Path.cwd() / PROGRAM)), metric=METRIC, guards=GUARDS, divisor=DIVISOR)


def measured(program: str, **varied: object) -> dict[str, float]:
    """Return the evaluator's figures for a program.

    The arguments in `varied` are passed to the evaluator if it has parameters of these names.
    """
    _install_stub()
    path = Path.cwd() / EVALUATOR
    os.chdir(path.parent)
    evaluator = _loaded(path)
    given = {name: value for name, value in varied.items() if name in _arguments(evaluator)}
    stages = [getattr(evaluator, f"evaluate_stage{number}", None) for number in (1, 2, 3)]
    if not THRESHOLDS or stages[0] is None:
        numbers = _figures(awaited(evaluator.evaluate(program, **given)))
    else:
        numbers = _staged([stage for stage in stages if stage is not None], program)
    if not IS_COMBINED or numbers.get(_MISSED):
        numbers.setdefault(METRIC, _score(numbers))
    return numbers


def _arguments(evaluator: types.ModuleType) -> list[str]:
    return list(inspect.signature(evaluator.evaluate).parameters)


def _staged(stages: list[types.FunctionType], program: str) -> dict[str, float]:
    """Run the stages until one misses its threshold; add the number of skipped ones as a figure."""
    numbers: dict[str, float] = {}
    missed = len(stages)
    for number, stage in enumerate(stages):
        numbers |= _figures(awaited(stage(program)))
        missed -= 1
        threshold = THRESHOLDS[number] if number < len(THRESHOLDS) else None
        if threshold is None or not _score(numbers) >= threshold:
            break
    return {**numbers, _MISSED: float(missed)}


def _figures(result: object) -> dict[str, float]:
    table = getattr(result, "metrics", result)
    if not isinstance(table, Mapping):
        fail(f"the evaluator returned a {type(result).__name__}, not a dict of figures")
    error = table.get("error")
    if (isinstance(error, str) and error) or table.get("timeout") is True:
        fail(f"the evaluator says: {error or 'it took too long'}")
    # NaN is kept, since it must fail the run, as the score or as part of a mean.
    numbers = figures_of(table)
    if METRIC in table:
        numbers.setdefault(METRIC, math.nan)
    return {name: number for name, number in numbers.items() if name != "error"}


def _score(numbers: Mapping[str, float]) -> float:
    """Return the combined score; without one, the mean of all figures except the features."""
    if METRIC in numbers:
        return numbers[METRIC]
    counted = [value for name, value in numbers.items() if name not in (*FEATURES, _MISSED)]
    return sum(counted) / len(counted) if counted else 0.0


def _loaded(path: Path) -> types.ModuleType:
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location("evaluation_module", path)
    if spec is None or spec.loader is None:
        fail(f"{path.name} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules["evaluation_module"] = module
    spec.loader.exec_module(module)
    return module


def _install_stub() -> None:
    """Provide the one class of OpenEvolve that evaluators import, if it is not installed."""
    if importlib.util.find_spec("openevolve") is not None:
        return
    package = types.ModuleType("openevolve")
    result = types.ModuleType("openevolve.evaluation_result")
    package.__path__ = []
    result.EvaluationResult = EvaluationResult  # type: ignore[attr-defined]
    sys.modules |= {"openevolve": package, "openevolve.evaluation_result": result}


if __name__ == "__main__":
    main()
