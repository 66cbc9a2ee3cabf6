"""The true gains of planted patches, measured with the pool's seeds before a node sees them."""

import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev

from protocol.source import Source
from protocol.units import NANO
from tests.trainer.runners import prepare_all
from tools.soak.cached import SEED_POOL, CachedRunner, KeptRuns, PooledSeeds, itself
from trainer.language_model.data import TaskData
from trainer.task_folder.task import Task

# All homes of these tests use this key for their secret splits, so that they share runs.
SPLIT = b"the key of one secret split for every proof"
# A fixed part of the pool, so that a patch's measured gain does not change with later runs.
MEASURED_SEEDS = SEED_POOL[:30]
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """A mean gain over the baseline on the secret split, its standard error and number of seeds.

    Gains are in the metric's unit. Positive is better.
    """

    gain: float
    error: float
    seeds: int


def runner_of(
    task: Task,
    data: TaskData,
    kept: Path,
    *,
    seeds: PooledSeeds,
    program_of: Callable[[Source], Source] = itself,
) -> CachedRunner:
    """Return a runner that keeps its runs under `kept`, on the secret split of these tests."""
    return CachedRunner(
        task,
        data,
        split=SPLIT,
        audit_key=b"a test's key",
        folder=kept / "runs",
        seeds=seeds,
        program_of=program_of,
    )


@asynccontextmanager
async def open_runner(task: Task, kept: Path) -> AsyncIterator[CachedRunner]:
    """Open a runner for measuring planted patches."""
    data = prepare_all(task, data_dir=kept / "data", progress=lambda _what, _share: None)
    runner = runner_of(task, data, kept, seeds=PooledSeeds("measuring"))
    try:
        yield runner
    finally:
        await runner.close()


async def measure(
    runner: CachedRunner,
    sources: Mapping[str, Source],
    *,
    seeds: Sequence[int] = MEASURED_SEEDS,
) -> None:
    """Make the missing runs of these sources. The next call resumes after a kill.

    A run that failed on a busy machine is repeated, at most twice.
    """
    for seed in seeds:
        for name, source in sources.items():
            for _ in range(_ATTEMPTS):
                if runner.kept.get(source.tree, seed) is not None:
                    break
                outcome = await runner.run(source, seed)
                print(f"  {name}, seed {seed}: {outcome.status}", file=sys.stderr, flush=True)


def worth_of(
    kept: KeptRuns, base: Source, candidate: Source, *, seeds: Sequence[int] = MEASURED_SEEDS
) -> Worth:
    """Return the gain by the runs of these seeds for which both sources succeeded."""
    before, after = _metrics(kept, base, seeds), _metrics(kept, candidate, seeds)
    gains = [before[seed] - after[seed] for seed in seeds if seed in before and seed in after]
    return Worth(gain=fmean(gains), error=stdev(gains) / sqrt(len(gains)), seeds=len(gains))


def noise_of(kept: KeptRuns, base: Source) -> float:
    """Return the standard deviation of one run of a source on the secret split."""
    return stdev(_metrics(kept, base, MEASURED_SEEDS).values())


def _metrics(kept: KeptRuns, source: Source, seeds: Sequence[int]) -> dict[int, float]:
    outcomes = {seed: kept.get(source.tree, seed) for seed in seeds}
    return {
        seed: outcome.secret_nano / NANO
        for seed, outcome in outcomes.items()
        if outcome is not None and outcome.secret_nano is not None
    }
