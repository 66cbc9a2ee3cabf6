"""Run an evaluator of ShinkaEvolve on the program next to it, and print one line of figures."""

import importlib.util
import json
import os
import runpy
import statistics
import sys
import time
import traceback
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainer.importing.scripts.reporting import awaited, begin, fail, finish, numbers_of

PROGRAM = "initial.py"
EVALUATOR = "evaluate.py"
METRIC = "combined_score"
GUARDS: tuple[str, ...] = ()
DIVISOR = 1.0


def main() -> None:
    begin()
    finish(measured(PROGRAM), metric=METRIC, guards=GUARDS, divisor=DIVISOR)


def measured(program: str) -> dict[str, float]:
    """Return the figures that the evaluator writes for a program."""
    _install_stub()
    results = Path.cwd() / "shinka_results"
    sys.path.insert(0, str(Path.cwd()))
    sys.argv = [EVALUATOR, "--program_path", program, "--results_dir", str(results)]
    try:
        runpy.run_path(EVALUATOR, run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            fail(f"{EVALUATOR} ended with {ended.code}")
    verdict = _written(results / "correct.json")
    if verdict.get("correct") is not True:
        fail(f"the evaluator says that it is not correct: {verdict.get('error')}")
    figures = _written(results / "metrics.json")
    public = figures.get("public")
    # A value at the top replaces a public one of the same name, even if it is not a number. Then
    # the figure is missing.
    whole = {**public, **figures} if isinstance(public, dict) else figures
    return numbers_of(whole)


def _written(path: Path) -> dict[Any, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        fail(f"the evaluator wrote no {path.name}: {error}")
    return value if isinstance(value, dict) else {}


def run_shinka_eval(
    program_path: str,
    results_dir: str,
    experiment_fn_name: str,
    num_runs: int,
    get_experiment_kwargs: Callable[[int], dict[str, Any]] | None = None,
    aggregate_metrics_fn: Callable[[list[Any]], dict[str, Any]] | None = None,
    validate_fn: Callable[[Any], tuple[bool, str | None]] | None = None,
    **_others: object,
) -> tuple[dict[str, Any], bool, str | None]:
    """Run a program `num_runs` times, validate and aggregate, as ShinkaEvolve documents it.

    Evaluators call this. Options that only change the speed, or draw pictures, are ignored.
    """
    metrics: dict[str, Any] = {"combined_score": 0.0}
    why: str | None = None
    try:
        function = getattr(_loaded(program_path), experiment_fn_name)
        outputs, seconds = [], []
        for number in range(num_runs):
            asked = get_experiment_kwargs(number) if get_experiment_kwargs else {"seed": number + 1}
            started = time.perf_counter()
            outputs.append(awaited(function(**asked)))
            seconds.append(time.perf_counter() - started)
            is_valid, said = validate_fn(outputs[-1]) if validate_fn else (True, None)
            if not is_valid:
                why = why or f"validation failed: {said}"
        metrics = dict(aggregate_metrics_fn(outputs)) if aggregate_metrics_fn else {}
        metrics.pop("extra_data", None)
        metrics["execution_time_mean"] = statistics.fmean(seconds) if seconds else 0.0
    except Exception as fault:  # noqa: BLE001 -- a candidate may raise anything
        traceback.print_exc()
        why = why or f"{type(fault).__name__}: {fault}"
    _keep(Path(results_dir), metrics, why)
    return metrics, why is None, why


def _keep(folder: Path, metrics: Mapping[str, Any], why: str | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    correct = {"correct": why is None, "error": why}
    (folder / "correct.json").write_text(json.dumps(correct))
    (folder / "metrics.json").write_text(json.dumps(metrics, default=str))


def _loaded(path: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("program", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{os.fspath(path)} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _install_stub() -> None:
    """Provide the one function of ShinkaEvolve that evaluators call, if it is not installed."""
    if importlib.util.find_spec("shinka") is not None:
        return
    package, core = types.ModuleType("shinka"), types.ModuleType("shinka.core")
    package.__path__ = []
    core.run_shinka_eval = run_shinka_eval  # type: ignore[attr-defined]
    sys.modules |= {"shinka": package, "shinka.core": core}


if __name__ == "__main__":
    main()
