"""A runner that strangers' sources share, and a watch over every sandbox that it starts."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from trainer import runner as runner_module
from trainer.data import TaskData, prepare
from trainer.outcome import RunOutcome
from trainer.runner import Runner
from trainer.sandbox import Profile, Sandbox
from trainer.task import Task, load_task

SECONDS_TASK = Path(__file__).parents[1] / "tasks" / "seconds"
HONEST_SEED = 2

# Ends that tests wait for: roomy for an honest run of a second even on a crowded machine.
LIMIT_S = 20
WARMUP_LIMIT_S = 8
SERVE_WALL_S = 15.0
MEMORY_MB = 700


class Watch:
    """Looks whether a closed sandbox has left processes behind.

    Holding a namespace open keeps its number from being given to the next one.
    """

    def __init__(self) -> None:
        self.left_behind: list[str] = []
        self._namespaces: dict[int, int] = {}

    def note_start(self, sandbox: Sandbox) -> None:
        """Remember a sandbox's pid namespace."""
        self._namespaces[id(sandbox)] = os.open(f"/proc/{sandbox._pid}/ns/pid", os.O_RDONLY)

    def note_close(self, sandbox: Sandbox) -> None:
        """Look for processes in the namespace of a sandbox that says that it is closed."""
        namespace = self._namespaces.pop(id(sandbox), None)
        if namespace is None:
            return  # it never started
        number = os.fstat(namespace).st_ino
        for path in Path("/proc").glob("[0-9]*/ns/pid"):
            try:
                state = (path.parents[1] / "stat").read_text().rpartition(") ")[2][0]
                if path.stat().st_ino == number and state != "Z":
                    self.left_behind.append((path.parents[1] / "cmdline").read_text())
            except OSError:
                continue  # gone since, or somebody else's
        os.close(namespace)


@dataclass
class Bench:
    """A calibrated runner with its loop: tests are plain functions beside it."""

    loop: asyncio.Runner
    runner: Runner
    watch: Watch
    honest: RunOutcome
    honest_runs: dict[int, RunOutcome] = field(default_factory=dict)

    def run(self, train: str, seed: int = HONEST_SEED, *, needs_audit: bool = True) -> RunOutcome:
        """Run a source of one file."""
        source = self.runner.task.source.replacing("train.py", train.encode())
        outcome = self.loop.run(
            self.runner.run(source, seed, needs_audit=lambda _public, _secret: needs_audit)
        )
        assert self.watch.left_behind == []
        return outcome

    @property
    def baseline(self) -> str:
        """The text of the task's own train.py."""
        return self.runner.task.source["train.py"].decode()

    @property
    def noise_sd(self) -> float:
        """The standard deviation of one run, by the task's manifest."""
        return self.runner.task.manifest.noise_floor_nano / 1e9

    def honest_run(self, seed: int) -> RunOutcome:
        """Run the baseline with a seed, once."""
        if seed not in self.honest_runs:
            self.honest_runs[seed] = self.run(self.baseline, seed)
        return self.honest_runs[seed]

    def check_that_the_next_run_is_clean(self) -> None:
        """Run the baseline again: the same bits as before whatever ran in between."""
        outcome = self.run(self.baseline, needs_audit=False)
        assert (outcome.status, outcome.reason) == ("ok", None)
        assert outcome.metric_nano == self.honest.metric_nano
        assert outcome.secret_nano == self.honest.secret_nano


@contextmanager
def watching() -> Iterator[Watch]:
    """Record every sandbox's pid namespace as it starts."""
    watch = Watch()
    launch, close = Sandbox.launch, Sandbox.close

    async def watched_launch(profile: Profile) -> Sandbox:
        sandbox = await launch(profile)
        watch.note_start(sandbox)
        return sandbox

    async def watched_close(sandbox: Sandbox) -> None:
        await close(sandbox)
        watch.note_close(sandbox)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sandbox, "launch", watched_launch)
        patch.setattr(Sandbox, "close", watched_close)
        patch.setattr(runner_module, "_SERVE_WALL_S", SERVE_WALL_S)
        yield watch


MakeBench = Callable[[Task, TaskData], Bench]


@contextmanager
def benches(watch: Watch) -> Iterator[MakeBench]:
    """Make calibrated benches, which end with the block."""
    made: list[Bench] = []
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
            made.append(Bench(loop, runner, watch, honest, {HONEST_SEED: honest}))
            return made[-1]

        yield make_and_keep
        for bench in made:
            loop.run(bench.runner.close())
        assert watch.left_behind == []


@pytest.fixture(scope="package")
def watch() -> Iterator[Watch]:
    with watching() as watch:
        yield watch


@pytest.fixture(scope="package")
def make_bench(watch: Watch) -> Iterator[MakeBench]:
    with benches(watch) as make:
        yield make


def limited(task: Task) -> Task:
    """Return the task with limits that a test can wait for."""
    limits = replace(
        task.manifest.limits,
        limit_s=LIMIT_S,
        warmup_limit_s=WARMUP_LIMIT_S,
        memory_mb=MEMORY_MB,
    )
    return replace(task, manifest=replace(task.manifest, limits=limits))


@pytest.fixture(scope="package")
def bench(make_bench: MakeBench, short_task: Task, short_data: TaskData) -> Bench:
    """The short task: a budget of tokens, one process."""
    return make_bench(limited(short_task), short_data)


@pytest.fixture(scope="package")
def bench_with_processes(make_bench: MakeBench, data_dir: Path) -> Bench:
    """A task with a budget of seconds, where training may start processes."""
    task = load_task(SECONDS_TASK, data_dir=data_dir)
    data = prepare(task, data_dir=data_dir, progress=lambda _what, _share: None)
    return make_bench(limited(task), data)
