"""The built-in search against uniform random search and Optuna's TPE, on a fifth of `tiny`.

Each arm has `RUNS` training runs per repetition, everything included. The head that an arm names is
then measured on the secret split, with new seeds, against the baseline with the same seeds. Its
result is that gain, or 0 for a loss, which would not be adopted.

The production runner makes the runs. Each run is written to a file when it ends. To resume, a
search is replayed from the file, and must request the same sources in the same order.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, median, quantiles, stdev

from protocol.errors import ArnodeError
from protocol.runs import MAX_SEED
from protocol.source import Source
from protocol.units import NANO
from tests.trainer.audits import audited
from tests.trainer.runners import prepare_all
from tools.paths import TASKS
from tools.soak.arms import OutOfRuns, ParzenSearch, Search, ShippedSearch, UniformSearch
from trainer.language_model.data import TaskData
from trainer.language_model.text.token_cache import write_atomically
from trainer.runner import Runner
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

RUNS = 40
REPETITIONS = 10
FRESH_SEEDS = 16  # with 4 a gain is uncertain by 0.7 sd, more than the arms may differ
TASK = TASKS / "fifth"
ARMS: Mapping[str, type[Search]] = {
    "search": ShippedSearch,
    "tpe": ParzenSearch,
    "uniform": UniformSearch,
}
_SPLIT = b"the key of one secret split for every arm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """One run in a file. Metrics are in 1e-9 units, None unless the status is `ok`."""

    tree: str
    seed: int
    status: str
    public_nano: int | None
    secret_nano: int | None
    seconds: float


@dataclass(slots=True)
class Notes:
    """The file of one search or repetition, and the position reached in replaying it."""

    path: Path
    runs: list[Noted] = field(default_factory=list)

    @classmethod
    def at(cls, path: Path) -> "Notes":
        """Read the notes in a file."""
        said = json.loads(path.read_bytes()) if path.exists() else []
        return cls(path, [Noted(**one) for one in said])

    def add(self, run: Noted) -> None:
        """Append a run."""
        self.runs.append(run)
        write_atomically(self.path, json.dumps([asdict(one) for one in self.runs]).encode())


class Bench:
    """A bench that makes missing runs. One process trains or scores at a time."""

    def __init__(self, task: Task, runner: Runner, folder: Path) -> None:
        self.task = task
        self._runner = runner
        self._folder = folder

    async def search(self, arm: str, repetition: int) -> Search:
        """Run or replay a search. Raises ArnodeError if the replay differs from the file."""
        notes = Notes.at(self._folder / f"{arm}-{repetition}.json")
        seeds = _seeds("search", repetition, RUNS)
        search = ARMS[arm](self.task, repetition)
        asked = 0

        async def measure(source: Source) -> float | None:
            nonlocal asked
            if asked == RUNS:
                raise OutOfRuns
            if asked == len(notes.runs):
                notes.add(await self._run(source, seeds[asked]))
                _print_progress(notes)
            noted = notes.runs[asked]
            if noted.tree != source.tree.hex():
                raise ArnodeError(
                    f"{notes.path}: run {asked + 1} was of another source",
                    "the search has changed since, or is not deterministic: remove the file",
                )
            asked += 1
            return None if noted.public_nano is None else noted.public_nano / NANO

        with suppress(OutOfRuns):
            await search.run(measure)
        return search

    async def verified(self, head: Source, repetition: int) -> float:
        """Return a head's gain over the baseline with fresh seeds, at least 0."""
        notes = Notes.at(self._folder / f"fresh-{repetition}.json")
        gains = []
        for seed in _seeds("fresh", repetition, FRESH_SEEDS):
            base = await self._fresh(notes, self.task.source, seed)
            metric = await self._fresh(notes, head, seed)
            if base is None or metric is None:  # a source that fails is not adopted
                return 0.0
            gains.append(base - metric)
        return max(0.0, fmean(gains))

    async def _fresh(self, notes: Notes, source: Source, seed: int) -> float | None:
        """Return a run's metric on the secret split, or None if it failed."""
        tree = source.tree.hex()
        while True:
            for noted in notes.runs:
                if (noted.tree, noted.seed) == (tree, seed):
                    return None if noted.secret_nano is None else noted.secret_nano / NANO
            notes.add(await self._run(source, seed))

    async def _run(self, source: Source, seed: int) -> Noted:
        began = time.monotonic()
        # No source cheats here, and an audit changes no metric.
        outcome = await self._runner.run(source, seed, split=_SPLIT, needs_audit=audited(False))
        return Noted(
            tree=source.tree.hex(),
            seed=seed,
            status=outcome.status,
            public_nano=outcome.metric_nano,
            secret_nano=outcome.secret_nano,
            seconds=round(time.monotonic() - began, 2),
        )


