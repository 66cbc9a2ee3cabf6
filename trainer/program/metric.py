"""From figures of single instances to a run's metric, and whether its guards hold.

Figures come from the judge, or are measured here; none is what a candidate says of itself.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Final

from protocol.manifest import TaskManifest
from protocol.program import Guard
from protocol.units import NANO

TIMED: Final = frozenset({"cpu_s", "wall_s"})
INSTRUCTIONS: Final = "instructions"
# What is told as shares of the baseline's, on the same instances, measured beside it: seconds are
# a machine's own, and counts have no bound.
OF_BASELINE: Final = TIMED | {INSTRUCTIONS}
# Of a candidate, not of what it answers to an instance.
OF_SOURCES: Final = frozenset({"source_bytes", "build_bytes"})
MEASURED: Final = OF_BASELINE | OF_SOURCES | {"peak_mb", "answer_bytes"}
AGGREGATES: Final = ("mean", "geomean", "sum", "max")
SCALE: Final = 9  # figures here are in 1e-9 units, as a language model's are
MOST: Final = 9_000_000.0  # 2^53 of these
_DIGITS: Final = 6
_PARTS: Final = 8  # of the noise floor: an error that adds 0.1 % to the variance of a run


class Unfit(ValueError):  # noqa: N818 -- what a figure is
    """A figure that is no metric, in words for whoever wrote the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceMeasurement:
    """The measurements of one instance, and the judge's figures for it.

    `instructions` is None where a task does not ask for them.
    """

    wall_s: float
    cpu_s: float
    instructions: int | None = None
    peak_bytes: int
    answer_bytes: int
    figures: Mapping[str, float] = field(default_factory=dict)
    base: "InstanceMeasurement | None" = None

    def figure(self, name: str) -> float:
        """Return a figure by its name. Raises Unfit if there is none that is finite."""
        match name:
            case "cpu_s":
                value = self.cpu_s
            case "wall_s":
                value = self.wall_s
            case "instructions" if self.instructions is not None:
                value = float(self.instructions)
            case "peak_mb":
                value = self.peak_bytes / 1e6
            case "answer_bytes":
                value = float(self.answer_bytes)
            case _ if name in self.figures:
                value = self.figures[name]
            case _:
                raise Unfit(f"the judge's check says nothing of {name!r}")
        if not math.isfinite(value):
            raise Unfit(f"{name} is {value}")
        return value

    def share(self, name: str) -> float:
        """Return seconds or instructions as a share of those that the baseline took beside it."""
        if self.base is None:
            raise Unfit(f"{name} was measured beside nothing")
        return self.figure(name) / max(1e-9, self.base.figure(name))


def aggregated(values: Sequence[float], how: str) -> float:
    """Return one figure for a run. Raises Unfit where there is none."""
    match how:
        case "mean":
            return fmean(values)
        case "sum":
            return math.fsum(values)
        case "max":
            return max(values)
    if min(values) <= 0:
        raise Unfit("a geometric mean needs figures above zero")
    return math.exp(fmean(map(math.log, values)))


def metric_nano(
    manifest: TaskManifest, measured: Sequence[InstanceMeasurement], *, size: int
) -> int:
    """Return a run's metric on some instances, in 1e-9 units. `size`: bytes of what is built or
    written, where the metric is that. Raises Unfit."""
    assert manifest.program is not None  # noqa: S101 -- a program's
    name, how = manifest.metric.name, manifest.program.aggregate
    if name in OF_SOURCES:
        value = float(size)
    elif name in OF_BASELINE:
        value = aggregated([one.share(name) for one in measured], how)
    else:
        value = aggregated([one.figure(name) for one in measured], how)
    if abs(value) >= MOST:
        raise Unfit(f"{name} is {value:.3g}: the task must count in a larger unit")
    return round(value * NANO)


def coarse(nano: int, manifest: TaskManifest) -> int:
    """Return what is told of an exact metric: a multiple of an eighth of the noise floor.

    Where that is not known, it is told in six digits.
    """
    grain = max(1, manifest.noise_floor_nano // _PARTS)
    if not manifest.noise_floor_nano:
        grain = int(10 ** max(0, len(str(abs(nano))) - _DIGITS))
    return (2 * nano + grain) // (2 * grain) * grain


def impossible(nano: int, manifest: TaskManifest) -> bool:
    """Whether a metric is better than the task says that any can be."""
    assert manifest.program is not None  # noqa: S101 -- a program's
    bound, sign = manifest.program.impossible, manifest.metric.sign
    return bound is not None and sign * nano < sign * bound


def guarded(guards: Sequence[Guard], measured: Sequence[InstanceMeasurement]) -> dict[str, float]:
    """Return what each guard looks at: the mean over instances. Raises Unfit."""
    return {guard.name: fmean(one.figure(guard.name) for one in measured) for guard in guards}


def guard_fault(
    guards: Sequence[Guard], found: Mapping[str, float], base: Mapping[str, float]
) -> str | None:
    """Return which guard does not hold; `base` is what the baseline came to here."""
    for guard in guards:
        value = found[guard.name]
        if guard.most is not None and value > guard.most / 10**guard.scale:
            return f"guard {guard.name}: {value:.4g}, at most {guard.most / 10**guard.scale:.4g}"
        if guard.times_millionths is not None and guard.name in base:
            times = guard.times_millionths / 1e6
            if value > times * base[guard.name]:
                of_base = value / max(1e-12, base[guard.name])
                return f"guard {guard.name}: {of_base:.2f} times the baseline's, at most {times:g}"
    return None
