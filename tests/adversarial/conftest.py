"""Fixtures of a runner that strangers' sources share."""

from collections.abc import Iterator

import pytest

from tests.adversarial.bench import (
    Bench,
    MakeBench,
    Watch,
    benches,
    limited,
    watched_sandboxes,
    with_processes,
)
from trainer.language_model.data import TaskData
from trainer.task_folder.task import Task


@pytest.fixture(scope="package")
def watch() -> Iterator[Watch]:
    with watched_sandboxes() as watch:
        yield watch


@pytest.fixture(scope="package")
def make_bench(watch: Watch) -> Iterator[MakeBench]:
    with benches(watch) as make:
        yield make


@pytest.fixture(scope="package")
def bench(make_bench: MakeBench, short_task: Task, short_data: TaskData) -> Bench:
    """The short task: a budget of tokens, one process."""
    return make_bench(limited(short_task), short_data)


@pytest.fixture(scope="package")
def bench_with_processes(make_bench: MakeBench, short_task: Task, short_data: TaskData) -> Bench:
    """A task with a budget of seconds, where training may start processes."""
    return make_bench(limited(with_processes(short_task)), short_data)
