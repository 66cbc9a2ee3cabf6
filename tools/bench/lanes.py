"""Many lanes compared with one, with runs that only sleep.

Everything but the runs is the node's own loop. There are three questions. Does throughput grow with
the lanes, and what does a run cost the node's process? Are a night's decisions the same, although
the line moves between a proposal and its run? How many runs do all lanes need until the head
reaches a true gain, when gains diminish?
"""

import asyncio
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from statistics import fmean, stdev

from node.home.home import Home
from node.line.experiment import ExperimentStep
from node.loop.session_plan import Goal
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.rule import DEFAULT, Policy
from protocol.source import Source
from tests.node.examples import LINE, MANIFEST
from tests.node.line_writers import BASE_NANO
from tests.node.scripted import OUTCOME, Bench, Insertions, ScriptedRunner
from tools.bench.shares import ratio_of
from tools.bench.worlds import draw_gain
from trainer.measuring.outcome import RunOutcome

COUNTS = (1, 2, 4, 8, 16)
SESSIONS = 200
MANY = 8
FLEET = 16
TARGETS_SD = (40.0, 150.0)
CURVES = 8  # each takes minutes
_TRAIN_S, _SCORE_S = 1.0, 0.3
_MEASURED_S = 30.0
_EXPERIMENTS = 60
_KEEPS_PER_PROMOTION_TRIAL = 3  # few, so that a night has several trials next to experiments
_SPREAD = 0.5  # spread of a run's length, so that no two are equal
_REACH_SD = 600.0
_LOOKED_S = 0.2


def run_lanes(
    _: Path,
    counts: Sequence[int] = COUNTS,
    *,
    measured_s: float = _MEASURED_S,
    sessions: int = SESSIONS,
    curves: int = CURVES,
    targets_sd: Sequence[float] = TARGETS_SD,
) -> dict[str, object]:
    """Run the simulations and return the figures of all three questions."""
    return {
        "throughput": {str(count): _throughput(count, measured_s) for count in counts},
        "same_night": same_night(sessions),
        "to_reach": times_as_fast(curves, targets_sd),
    }


@dataclass(kw_only=True)
class World:
    """The true gains of a source's lines, in standard deviations of one run, and the noise.

    `reach_sd` is the limit of all gains together.
    """

    seed: int
    propose: Callable[[Random], float] = draw_gain
    reach_sd: float = math.inf

    def worth(self, number: int) -> float:
        """Return the true gain of a proposal's line of code."""
        return self.propose(Random(f"{self.seed}:{number}"))

    def gain(self, source: Source) -> float:
        """Return the true gain of all lines of a source."""
        lines = source["train.py"].decode().splitlines()
        total = sum(self.worth(int(line[1:].split()[0])) for line in lines if line[0] == "K")
        if math.isinf(self.reach_sd):
            return total
        return self.reach_sd * (1 - math.exp(-total / self.reach_sd))

    def measured_nano(self, source: Source, seed: int) -> int:
        """Return the score of a run, in 1e-9 units of the metric."""
        scatter = Random(f"{self.seed}:{seed}:{source.tree.hex()}").gauss(0.0, 1.0)
        return BASE_NANO + round((scatter - self.gain(source)) * MANIFEST.noise_floor_nano)


@dataclass(kw_only=True)
class Sleeper(ScriptedRunner):
    """A lane that sleeps instead of training and scoring, and returns its world's score."""

    world: World
    train_s: float
    score_s: float
    spread: float = 0.0
    most: list[int] = field(default_factory=lambda: [0, 0])  # runs in flight: now, and at most
    ended: int = 0
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)  # one training at a time

    async def run(  # type: ignore[override]
        self, source: Source, seed: int, *, on_trained: Callable[[], None], **_: object
    ) -> RunOutcome:
        length = 1.0 + self.spread * (Random(seed).random() - 0.5)
        self.most[0] += 1
        self.most[1] = max(self.most)
        try:
            async with self.alone:
                await asyncio.sleep(self.train_s * length)
            on_trained()
            await asyncio.sleep(self.score_s * length)
        finally:
            self.most[0] -= 1
        self.ended += 1
        nano = self.world.measured_nano(source, seed)
        return replace(OUTCOME, seed=seed, metric_nano=nano, secret_nano=nano)


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """The results of one session. Gains are true gains, in standard deviations of one run."""

    experiments: int
    kept: int
    kept_in_vain: int
    rebased: int
    passed: int
    head_gain: float
    runs: int


