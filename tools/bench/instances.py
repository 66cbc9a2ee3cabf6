"""The overhead per instance of a program task, and the use of the cores.

The work is a loop of known length. Everything beyond it is our overhead: the sandbox, the
instance's transfer and its check. The alternative is a plain process per instance. Wall-clock times
depend on other load on the cores (`load_before`). CPU times hardly do.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.tasks.sums import TASK, write_sums
from trainer.host.capacity import usable_cores
from trainer.runner import Runner
from trainer.sandbox.sandbox import Sandbox
from trainer.task_folder.task import Task
from trainer.task_kinds import kind_of, load_task

_SHORT_S: Final = 0.010
_LONG_S: Final = 1.0
_SHORT_INSTANCES: Final = 64
_LONG_INSTANCES: Final = 100
_ROUNDS: Final = 3
_WORK: Final = """\
import time


def solve(instance):
    ends = time.process_time() + {seconds}
    while time.process_time() < ends:
        pass
    return sum(instance["numbers"])
"""
_COMMAND: Final = """\
import json
import sys
import time

ends = time.process_time() + {seconds}
while time.process_time() < ends:
    pass
print(sum(json.load(sys.stdin)["numbers"]))
"""


def run_instances(_: Path) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(root: Path) -> dict[str, object]:
    figures: dict[str, object] = {"cores": usable_cores(), "load_before": os.getloadavg()[0]}
    for way in ("entry", "run"):
        task = _task(root / way, way, seconds=_SHORT_S, instances=_SHORT_INSTANCES)
        taken = await _timed(task, _ROUNDS)
        each_ms = [1000 * wall_s / _SHORT_INSTANCES for wall_s, _ in taken]
        cpu_ms = [1000 * cpu_s / _SHORT_INSTANCES for _, cpu_s in taken]
        # Instances run in parallel, one per core, so one alone takes as many times as long.
        figures[f"{way}_ms_an_instance"] = round(min(each_ms) * usable_cores(), 1)
        figures[f"{way}_cpu_ms_an_instance"] = round(min(cpu_ms), 1)
    figures["plain_process_ms"] = round(1000 * _plain(root / "run"), 1)
    task = _task(root / "long", "entry", seconds=_LONG_S, instances=_LONG_INSTANCES)
    wall_s, cpu_s = (await _timed(task, 1))[0]
    busy_s = _LONG_S * _LONG_INSTANCES / usable_cores()
    figures["share_of_cores_busy_with_instances_of_a_second"] = round(busy_s / wall_s, 3)
    figures["share_of_cpu_seconds_that_are_theirs"] = round(_LONG_S * _LONG_INSTANCES / cpu_s, 3)
    return figures


def _task(folder: Path, way: str, *, seconds: float, instances: int) -> Task:
    text = TASK.partition("[hyperparameters.")[0].replace(
        "public = 2", f"public = {instances // 2}"
    )
    text = text.replace("secret = 2", f"secret = {instances - instances // 2}")
    text = text.replace("limit_s = 5", "limit_s = 60")  # other processes may use the cores
    solve = _WORK if way == "entry" else _COMMAND
    if way == "run":
        command = 'run = ["python", "solve.py"]\nencoding = "json"'
        text = text.replace('entry = "solve.py:solve"', command)
    write_sums(folder, task=text, solve=solve.format(seconds=seconds))
    return load_task(folder, data_dir=folder)


async def _timed(task: Task, rounds: int) -> list[tuple[float, float]]:
    """Return the wall-clock and the CPU seconds of some runs, over all of arnode's processes."""
    data = kind_of(task.manifest).prepare(
        task, data_dir=Path(), progress=lambda _what, _share: None
    )
    runner, taken = Runner(task, data, audit_key=bytes(32)), []
    try:
        await runner.calibrate(0)
        for seed in range(1, rounds + 1):
            began_s, before_s = time.monotonic(), _used_cpu_s()
            outcome = await runner.run(task.source, seed)
            assert outcome.status == "ok", outcome.reason
            taken.append((time.monotonic() - began_s, _used_cpu_s() - before_s))
            print(f"  {task.name}: {taken[-1][0]:.2f} s", file=sys.stderr)
    finally:
        await runner.close()
    return taken


def _used_cpu_s() -> float:
    return time.process_time() + Sandbox.cpu_s_of_all()


def _plain(folder: Path) -> float:
    """Return the seconds of a plain process for one instance."""
    best = float("inf")
    for _ in range(10):
        began_s = time.monotonic()
        subprocess.run(
            [sys.executable, "solve.py"],
            cwd=folder,
            input=b'{"numbers": [1, 2]}',
            capture_output=True,
            check=True,
            env={"PATH": os.defpath},
        )
        best = min(best, time.monotonic() - began_s)
    return best
