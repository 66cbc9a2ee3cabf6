"""The effect of other programs on trials: how many runs they cut off, and what that costs.

`recorded` runs `tiny`'s baseline next to 1, 4 and 10 busy processes and counts the runs that were
cut off. `played` then simulates trials in which that share of runs is cut off, by the node's own
rules. They are of stacks that gain, of stacks that do not, and of a candidate that is slow by its
own load.
"""

import asyncio
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import median
from typing import Final

from node.line.trial import Confirmation, MetricReading, next_of_confirmation
from node.store.jobs import PlannedRun, StoredOutcome
from protocol.rule import DEFAULT, trial_alpha
from protocol.runs import CONTENDED, Role, Run
from protocol.statistics import NoiseEstimate
from protocol.units import to_nano
from tests.node.examples import run as example_run
from tests.trainer.runners import prepare_all
from tools.bench.shares import holds, mean_of, share_of
from trainer.runner import Runner
from trainer.task_kinds import load_task

LOADS: Final = (1, 4, 10)
RUNS: Final = 30  # for each load
TRIALS: Final = 1_000
GAIN_SD: Final = 3.0  # of a good stack, such that most need more than the minimum of pairs
_SD: Final = 0.01
_LEVEL: Final = 1.25
_MOST_TRIALS: Final = 100  # of one stack; each starts ten minutes after the last
_BUSY: Final = "while True: sum(i * i for i in range(100_000))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The ends of runs next to `load` busy processes. `cut_off` were too slow because of them."""

    load: int
    seconds: float
    runs: int
    contended: int
    cut_off: int
    failed: int  # for another reason; should be 0

    @property
    def cut_off_share(self) -> float:
        return self.cut_off / self.runs


def run_loads(_: Path, *, runs: int = RUNS, trials: int = TRIALS) -> dict[str, object]:
    """Return the recorded shares and their effect on trials, also for much larger shares."""
    found = [asyncio.run(recorded(load, runs)) for load in LOADS]
    shares = {f"load_{one.load}": one.cut_off_share for one in found} | {"a_third_cut_off": 1 / 3}
    return {
        "processors": os.cpu_count(),
        "recorded": {f"load_{one.load}": _figures(one) for one in found},
        "trials": {name: played(share, trials) for name, share in shares.items()},
    }


def _figures(one: Recorded) -> dict[str, object]:
    return {
        "run_s": round(one.seconds, 2),
        "contended": share_of(one.contended, one.runs),
        "cut_off": share_of(one.cut_off, one.runs),
        "failed": one.failed,
    }


async def recorded(load: int, runs: int) -> Recorded:
    """Run `tiny`'s baseline next to `load` busy processes."""
    with tempfile.TemporaryDirectory() as folder, _busy(load):
        task = load_task("tiny", data_dir=Path(folder))
        data = prepare_all(task, data_dir=Path(folder), progress=lambda _what, _share: None)
        runner = Runner(task, data, audit_key=os.urandom(32), patience_s=0.0)
        runner.expect_no_more()
        try:
            await runner.calibrate(1)
            split = os.urandom(32)
            outcomes = [
                (await runner.run(task.source, seed, split=split)).to_run("base", quoting=False)
                for seed in range(2, runs + 2)
            ]
        finally:
            await runner.close()
    cut_off = sum(one.was_cut_off_by_others for one in outcomes)
    found = Recorded(
        load=load,
        seconds=median((one.ms + one.serve_ms) / 1000 for one in outcomes),
        runs=len(outcomes),
        contended=sum(CONTENDED in one.flags for one in outcomes),
        cut_off=cut_off,
        failed=sum(one.status != "ok" for one in outcomes) - cut_off,
    )
    print(f"  {found}", file=sys.stderr, flush=True)
    return found


@contextmanager
def _busy(count: int) -> Iterator[None]:
    others = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for one in others:
            one.kill()
            one.wait()


