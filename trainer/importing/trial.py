"""Reports of trial runs of a command, and guesses from them: direction, unit, limit, noise.

A report is untrusted, since it comes from a candidate's sandbox. The guesses only take effect when
the user confirms them.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import stdev
from typing import Final

from protocol.codecs import plain
from trainer.importing.draft import UNKNOWN_NOISE
from trainer.importing.reading import is_path
from trainer.importing.scripts.command import in_unit, is_unit
from trainer.importing.self_scored import Direction

MOST_RUNS: Final = 5
LEAST_RUNS: Final = 2
_ALL_RUNS_S: Final = 60.0  # of trial runs, except the first two
_TIMES_SLOWEST: Final = 10
_LEAST_LIMIT_S: Final = 10
_MOST_LIMIT_S: Final = 86_400
_MOST_NAMES: Final = 64
_LONGEST: Final = 4000

_TIMES: Final = frozenset({"s", "sec", "second", "seconds", "minute", "min", "hour"})
_LOWER: Final = _TIMES - {"min"} | {
    "bpb", "bytes", "conflicts", "cost", "costs", "cpu", "cycles", "delay", "dist", "distance",
    "duration", "elapsed", "err", "error", "errors", "failures", "gap", "gb", "instructions", "kb",
    "latency", "len", "length", "loss", "losses", "mae", "makespan", "mape", "mb", "mem", "memory",
    "miss", "misses", "ms", "mse", "nll", "ns", "penalty", "perplexity", "ppl", "price", "regret",
    "residual", "rmse", "rss", "runtime", "size", "time", "times", "us", "violations", "wall",
    "waste",
}  # fmt: skip
_HIGHER: Final = {
    "acc", "accuracy", "auc", "auroc", "bleu", "correct", "coverage", "f1", "fitness", "flops",
    "fps", "gain", "gflops", "hits", "iops", "iou", "likelihood", "map", "mrr", "ndcg", "ops",
    "passed", "passes", "precision", "profit", "qps", "r2", "recall", "reward", "rewards", "rouge",
    "rps", "score", "scores", "similarity", "solved", "speed", "speedup", "throughput", "tps",
    "utility", "wins", "yield",
}  # fmt: skip

_TIMED: Final = _TIMES | {
    "cpu", "cycles", "delay", "duration", "elapsed", "flops", "fps", "gflops", "iops", "latency",
    "makespan", "ms", "ns", "ops", "per", "qps", "rps", "runtime", "speed", "speedup", "throughput",
    "time", "times", "tps", "us", "wall",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The report of one execution of a command.

    `figure` is None if it cannot be read. `line` is the line of output that names the figure.
    `opened` is None if file accesses cannot be detected here. `missing` are files and modules that
    the command did not find. `tail` is the end of its output. `is_on_stderr` is True if the figure
    is printed on stderr.
    """

    exit: int
    seconds: float
    figure: float | None
    unit: str
    line: str
    opened: tuple[str, ...] | None
    missing: tuple[str, ...]
    tail: str
    is_on_stderr: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """Guesses from trial runs.

    `direction` is None if neither the metric's name nor its unit shows if more or less is better.
    `because` is the reason for a guessed direction. `noise_sd` is the standard deviation of a
    single call of the command, None if there were too few calls. `is_exact`: it depends on no seed
    and on no clock.
    """

    direction: Direction | None
    because: str
    unit: str
    limit_s: int
    noise_sd: float | None
    is_exact: bool
    opened: tuple[str, ...]

    def noise_floor(self, repeats: int) -> float:
        """Return the standard deviation of a mean over `repeats` calls."""
        if self.noise_sd is None:
            return UNKNOWN_NOISE
        return float(f"{self.noise_sd / math.sqrt(repeats):.3g}")


def report_of(answer: bytes) -> Report:
    """Parse the report of a trial run. Raises ValueError if it is invalid."""
    answered = json.loads(answer)
    if not isinstance(answered, dict):
        raise ValueError("no report")  # noqa: TRY004 -- what bytes say is a value
    opened = answered.get("opened")
    return Report(
        exit=int(_number(answered, "exit") or 0),
        seconds=_number(answered, "seconds") or 0.0,
        figure=_number(answered, "figure"),
        unit=_text(answered, "unit"),
        line=_text(answered, "line"),
        opened=None if opened is None else _names(opened),
        missing=_names(answered.get("missing")),
        tail=_text(answered, "tail", lines=True),
        is_on_stderr=answered.get("is_on_stderr") is True,
    )


def more_runs(first_s: float) -> int:
    """Return the number of runs to make after the first, which took `first_s` seconds."""
    return min(MOST_RUNS, max(LEAST_RUNS, int(_ALL_RUNS_S / max(first_s, 0.01)))) - 1


def guess_from(reports: Sequence[Report], metric: str, *, unit: str = "") -> Guess:
    """Return the guesses from successful runs. `unit` is the user's choice, "" to guess it."""
    printed = reports[0].unit if is_unit(reports[0].unit) else ""
    unit = unit or printed or _unit_in_name(metric)
    direction, because = _direction(metric, unit)
    figures = [in_unit(one.figure or 0.0, one.unit, unit) for one in reports]
    known = [figure for figure in figures if figure is not None]
    sd = stdev(known) if len(known) > 1 else None
    slowest_s = max(one.seconds for one in reports)
    limit_s = math.ceil(max(_LEAST_LIMIT_S, _TIMES_SLOWEST * slowest_s))
    opened = {name for one in reports for name in one.opened or () if is_path(name)}
    return Guess(
        direction=direction,
        because=because,
        unit=unit,
        limit_s=min(limit_s, _MOST_LIMIT_S),
        noise_sd=sd,
        is_exact=sd == 0 and not _is_timed(metric, unit),
        opened=tuple(sorted(opened)),
    )


def _direction(metric: str, unit: str) -> tuple[Direction | None, str]:
    words = _words_of(metric)
    for word, after in pairwise(words):
        if word == "per" and after in _TIMES:
            return "max", f"{metric} is a rate"
    if lower := next((word for word in words if word in _LOWER), None):
        return "min", f"{lower!r} in its name"
    if higher := next((word for word in words if word in _HIGHER), None):
        return "max", f"{higher!r} in its name"
    if in_unit(1.0, unit, "s") is not None and unit:
        return "min", f"{unit} is a time"
    if in_unit(1.0, unit, "B") is not None and unit:
        return "min", f"{unit} is a size"
    if unit == "x":
        return "max", "a factor"
    return None, ""


def _words_of(metric: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", metric).lower()
    return re.findall(r"[a-z]+\d?", spaced.replace("/", "_per_"))


def _is_timed(metric: str, unit: str) -> bool:
    """Return True if a metric is a time or a rate, whose equal figures were only rounded."""
    is_time = bool(unit) and in_unit(1.0, unit, "s") is not None
    return is_time or not _TIMED.isdisjoint(_words_of(metric))


def _unit_in_name(metric: str) -> str:
    last = re.split(r"[^A-Za-z]+", metric)[-1]
    return last if last in {"ms", "us", "ns", "s", "seconds", "bytes", "MB", "GB"} else ""


def _number(answered: dict[str, object], name: str) -> float | None:
    value = answered.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < math.inf else None


def _text(answered: dict[str, object], name: str, *, lines: bool = False) -> str:
    value = answered.get(name)
    return plain(value[-_LONGEST:], lines=lines) if isinstance(value, str) else ""


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(plain(name) for name in value[:_MOST_NAMES] if isinstance(name, str))
