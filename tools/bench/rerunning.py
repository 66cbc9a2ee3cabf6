"""Re-runs: which of them a leaderboard counts, their verdicts on claims, and the cost of liars.

All decisions are made by the shipped code. Machines and claims are simulated, in standard
deviations of one run. Every share has its 95 % interval (Wilson).
"""

import math
import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Final

from node.line.trial import ANCHOR_PAIRS
from protocol.evidence import DECISIVE_VERDICTS, Evidence, SupportedVerdict, least_nano
from protocol.gains import Pair
from protocol.prospects import AuthorRate, Outcome, audit_order
from protocol.rule import MIN_PAIRS, POWER, QUICK, VERIFY, Claim, Judgement, Policy, judge
from protocol.statistics import NoiseEstimate, PairedEvidence
from tests.protocol.scatter import Noise, normal, skewed, student
from tools.bench.ranking import ranked
from tools.bench.shares import share_of

SD = 10_000_000  # the task's noise floor
_ROUNDING = SD // 8  # rounding of secret scores
LOOSE = replace(POWER, alpha=0.5)
MOST_PAIRS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A claim to re-run, on a machine whose noise is known from earlier runs."""

    gain: float
    claim: float | None
    policy: Policy = VERIFY
    noise: Noise = normal
    candidate_scale: float = 1.0
    correlation: float = 0.0


NULLS = {
    "normal": Case(gain=0.0, claim=None),
    "heavy_tails_t3": Case(gain=0.0, claim=None, noise=student(3)),
    "heavy_tails_t5": Case(gain=0.0, claim=None, noise=student(5)),
    "skewed_up": Case(gain=0.0, claim=None, noise=skewed(1)),
    "skewed_down": Case(gain=0.0, claim=None, noise=skewed(-1)),
    "candidate_twice_as_noisy": Case(gain=0.0, claim=None, candidate_scale=2.0),
    "candidate_half_as_noisy": Case(gain=0.0, claim=None, candidate_scale=0.5),
    "negatively_correlated_pairs": Case(gain=0.0, claim=None, correlation=-0.5),
}
CLAIMS = {
    "null_at_alpha_one_half": Case(gain=0.0, claim=2.0, policy=LOOSE),
    "two_sd_there": Case(gain=2.0, claim=2.0),
    "three_sd_there": Case(gain=3.0, claim=3.0),
    "four_sd_there": Case(gain=4.0, claim=4.0),
    "six_sd_there": Case(gain=6.0, claim=6.0),
    "forged_two_sd": Case(gain=0.0, claim=2.0),
    "forged_three_sd": Case(gain=0.0, claim=3.0),
    "forged_four_sd": Case(gain=0.0, claim=4.0),
    "forged_six_sd": Case(gain=0.0, claim=6.0),
    "sixteen_sd_of_which_three": Case(gain=3.0, claim=16.0),
    "sixteen_sd_of_which_two": Case(gain=2.0, claim=16.0),
    "eight_sd_of_which_three": Case(gain=3.0, claim=8.0),
    "sixteen_sd_of_which_three_quick": Case(gain=3.0, claim=16.0, policy=QUICK),
}
_HONEST, _LIARS = 14, 6
_AUDITS_A_MONTH = 12  # more than audits' share of runs allows: 5 % of a quarter of 3,000


def run_rerunning(_kept: Path, *, count: int = 4_000) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        _print_progress("nulls")
        nulls = pool.map(_null, [(name, 2 * count) for name in NULLS], chunksize=1)
        _print_progress("claims")
        claims = pool.map(_claim, [(name, count // 2) for name in CLAIMS], chunksize=1)
    _print_progress("liars at two deviations")
    return {
        "nulls_that_a_board_counts_looking_after_each_of_32_pairs": dict(
            zip(NULLS, nulls, strict=True)
        ),
        "claims": dict(zip(CLAIMS, claims, strict=True)),
        "runs_on_a_liar_at_two_sd": _months(count // 20),
        "first_rows": ranked(count // 2),
    }


def rerun(case: Case, chance: random.Random) -> tuple[Judgement, int, SupportedVerdict | None, int]:
    """Return the verdict, its number of pairs, what the record shows, and the record's pairs."""
    claim = None if case.claim is None else Claim(gain=case.claim)
    noise = NoiseEstimate(sum(chance.gauss(0, 1) ** 2 for _ in range(20)), 20.0)
    least = least_nano(round((case.claim or 0) * SD), 0)
    pairs: list[Pair] = []
    first: Judgement | None = None
    fell = 0
    while True:
        pairs.append(_pair(case, chance))
        base, candidate = ([side / SD for side in sides] for sides in zip(*pairs, strict=True))
        evidence = PairedEvidence(noise, tuple(base), tuple(candidate))
        latest = judge(evidence, case.policy, claim=claim)
        if first is None and latest.verdict is not None:
            first, fell = latest, len(pairs)
        if first is None:
            continue
        said = latest if latest.verdict == "smaller" else first
        shown = Evidence.of(pairs, SD).supported_verdict(least)
        is_enough = len(pairs) >= (ANCHOR_PAIRS if said.is_gain else MIN_PAIRS)
        is_last = len(pairs) >= case.policy.max_pairs
        if is_last or (
            is_enough and (said.verdict not in DECISIVE_VERDICTS or said.verdict == shown)
        ):
            return said, fell, shown, len(pairs)


