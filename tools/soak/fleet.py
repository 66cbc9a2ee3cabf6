"""One node with many Ray lanes: runs per minute, the node's CPU cost, and the effect of faults.

The runs only sleep (`sleeper/`), so that many lanes fit on this machine's few cores. Everything
else is real: a cluster, a process per lane, sandboxes, store and loop. Some runs of the largest
session are then repeated locally with their seeds. Real training on two lanes with a core each is
compared with one lane with one core. Two more settings are reported: one lane with both cores,
which scores a run while it trains the next, and two independent nodes, the best that two cores of
this machine can give.
"""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.home.home import Home
from node.line.open_task import open_session
from node.store.blobs import Blobs
from node.store.jobs import PlannedRun
from node.terminal.progress import silent
from tests.remote.programs import below, ended_runs
from tools.dying import dying
from trainer.host.device import processor
from trainer.host.processes import exact_cpu_s
from trainer.task_kinds import load_task

_SLEEPER: Final = Path(__file__).parent / "sleeper"
_REAL: Final = "tiny"  # its runs are long compared with the loop's work between them
_LANES: Final = (1, 4, 16, 32)
_MINUTES: Final = 4.0
_REAL_MINUTES: Final = 5.0
_LEAST_SHARE: Final = 0.75  # of 16 times one lane's runs, at 16 lanes
_MOST_CPU: Final = 0.2  # of a core, for store and loop at 32 lanes
_LEAST_REAL: Final = 1.8
_ONE, _TWO = "one lane on one core", "two lanes on two cores"
_REAL_LANES: Final[Mapping[str, tuple[int, Collection[int]]]] = {
    _ONE: (1, (0,)),
    _TWO: (2, (0, 1)),
    "one lane on two cores": (1, (0, 1)),
}
_APART: Final = "two nodes on a core each"
_MADE_AGAIN: Final = 12
_PATIENCE_S: Final = 180.0
_FROZEN_S: Final = 60.0

Figures = Mapping[str, object]


