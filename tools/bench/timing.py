"""True and false gains on a task that measures seconds.

A planted speed-up goes on trial like any candidate. Edits that change nothing go through screen,
recheck and trial. Everything is measured as shipped, on a machine with other load. Rare events are
then counted in trials that are drawn from the figures of these runs. Instruction counts are tested
in the same way (`tools.bench.counting`).
"""

import asyncio
import os
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Final

from protocol.rule import (
    DEFAULT,
    Judgement,
    Policy,
    evidence_of,
    judge,
    passes_so_far,
    policy_of,
    screening_policy,
    suffices,
    trial_alpha,
)
from protocol.statistics import NoiseEstimate
from protocol.styles import Style
from protocol.units import NANO
from tools.bench.edits import ENTRY, NOISE_FLOOR, RUN, Way
from tools.bench.shares import share_of
from trainer.program.bench import Bench
from trainer.program.scatter import is_unbiased, log_shares
from trainer.runner import Runner
from trainer.task_folder.task import Task
from trainer.task_kinds import kind_of, load_task

PUBLIC, SECRET = 4, 10  # instances of a run
SHORTER: Final = 0.1
TRIALS, NULLS, RUNS_WITHOUT_OUTPUT = 10, 100, 12  # for each way to run programs
DRAWN: Final = 20_000
_REFERENCE_RUN_LASTS: Final = 20  # edits that are screened against the same reference runs
_KEY: Final = bytes(32)
WAYS: Final = {way.name: way for way in (ENTRY, RUN)}