def _sleepers(
    count: int, world: World, *, train_s: float, score_s: float, spread: float = 0.0
) -> list[Sleeper]:
    most = [0, 0]
    return [
        Sleeper(world=world, train_s=train_s, score_s=score_s, spread=spread, most=most)
        for _ in range(count)
    ]


def _bench(
    root: Path, store: Store, lanes: list[Sleeper], goal: Goal, policy: Policy = DEFAULT
) -> Bench:
    return Bench(
        home=Home(root),
        store=store,
        runner=lanes[0],
        others=lanes[1:],
        is_shared=len(lanes) > 1,
        goal=goal,
        proposer=Insertions(),
        policy=policy,
    )


def _throughput(count: int, measured_s: float) -> dict[str, object]:
    """Return the throughput of `count` lanes without any gains, also relative to linear scaling.

    Linear is one core with one run after the other, times the number of lanes. A single lane does
    more than that, since it overlaps its runs on two cores. Several lanes have one core each.
    """
    world = World(seed=0, propose=lambda _: 0.0)
    with tempfile.TemporaryDirectory() as folder, Store.open(_prepared(Path(folder))) as store:
        lanes = _sleepers(count, world, train_s=_TRAIN_S, score_s=_SCORE_S, spread=_SPREAD)
        began_s = 0.0
        cpu_s = 0.0
        done = 0

        async def work() -> None:
            nonlocal began_s, cpu_s, done
            research = _bench(Path(folder), store, lanes, Goal()).research()
            loop = asyncio.create_task(research.run())
            # Skip the baseline and the first round, in which all lanes start at once.
            await asyncio.sleep(4 * (_TRAIN_S + _SCORE_S))
            done, began_s, cpu_s = sum(one.ended for one in lanes), time.monotonic(), _cpu_s()
            await asyncio.sleep(measured_s)
            done = sum(one.ended for one in lanes) - done
            began_s, cpu_s = time.monotonic() - began_s, _cpu_s() - cpu_s
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)

        asyncio.run(work())
    linear = count / (_TRAIN_S + _SCORE_S)
    figures: dict[str, object] = {
        "runs_a_minute": round(60 * done / began_s, 1),
        "of_linear": round(done / began_s / linear, 3),
        "most_in_flight": lanes[0].most[1],
        "core_cpu_ms_a_run": round(1000 * cpu_s / max(1, done), 1),
    }
    print(f"  {count:2} lanes  {figures}", file=sys.stderr)
    return figures


def _prepared(root: Path) -> Home:
    home = Home(root)
    home.prepare()
    return home


def _cpu_s() -> float:
    return time.process_time()


def same_night(sessions: int, *, experiments: int = _EXPERIMENTS) -> dict[str, object]:
    """Simulate sessions with one lane and with many in the same worlds; return their results.

    `apart` is the difference of the two, in standard errors of the mean difference.
    """
    nights = [
        (play(1, seed, experiments=experiments), play(MANY, seed, experiments=experiments))
        for seed in range(sessions)
    ]
    figures: dict[str, object] = {"sessions": sessions, "experiments": experiments, "lanes": MANY}
    for name in Night.__slots__:
        pairs = [(float(getattr(one, name)), float(getattr(many, name))) for one, many in nights]
        figures[name] = {
            "one": round(fmean(one for one, _ in pairs), 3),
            "many": round(fmean(many for _, many in pairs), 3),
            "apart": round(_apart(pairs), 2),
        }
    return figures


