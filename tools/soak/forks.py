"""Ten thousand forked sandboxes, and whole runs in them: nothing grows and no bit differs.

`run_forks` makes sandboxes whose source ends at once, then whole runs one after the other.
`run_bits` measures every built-in task with the same seeds in forks and in separate processes.
"""

import asyncio
import math
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.trainer.runners import SPLIT, prepare_all
from tools.paths import TASKS
from trainer.host.processes import status_number
from trainer.language_model.harness import HARNESS
from trainer.language_model.job import program_message
from trainer.runner import Runner
from trainer.sandbox.frames import SandboxEnded
from trainer.sandbox.inside.channel import JOB
from trainer.sandbox.profile import Profile
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.zygote import Zygote
from trainer.task_kinds import load_task

_FORKS, _RUNS, _SEEDS = 10_000, 500, 20
_WARM_UP = 200  # forks until caches and imports have filled
_MOST_GROWTH_KIB = 16 << 10
_MOST_LEFT = 8  # descriptors, children, mounts; spare sandboxes start and end meanwhile
_MOST_OBJECTS = _FORKS // 10  # kernel objects; others use them too, a leak would be one per fork
_BUILT_IN = ("tiny-short", "tiny", "tiny-long")
_PROFILE = Profile(role="serve", harness=HARNESS, memory_bytes=1 << 30, scratch_bytes=8 << 20)
# Kernel object caches. They are the only visible trace of namespaces without a process.
_SLABS = ("net_namespace", "pid_namespace", "user_namespace", "mnt_cache")

Row = dict[str, object]


def run_forks(home: Path) -> Row:
    """Fork sandboxes, make runs, and return what has grown."""
    return asyncio.run(_forks(home))


def run_bits(home: Path) -> Row:
    """Measure every built-in task twice with the same seeds, and compare the scores."""
    differing = {task: asyncio.run(_differing(home, task)) for task in _BUILT_IN}
    return {"holds": not any(differing.values()), "seeds": _SEEDS, "differing": differing}


async def _forks(home: Path) -> Row:
    ready_s: list[float] = []
    for _ in range(_WARM_UP):
        await _fork(ready_s)
    before, zygotes = _held(), []
    ready_s.clear()
    for number in range(_FORKS):
        await _fork(ready_s)
        if not number % 1000:
            zygotes.append(_grown_kib())
            print(f"  {number} forks, {_held()}", file=sys.stderr)
    stayed = _stayed(before)
    runs = await _runs(home)
    return {
        "holds": max(zygotes) <= _MOST_GROWTH_KIB and _is_little(stayed) and runs["holds"],
        "forks": _FORKS,
        "ready_ms": {f"p{share:g}": _quantile_ms(ready_s, share) for share in (50, 90, 99, 99.9)},
        "growth_of_a_zygote_kib": max(zygotes),
        "stayed": stayed,
        "runs": runs,
    }  # fmt: skip


def _is_little(stayed: Mapping[str, int]) -> bool:
    most = {"own_kib": _MOST_GROWTH_KIB, **dict.fromkeys(_SLABS, _MOST_OBJECTS)}
    return all(left <= most.get(name, _MOST_LEFT) for name, left in stayed.items())


async def _fork(ready_s: list[float]) -> None:
    began_s = time.perf_counter()
    sandbox = await Sandbox.launch(_PROFILE)
    ready_s.append(time.perf_counter() - began_s)
    try:
        await sandbox.send(JOB, program_message("raise SystemExit", "serve"))
        await sandbox.receive(b"?")
    except SandboxEnded:
        await sandbox.settled()
    finally:
        await sandbox.close()


async def _runs(home: Path) -> Row:
    """Return the figures of whole runs."""
    task = load_task(str(TASKS / "short"), data_dir=home / "data")
    data = prepare_all(task, data_dir=home / "data", progress=lambda _what, _share: None)
    runner = Runner(task, data, audit_key=b"a test's key")
    try:
        first = await runner.calibrate(1, split=SPLIT)
        before, differing, began_s = _held(), 0, time.monotonic()
        for number in range(_RUNS):
            outcome = await runner.run(task.source, 1, split=SPLIT)
            differing += (outcome.metric_nano, outcome.secret_nano) != (
                first.metric_nano, first.secret_nano,
            )  # fmt: skip
            if not number % 50:
                print(f"  {number} runs, {_held()}", file=sys.stderr)
        took_s = time.monotonic() - began_s
        stayed = _stayed(before)
    finally:
        await runner.close()
    return {
        "holds": _is_little(stayed) and differing == 0,
        "runs": _RUNS,
        "differing": differing,
        "seconds_each": round(took_s / _RUNS, 2),
        "stayed": stayed,
    }


async def _differing(home: Path, name: str) -> int:
    """Return for how many seeds a fork and a separate process measure different scores."""
    task = load_task(name, data_dir=home / "data")
    data = prepare_all(task, data_dir=home / "data", progress=lambda _what, _share: None)
    runner, differing = Runner(task, data, audit_key=b"a test's key"), 0
    try:
        await runner.calibrate(0, split=SPLIT)
        for seed in range(1, _SEEDS + 1):
            forked, fresh = [
                await runner.run(task.source, seed, split=SPLIT, is_fresh=is_fresh)
                for is_fresh in (False, True)
            ]
            same = forked.metric_nano == fresh.metric_nano is not None
            differing += not (same and forked.secret_nano == fresh.secret_nano)
            print(f"  {name} seed {seed}: {forked.metric_nano}, {same}", file=sys.stderr)
    finally:
        await runner.close()
    return differing


def _stayed(before: Mapping[str, int]) -> dict[str, int]:
    """Return the growth of each count since `before`."""
    now = _held()
    return {name: now[name] - before[name] for name in before}


def _held() -> dict[str, int]:
    """Return the resources that this process and the kernel hold now."""
    zygotes = [one.pid for one in Zygote.living()]
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return {
        "own_kib": status_number(os.getpid(), "VmRSS"),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "children": len(children),
        "zygotes_descriptors": max(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in zygotes),
        "zygotes_mounts": max(
            Path(f"/proc/{pid}/mountinfo").read_text().count("\n") for pid in zygotes
        ),
        **_slabs(),
    }


def _grown_kib() -> int:
    return max(one.grown_kib() for one in Zygote.living())


def _slabs() -> dict[str, int]:
    try:
        lines = Path("/proc/slabinfo").read_text()
    except OSError:  # readable by root only
        return {}
    found = re.findall(rf"^({'|'.join(_SLABS)}) +(\d+)", lines, re.MULTILINE)
    return {name: int(count) for name, count in found}


def _quantile_ms(seconds: Sequence[float], share: float) -> float:
    at = math.ceil(len(seconds) * share / 100) - 1
    return round(1000 * sorted(seconds)[at], 1)