# Maps a program (None: the base), a seed, and True for the secret split to the program's time
# relative to the baseline's in the same run.
Measure = Callable[[str | None, int, bool], Awaitable[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The rule's steps for a task with noise `noise`, as in one trial of a line."""

    style: Style
    noise: NoiseEstimate

    def judged(self, base: Sequence[float], candidate: Sequence[float]) -> Judgement:
        """Judge pairs as in the first trial after an adoption."""
        policy = policy_of(self.style, replace(DEFAULT, alpha=trial_alpha(1)))
        return judge(evidence_of(self.style, self.noise, base, candidate), policy)

    @property
    def screening(self) -> Policy:
        """The policy for single runs."""
        return screening_policy(self.style, DEFAULT)

    def passes(self, own: Sequence[float], levels: Sequence[float]) -> bool:
        """Return True if the last of a patch's runs, its screen or a recheck, passes."""
        sd = self.noise.sd * self.style.public_scatter
        return passes_so_far(own, levels, sd, self.screening)

    def suffices(self, own: Sequence[float], levels: Sequence[float]) -> bool:
        """Return True if no further recheck is needed."""
        return suffices(own, levels, self.noise.sd * self.style.public_scatter, self.screening)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A trial's pairs of base and candidate, and its result."""

    base: list[float]
    candidate: list[float]
    judgement: Judgement

    @property
    def differences(self) -> list[float]:
        """The differences from which a node estimates the noise of a run."""
        return [
            (one - other) / 2**0.5 for one, other in zip(self.base, self.candidate, strict=True)
        ]


async def tried(measure: Measure, text: str, chain: Chain, seeds: range) -> Tried:
    """Put a program on trial."""
    base: list[float] = []
    candidate: list[float] = []
    for seed in seeds:
        base.append(await measure(None, seed, True))
        candidate.append(await measure(text, seed, True))
        judgement = chain.judged(base, candidate)
        if judgement.verdict is not None:
            break
    return Tried(base=base, candidate=candidate, judgement=judgement)


async def planted(measure: Measure, text: str, chain: Chain, trials: int) -> list[Tried]:
    """Put a faster program on trial several times."""
    found = []
    for number in range(trials):
        seeds = range(1_000 * (number + 1), 1_000 * (number + 2))
        found.append(await tried(measure, text, chain, seeds))
        last = found[-1].judgement
        show(f"trial {number + 1}: {last.verdict} after {last.evidence.pairs} pairs")
    return found


def trial_figures(found: Sequence[Tried]) -> dict[str, object]:
    """Return how many gains were found, and after how many pairs."""
    pairs = [one.judgement.evidence.pairs for one in found]
    within = sum(one.judgement.is_gain and one.judgement.evidence.pairs <= 20 for one in found)
    return {
        "found_in_20_pairs": share_of(within, len(found)),
        "pairs_on_average": round(fmean(pairs), 1),
        "most_pairs": max(pairs),
        "sd_of_a_difference": round(fmean(stdev(one.differences) * 2**0.5 for one in found), 5),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """The results of edits that change nothing, with their and the base's public shares."""

    edits: int
    screened_in: int
    kept: int
    adopted: int
    base: list[float]
    null: list[float]


async def screened(
    measure: Measure, edited: Callable[[int], str], chain: Chain, count: int
) -> Screened:
    """Put edits that change nothing through screen, recheck and trial."""
    passed = kept = adopted = 0
    reference = 0.0
    bases: list[float] = []
    nulls: list[float] = []
    for number in range(count):
        seed = 100_000 + number // _REFERENCE_RUN_LASTS * 10
        if number % _REFERENCE_RUN_LASTS == 0:
            reference = await measure(None, seed, False)
            bases.append(reference)
            show(f"null edits: {number} of {count}, {passed} screened in, {kept} kept")
        own, base_figures = [await measure(edited(number), seed, False)], [reference]
        if chain.passes(own, base_figures):
            passed += 1
            for again in range(1, chain.screening.screens):
                fresh = 150_000 + 10 * number + again
                base_figures.append(await measure(None, fresh, False))
                own.append(await measure(edited(number), fresh, False))
                if not chain.passes(own, base_figures) or chain.suffices(own, base_figures):
                    break
        nulls += own
        bases += base_figures[1:]
        if not chain.passes(own, base_figures):
            continue
        kept += 1
        began = 200_000 + 100 * number
        trial = await tried(measure, edited(number), chain, range(began, began + 100))
        adopted += trial.judgement.is_gain
    return Screened(
        edits=count, screened_in=passed, kept=kept, adopted=adopted, base=bases, null=nulls
    )


def null_edit_figures(found: Screened) -> dict[str, object]:
    """Return the share of edits that passed each step."""
    return {
        "screened_in": share_of(found.screened_in, found.edits),
        "kept_on_the_working_line": share_of(found.kept, found.edits),
        "adopted": share_of(found.adopted, found.edits),
    }


def drawn_trial_figures(
    of_base: Sequence[float], of_null: Sequence[float], chain: Chain
) -> dict[str, object]:
    """Return how many trials with pairs drawn from measured shares pass, without screens."""
    chance = random.Random(1)
    adopted = sum(_passes(chain, of_base, of_null, chance) for _ in range(DRAWN))
    return {"runs": [len(of_base), len(of_null)], "adopted": share_of(adopted, DRAWN)}


def _passes(
    chain: Chain, of_base: Sequence[float], of_null: Sequence[float], chance: random.Random
) -> bool:
    base: list[float] = []
    null: list[float] = []
    while True:
        base.append(chance.choice(of_base))
        null.append(chance.choice(of_null))
        judgement = chain.judged(base, null)
        if judgement.verdict is not None:
            return judgement.is_gain


def run_timing(_kept: Path) -> dict[str, object]:
    """Return the figures for measured seconds, with both ways to run programs at once."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        seconds = dict(zip(WAYS, pool.map(_of_seconds, WAYS), strict=True))
    return {"load_of_the_machine": os.getloadavg()[2], "cpu_s": seconds}


def _of_seconds(name: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_timed(WAYS[name], Path(folder, "task")))


async def _timed(way: Way, folder: Path) -> dict[str, object]:
    """Return the figures of one way to run programs."""
    show(way.name)
    task = written(way, folder, metric="cpu_s", text=way.program())
    without_output = await _against_itself(task)
    start = NoiseEstimate.from_class(NOISE_FLOOR)
    chain = Chain(style=Style.of(task.manifest), noise=start)
    data = kind_of(task.manifest).prepare(task, data_dir=folder, progress=lambda *_: None)
    runner = Runner(task, data, audit_key=_KEY, patience_s=0.0)
    try:
        await runner.calibrate(0)

        secret_shares: dict[bool, list[float]] = {True: [], False: []}  # True: the base's

        async def measure(text: str | None, seed: int, secret: bool) -> float:
            source = task.source if text is None else way.source(text)
            outcome = await runner.run(source, seed, split=_KEY)
            assert outcome.metric_nano is not None, outcome.reason
            assert outcome.secret_nano is not None, outcome.reason
            secret_shares[text is None].append(outcome.secret_nano / NANO)
            return (outcome.secret_nano if secret else outcome.metric_nano) / NANO

        trials = await planted(measure, way.program(shorter=SHORTER), chain, TRIALS)
        chain = replace(chain, noise=start.with_groups([one.differences for one in trials]))
        secret_shares[False].clear()  # keep only shares of edits that change nothing
        edits = await screened(
            measure, lambda number: way.null_edit(number, way.program()), chain, NULLS
        )
    finally:
        await runner.close()
    return {
        "a_program_against_itself": without_output,
        f"shorter_by_{SHORTER:.0%}": trial_figures(trials),
        "edits_that_change_nothing": null_edit_figures(edits),
        "trials_drawn_from_these": drawn_trial_figures(
            secret_shares[True], secret_shares[False], chain
        ),
    }


async def _against_itself(task: Task) -> dict[str, object]:
    bench = Bench(task)
    try:
        runs = [await bench.run(seed) for seed in range(RUNS_WITHOUT_OUTPUT)]
    finally:
        await bench.close()
    shares = log_shares(bench, runs)
    return {
        "mean_ln_seconds": round(fmean(shares), 5),
        "standard_error": round(stdev(shares) / len(shares) ** 0.5, 5),
        "meetings": len(shares),
        "within_two_errors": is_unbiased(shares),
    }


def written(way: Way, folder: Path, *, metric: str, text: str) -> Task:
    """Write a program's task to a folder and return the task."""
    folder.mkdir(parents=True)
    files = way.files(metric, public=PUBLIC, secret=SECRET, text=text)
    for name, content in files.items():
        (folder / name).write_text(content)
    return load_task(folder, data_dir=folder)


def show(what: str) -> None:
    """Print the progress."""
    print(f"  {what} …", file=sys.stderr, flush=True)
