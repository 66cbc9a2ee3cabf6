"""The benefit of repeated runs for scripts that know their score, and the cost for honest ones.

A script may waste CPU seconds on a busy machine to get a bad run repeated. Scripts are a few
numbers in scripted sandboxes (`tests.trainer.scripted`). The runner around them and the rule of
pairs are as shipped. Tries are screens on a busy machine. One passes if its luck is at least 0.75
standard deviations.
"""

import asyncio
import itertools
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from node.line.trial import MetricReading, next_of_confirmation
from node.store.jobs import PlannedRun, StoredOutcome
from protocol.rule import DEFAULT
from protocol.runs import CONTENDED, Role, Run, Status
from protocol.statistics import NoiseEstimate
from tests.trainer.runners import prepare_all
from tests.trainer.scripted import HONEST, Machine, Place, Script, scripted_runner, watched
from tools.paths import TASKS
from trainer.runner import Runner
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

TRIES = 100
PASSES = DEFAULT.screen_sd
BURNERS: dict[str, tuple[Place | None, float | None]] = {
    "never": (None, None),
    "in training, for ever": ("training", None),
    "in training, a little": ("training", 3.0),
    "after its first answer": ("first answer", None),
    "after its last answer": ("score", None),
    "in the audit": ("audit", None),
}
SLOW = (1.0, 1.2, 1.3, 1.4, 1.45)  # time relative to the baseline on an idle machine; limit 1.5
STRETCHES = 1.4  # largest factor by which a busy machine stretches CPU seconds


def run_repeats(_: Path) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        task = load_task(TASKS / "short", data_dir=Path(folder))
        data = prepare_all(task, data_dir=Path(folder), progress=lambda _what, _share: None)
        machine = Machine(random=random.Random(7))
        with watched(machine):
            runner = scripted_runner(task, data, machine)
            return asyncio.run(_measure(runner, task, machine)) | {"pairs": null_stacks(10 * TRIES)}


async def _measure(runner: Runner, task: Task, machine: Machine) -> dict[str, object]:
    await runner.calibrate(1)
    runner.notify_waits(machine.calm_down)  # the machine becomes quiet when the runner waits
    burners = {
        name: await _tries(runner, task, machine, Script(burns=place, burnt_s=burnt))
        for name, (place, burnt) in BURNERS.items()
    }
    honest = {
        f"{times:g} times the baseline": await _honest(runner, task, machine, times)
        for times in SLOW
    }
    return {"tries": TRIES, "burning_when_luck_is_bad": burners, "honest_and_scored": honest}


async def _tries(runner: Runner, task: Task, machine: Machine, script: Script) -> dict[str, object]:
    """Return how many tries passed a screen, and how often each drew its luck."""
    passed, draws = 0, []
    for seed in range(TRIES):
        machine.is_crowded, machine.stretch, machine.stretches = True, 1.0, 1.3
        machine.luck.clear()
        machine.scored.clear()
        machine.random = random.Random(seed)  # the first luck is the same for all burners
        source = replace(script, content=PASSES, start_s=0.09).source(task)
        outcome = await runner.run(source, seed)
        passed += outcome.status == "ok" and machine.scored[-1] >= PASSES
        draws.append(len(machine.luck))
    print(f"  {script.burns or 'never'}: {passed} passed", file=sys.stderr, flush=True)
    return {"passed": passed, "draws_a_try": round(fmean(draws), 2)}


async def _honest(runner: Runner, task: Task, machine: Machine, times: float) -> int:
    """Return how many runs of a slow but honest script were scored."""
    scored = 0
    script = Script(train_s=times * HONEST.train_s, is_random=False)
    for seed in range(TRIES):
        machine.is_crowded, machine.stretch, machine.stretches = True, 1.0, STRETCHES
        outcome = await runner.run(script.source(task), seed)
        scored += outcome.status == "ok"
    print(f"  {times:g} times: {scored} scored", file=sys.stderr, flush=True)
    return scored


def null_stacks(tries: int) -> dict[str, dict[str, int]]:
    """Return how many stacks without any gain are confirmed, by the candidate's behaviour.

    On a busy machine it burns CPU seconds if its luck is below a threshold in standard deviations.
    If it does so in scoring, its trial is over. If it does so in training, it is run again with its
    seed. That gives the same luck, or new luck if its randomness does not come from the seed.
    """
    chance = random.Random(11)
    return {
        place: {
            name: sum(_is_confirmed(content, chance, place) for _ in range(tries))
            for name, content in (("never", -9.0), ("below 0", 0.0), ("below 0.5", 0.5))
        }
        for place in ("scoring", "training", "training, its luck drawn anew")
    }


def _is_confirmed(content: float, chance: random.Random, place: str) -> bool:
    reading = MetricReading(sign=1, noise=NoiseEstimate(ss=30 * 1e-4, nu=30), policy=DEFAULT)
    runs: list[PlannedRun] = []
    is_scored = place == "scoring"

    def candidate(luck: float) -> Run:
        return _run(luck, "ok" if luck >= content else "timeout", is_scored=is_scored)

    for seed in itertools.count():
        luck = chance.gauss(0, 1)
        runs += _pair(seed, len(runs), _run(chance.gauss(0, 1), "ok"), candidate(luck))
        confirmation = next_of_confirmation(runs, reading, needs_anchor=False)
        while confirmation.move == "again":
            luck = luck if place == "training" else chance.gauss(0, 1)
            runs.append(_planned(seed, len(runs), "candidate", candidate(luck)))
            confirmation = next_of_confirmation(runs, reading, needs_anchor=False)
        if confirmation.move != "pair":
            break
    return confirmation.move == "pass"


def _pair(seed: int, ordinal: int, base: Run, candidate: Run) -> Sequence[PlannedRun]:
    halves: tuple[tuple[Role, Run], ...] = (("base", base), ("candidate", candidate))
    return [
        _planned(seed, ordinal + number, role, run) for number, (role, run) in enumerate(halves)
    ]


def _planned(seed: int, ordinal: int, role: Role, run: Run) -> PlannedRun:
    return PlannedRun(
        job_id=1,
        ordinal=ordinal,
        role=role,
        tree=bytes(32),
        seed=seed,
        outcome=StoredOutcome(run=replace(run, role=role, seed=seed), log_tail=""),
    )


def _run(luck: float, status: Status, *, is_scored: bool = True) -> Run:
    nano = round(2_000_000_000 - 10_000_000 * luck) if status == "ok" else None
    return Run(
        seed=0,
        role="base",
        status=status,
        metric_nano=nano,
        secret_nano=nano,
        ms=1,
        cpu_ms=1,
        serve_ms=int(is_scored),
        tokens=1,
        peak_mem_bytes=1,
        flags=() if status == "ok" else (CONTENDED,),
        reason=None if status == "ok" else "scoring used more than 2.05 CPU seconds",
    )
