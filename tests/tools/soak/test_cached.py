"""Kept runs: the bits of a real one, and another run for every other tree, seed and split."""

import asyncio
from dataclasses import asdict
from pathlib import Path

import pytest

from protocol.source import Source
from tests.trainer.audits import audited
from tests.trainer.runners import SPLIT
from tests.trainer.test_runner import Edited
from tools.soak.cached import SEED_POOL, CachedRunner, KeptRuns, PooledSeeds
from trainer.language_model.data import TaskData
from trainer.measuring.outcome import RunOutcome
from trainer.runner import Runner
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task


def runner_of(task: Task, data: TaskData, folder: Path) -> CachedRunner:
    return CachedRunner(
        task,
        data,
        split=SPLIT,
        audit_key=b"a test's key",
        folder=folder,
        seeds=PooledSeeds("a test"),
    )


def figures(outcome: RunOutcome) -> dict[str, object]:
    """Return its stored fields: without answers and curve, and with its own stages."""
    left_out = {"answers", "curve", "stages"}
    return {name: value for name, value in asdict(outcome).items() if name not in left_out}


@pytest.mark.soak
def test_a_kept_run_is_the_real_one_to_the_bit(
    short_task: Task, short_data: TaskData, tmp_path: Path
) -> None:
    source, seed = short_task.source, SEED_POOL[3]

    async def check() -> None:
        first = runner_of(short_task, short_data, tmp_path)
        again = Runner(
            short_task,
            short_data,
            audit_key=b"a test's key",
        )
        second = runner_of(short_task, short_data, tmp_path)
        try:
            made = await first.run(source, seed)
            second.baseline_cost = again.baseline_cost = first.baseline_cost
            kept = await second.run(source, seed)
            real = await again.run(source, seed, split=SPLIT)
        finally:
            for runner in (first, second, again):
                await runner.close()
        assert made.status == "ok"
        assert figures(kept) == figures(made)
        assert (kept.metric_nano, kept.secret_nano) == (real.metric_nano, real.secret_nano)
        unaudited = await second.run(source, seed, needs_audit=audited(False))
        assert figures(unaudited) == {**figures(made), "audit": None}

    asyncio.run(check())


def test_a_run_is_kept_for_its_tree_seed_task_and_split_alone(
    short_task: Task, short_data: TaskData, data_dir: Path, edited: Edited, tmp_path: Path
) -> None:
    def kept_for(task: Task, key: bytes) -> KeptRuns:
        return KeptRuns.here(tmp_path, task, short_data.secret_rows(key))

    tree = short_task.source.tree
    other: Source = edited(("BATCH = 4", "BATCH = 2"))
    tiny = load_task("tiny", data_dir=data_dir)
    here = kept_for(short_task, SPLIT)
    paths = [
        here.path(tree, 1),
        here.path(tree, 2),
        here.path(other.tree, 1),
        kept_for(short_task, b"another key").path(tree, 1),
        kept_for(tiny, SPLIT).path(tree, 1),
    ]
    assert len(set(paths)) == len(paths)
    assert kept_for(short_task, SPLIT).path(tree, 1) == here.path(tree, 1)


def test_forty_new_seeds_in_a_row_are_forty_of_the_pool() -> None:
    seeds = PooledSeeds("a test")
    drawn = [seeds.of(number) for number in range(80)]
    assert sorted(drawn[:40]) == sorted(drawn[40:]) == list(SEED_POOL)
    assert sorted(drawn[17:57]) == list(SEED_POOL)
    assert [seeds.of(number) for number in range(80)] == drawn


@pytest.mark.parametrize("seed", SEED_POOL[:3])
def test_the_pool_s_seeds_stand_for_themselves(seed: int) -> None:
    assert PooledSeeds("a test").of(seed) == seed
