"""Run KernelBot's tests and its ranked benchmark on the submission, and print one line."""

import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from trainer.importing.scripts.reporting import begin, fail, finish

MAIN = "eval.py"
METRIC = "microseconds"
GUARDS: tuple[str, ...] = ()
DIVISOR = 1.0
TESTS: tuple[str, ...] = ()
BENCHMARKS: tuple[str, ...] = ()
RANKING = "last"  # which of the benchmarks' means counts: the last, their mean or geometric mean
_NANOSECONDS = 1e3  # in a microsecond
_MEAN = re.compile(r"benchmark\.(\d+)\.mean")


def main() -> None:
    seed = begin()
    if TESTS:
        _passed(_run("test", TESTS, seed))
    figures = _run("leaderboard", BENCHMARKS, seed)
    _passed(figures)
    means = {
        int(found[1]): float(value) / _NANOSECONDS
        for name, value in figures.items()
        if (found := _MEAN.fullmatch(name))
    }
    if len(means) != len(BENCHMARKS):
        fail(f"{len(means)} of {len(BENCHMARKS)} benchmarks reported a mean")
    ranked = _ranked([means[number] for number in sorted(means)])
    finish({METRIC: ranked}, metric=METRIC, guards=GUARDS, divisor=DIVISOR)


def _run(mode: str, cases: tuple[str, ...], seed: int) -> dict[str, str]:
    """Run the evaluator in a mode; return the `name: value` lines that it reports."""
    listed = Path.cwd() / f"cases_{mode}.txt"
    listed.write_text("\n".join(cases) + "\n")
    with tempfile.TemporaryFile() as said:
        number = said.fileno()
        environment = {**os.environ, "POPCORN_FD": str(number), "POPCORN_SEED": str(seed)}
        command = [sys.executable, MAIN, mode, str(listed)]
        ended = subprocess.run(command, pass_fds=[number], env=environment, check=False)
        said.seek(0)
        lines = said.read().decode(errors="replace").splitlines()
    figures = dict(line.split(": ", 1) for line in lines if ": " in line)
    if ended.returncode and "check" not in figures:
        fail(f"{MAIN} {mode} ended with exit code {ended.returncode}")
    return figures


def _passed(figures: dict[str, str]) -> None:
    if figures.get("check") != "pass":
        why = [value for name, value in figures.items() if name.endswith(".error")]
        fail(f"it did not pass: {why[0] if why else figures.get('check', 'no reason given')}")


def _ranked(means: list[float]) -> float:
    if RANKING == "geom":
        return math.exp(sum(math.log(mean) for mean in means) / len(means))
    return sum(means) / len(means) if RANKING == "mean" else means[-1]


if __name__ == "__main__":
    main()
