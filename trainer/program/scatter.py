"""Measures how a program's figures vary: over seeds, when repeated, and alongside other work.

For tasks that measure seconds, an A/A test compares the baseline with itself on each instance. It
shows if the measurement favours the first or the second of the two programs.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import fmean, stdev
from typing import Final

from protocol.differences import critical_ratio
from protocol.rule import DEFAULT
from protocol.units import NANO
from trainer.host.capacity import usable_cores
from trainer.host.interpreter import python_command
from trainer.measuring.checks import Remark, fault, fine, note
from trainer.measuring.metering import RunFailed
from trainer.program.bench import BaselineRun, Bench
from trainer.program.metric import OF_BASELINE

LEAST_PAIRS: Final = 8
_ERRORS: Final = 2.0  # standard errors from zero
_TIMES: Final = (
    4.0  # allowed factor between declared and measured noise, as few runs estimate it badly
)
_PAIRS: Final = 20  # the usual maximum of a trial
_OF_MACHINES: Final = OF_BASELINE | {"peak_mb", "build_bytes"}
_BUSY: Final = "while True: pass"


def log_shares(bench: Bench, runs: Sequence[BaselineRun]) -> list[float]:
    """Return one log ratio for each instance: that of two timings of the baseline."""
    is_cpu = bench.manifest.metric.name == "cpu_s"
    shares: list[float] = []
    for run in runs:
        for own, base in run.results:
            if base is not None:
                pair = [one.cpu_s if is_cpu else one.wall_s for one in (own, base)]
                shares.append(math.log(max(1e-9, pair[0]) / max(1e-9, pair[1])))
    return shares


def is_unbiased(shares: Sequence[float]) -> bool:
    """Return True if the mean is within two standard errors of zero."""
    return abs(fmean(shares)) <= _ERRORS * _error(shares)


def aa_remark(shares: Sequence[float], *, unbiased: bool) -> Remark:
    """Return the remark on an A/A test."""
    mean, error = fmean(shares), _error(shares)
    said = f"the baseline against itself: ln(time ratio) {mean:+.3f} ± {error:.3f}"
    figures = {"mean": mean, "error": error, "pairs": float(len(shares))}
    if unbiased:
        return fine("A/A", f"{said}, {len(shares)} pairs", **figures)
    return fault(
        "A/A",
        f"{said}, a difference that a repetition confirmed",
        "keep the machine idle during the check, make instances larger, or raise `warmup`",
        **figures,
    )


def detectable_gain(bench: Bench, shares: Sequence[float]) -> Remark:
    """Return the remark on the smallest gain in seconds that a trial can detect here."""
    of_run = stdev(shares) / math.sqrt(max(1, bench.spec.instances.secret))
    # A pair is two runs. A true gain at the critical ratio is detected half the time.
    ratio = critical_ratio(_PAIRS, -math.log(DEFAULT.alpha))
    gain = math.sqrt(ratio * (_PAIRS - 1) / _PAIRS) * math.sqrt(2) * of_run
    said = f"a trial of {_PAIRS} pairs detects a gain of {gain:.1%} half the time here"
    remedy = "make instances larger, or draw more of them"
    if gain > 0.1:
        return note("gain", said, remedy, gain=gain)
    return fine("gain", said, gain=gain)


async def metric_over_seeds(bench: Bench, runs: Sequence[BaselineRun]) -> Remark:
    """Return the remark on the metric's scatter over runs and the declared noise floor."""
    is_fixed = bool(bench.spec.instances.fixed)
    splits = (False,) if is_fixed else (False, True)
    values = [await bench.metric(run, secret=secret) / NANO for run in runs for secret in splits]
    floor, unit = bench.manifest.noise_floor_nano / NANO, bench.manifest.metric.unit
    if len(values) < 2:
        return note("noise", "unknown: noise cannot be estimated from one run")
    sd = stdev(values)
    said = f"{sd:.3g} {unit} over {len(values)} runs, {floor:.3g} declared"
    figures = {"sd": sd, "declared": floor, "mean": fmean(values)}
    # A pair runs on the same instances, so scatter between instances does not count as noise.
    is_paired = not is_fixed and bench.manifest.metric.name not in OF_BASELINE
    least = 0.0 if is_paired else sd / _TIMES
    if not sd or least <= floor <= sd * _TIMES:  # 0 says nothing about other programs
        cancels = ", but pairs cancel most of the variation" if is_paired and sd else ""
        return fine("noise", f"{said}{cancels}", **figures)
    hint = f"set noise_floor = {sd:.2g}, if other programs vary as much as the baseline"
    return note("noise", said, hint, **figures)


async def against_itself(bench: Bench, run: BaselineRun) -> tuple[Remark, BaselineRun]:
    """Run the baseline again with a seed. Return a remark on differences, and the run."""
    again = await bench.judged(await bench.run(run.seed))
    differ = _differing(run, again)
    if not differ:
        said = "the baseline gives the same answers twice, so only a patch can make a pair differ"
        return fine("itself", said), again
    values = [await bench.metric(one, secret=False) / NANO for one in (run, again)]
    apart = abs(values[0] - values[1])
    return (
        note(
            "itself",
            f"{differ} of {len(run.results)} answers differ the second time; "
            f"the metric by {apart:.3g}",
            "where possible, seed randomness from ARNODE_SEED and end no search by a clock",
            apart=apart,
        ),
        again,
    )


async def on_any_machine(bench: Bench, run: BaselineRun) -> Remark:
    """Run the baseline on busy cores. Return the remark on whether its answers stay the same."""
    hint = 'set device = "cpu", or make answers independent of clocks, core counts and randomness'
    spec, name = bench.spec, bench.manifest.metric.name
    if spec.limits.threads != 1 or spec.model_budgets or name in _OF_MACHINES:
        said = 'device is "any", but threads, models or the metric depend on the machine'
        return fault("device", said, hint)
    async with _busy_cores():
        try:
            slowed = await bench.run(run.seed)
        except RunFailed as failure:
            said = f"alongside other work the baseline fails: {failure.reason}"
            return fault("device", said, f"raise limit_s, or {hint}")
    differ = _differing(run, slowed)
    if differ:
        said = f"alongside other work {differ} of {len(run.results)} answers differ"
        return fault("device", f'device is "any", yet {said}', hint)
    return fine("device", "any: alongside other work the answers have the same bytes")


@asynccontextmanager
async def _busy_cores() -> AsyncIterator[None]:
    """Keep each core that arnode may use busy while the block lasts."""
    others: list[asyncio.subprocess.Process] = []
    try:
        for _ in range(usable_cores()):
            others.append(  # noqa: PERF401 -- ends those started, even if the next fails
                await asyncio.create_subprocess_exec(*python_command("-S", "-c"), _BUSY)
            )
        yield
    finally:
        for one in others:
            one.kill()
            await one.wait()


def _differing(one: BaselineRun, other: BaselineRun) -> int:
    return sum(a != b for a, b in zip(one.answers, other.answers, strict=True))


def _error(shares: Sequence[float]) -> float:
    return stdev(shares) / math.sqrt(len(shares))
