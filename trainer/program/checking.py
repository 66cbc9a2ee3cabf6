"""Checks a program's task before a night of experiments is spent on it.

Each check relies on the previous ones, in this order: instances, the baseline, the judge's
verdicts, noise, attacks on the judge. The first failure ends the checks. Nothing is recorded, and
no candidate learns anything from the checks.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Final

from protocol.errors import ConfigurationError
from protocol.styles import LEAST_INSTANCES, Style
from protocol.units import NANO
from trainer.host.capacity import usable_cores
from trainer.host.device import Device
from trainer.measuring.checks import Remark, fault, fine, note
from trainer.measuring.kind import Progress
from trainer.measuring.metering import ProgramFailed, RunFailed
from trainer.measuring.models import KeptModels
from trainer.program.attacking import Attacker
from trainer.program.bench import BaselineRun, Bench
from trainer.program.forging import EvaluatorAttacker
from trainer.program.instances import batches
from trainer.program.manifest import BATCH, is_of_baseline, is_timed
from trainer.program.metric import Unfit, guard_fault, guarded, impossible
from trainer.program.scatter import (
    LEAST_PAIRS,
    aa_remark,
    against_itself,
    detectable_gain,
    is_unbiased,
    log_shares,
    metric_over_seeds,
    on_any_machine,
)
from trainer.program.supply import follows, supplied, unseeded
from trainer.program.targets import targets_of
from trainer.task_folder.task import Task

SECONDS: Final = 120.0  # about how long the checks take if runs are short
_LEAST_SEEDS, _MOST_SEEDS = 2, 8
_LAST_SEED: Final = 1_000  # checks use higher seeds to get new instances
_BEYOND_BEST: Final = 0.02  # relative to the best known: a baseline better than that is suspicious
_MOST_JUDGING: Final = 0.5  # of the seconds of a run
_LITTLE_S: Final = 2.0
_MANY_PAIRS: Final = 16
_NEAR_LIMIT: Final = 0.5


async def examine(
    task: Task,
    *,
    progress: Progress,
    device: Device | None = None,
    models: KeptModels | None = None,
    seconds: float = SECONDS,
) -> AsyncGenerator[Remark, None]:
    """Yield remarks on a task as they are found. The last may be the failure that ended the checks.

    Raises ConfigurationError if the task needs a language model or a card, and there is none.
    """
    bench = Bench(task, device=device, models=models)
    try:
        async for remark in _course(bench, progress, seconds):
            yield remark
    except RunFailed as failure:
        said = f"{failure.status}: {failure.reason}"
        printed = failure.log if isinstance(failure, ProgramFailed) else ""
        yield replace(fault("baseline", said, "fix the editable files"), printed=printed)
    except Unfit as unfit:
        yield fault("metric", str(unfit), "compare what check() returns with [metric] in task.toml")
    except ConfigurationError as error:  # the judge cannot be loaded, or makes no instances
        yield fault("instances", error.message, error.hint)
    finally:
        await bench.close()


async def _course(bench: Bench, progress: Progress, seconds: float) -> AsyncIterator[Remark]:
    began_s = time.monotonic()
    progress("making instances", 0.0)
    asked = await bench.asked(1)
    if not await follows(bench, asked):
        yield unseeded()
        return
    progress("running the baseline", 0.0)
    runs = [await bench.judged(await bench.run(1))]
    if (wrong := _wrong(bench, runs[0])) is not None:
        yield wrong
        return
    first_s = time.monotonic() - began_s
    seeds = round(min(_MOST_SEEDS, max(_LEAST_SEEDS, seconds / 3 / first_s)))
    if is_timed(bench.manifest):
        seeds = max(seeds, -(-LEAST_PAIRS // len(asked)))
    for seed in [] if bench.spec.instances.fixed else range(2, seeds + 1):
        progress("running the baseline", (seed - 1) / seeds)
        runs.append(await bench.judged(await bench.run(seed)))
    if (wrong := next(filter(None, (_wrong(bench, run) for run in runs)), None)) is not None:
        yield wrong
        return
    async for remark in supplied(bench, [run.asked for run in runs]):
        yield remark
    async for remark in _baseline(bench, runs):
        yield remark
    if bench.spec.module is None:
        progress("judging answers again, in another process", 0.0)
        yield await _judged_alike(bench, runs[0])
    if is_timed(bench.manifest):
        async for remark in _seconds(bench, runs, progress):
            yield remark
    else:
        progress("running the baseline once more with the same seed", 0.0)
        remark, again = await against_itself(bench, runs[0])
        yield remark
        runs = [again, *runs[1:]] if len(runs) > 1 else [*runs, again]
    yield await metric_over_seeds(bench, runs)
    least = Style.of(bench.manifest).least_pairs
    if least > _MANY_PAIRS:
        said = f"a trial needs {least} pairs of runs or more, because a run has few instances"
        yield note("pairs", said, f"draw {LEAST_INSTANCES // _MANY_PAIRS} secret instances a run")
    if bench.spec.device == "any":
        progress("running the baseline alongside other work", 0.0)
        yield await on_any_machine(bench, runs[0])
    yield _costs(bench, runs)
    if bench.spec.isolation == BATCH:
        yield note("isolation", "batch: a candidate may remember earlier instances", _BATCH)
    if bench.spec.scoring == "self":
        yield note("attacks", "self-scored: not tried, as the candidate reports its score", _TRUST)
    elif bench.spec.scoring == "model":
        yield note(
            "attacks", "scored by a language model: not tried, as each attack would ask it", _TRUST
        )
    elif bench.spec.module is not None:
        attacker = EvaluatorAttacker(bench, runs[0], until_s=time.monotonic() + seconds / 2)
        async for remark in attacker.remarks(progress):
            yield remark
    else:
        targets = await targets_of(bench, runs[0], runs[1] if len(runs) > 1 else None)
        until_s = time.monotonic() + seconds / 2
        async for remark in Attacker(bench, targets, until_s=until_s).remarks(progress):
            yield remark
    progress("making instances once more", 0.0)
    if not await follows(bench, asked):
        yield unseeded()


_BATCH: Final = 'if an answer could help on a later instance, set isolation = "fresh"'
_TRUST: Final = "for a task that peers trust, let a judge compute the score from the answer"


def _wrong(bench: Bench, run: BaselineRun) -> Remark | None:
    """Return the remark on wrong answers of the baseline, None if all are right."""
    both = list(zip(run.asked, run.judged, strict=True))
    wrong = [(asked, judged.verdict.wrong) for asked, judged in both if judged.verdict.wrong]
    if not wrong:
        return None
    asked, why = wrong[0]
    if asked.is_secret and bench.spec.holdout is not None:
        why = "on the holdout, which is not shown"
    return fault(
        "baseline",
        f"{len(wrong)} of {len(both)} answers of the baseline are wrong: {why}",
        f"seed {run.seed}, {asked.name.split} {asked.name.index}: fix the baseline, or the judge",
    )


async def _baseline(bench: Bench, runs: Sequence[BaselineRun]) -> AsyncIterator[Remark]:
    """Yield remarks on the baseline's metric, on bounds and on guards."""
    manifest, spec = bench.manifest, bench.spec
    nanos = [await bench.metric(run, secret=secret) for run in runs for secret in (False, True)]
    value, sign = fmean(nanos) / NANO, manifest.metric.sign
    summary = f"{manifest.metric.name} {value:.6g} {manifest.metric.unit}"
    if any(impossible(nano, manifest) for nano in nanos):
        bound = (spec.impossible or 0) / NANO
        yield fault(
            "bound",
            f"the baseline is better than the impossible bound {bound:.6g}: {summary}",
            "correct `impossible` in [bound], or the judge",
        )
    elif spec.best_known is not None:
        yield _against_best(sign * value, sign * spec.best_known / NANO, summary)
    if None not in (spec.best_known, spec.impossible) and impossible(
        spec.best_known or 0, manifest
    ):
        yield fault("bound", "best_known is better than impossible", "correct one of the two")
    guards = guarded(spec.guards, [one for run in runs for one in bench.measured(run)])
    if broken := guard_fault(spec.guards, guards, guards):
        yield fault("guards", f"the baseline breaks {broken}", "set a guard that it passes")
    seeds = f", on {len(runs)} seeds" if len(runs) > 1 else ""
    yield fine("baseline", f"{summary}{seeds}", metric=value)