def played(cut_off_share: float, trials: int) -> dict[str, object]:
    """Simulate stacks of each kind with this share of runs cut off, and with none."""
    gains, idle = (_stacks(GAIN_SD, share, trials) for share in (cut_off_share, 0.0))
    nulls, quiet = (_stacks(0.0, share, trials) for share in (cut_off_share, 0.0))
    slow = [_slow(cut_off_share, seed) for seed in range(trials)]
    return {
        "lost_to_load": sum(one.is_lost for one in gains),
        "passed": share_of(sum(one.passed for one in gains), trials),
        "passed_when_idle": share_of(sum(one.passed for one in idle), trials),
        "trials_of_a_stack": mean_of([float(one.trials) for one in gains]),
        "nulls_that_pass": share_of(sum(one.passed for one in nulls), trials),
        "nulls_that_pass_when_idle": share_of(sum(one.passed for one in quiet), trials),
        "intervals_that_hold": share_of(sum(one.holds for one in gains), trials),
        "intervals_that_hold_when_idle": share_of(sum(one.holds for one in idle), trials),
        "own_load_that_fails": share_of(sum(slow), trials),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The end of a stack. `is_lost` means that every trial lost runs and none decided."""

    passed: bool
    is_lost: bool
    holds: bool
    trials: int


@cache  # those of an idle machine are needed for each share
def _stacks(gain_sd: float, cut_off_share: float, trials: int) -> tuple[Stack, ...]:
    """Return the ends of `trials` stacks with this gain."""
    return tuple(_stack(f"{gain_sd} {seed}", gain_sd, cut_off_share) for seed in range(trials))


def _stack(seed: str, gain_sd: float, cut_off_share: float) -> Stack:
    """Try a stack until a trial decides, as `node.line.promotion_trial` does."""
    # Two random sources, so that a score does not depend on earlier cut-offs.
    figures, others = random.Random(f"figures {seed}"), random.Random(f"others {seed}")
    for number in range(1, _MOST_TRIALS + 1):
        ended = _trial(number, gain_sd, figures, lambda: others.random() < cut_off_share)
        if not ended.was_cut_off:
            break
    judged = ended.latest
    return Stack(
        passed=ended.move == "pass",
        is_lost=ended.move == "unrunnable",
        holds=judged is not None and holds(judged, gain_sd * _SD),
        trials=number,
    )


def _trial(
    number: int, gain_sd: float, figures: random.Random, is_cut_off: Callable[[], bool]
) -> Confirmation:
    policy = replace(DEFAULT, alpha=trial_alpha(number))
    reading = MetricReading(sign=1, noise=NoiseEstimate.from_class(_SD), policy=policy)
    seeds = iter(range(1, 10_000))
    runs: list[PlannedRun] = []
    known: dict[tuple[str, int], float] = {}

    def add(role: Role, seed: int) -> None:
        level = _LEVEL - (gain_sd * _SD if role == "candidate" else 0.0)
        value = known.setdefault((role, seed), figures.gauss(level, _SD))
        ended = _cut_off() if is_cut_off() else example_run(to_nano(value))
        runs.append(_planned(len(runs), role, replace(ended, seed=seed)))

    while True:
        ended = next_of_confirmation(runs, reading, needs_anchor=False)
        if ended.move == "pair":
            seed = next(seeds)
            add("base", seed)
            add("candidate", seed)
        elif ended.move == "again" and (failed := ended.unfinished) is not None:
            add("base" if failed.role == "base" else "candidate", failed.seed)
        else:
            return ended


def _slow(cut_off_share: float, seed: int) -> bool:
    """Return True if a candidate that is slow by its own load fails, whatever its base did.

    The load is the candidate's own, so its runs are not flagged as contended.
    """
    reading = MetricReading(sign=1, noise=NoiseEstimate.from_class(_SD), policy=DEFAULT)
    is_disturbed = random.Random(f"others {seed}").random() < cut_off_share
    base = _cut_off() if is_disturbed else example_run(to_nano(_LEVEL))
    slow = replace(_cut_off(), flags=())
    runs = [_planned(0, "base", base), _planned(1, "candidate", slow)]
    decision = next_of_confirmation(runs, reading, needs_anchor=False)
    return decision.move == "unrunnable" and not decision.was_cut_off


def _cut_off() -> Run:
    failed = example_run(None, status="timeout", reason="too slow")
    return replace(failed, flags=(CONTENDED,), serve_ms=0)


def _planned(ordinal: int, role: Role, ended: Run) -> PlannedRun:
    return PlannedRun(
        job_id=1,
        ordinal=ordinal,
        role=role,
        tree=bytes(32),
        seed=ended.seed,
        outcome=StoredOutcome(run=replace(ended, role=role), log_tail=""),
    )
