"""The guarantees of the decision rule, simulated with the shipped code and compared with others.

Every share has its 95 % interval (Wilson), every mean the interval of a bootstrap over streams.
`small` is the size that the tests run.
"""

import math
import os
import random
import sys
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean

from protocol.rule import (
    AGAIN,
    DEFAULT,
    POWER,
    VERIFY,
    Claim,
    Judgement,
    Policy,
    judge,
    trial_alpha,
)
from protocol.statistics import NoiseEstimate, PairedEvidence
from tests.protocol.scatter import Noise, normal, skewed, student
from tools.bench.followers import Author, Follower
from tools.bench.lines import run_lines
from tools.bench.shares import holds, share_of
from tools.bench.worlds import RUNS_A_NIGHT, Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A claim or a patch to judge on a simulated machine, in standard deviations of one run."""

    gain: float
    policy: Policy = VERIFY
    claim: float | None = None
    noise: Noise = normal
    known_degrees: int = 20
    known_sd: float = 1.0
    candidate_scale: float = 1.0
    pair_sd: float = 0.0
    correlation: float = 0.0


def ask(question: Question, chance: random.Random) -> tuple[Judgement, int]:
    """Return the verdict and its number of pairs."""
    base: list[float] = []
    candidate: list[float] = []
    degrees = question.known_degrees
    ss = question.known_sd**2 * sum(chance.gauss(0, 1) ** 2 for _ in range(degrees))
    noise = NoiseEstimate(ss, float(degrees))
    claim = None if question.claim is None else Claim(gain=question.claim)
    while True:
        offset = chance.gauss(0, question.pair_sd)
        first, second = question.noise(chance), question.noise(chance)
        second = question.correlation * first + math.sqrt(1 - question.correlation**2) * second
        base.append(offset + first)
        candidate.append(offset - question.gain + question.candidate_scale * second)
        evidence = PairedEvidence(noise, tuple(base), tuple(candidate))
        judgement = judge(evidence, question.policy, claim=claim)
        if judgement.verdict is not None:
            return judgement, len(base)


PATIENT = Policy(alpha=0.05, max_pairs=40, futility_probability=0.0)
NULLS = {
    "forty_looks": Question(gain=0.0, policy=PATIENT),
    "full_rule": Question(gain=0.0, policy=DEFAULT),
    "power_mode": Question(gain=0.0),
    "heavy_tails_t3": Question(gain=0.0, policy=PATIENT, noise=student(3)),
    "heavy_tails_t5": Question(gain=0.0, policy=PATIENT, noise=student(5)),
    "skewed_up": Question(gain=0.0, policy=PATIENT, noise=skewed(1)),
    "skewed_down": Question(gain=0.0, policy=PATIENT, noise=skewed(-1)),
    "candidate_twice_as_noisy": Question(gain=0.0, policy=PATIENT, candidate_scale=2.0),
    "negatively_correlated_pairs": Question(gain=0.0, policy=PATIENT, correlation=-0.5),
    "known_sd_half": Question(gain=0.0, policy=PATIENT, known_sd=0.5, known_degrees=4),
    "known_sd_double": Question(gain=0.0, policy=PATIENT, known_sd=2.0, known_degrees=4),
    "offsets_of_1_sd": Question(gain=0.0, policy=PATIENT, pair_sd=1.0),
}
CLAIMS = {
    "two_sd_there": Question(gain=2.0),
    "two_sd_there_offsets_and_4_degrees": Question(gain=2.0, pair_sd=0.5, known_degrees=4),
    "forged_four_sd": Question(gain=0.0, claim=4.0),
    "forged_six_sd": Question(gain=0.0, claim=6.0),
    "forged_three_sd": Question(gain=0.0, claim=3.0),
    "honest_three_sd": Question(gain=3.0, claim=3.0),
    "sixteen_sd_of_which_three": Question(gain=3.0, claim=16.0),
    "newcomer_six_sd_behind": Question(gain=6.0, claim=6.0, policy=DEFAULT),
}
# Reported gains are examined for a line's first promotion trial and for `compare`.
INTERVAL_POLICIES = {"first_trial": replace(DEFAULT, alpha=trial_alpha(1)), "compare": POWER}
INTERVAL_GAINS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)

# The true gain of a remeasured head over the one before it, in standard deviations of one run.
AGAIN_GAINS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
# A changed machine knows only the standard deviation of its class.
_CHANGED = Question(gain=0.0, policy=AGAIN, known_degrees=4)
AGAIN_NOISES = {
    "normal": _CHANGED,
    "offsets_of_1_sd": replace(_CHANGED, pair_sd=1.0),
    "heavy_tails_t3": replace(_CHANGED, noise=student(3)),
    "known_sd_half": replace(_CHANGED, known_sd=0.5),
    "known_sd_double": replace(_CHANGED, known_sd=2.0),
}


def run_decisions(_kept: Path, *, small: bool = False) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    count = 400 if small else 10_000
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        _print_progress("nulls")
        nulls = pool.map(_null, [(name, count) for name in NULLS], chunksize=1)
        _print_progress("claims")
        claims = pool.map(_claim, [(name, count // 5) for name in CLAIMS], chunksize=1)
        _print_progress("what is told of gains")
        asked = [(name, gain, count) for name in INTERVAL_POLICIES for gain in INTERVAL_GAINS]
        coverage = dict(zip(asked, pool.map(_interval_coverage, asked, chunksize=1), strict=True))
        _print_progress("heads measured again")
        again = pool.map(_again, [(name, count // 5) for name in AGAIN_NOISES], chunksize=1)
        lines = run_lines(pool, small=small)
        _print_progress("liars")
        shares = (0.0, 0.3, 0.6)
        crowds = pool.map(_crowd, [(share, 4 if small else 60) for share in shares], chunksize=1)
    return {
        "nulls_confirmed": dict(zip(NULLS, nulls, strict=True)),
        "claims": dict(zip(CLAIMS, claims, strict=True)),
        "told_of_gains": {
            name: {f"{gain:g}": coverage[name, gain, count] for gain in INTERVAL_GAINS}
            for name in INTERVAL_POLICIES
        },
        "heads_measured_again": dict(zip(AGAIN_NOISES, again, strict=True)),
        **lines,
        "liars": {f"{share:.0%}": crowd for share, crowd in zip(shares, crowds, strict=True)},
    }


def _null(job: tuple[str, int]) -> dict[str, object]:
    name, count = job
    chance = random.Random(name)
    verdicts = [ask(NULLS[name], chance)[0].verdict for _ in range(count)]
    return share_of(verdicts.count("confirmed"), count)


def _claim(job: tuple[str, int]) -> dict[str, object]:
    name, count = job
    chance = random.Random(name)
    answers = [ask(CLAIMS[name], chance) for _ in range(count)]
    verdicts = [judgement.verdict for judgement, _ in answers]
    return {
        "confirmed": share_of(verdicts.count("confirmed"), count),
        "smaller": share_of(verdicts.count("smaller"), count),
        "refuted": share_of(verdicts.count("refuted"), count),
        "runs": round(fmean(2 * pairs for _, pairs in answers), 1),
    }


def _interval_coverage(job: tuple[str, float, int]) -> dict[str, object]:
    """Return how often the reported interval holds a true gain, in all and in passed trials."""
    name, gain, count = job
    chance, policy = random.Random(f"{name} {gain}"), INTERVAL_POLICIES[name]
    judged = [ask(Question(gain=gain, policy=policy), chance)[0] for _ in range(count)]
    passed = [one for one in judged if one.is_gain]
    return {
        "confirmed": share_of(len(passed), count),
        "intervals_that_hold": share_of(sum(holds(one, gain) for one in judged), count),
        "of_confirmed": share_of(sum(holds(one, gain) for one in passed), len(passed)),
        "told_of_confirmed_sd": round(fmean(one.gain for one in passed), 2) if passed else None,
    }


def _again(job: tuple[str, int]) -> dict[str, object]:
    """Return by true gain how often a head is taken back.

    The alternative is to take it back unless it is confirmed again.
    """
    name, count = job
    shown: dict[str, object] = {}
    for gain in AGAIN_GAINS:
        question = replace(AGAIN_NOISES[name], gain=gain)
        repeated = replace(question, policy=POWER)
        chance, other = random.Random(f"{name} {gain}"), random.Random(f"{name} {gain}")
        answers = [ask(question, chance) for _ in range(count)]
        verdicts = [judgement.verdict for judgement, _ in answers]
        confirmed_again = sum(ask(repeated, other)[0].verdict == "confirmed" for _ in range(count))
        shown[f"{gain:+g}"] = {
            "taken_back": share_of(verdicts.count("refuted"), count),
            "confirmed": share_of(verdicts.count("confirmed"), count),
            "runs": round(fmean(2 * pairs for _, pairs in answers), 1),
            "taken_back_unless_proven_anew": share_of(count - confirmed_again, count),
        }
    return shown


def _crowd(job: tuple[float, int]) -> dict[str, object]:
    """Return the figures of a node that tries the claims of 20 authors for a week.

    The job gives the share of liars among the authors, and the number of simulated nodes.
    """
    share, count = job
    nodes: list[Follower] = []
    for number in range(count):
        authors = [Author(is_liar=one < share * 20) for one in range(20)]
        nodes.append(Follower(Machine(random.Random(f"{share} {number}")), authors=authors))
        nodes[-1].work(7 * RUNS_A_NIGHT)
    slots = [slot for node in nodes for slot in node.slots]
    late = [slot for node in nodes for slot in node.slots[100:]]
    adopted = sum(node.progress.adopted for node in nodes)
    return {
        "gain_sd": round(fmean(node.progress.gain for node in nodes), 1),
        "false_adoptions": share_of(sum(node.progress.false for node in nodes), adopted),
        "runs_on_lies": _lies(slots),
        "runs_on_lies_after_100_slots": _lies(late),
    }


def _lies(slots: list[tuple[Author, int]]) -> float:
    spent = sum(runs for _, runs in slots)
    return round(sum(runs for author, runs in slots if author.is_liar) / max(1, spent), 3)


def _print_progress(what: str) -> None:
    print(f"  {what} …", file=sys.stderr, flush=True)