def _against_best(value: float, best: float, summary: str) -> Remark:
    """Return the remark on the baseline's metric and the best known; less is better in both."""
    beyond = best - value
    if beyond > _BEYOND_BEST * max(abs(best), 1e-9):
        return note(
            "bound",
            f"the baseline is better than the best known: {summary}",
            "correct `best_known`, or check if the judge is too lenient",
        )
    return fine("bound", f"the baseline is {max(0.0, -beyond):.6g} from the best known")


async def _judged_alike(bench: Bench, run: BaselineRun) -> Remark:
    """Return the remark on repeated verdicts, from another fork and another process."""
    differing = 0
    for asked, answer, judged in zip(run.asked, run.answers, run.judged, strict=True):
        for judge in (bench.judge, bench.other_judge):
            again = await bench.check(asked, answer, judge)
            differing += again.verdict != judged.verdict
    if differing:
        return fault(
            "check",
            f"the judge changes its verdict on the same answer: {differing} times of "
            f"{2 * len(run.asked)}",
            "let check() depend only on instance and answer: not on a clock, randomness or the "
            "order of a set",
        )
    return fine("check", "the judge repeats its verdicts, also in another process")


async def _seconds(
    bench: Bench, runs: Sequence[BaselineRun], progress: Progress
) -> AsyncIterator[Remark]:
    """Yield remarks on an A/A test of seconds. If it shows a difference, it is repeated once."""
    shares, unbiased = log_shares(bench, runs), True
    if not is_unbiased(shares):
        fresh: list[BaselineRun] = []
        for run in runs:
            progress("repeating the A/A test: it showed a difference", len(fresh) / len(runs))
            fresh.append(await bench.run(_LAST_SEED + run.seed))
        shares = log_shares(bench, fresh)
        unbiased = is_unbiased(shares)
    yield aa_remark(shares, unbiased=unbiased)
    yield detectable_gain(bench, shares)


