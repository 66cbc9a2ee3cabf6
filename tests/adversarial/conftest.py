"""Fixtures of a runner that strangers' sources share."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.adversarial.bench import (
    HONEST_SEED,
    Bench,
    Watch,
    limited,
    watched_sandboxes,
    with_processes,
)
from trainer.data import TaskData
from trainer.outcome import RunOutcome
from trainer.runner import Runner
from trainer.task import Task

SECONDS_TASK = Path(__file__).parents[1] / "tasks" / "seconds"

MakeBench = Callable[[Task, TaskData], Bench]


@pytest.fixture(scope="package")
def watch() -> Iterator[Watch]:
    with watched_sandboxes() as watch:
        yield watch


@pytest.fixture(scope="package")
def make_bench(watch: Watch) -> Iterator[MakeBench]:
    benches: list[Bench] = []
    with asyncio.Runner() as loop:

        async def make(task: Task, data: TaskData) -> tuple[Runner, RunOutcome]:
            runner = Runner(
                task,
                data,
                secret_rows=data.secret_rows(b"a node's secret", 0),
                random_seed=iter(range(1000)).__next__,
            )
            return runner, await runner.calibrate(HONEST_SEED)

        def make_and_keep(task: Task, data: TaskData) -> Bench:
            runner, honest = loop.run(make(task, data))
            benches.append(Bench(loop, runner, watch, honest))
            return benches[-1]

        yield make_and_keep
        for bench in benches:
            loop.run(bench.runner.close())
        assert watch.left_behind == []


@pytest.fixture(scope="package")
def bench(make_bench: MakeBench, short_task: Task, short_data: TaskData) -> Bench:
    """The short task: a budget of tokens, one process."""
    return make_bench(limited(short_task), short_data)


@pytest.fixture(scope="package")
def bench_with_processes(make_bench: MakeBench, short_task: Task, short_data: TaskData) -> Bench:
    """A task with a budget of seconds, where training may start processes."""
    return make_bench(limited(with_processes(short_task)), short_data)
