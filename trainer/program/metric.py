"""Computes a run's metric from the figures of single instances, and checks its guards.

Figures come from the judge or are measured here, never from the candidate itself.
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
# Divided by the baseline's value, measured in the same run on the same instances, because seconds
# differ between machines and counts have no bound.
OF_BASELINE: Final = TIMED | {INSTRUCTIONS}
# Properties of a candidate, not of its answer to an instance.
OF_SOURCES: Final = frozenset({"source_bytes", "build_bytes"})
MEASURED: Final = OF_BASELINE | OF_SOURCES | {"peak_mb", "answer_bytes"}
AGGREGATES: Final = ("mean", "geomean", "sum", "max")
SCALE: Final = 9  # figures are in units of 1e-9
MOST: Final = 9_000_000.0  # 2^53 of these units
_DIGITS: Final = 6
_PARTS: Final = 8  # of the noise floor: rounding to one adds 0.1 % to the variance of a run


class Unfit(ValueError):  # noqa: N818 -- a figure's property
    """A figure that cannot be a metric. The message is for the author of the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceMeasurement:
    """The measurements of one instance, and the judge's figures for it.

    `instructions` counts CPU instructions; None if the task does not need the count.
    """

    wall_s: float
    cpu_s: float
    instructions: int | None = None
    peak_bytes: int
    answer_bytes: int
    figures: Mapping[str, float] = field(default_factory=dict)
    base: "InstanceMeasurement | None" = None

    def figure(self, name: str) -> float:
        """Return a figure by its name. Raises Unfit if it is missing or not finite."""
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
                raise Unfit(f"the judge's check() did not return {name!r}")
        if not math.isfinite(value):
            raise Unfit(f"{name} is {value}")
        return value

    def share(self, name: str) -> float:
        """Return seconds or instructions divided by the baseline's on the same instance."""
        if self.base is None:
            raise Unfit(f"{name} was measured without the baseline")
        return self.figure(name) / max(1e-9, self.base.figure(name))


def aggregated(values: Sequence[float], how: str) -> float:
    """Return one figure for a run: the mean, sum, maximum or geometric mean. Raises Unfit."""
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
    """Return a run's metric on some instances, in 1e-9 units. Raises Unfit.

    `size` is the size of the source or of its build in bytes, for metrics that are that size.
    """
    assert manifest.program is not None  # noqa: S101 -- a program's
    name, how = manifest.metric.name, manifest.program.aggregate
    if name in OF_SOURCES:
        value = float(size)
    elif name in OF_BASELINE:
        value = aggregated([one.share(name) for one in measured], how)
    else:
        value = aggregated([one.figure(name) for one in measured], how)
    if abs(value) >= MOST:
        raise Unfit(f"{name} is {value:.3g}: choose a larger unit in the task")
    return round(value * NANO)


def coarse(nano: int, manifest: TaskManifest) -> int:
    """Round an exact metric to a multiple of an eighth of the noise floor.

    If the noise floor is unknown, round the metric to six digits.
    """
    grain = max(1, manifest.noise_floor_nano // _PARTS)
    if not manifest.noise_floor_nano:
        grain = int(10 ** max(0, len(str(abs(nano))) - _DIGITS))
    return (2 * nano + grain) // (2 * grain) * grain


def impossible(nano: int, manifest: TaskManifest) -> bool:
    """Return True if a metric is better than the task's bound on what is possible."""
    assert manifest.program is not None  # noqa: S101 -- a program's
    bound, sign = manifest.program.impossible, manifest.metric.sign
    return bound is not None and sign * nano < sign * bound


def guarded(guards: Sequence[Guard], measured: Sequence[InstanceMeasurement]) -> dict[str, float]:
    """Return the value that each guard checks: the mean over instances. Raises Unfit."""
    return {guard.name: fmean(one.figure(guard.name) for one in measured) for guard in guards}


def guard_fault(
    guards: Sequence[Guard], found: Mapping[str, float], base: Mapping[str, float]
) -> str | None:
    """Return a message about the first guard that fails, or None.

    `base` holds the baseline's values on this machine.
    """
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