def run_fleet(home: Path, *, minutes: float = _MINUTES) -> Figures:
    """Run a session with each number of lanes, then one with faults, then real runs."""
    shutil.rmtree(home, ignore_errors=True)
    sessions = {count: _session(home / f"lanes-{count}", count, minutes) for count in _LANES}
    one = sessions[1]["runs_a_minute"]
    again = asyncio.run(_made_again(home / "lanes-16"))
    print(f"  made again: {again}", file=sys.stderr, flush=True)
    faults = _faults(home / "faults")
    print(f"  {faults}", file=sys.stderr, flush=True)
    real = {
        name: _session(home / f"real-{at}", lanes, _REAL_MINUTES, task=_REAL, cores=cores)
        for at, (name, (lanes, cores)) in enumerate(_REAL_LANES.items())
    }
    by_name = {name: figures["runs_a_minute"] for name, figures in real.items()}
    by_name[_APART] = _apart(home / "apart")
    real_times = round(by_name[_TWO] / by_name[_ONE], 2)
    times = {count: round(figures["runs_a_minute"] / one, 2) for count, figures in sessions.items()}
    return {
        "holds": times[16] >= 16 * _LEAST_SHARE
        and sessions[32]["cpu_of_node"] < _MOST_CPU
        and again["differ"] == 0
        and faults["wrong"] == []
        and real_times >= _LEAST_REAL,
        "sessions": sessions,
        "times_one_lane": times,
        "made_again": again,
        "faults": faults,
        "real_runs_a_minute": by_name,
        "real_times": real_times,
        "real_share_of_best": round(by_name[_TWO] / by_name[_APART], 2),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """A running node and its home."""

    home: Home
    process: "subprocess.Popen[bytes]"

    def ended(self) -> list[PlannedRun]:
        """Return the runs that have ended."""
        return ended_runs(self.home)

    def await_runs(self, count: int) -> None:
        """Wait until `count` runs have ended."""
        end_s = time.monotonic() + _PATIENCE_S
        while len(self.ended()) < count:
            assert self.process.poll() is None, "the node ended"
            assert time.monotonic() < end_s, f"{len(self.ended())} of {count} runs"
            time.sleep(0.5)

    def below(self, word: bytes) -> list[int]:
        """Return the node's direct and indirect child processes whose command contains `word`."""
        return below(self.process.pid, word)


@contextmanager
def _node(
    place: Path, lanes: int, *, task: str | Path, cores: Collection[int] | None = None
) -> Iterator[_Running]:
    Home(place).prepare()
    taskset = shutil.which("taskset") or "taskset"
    holding = [taskset, "--cpu-list", ",".join(map(str, cores))] if cores else []
    command = [
        *holding,
        sys.executable,
        "-m",
        "node",
        "start",
        "--task",
        str(task),
        "--network",
        "none",
    ]
    command += ["--ray", "local", "--lanes", str(lanes), "--web", "none"]
    with (place / "said").open("ab") as said:
        process = subprocess.Popen(
            dying(command),
            env={**os.environ, "ARNODE_HOME": str(place)},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        try:
            yield _Running(home=Home(place), process=process)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _session(
    place: Path,
    lanes: int,
    minutes: float,
    *,
    task: str | Path = _SLEEPER,
    cores: Collection[int] | None = None,
) -> dict[str, float]:
    """Return the figures of `minutes` minutes, counted after every lane's first runs."""
    with _node(place, lanes, task=task, cores=cores) as node:
        node.await_runs(2 + lanes)
        (driver,) = node.below(b"ray_driver")
        cpu_s = {pid: exact_cpu_s(pid) for pid in (node.process.pid, driver)}
        runs_a_minute, took_s = _counted([node], minutes)
        node_cpu, driver_cpu = ((exact_cpu_s(pid) - one) / took_s for pid, one in cpu_s.items())
    figures = {
        "runs_a_minute": runs_a_minute,
        "cpu_of_node": round(node_cpu, 3),
        "cpu_beside": round(driver_cpu, 3),
    }
    print(f"  {lanes} lanes: {figures}", file=sys.stderr, flush=True)
    return figures


def _apart(place: Path) -> float:
    """Return the real runs per minute of two nodes with a core each."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(_node(place / f"core-{core}", 1, task=_REAL, cores=(core,)))
            for core in (0, 1)
        ]
        for node in nodes:
            node.await_runs(3)
        return _counted(nodes, _REAL_MINUTES)[0]


def _counted(nodes: Sequence[_Running], minutes: float) -> tuple[float, float]:
    """Return the runs per minute of nodes over `minutes` minutes, and the seconds it took."""
    began_s, before = time.monotonic(), sum(len(node.ended()) for node in nodes)
    time.sleep(60 * minutes)
    runs = sum(len(node.ended()) for node in nodes) - before
    took_s = time.monotonic() - began_s
    return round(60 * runs / took_s, 2), took_s


async def _made_again(place: Path) -> dict[str, int]:
    """Repeat some runs of a session locally, without a lane: the metrics must be the same."""
    home = Home(place)
    task = load_task(_SLEEPER, data_dir=home.data)
    ended = [run for run in ended_runs(home) if run.run and run.run.metric_nano is not None]
    chosen = random.Random(1).sample(ended, min(_MADE_AGAIN, len(ended)))
    session = open_session(
        home,
        task,
        silent,
        devices=[processor()],
        data_url=None,
        forks_untrusted=True,
        patience_s=0.0,
    )
    differ = 0
    try:
        await session.runner.calibrate(1)
        for run in chosen:
            source = Blobs(home.blobs).get_source(run.tree)
            outcome = await session.runner.run(source, run.seed)
            differ += run.run is None or outcome.metric_nano != run.run.metric_nano
    finally:
        await session.close()
    return {"runs": len(chosen), "differ": differ}


def _faults(place: Path) -> dict[str, object]:
    """Inject faults into a session with four lanes, and look for missing or duplicate runs."""
    done: dict[str, int] = {}
    with _node(place, 4, task=_SLEEPER) as node:
        node.await_runs(6)
        for name, fault in _FAULTS.items():
            before = len(node.ended())
            began_s = time.monotonic()
            fault(node)
            node.await_runs(before + 8)
            done[name] = round(time.monotonic() - began_s)
        seen = {(run.job_id, run.ordinal): run for run in node.ended()}
        node.process.kill()
        node.process.wait()
    with _node(place, 4, task=_SLEEPER) as node:
        began_s = time.monotonic()
        node.await_runs(len(seen) + 8)
        done["the node killed"] = round(time.monotonic() - began_s)
        after = {(run.job_id, run.ordinal): run for run in node.ended()}
    wrong = [f"run {key} is another one" for key, run in seen.items() if after.get(key) != run]
    drawn = [(run.tree, run.seed) for run in after.values()]  # both runs of a pair share a seed
    if len(set(drawn)) != len(drawn):
        wrong.append("a run was counted twice")
    check = subprocess.run(
        [sys.executable, "-m", "node", "home", "fsck"],
        env={**os.environ, "ARNODE_HOME": str(place)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if check.returncode != 0:
        wrong.append(f"fsck: {check.stdout} {check.stderr}")
    return {"seconds_to_eight_more_runs": done, "runs": len(after), "wrong": wrong}


def _kill(word: bytes) -> Callable[[_Running], None]:
    def kill(node: _Running) -> None:
        for pid in node.below(word)[:1]:
            os.kill(pid, signal.SIGKILL)

    return kill


def _freeze(node: _Running) -> None:
    """Suspend two lanes' processes and their keepers for a minute, as a network outage would."""
    frozen = [*node.below(b"ray::LaneHost")[:2], *node.below(b"node.remote.lane import")[:2]]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(_FROZEN_S)
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)


def _slow(node: _Running) -> None:
    """Slow one lane's process down to a tenth of its time for a while."""
    (pid, *_) = node.below(b"node.remote.lane import")
    end_s = time.monotonic() + _FROZEN_S
    while time.monotonic() < end_s:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.9)
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.1)


_FAULTS: Final[Mapping[str, Callable[[_Running], None]]] = {
    "a lane's program killed": _kill(b"node.remote.lane import"),
    "Ray's worker killed": _kill(b"ray::LaneHost"),
    "the process that speaks with Ray killed": _kill(b"node.remote.ray_driver import"),
    "two lanes frozen for a minute": _freeze,
    "a lane ten times slower for a minute": _slow,
}