def _apart(pairs: list[tuple[float, float]]) -> float:
    differences = [many - one for one, many in pairs]
    scatter = stdev(differences) if len(differences) > 1 else 0.0
    return fmean(differences) / (scatter / math.sqrt(len(differences))) if scatter else 0.0


def play(count: int, seed: int, *, experiments: int) -> Night:
    """Simulate one session of `experiments` experiments, with the last stack judged."""
    world = World(seed=seed)
    with tempfile.TemporaryDirectory() as folder, Store.open(_prepared(Path(folder))) as store:
        lanes = _sleepers(count, world, train_s=0.004, score_s=0.002, spread=_SPREAD)
        policy = replace(DEFAULT, keeps_per_promotion_trial=_KEEPS_PER_PROMOTION_TRIAL)
        bench = _bench(Path(folder), store, lanes, Goal(max_experiments=experiments), policy)
        asyncio.run(bench.research().run())
        line = store.jobs.line(LINE)
        assert line is not None
        steps = [job.step for job in store.jobs.closed_jobs(LINE, ExperimentStep)]
        kept = [step for step in steps if step.decision == "kept"]
        return Night(
            experiments=sum(step.decision != "rebased" for step in steps),
            kept=len(kept),
            kept_in_vain=sum(world.worth(int(step.title[1:])) <= 0 for step in kept),
            rebased=sum(step.decision == "rebased" for step in steps),
            passed=bench.decisions().count("adopted"),
            head_gain=world.gain(Blobs(Home(Path(folder)).blobs).get_source(line.verified)),
            runs=sum(one.ended for one in lanes),
        )


def times_as_fast(
    curves: int, targets_sd: Sequence[float], *, count: int = FLEET
) -> dict[str, object]:
    """Return the speed-up of many lanes of a node over one, by runs per lane."""
    reached = [
        (_curve(1, seed, targets_sd), _curve(count, seed, targets_sd)) for seed in range(curves)
    ]
    return {
        "lanes": count,
        "gains_approach_sd": _REACH_SD,
        **{
            f"to_{target:.0f}_sd": {
                "runs_of_one": round(fmean(one[at] for one, _ in reached)),
                "runs_of_many": round(fmean(many[at] for _, many in reached)),
                "times": ratio_of(
                    [one[at] for one, _ in reached], [many[at] / count for _, many in reached]
                ),
            }
            for at, target in enumerate(targets_sd)
        },
    }


def _curve(count: int, seed: int, targets_sd: Sequence[float]) -> list[int]:
    """Return the total runs of all lanes when the head's true gain reached each target."""
    world = World(seed=seed, reach_sd=_REACH_SD)
    reached: list[int] = []
    with tempfile.TemporaryDirectory() as folder, Store.open(_prepared(Path(folder))) as store:
        lanes = _sleepers(count, world, train_s=0.004, score_s=0.002, spread=_SPREAD)
        blobs = Blobs(Home(Path(folder)).blobs)

        async def work() -> None:
            loop = asyncio.create_task(_bench(Path(folder), store, lanes, Goal()).research().run())
            while len(reached) < len(targets_sd):
                await asyncio.wait({loop}, timeout=_LOOKED_S)
                if loop.done():
                    loop.result()
                    raise AssertionError("the session ended by itself")
                line, runs = store.jobs.line(LINE), sum(one.ended for one in lanes)
                gain = world.gain(blobs.get_source(line.verified)) if line else 0.0
                while len(reached) < len(targets_sd) and gain >= targets_sd[len(reached)]:
                    reached.append(runs)
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)

        asyncio.run(work())
    print(f"  {count:2} lanes, seed {seed}: {reached} runs", file=sys.stderr, flush=True)
    return reached
