"""Runs of sources on the machine's device, one after another, until the time is up.

The figures of a run are measured outside the sandbox, except `self_reported`: the last rate that
one of our two scripts printed. No decision depends on it.
"""

import re
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean, variance
from typing import Final, cast

from protocol.source import Source
from protocol.units import NANO
from tests.trainer.audits import audited as says
from tests.trainer.runners import SPLIT, runner_of
from tools.gpu.card import Machine
from tools.gpu.ground import Ground
from tools.gpu.progress import with_progress
from tools.gpu.sources import Shape
from trainer.host.device import Device
from trainer.language_model.stages import Audited
from trainer.measuring.outcome import RunOutcome
from trainer.measuring.timeline import Stage
from trainer.runner import Runner
from trainer.sandbox.compiled import CompiledCode

_RATE: Final = re.compile(r", ([\d,]+) tokens/s$", re.MULTILINE)

Figures = dict[str, object]


@dataclass(slots=True)
class Report:
    """The figures of a part so far; they are written even if the part fails."""

    figures: Figures = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


class Session:
    """A calibrated runner and the time left. Start it with `begin`, end it with `close`."""

    def __init__(
        self, ground: Ground, machine: Machine, *, device: Device, ends_s: float, compiled: Path
    ) -> None:
        self.task, self.data, self.machine = ground.task, ground.data, machine
        self.card_facts = dict(device.script_settings)  # the facts about the card that scripts get
        code = CompiledCode(
            compiled,
            baseline=ground.task.source.tree,
            setting=f"{device.slug}-torch{machine.torch}",
        )
        self._runner: Runner = runner_of(ground.task, ground.data, device, code)
        self._ends_s = ends_s
        self._longest_s = 0.0

    async def begin(self, seed: int) -> RunOutcome:
        """Run the baseline, with which later runs are compared. Raises ArnodeError."""
        return await self._timed(
            "ours, the baseline", lambda: self._runner.calibrate(seed, split=SPLIT)
        )

    async def run(
        self, what: str, source: Source, seed: int, *, audited: bool = True
    ) -> RunOutcome:
        """Run a source from start to audit, with no other run in parallel."""
        run = partial(self._runner.run, source, seed, split=SPLIT)
        return await self._timed(what, lambda: run(needs_audit=says(audited)))

    async def run_alongside(
        self, what: str, source: Source, seed: int, *, on_trained: Callable[[], None]
    ) -> RunOutcome:
        """Run a source; the next may start when `on_trained` is called."""
        return await with_progress(
            what, self._runner.run(source, seed, split=SPLIT, on_trained=on_trained)
        )

    @property
    def tolerance_nats(self) -> Figures:
        """The audits' tolerance here, from the baseline's audit; finer differences do not count."""
        if self._runner.baseline_cost is None:
            return {}
        found = cast("Audited", self._runner.baseline_cost.audited).tolerance
        return {"mean": found.mean, "single": found.tau}

    @property
    def left_s(self) -> float:
        """The seconds left."""
        return self._ends_s - time.monotonic()

    def has_time_for(self, runs: int = 1) -> bool:
        """Return True if this many runs, each as long as the longest so far, end in time."""
        return runs * self._longest_s <= self.left_s

    async def close(self) -> None:
        """Close the runner."""
        await self._runner.close()

    async def _timed(
        self, what: str, run: Callable[[], Coroutine[object, object, RunOutcome]]
    ) -> RunOutcome:
        started_s = time.monotonic()
        outcome = await with_progress(what, run())
        self._longest_s = max(self._longest_s, time.monotonic() - started_s)
        return outcome


def figures_of(outcome: RunOutcome) -> Figures:
    """Return the figures of one run for a document."""
    return {
        "seed": outcome.seed,
        "status": outcome.status,
        "reason": outcome.reason,
        "val_bpb": bits(outcome.metric_nano),
        "secret_bpb": bits(outcome.secret_nano),
        "trained_s": seconds_in(outcome.stages, "train", "train"),
        "scored_s": seconds_in(outcome.stages, "score", "load", "score"),
        "audited_s": seconds_in(outcome.stages, "audit", "load", "score"),
        "self_reported": {"tokens_per_s": tokens_per_s(outcome)},
    }


def bits(nano: int | None) -> float | None:
    """Return a metric in bits per byte."""
    return None if nano is None else nano / NANO


def tokens_per_s(outcome: RunOutcome) -> int | None:
    """Return the last rate that the script printed; None if it printed none."""
    found = _RATE.findall(outcome.log_tail)
    return int(found[-1].replace(",", "")) if found else None


def seconds_in(stages: Iterable[Stage], part: str, *names: str) -> float:
    """Return the seconds that a run spent in stages of a part."""
    spent = sum(
        stage.end_ms - stage.start_ms
        for stage in stages
        if stage.part == part and stage.name in names
    )
    return round(spent / 1000, 3)


def pooled_sd(*groups: list[float]) -> float | None:
    """Return the standard deviation within groups of runs; None if no group has two."""
    squares = [(len(group) - 1) * variance(group) for group in groups if len(group) > 1]
    degrees = sum(len(group) - 1 for group in groups if len(group) > 1)
    return (sum(squares) / degrees) ** 0.5 if degrees else None


def metrics_of(outcomes: Iterable[RunOutcome]) -> list[float]:
    """Return the metrics of the runs that have one, in bits per byte."""
    return [each.metric_nano / NANO for each in outcomes if each.metric_nano is not None]


def rates_of(outcomes: Iterable[RunOutcome], shape: Shape, peak_flops: float | None) -> Figures:
    """Return the speed that the script reports, and its share of the card's peak (MFU)."""
    known_rates = [rate for rate in map(tokens_per_s, outcomes) if rate is not None]
    rate = fmean(known_rates) if known_rates else None
    flops = shape.flops_per_token
    return {
        "self_reported": {"tokens_per_s": rate and round(rate)},
        "flops_per_token": flops,
        "mfu": round(rate * flops / peak_flops, 4) if rate and peak_flops else None,
    }