def _costs(bench: Bench, runs: Sequence[BaselineRun]) -> Remark:
    """Return the remark on the cost of a run, and the overhead in it."""
    count = len(runs[0].results)
    candidate_s = min(sum(result.wall_s for result, _ in run.results) for run in runs)
    judge_s = fmean(sum(one.seconds for one in run.judged) for run in runs)
    elapsed_s = min(
        run.seconds for run in runs
    )  # the first run also starts processes for later ones
    processes = len(batches(bench.manifest, runs[0].asked))
    parallel = 1 if is_timed(bench.manifest) else min(processes, usable_cores())
    runs_per_instance = 2 if is_of_baseline(bench.manifest) else 1
    overhead_s = max(0.0, elapsed_s * parallel / runs_per_instance - candidate_s) / count
    slowest_s = max(result.wall_s for run in runs for result, _ in run.results)
    share = judge_s / max(1e-9, judge_s + elapsed_s * parallel)
    said = (
        f"{elapsed_s + judge_s / parallel:.1f} s a run, the judge {share:.0%} of it; "
        f"{slowest_s:.2f} s the slowest instance, {1000 * overhead_s:.2g} ms overhead"
    )
    figures = {"run_s": elapsed_s + judge_s / parallel, "judge_share": share}
    figures |= {"overhead_s": overhead_s, "slowest_s": slowest_s}
    limit_s = bench.manifest.limits.limit_s
    if slowest_s > _NEAR_LIMIT * limit_s:
        return note(
            "costs", said, f"raise limit_s = {limit_s}: slower machines may exceed it", **figures
        )
    if share > _MOST_JUDGING and judge_s > _LITTLE_S:
        return note("costs", said, "make check() faster for more experiments a night", **figures)
    return fine("costs", said, **figures)