def _pair(case: Case, chance: random.Random) -> Pair:
    first, second = case.noise(chance), case.noise(chance)
    second = case.correlation * first + math.sqrt(1 - case.correlation**2) * second
    candidate = case.candidate_scale * second - case.gain
    return _rounded(first), _rounded(candidate)


def _rounded(value: float) -> int:
    return round(value * SD / _ROUNDING) * _ROUNDING


def _null(job: tuple[str, int]) -> dict[str, object]:
    """Return the share of false gains if an author checks after every pair and stops at will."""
    name, count = job
    chance, false = random.Random(name), 0
    for _ in range(count):
        pairs = [_pair(NULLS[name], chance) for _ in range(MOST_PAIRS)]
        false += any(Evidence.of(pairs[:n], 0).is_above(0) for n in range(3, MOST_PAIRS + 1))
    return share_of(false, count)


def _claim(job: tuple[str, int]) -> dict[str, object]:
    name, count = job
    chance = random.Random(name)
    answers = [rerun(CLAIMS[name], chance) for _ in range(count)]
    figures: dict[str, object] = {}
    for word in DECISIVE_VERDICTS:
        said = [shown for judgement, _, shown, _ in answers if judgement.verdict == word]
        figures[word] = share_of(len(said), count)
        figures[f"{word}_and_counted"] = share_of(said.count(word), count)
    return figures | {
        "runs_to_the_verdict": round(fmean(2 * fell for _, fell, _, _ in answers), 1),
        # If the base is not the task's baseline, a gain needs four runs of that in addition.
        "runs_of_pairs_in_the_record": round(fmean(2 * pairs for _, _, _, pairs in answers), 1),
    }


def _months(count: int) -> dict[str, object]:
    """Return the cost of liars for an auditing node.

    Six of twenty authors falsely claim a gain of two standard deviations, ten times each.
    """
    orders: dict[str, Callable[[dict[bytes, AuthorRate], random.Random], bytes]] = {
        "any_claim_alike": lambda _rates, chance: chance.choice(
            [*_authors("honest", _HONEST), *_authors("liar", _LIARS) * 10]
        ),
        "by_author": lambda rates, chance: audit_order(
            [*_authors("honest", _HONEST), *_authors("liar", _LIARS)], rates, chance
        )[0],
    }
    return {
        name: [round(runs, 1) for runs in _spent(order, count)] for name, order in orders.items()
    }


def _spent(
    order: Callable[[dict[bytes, AuthorRate], random.Random], bytes], count: int
) -> Sequence[float]:
    """Return the mean runs on one liar in each of the first six months."""
    spent = [0.0] * 6
    lies = [rerun(CLAIMS["forged_two_sd"], random.Random(n)) for n in range(400)]
    truths = [rerun(CLAIMS["two_sd_there"], random.Random(n)) for n in range(400)]
    for node in range(count):
        chance = random.Random(node)
        rates: dict[bytes, AuthorRate] = {}
        for audit in range(6 * _AUDITS_A_MONTH):
            author = order(rates, chance)
            is_liar = author.startswith(b"liar")
            judgement, _, _, pairs = chance.choice(lies if is_liar else truths)
            rates[author] = rates.get(author, AuthorRate()).after(
                _OUTCOMES.get(judgement.verdict, "unconfirmed")
            )
            spent[audit // _AUDITS_A_MONTH] += is_liar * 2 * pairs / _LIARS / count
    return spent


_OUTCOMES: Final[Mapping[str | None, Outcome]] = {
    "confirmed": "confirmed",
    "refuted": "refuted",
    "unconfirmed": "not_reproduced",
}


def _authors(name: str, count: int) -> list[bytes]:
    return [f"{name} {number}".encode() for number in range(count)]


def _print_progress(what: str) -> None:
    print(f"  {what} …", file=sys.stderr, flush=True)
