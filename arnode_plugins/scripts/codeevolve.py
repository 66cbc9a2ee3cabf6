"""Run an evaluator of CodeEvolve on the program next to it, and print one line of figures."""

import json
import os
import runpy
import sys
from pathlib import Path

from trainer.importing.scripts.reporting import begin, fail, finish, numbers_of

PROGRAM = "src/init_program.py"
EVALUATOR = "evaluate.py"
METRIC = "benchmark_ratio"
REPORTED = "benchmark_ratio"  # as the evaluator calls it
GUARDS: tuple[str, ...] = ()
DIVISOR = 1.0


def main() -> None:
    begin()
    finish(measured(str(Path.cwd() / PROGRAM)), metric=METRIC, guards=GUARDS, divisor=DIVISOR)


def measured(program: str) -> dict[str, float]:
    """Return the figures that the evaluator writes for a program."""
    path, results = Path.cwd() / EVALUATOR, Path.cwd() / "codeevolve_results.json"
    os.chdir(path.parent)
    sys.path.insert(0, str(path.parent))
    sys.argv = [path.name, program, str(results)]
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            fail(f"{EVALUATOR} ended with {ended.code}")
    except Exception as fault:  # noqa: BLE001 -- an evaluator may raise anything
        fail(f"the evaluator says: {type(fault).__name__}: {fault}")
    try:
        figures = json.loads(results.read_bytes())
    except (OSError, ValueError) as error:
        fail(f"the evaluator wrote no figures: {error}")
    if not isinstance(figures, dict):
        fail("the evaluator wrote no table of figures")
    numbers = numbers_of(figures)
    if REPORTED in numbers:
        numbers[METRIC] = numbers[REPORTED]
    return numbers


if __name__ == "__main__":
    main()
