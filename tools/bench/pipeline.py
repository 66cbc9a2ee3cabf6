"""The cost of the sandboxed pipeline compared with a plain process.

The plain process imports torch, trains and scores the public split, without sandbox, secret split
or audit. Both are measured in turns, so that slow changes of speed cancel. The figure is
the ratio of the medians. Other figures are the throughput of lanes with a core each, the time from
the request of a sandbox until it waits for a source, and the memory of a waiting sandbox.
"""

import asyncio
import math
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from tests.trainer.counting import counted
from tests.trainer.runners import prepare_all
from trainer.host.capacity import usable_cores
from trainer.host.processes import proportional_kib
from trainer.language_model.data import TaskData
from trainer.language_model.harness import HARNESS
from trainer.measuring.outcome import RunOutcome
from trainer.runner import Runner
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.tier import why_nothing_is_forked
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

ROUNDS = 5
RUNS_A_ROUND = 4
RUNS_A_LANE = 8
PLAIN = Path(__file__).parent / "plain.py"
SANDBOXES, WAITING = 200, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of one run."""

    wall_s: float
    cpu_s: float

    def __str__(self) -> str:
        return f"{self.wall_s:.2f} s, {self.cpu_s:.2f} CPU s"


def run_pipeline(_: Path) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        task = load_task("tiny", data_dir=root)
        data = prepare_all(task, data_dir=root, progress=lambda _what, _share: None)
        return asyncio.run(_measure(task, data, root))


async def _measure(task: Task, data: TaskData, root: Path) -> dict[str, object]:
    runner = Runner(
        task,
        data,
        audit_key=b"a test's key",
    )
    plain: list[Cost] = []
    pipeline: list[Cost] = []
    shares: list[float] = []
    try:
        await runner.calibrate(0)
        for turn in range(ROUNDS):
            plain.append(_plain(task, data, root, seed=turn))
            print(f"  plain process   {plain[-1]}", file=sys.stderr)
            cost, share = await _pipeline(runner, task, first_seed=1 + turn * RUNS_A_ROUND)
            pipeline.append(cost)
            shares.append(share)
            print(f"  pipeline a run  {cost}, {share:.0%} of it counted", file=sys.stderr)
    finally:
        await runner.close()
    turns = list(zip(plain, pipeline, strict=True))
    return {
        "plain_process_s": round(median(one.wall_s for one in plain), 2),
        "plain_process_cpu_s": round(median(one.cpu_s for one in plain), 2),
        "pipeline_per_run_s": round(median(one.wall_s for one in pipeline), 2),
        "pipeline_per_run_cpu_s": round(median(one.cpu_s for one in pipeline), 2),
        "ratio": round(median(ours.wall_s / its.wall_s for its, ours in turns), 2),
        "cpu_ratio": round(median(ours.cpu_s / its.cpu_s for its, ours in turns), 2),
        "runs_per_hour": round(3600 / median(one.wall_s for one in pipeline)),
        "counted_share": round(median(shares), 3),
        "lanes": await _lanes(task, data),
        "sandbox": await _sandboxes(),
        "turns": [[str(its), str(ours)] for its, ours in turns],
    }


async def _lanes(task: Task, data: TaskData) -> dict[str, object]:
    """Return the runs per hour of one lane for each core, with consecutive runs on each.

    `of_the_cores` is the share of all cores' time that the runs used.
    """
    count = usable_cores()
    runners = [Runner(task, data, audit_key=b"a test's key") for _ in range(count)]
    try:
        await asyncio.gather(*(runner.calibrate(0) for runner in runners))
        cpu_s, started_s = _own_cpu_s(), time.monotonic()
        hourly = await asyncio.gather(
            *(_runs_an_hour(runner, first_seed=1000 * lane) for lane, runner in enumerate(runners))
        )
        cpu_s, wall_s = _own_cpu_s() - cpu_s, time.monotonic() - started_s
    finally:
        for runner in runners:
            await runner.close()
    return {
        "count": count,
        "runs_per_hour": round(sum(hourly)),
        "cpu_s_a_run": round(cpu_s / (count * RUNS_A_LANE), 2),
        "of_the_cores": round(cpu_s / wall_s / count, 3),
    }


async def _runs_an_hour(runner: Runner, *, first_seed: int) -> float:
    started_s = time.monotonic()
    for number in range(RUNS_A_LANE):
        outcome = await runner.run(
            runner.task.source, first_seed + number, needs_audit=partial(_is_fourth, number)
        )
        _check(outcome)
    return 3600 * RUNS_A_LANE / (time.monotonic() - started_s)


async def _sandboxes() -> dict[str, object]:
    """Return the milliseconds until a requested sandbox is ready, and its memory."""
    profile = Profile(role="serve", harness=HARNESS, memory_bytes=1 << 30, scratch_bytes=8 << 20)
    ready_ms: list[float] = []
    for _ in range(SANDBOXES):
        began_s = time.perf_counter()
        sandbox = await Sandbox.launch(profile)
        ready_ms.append(1000 * (time.perf_counter() - began_s))
        await sandbox.close()
    ready_ms.sort()
    waiting = [await Sandbox.launch(profile) for _ in range(WAITING)]
    held = [proportional_kib(one.root) >> 10 for one in waiting]
    cpu_ms = [1000 * one.cpu_s() for one in waiting]
    for sandbox in waiting:
        await sandbox.close()
    return {
        "ready_ms_median": round(median(ready_ms), 1),
        "ready_ms_p99": round(ready_ms[math.ceil(0.99 * SANDBOXES) - 1], 1),
        "cpu_ms": round(median(cpu_ms), 1),
        "waiting_mib": median(held),
        "forked": not why_nothing_is_forked(),
    }


def _plain(task: Task, data: TaskData, root: Path, *, seed: int) -> Cost:
    folder = root / "plain"
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_bytes(task.source["train.py"])
    (folder / "prepare.py").write_bytes(PLAIN.read_bytes())
    np.savez(
        folder / "data.npz",
        tokens=data.training_tokens(seed, task.manifest.budget.amount + 1),
        rows=data.public_rows,
        byte_counts=data.byte_counts,
    )
    started_s, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "train.py", str(seed)], cwd=folder, check=True, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall_s=time.monotonic() - started_s, cpu_s=cpu_s)


async def _is_fourth(number: int, _public: int, _secret: int) -> bool:
    return number % 4 == 0


async def _pipeline(runner: Runner, task: Task, *, first_seed: int) -> tuple[Cost, float]:
    """Return the cost of a run at steady state, and the share of time spent in training.

    Each run trains while the one before is scored. Most runs of a night are screens. Those that
    fail by their own log-probabilities are not audited: three in four here.
    """
    started_s, cpu_s = time.monotonic(), _own_cpu_s()
    scoring: list[asyncio.Task[RunOutcome]] = []
    for number in range(RUNS_A_ROUND):
        trained = asyncio.Event()
        run = runner.run(
            task.source,
            first_seed + number,
            needs_audit=partial(_is_fourth, number),
            on_trained=trained.set,
        )
        scoring.append(asyncio.create_task(run))
        await trained.wait()
    outcomes = await asyncio.gather(*scoring)
    for outcome in outcomes:
        _check(outcome)
    cost = Cost(
        wall_s=(time.monotonic() - started_s) / RUNS_A_ROUND,
        cpu_s=(_own_cpu_s() - cpu_s) / RUNS_A_ROUND,
    )
    found = counted(stage for outcome in outcomes for stage in outcome.stages)
    assert found is not None
    return cost, found.share


def _check(outcome: RunOutcome) -> None:
    if outcome.status != "ok":
        raise SystemExit(f"a run of the baseline failed: {outcome.reason}")


def _own_cpu_s() -> float:
    """Return the CPU seconds of this process and of all processes of its sandboxes."""
    return time.process_time() + Sandbox.cpu_s_of_all()
