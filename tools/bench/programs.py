"""The decision rule for programs, simulated with the shipped code: nulls, gains, and whole lines.

A pair is the difference of two runs on the same instances, a mean over 16 or a single one. The
alternative is the same e-process without an unseen pair (`protocol.differences`).
"""

import math
import os
import random
import sys
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, pstdev

from protocol.differences import DifferenceEvidence
from protocol.rule import DEFAULT, POWER, Judgement, Policy, judge, policy_of, trial_alpha
from protocol.statistics import log_e_value, sum_of_squares
from protocol.styles import MOST_PAIRS, Style
from tests.protocol.instances import NULLS, RARER, mean_of
from tests.protocol.scatter import Noise
from tools.bench.shares import share_of

WIDTHS = (16, 1)  # instances of a run
TRIALS = (1, 2, 3, 4, 5)  # trials of a line since its last adoption
ALPHAS = {"0.05": 0.05, **{f"trial {number}": trial_alpha(number) for number in TRIALS}}
GAINS = (0.5, 1.0, 2.0)  # in standard deviations of a difference
GAINFUL = ("normal", "ties_90", "lognormal_up", "lognormal_down", "heavy_tails_t3")
LINES = ("ties_90", "ties_90_lossy", "lognormal_down", "rare_losses_5", "heavy_tails_t2")
TRIALS_OF_A_LINE = 200
_SAMPLE = 40_000  # differences for an estimate of the standard deviation

BOTH = {**NULLS, **RARER}


def highest(
    noise: Noise, style: Style, chance: random.Random, *, gain: float = 0.0
) -> tuple[list[float], list[float]]:
    """Return the highest evidence for a gain (log e-value) so far after each pair.

    The first list is by the rule, the second without an unseen pair. A trial passes at an alpha as
    soon as the evidence is -ln alpha. No trial ends before `MOST_PAIRS`.
    """
    gains: list[float] = []
    ruled, plain = [-math.inf], [-math.inf]
    for _ in range(MOST_PAIRS):
        gains.append(gain + noise(chance))
        evidence = DifferenceEvidence(tuple(gains), least_pairs=style.least_pairs)
        ruled.append(max(ruled[-1], evidence.log_e))
        plain.append(max(plain[-1], _plain_log_e(gains)))
    return ruled[1:], plain[1:]


def _plain_log_e(gains: list[float]) -> float:
    pairs, ss = len(gains), sum_of_squares(gains)
    if pairs < 2 or not any(gains):
        return -math.inf
    tiny = 1e-12 * sum(gain * gain for gain in gains)
    return log_e_value(fmean(gains), pairs / 2, max(ss, tiny) / 2, pairs - 1)


def decide(noise: Noise, style: Style, policy: Policy, chance: random.Random) -> Judgement:
    """Put a candidate without a gain on trial, as a node does."""
    gains: list[float] = []
    numbers = policy_of(style, policy)
    while True:
        gains.append(noise(chance))
        evidence = DifferenceEvidence(tuple(gains), least_pairs=style.least_pairs)
        judgement = judge(evidence, numbers)
        if judgement.verdict is not None:
            return judgement


def adopts(noise: Noise, style: Style, chance: random.Random) -> bool:
    """Return True if a line whose stacks have no gain ever adopts one of them."""
    policies = (
        replace(DEFAULT, alpha=trial_alpha(number)) for number in range(1, TRIALS_OF_A_LINE + 1)
    )
    return any(decide(noise, style, policy, chance).is_gain for policy in policies)


def run_programs(_kept: Path, *, small: bool = False) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    count = 300 if small else 4_000
    nulls = [(name, width, count) for width in WIDTHS for name in BOTH]
    gains = [(name, gain, count // 2) for name in GAINFUL for gain in GAINS]
    lines = [(name, 20 if small else 1_000) for name in LINES]
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        _print_progress("nulls")
        passed = dict(zip(nulls, pool.map(_null, nulls, chunksize=1), strict=True))
        _print_progress("gains")
        found = dict(zip(gains, pool.map(_gain, gains, chunksize=1), strict=True))
        _print_progress("lines on which nothing is a gain")
        adopted = pool.map(_line, lines, chunksize=1)
    by_width = {
        f"nulls_of_{width}_that_pass": {name: passed[name, width, count] for name in BOTH}
        for width in WIDTHS
    }
    return {
        **by_width,
        "gains_that_pass": {
            name: {f"{gain:g}": found[name, gain, count // 2] for gain in GAINS} for name in GAINFUL
        },
        f"lines_of_{TRIALS_OF_A_LINE}_trials_that_adopt": dict(zip(LINES, adopted, strict=True)),
    }


def _null(job: tuple[str, int, int]) -> dict[str, object]:
    name, width, count = job
    chance, style = random.Random(f"{name} {width}"), Style.drawing(width)
    noise = mean_of(BOTH[name], width)
    seen = [highest(noise, style, chance) for _ in range(count)]
    ruled, plain = [one[-1] for one, _ in seen], [one[-1] for _, one in seen]
    return {
        "passed": {at: _share_above(ruled, alpha) for at, alpha in ALPHAS.items()},
        "without_an_unseen_pair": _share_above(plain, ALPHAS["0.05"]),
    }


def _gain(job: tuple[str, float, int]) -> dict[str, object]:
    name, gain, count = job
    chance, style = random.Random(f"{name} {gain}"), Style.drawing(WIDTHS[0])
    noise = mean_of(BOTH[name], WIDTHS[0])
    shift = gain * pstdev(noise(chance) for _ in range(_SAMPLE))
    seen = [highest(noise, style, chance, gain=shift) for _ in range(count)]
    first = replace(DEFAULT, alpha=trial_alpha(1))
    policies = {"first_trial": first, "compare": POWER}
    figures: dict[str, object] = {}
    for way, policy in policies.items():
        judged = [
            decide(lambda one: shift + noise(one), style, policy, chance) for _ in range(count)
        ]
        figures[way] = {
            "confirmed": share_of(sum(one.is_gain for one in judged), count),
            "pairs": round(fmean(one.evidence.pairs for one in judged), 1),
        }
    return {
        "passed": {at: _power([one for one, _ in seen], a) for at, a in ALPHAS.items()},
        "without_an_unseen_pair": _power([one for _, one in seen], ALPHAS["0.05"]),
        **figures,
    }


def _line(job: tuple[str, int]) -> dict[str, object]:
    name, count = job
    chance, style = random.Random(name), Style.drawing(WIDTHS[0])
    noise = mean_of(BOTH[name], WIDTHS[0])
    return share_of(sum(adopts(noise, style, chance) for _ in range(count)), count)


def _share_above(highest_log_e: list[float], alpha: float) -> dict[str, object]:
    passed = sum(log_e >= -math.log(alpha) for log_e in highest_log_e)
    return share_of(passed, len(highest_log_e))


def _power(paths: list[list[float]], alpha: float) -> dict[str, object]:
    """Return how many trials pass and their mean pairs, with all pairs for those that do not."""
    ended = [_first_at(path, -math.log(alpha)) for path in paths]
    passed = sum(one is not None for one in ended)
    return {
        **share_of(passed, len(paths)),
        "pairs": round(fmean(MOST_PAIRS if one is None else one for one in ended), 1),
    }


def _first_at(path: list[float], log_e: float) -> int | None:
    return next((pairs for pairs, most in enumerate(path, 1) if most >= log_e), None)


def _print_progress(what: str) -> None:
    print(f"  {what} …", file=sys.stderr, flush=True)