@asynccontextmanager
async def open_bench(folder: Path) -> AsyncIterator[Bench]:
    """Open a bench with its notes in a folder."""
    kept = folder.parent / "kept"
    task = load_task(TASK, data_dir=kept / "data")
    data = prepare_all(task, data_dir=kept / "data", progress=lambda _what, _share: None)
    async with _runner(task, data) as runner:
        await runner.calibrate(0, split=_SPLIT)
        yield Bench(task, runner, folder)


@asynccontextmanager
async def _runner(task: Task, data: TaskData) -> AsyncIterator[Runner]:
    runner = Runner(
        task,
        data,
        audit_key=b"a test's key",
    )
    try:
        yield runner
    finally:
        await runner.close()


def run_hyperparameters(folder: Path) -> dict[str, object]:
    """Make the missing runs of all searches, and return their figures."""
    folder.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_compared(folder))


async def _compared(folder: Path) -> dict[str, object]:
    heads: dict[str, list[float]] = {arm: [] for arm in ARMS}
    repeated = 0
    async with open_bench(folder) as bench:
        for repetition in range(REPETITIONS):
            for arm in ARMS:
                search = await bench.search(arm, repetition)
                heads[arm].append(await bench.verified(search.head, repetition))
                print(f"{arm} {repetition}: {heads[arm][-1]:.4f}", file=sys.stderr, flush=True)
            # Replay from the notes alone.
            played = await bench.search("search", repetition)
            repeated += len(played.proposed) - len(set(played.proposed))
    return _figures(folder, heads, repeated)


def _figures(
    folder: Path, heads: Mapping[str, Sequence[float]], repeated: int
) -> dict[str, object]:
    notes = {path.stem: Notes.at(path).runs for path in sorted(folder.glob("*.json"))}
    task = load_task(TASK, data_dir=folder.parent / "kept" / "data")
    baseline = task.source.tree.hex()
    bases = [
        run.secret_nano / NANO
        for name, runs in notes.items()
        for run in runs
        if name.startswith("fresh") and run.tree == baseline and run.secret_nano is not None
    ]
    middle = {arm: median(gains) for arm, gains in heads.items()}
    return {
        "task": task.name,
        "runs": RUNS,
        "repetitions": REPETITIONS,
        "fresh_seeds": FRESH_SEEDS,
        "baseline": round(fmean(bases), 4),
        "noise_sd": round(stdev(bases), 4),
        "median": {arm: round(gain, 4) for arm, gain in middle.items()},
        "mean": {arm: round(fmean(gains), 4) for arm, gains in heads.items()},
        "repetitions_won_against": {
            arm: sum(own > other for own, other in zip(heads["search"], heads[arm], strict=True))
            for arm in ARMS
            if arm != "search"
        },
        "quartiles": {
            arm: [round(gain, 4) for gain in quantiles(gains, method="inclusive")[::2]]
            for arm, gains in heads.items()
        },
        "verified_heads": {arm: [round(gain, 4) for gain in heads[arm]] for arm in heads},
        "runs_without_metric": {
            arm: sum(
                run.status != "ok" for name in notes if name.startswith(arm) for run in notes[name]
            )
            for arm in ARMS
        },
        "repeated": repeated,
        # Always true: a replay that differs raises before.
        "played_again_alike": True,
        "measured_as_in_a_sandbox": True,
        "minutes": round(sum(run.seconds for runs in notes.values() for run in runs) / 60),
        "holds": middle["search"] > middle["uniform"]
        and middle["search"] >= middle["tpe"]
        and not repeated,
    }


def _print_progress(notes: Notes) -> None:
    run = notes.runs[-1]
    metric = run.status if run.public_nano is None else f"{run.public_nano / NANO:.4f}"
    said = f"  {notes.path.stem}, run {len(notes.runs)}: {metric}, {run.seconds:.0f} s"
    print(said, file=sys.stderr, flush=True)


def _seeds(what: str, repetition: int, count: int) -> list[int]:
    chance = random.Random(f"{what} {repetition}")
    return [chance.randrange(MAX_SEED + 1) for _ in range(count)]
