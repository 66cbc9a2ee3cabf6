"""Functions for every `measure.py`: read the seed of the run, and print the figures.

The process that runs the candidate also prints the figures, so they are not verified.
"""

import asyncio
import inspect
import json
import math
import os
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

_KEPT_OUTPUT = os.dup(1)
IS_JUDGED = False  # True if a judge imports this module: failures are then exceptions


class Failed(BaseException):
    """The evaluator has no figure; the message says why."""


def begin() -> int:
    """Return the seed of this run, and send all later output to the log."""
    seed = int(json.loads(sys.stdin.buffer.read() or b"{}").get("seed", 0))
    sys.stdout.flush()
    os.dup2(2, 1)
    random.seed(seed)
    try:
        import numpy as np
    except ImportError:
        return seed
    np.random.seed(seed % (1 << 32))
    return seed


def numbers_of(table: Mapping[object, object]) -> dict[str, float]:
    """Return the finite numbers in a table, by name."""
    return {name: number for name, number in figures_of(table).items() if math.isfinite(number)}


def figures_of(table: Mapping[object, object]) -> dict[str, float]:
    """Return the numbers in a table, by name, with NaN for those that are not finite."""
    found = {}
    for name, value in table.items():
        if isinstance(value, bool | str | bytes):
            continue
        try:
            number = float(value)  # type: ignore[arg-type] # numpy's numbers are accepted too
        except OverflowError:
            number = math.nan
        except (TypeError, ValueError):
            continue
        found[str(name)] = number if math.isfinite(number) else math.nan
    return found


def awaited(result: object) -> object:
    """Return a function's result, awaited if the function is asynchronous."""
    if not inspect.isawaitable(result):
        return result

    async def outcome() -> object:
        return await result

    return asyncio.run(outcome())


def fail(why: str) -> NoReturn:
    """End this run without a figure, for the reason `why`."""
    if IS_JUDGED:
        raise Failed(why)
    print(why, file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)  # do not wait for an evaluator's leftover threads


def finish(
    numbers: Mapping[str, float], *, metric: str, guards: Sequence[str], divisor: float
) -> NoReturn:
    """Print the figures that the task asks for, and exit."""
    figures = {}
    for name in (metric, *guards):
        if not math.isfinite(numbers.get(name, math.nan)):
            finite = {each: number for each, number in numbers.items() if math.isfinite(number)}
            fail(f"the evaluator reported no finite {name}, only {sorted(finite) or 'nothing'}")
        figures[name] = numbers[name]
    figures[metric] /= divisor
    hand_over(figures)


def hand_over(answer: Mapping[str, object]) -> NoReturn:
    """Print the answer, and exit."""
    sys.stdout.flush()
    sys.stderr.flush()
    with os.fdopen(_KEPT_OUTPUT, "wb") as answered:
        answered.write(json.dumps(answer).encode() + b"\n")
    os._exit(0)


def python_on_path() -> None:
    """Put this interpreter on PATH as `python` and `python3`, for shell scripts too."""
    folder = Path.cwd() / ".arnode-bin"
    folder.mkdir(exist_ok=True)
    for name in ("python", "python3"):
        with open(folder / name, "w", opener=_executable) as file:
            file.write(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    os.environ["PATH"] = f"{folder}:{os.environ.get('PATH', os.defpath)}"


def _executable(path: str, flags: int) -> int:
    return os.open(path, flags, 0o755)
