"""What the rule promises, simulated against the code that ships, beside what others do.

Every share comes with its 95 % interval (Wilson), every mean with the interval of a bootstrap over
streams. `small` is the form that the tests run.
"""

import math
import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean

from protocol.rule import AGAIN, DEFAULT, POWER, VERIFY, Claim, Judgement, Policy, judge
from protocol.statistics import NoiseEstimate, PairedEvidence
from tests.protocol.scatter import Noise, lasting, normal, scaled, skewed, student
from tools.bench.followers import Author, Follower
from tools.bench.rivals import Progress, bootstrap, keep_if_lower, t_test
from tools.bench.streams import Node
from tools.bench.worlds import RUNS_A_NIGHT, Machine

HORIZONS = {"night": RUNS_A_NIGHT, "week": 7 * RUNS_A_NIGHT, "2000": 2_000}
RULES: dict[str, Callable[[Machine, int], Progress]] = {
    "arnode": lambda machine, runs: Node(machine).work(runs),
    "keep_if_lower": keep_if_lower,
    "bootstrap_3_v_3": bootstrap,
    "t_test_5_v_5": t_test,
}
STREAMS = {"night": 1_000, "week": 200, "2000": 240}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A claim or a patch, put to the rule on an invented machine; sds of one run."""

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
    """Return the verdict and after how many pairs it fell."""
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
# How much better than the one before it a head truly is that is measured again, in sds of one run.
AGAIN_GAINS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
# A changed machine knows its class's standard deviation only.
_CHANGED = Question(gain=0.0, policy=AGAIN, known_degrees=4)
AGAIN_NOISES = {
    "normal": _CHANGED,
    "offsets_of_1_sd": replace(_CHANGED, pair_sd=1.0),
    "heavy_tails_t3": replace(_CHANGED, noise=student(3)),
    "known_sd_half": replace(_CHANGED, known_sd=0.5),
    "known_sd_double": replace(_CHANGED, known_sd=2.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Lines on which nothing is ever a gain; each stream has noise of its own."""

    runs: int = 1_000
    streams: int = 2_000
    noise: Callable[[], Noise] = lambda: normal
    candidate_scale: float = 1.0


IDLE = {
    "1000 runs": Idle(),
    "10000 runs": Idle(runs=10_000),
    "candidates twice as noisy": Idle(candidate_scale=2.0),
    "noise that stays for a while": Idle(noise=lambda: lasting(0.7)),
    "half the noise that its class has": Idle(noise=lambda: scaled(0.5)),
    "twice the noise that its class has": Idle(noise=lambda: scaled(2.0)),
    "heavy tails": Idle(noise=lambda: student(3)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Sessions of so many runs, so many of them in a row on one line, from its first on."""

    runs: int
    streams: int
    in_a_row: int = 7


# The longest take a minute a stream: they are few, and of one session each.
SESSIONS = {
    "30 min, runs of 5 min": Sessions(runs=6, streams=1_000),
    "1 h, runs of 5 min": Sessions(runs=12, streams=1_000),
    "2 h, runs of 5 min": Sessions(runs=24, streams=600),
    "4 h, runs of 5 min": Sessions(runs=48, streams=400),
    "8 h, runs of 5 min": Sessions(runs=96, streams=300),
    "30 min, runs of 4 s": Sessions(runs=450, streams=120, in_a_row=2),
    "1 h, runs of 4 s": Sessions(runs=900, streams=60, in_a_row=2),
    "2 h, runs of 4 s": Sessions(runs=1_800, streams=40, in_a_row=1),
    "4 h, runs of 4 s": Sessions(runs=3_600, streams=20, in_a_row=1),
    "8 h, runs of 4 s": Sessions(runs=7_200, streams=10, in_a_row=1),
}


def run_decisions(_kept: Path, *, small: bool = False) -> dict[str, object]:
    """Return the figures."""
    count = 400 if small else 10_000
    streams = {"night": 60, "week": 10, "2000": 4} if small else STREAMS
    null_streams = (
        {"1000 runs": 25} if small else {name: idle.streams for name, idle in IDLE.items()}
    )
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        _tell("nulls")
        nulls = pool.map(_null, [(name, count) for name in NULLS], chunksize=1)
        _tell("claims")
        claims = pool.map(_claim, [(name, count // 5) for name in CLAIMS], chunksize=1)
        _tell("heads measured again")
        again = pool.map(_again, [(name, count // 5) for name in AGAIN_NOISES], chunksize=1)
        _tell("streams")
        jobs = [(rule, name, streams[name]) for name in HORIZONS for rule in RULES]
        worked = dict(zip(jobs, pool.map(_streams, jobs, chunksize=1), strict=True))
        _tell("sessions")
        chosen = SESSIONS
        if small:
            chosen = {name: replace(one, streams=6) for name, one in SESSIONS.items()}
            chosen = {name: one for name, one in chosen.items() if one.runs < 100}
        in_sessions = pool.map(_sessions, chosen.values(), chunksize=1)
        _tell("liars")
        shares = (0.0, 0.3, 0.6)
        crowds = pool.map(_crowd, [(share, 4 if small else 60) for share in shares], chunksize=1)
        _tell("streams of nulls")
        idle = {
            name: sum(pool.map(_idle, [(name, at, 25) for at in range(0, many, 25)], chunksize=1))
            for name, many in null_streams.items()
        }
    return {
        "nulls_confirmed": dict(zip(NULLS, nulls, strict=True)),
        "claims": dict(zip(CLAIMS, claims, strict=True)),
        "heads_measured_again": dict(zip(AGAIN_NOISES, again, strict=True)),
        "streams": {name: _beside(worked, name, streams[name]) for name in HORIZONS},
        "null_streams_with_an_adoption": {
            name: share_of(adopted, null_streams[name]) for name, adopted in idle.items()
        },
        "sessions": dict(zip(chosen, in_sessions, strict=True)),
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


def _again(job: tuple[str, int]) -> dict[str, object]:
    """Return by true gain how often a head is taken back, and is by asking for a proof anew."""
    name, count = job
    shown: dict[str, object] = {}
    for gain in AGAIN_GAINS:
        question = replace(AGAIN_NOISES[name], gain=gain)
        anew = replace(question, policy=POWER)
        chance, other = random.Random(f"{name} {gain}"), random.Random(f"{name} {gain}")
        answers = [ask(question, chance) for _ in range(count)]
        verdicts = [judgement.verdict for judgement, _ in answers]
        proven = sum(ask(anew, other)[0].verdict == "confirmed" for _ in range(count))
        shown[f"{gain:+g}"] = {
            "taken_back": share_of(verdicts.count("refuted"), count),
            "confirmed": share_of(verdicts.count("confirmed"), count),
            "runs": round(fmean(2 * pairs for _, pairs in answers), 1),
            "taken_back_unless_proven_anew": share_of(count - proven, count),
        }
    return shown


def _streams(job: tuple[str, str, int]) -> list[Progress]:
    rule, horizon, count = job
    runs = HORIZONS[horizon]
    # The same seeds for every rule: the same proposals come first, on the same machine.
    return [RULES[rule](Machine(random.Random(number)), runs) for number in range(count)]


def _sessions(asked: Sessions) -> dict[str, object]:
    """Return in which share of sessions something was verified, and what was truly gained."""
    runs, first = asked.runs * asked.in_a_row, 0
    verified: list[bool] = []
    overruns: list[int] = []
    gains: list[float] = []
    believed: list[float] = []
    for number in range(asked.streams):
        machine = Machine(random.Random(number), runs_a_session=asked.runs)
        node = _Dated(machine)
        node.work(runs)
        verified += [at in node.verified_in for at in range(asked.in_a_row)]
        first += 0 in node.verified_in
        overruns.append(machine.runs - runs)
        gains.append(node.progress.gain)
        alike = Machine(random.Random(number), runs_a_session=asked.runs)
        believed.append(keep_if_lower(alike, runs).gain)
    return {
        "runs": asked.runs,
        "sessions_in_a_row": asked.in_a_row,
        "first_with_something_verified": share_of(first, asked.streams),
        "all_with_something_verified": share_of(sum(verified), len(verified)),
        "gain_sd_of_all": round(fmean(gains), 2),
        "keep_if_lower_gain_sd": round(fmean(believed), 2),
        "most_runs_after_the_end": max(overruns),
    }


@dataclass
class _Dated(Node):
    """Remembers in which sessions it adopted something."""

    verified_in: set[int] = field(default_factory=set)

    def _adopt(self, worth: float) -> None:
        # The run that decided is the last one: a checkpoint may have begun a session earlier.
        self.verified_in.add((self.machine.runs - 1) // self.machine.runs_a_session)
        super()._adopt(worth)


def _beside(
    worked: dict[tuple[str, str, int], list[Progress]], horizon: str, count: int
) -> dict[str, object]:
    other = [one.gain for one in worked["keep_if_lower", horizon, count]]
    shown: dict[str, object] = {}
    for rule in RULES:
        streams = worked[rule, horizon, count]
        gains = [one.gain for one in streams]
        adopted = sum(one.adopted for one in streams)
        shown[rule] = {
            "gain_sd": round(fmean(gains), 2),
            "of_keep_if_lower": _ratio(gains, other),
            "false_adoptions": share_of(sum(one.false for one in streams), adopted),
            "streams_with_one": round(fmean(one.adopted > 0 for one in streams), 2),
        }
    return shown


def _idle(job: tuple[str, int, int]) -> int:
    """Return how many streams in which nothing is ever a gain adopt something all the same."""
    name, first, count = job
    idle, adopted = IDLE[name], 0
    for stream in range(first, first + count):
        machine = Machine(random.Random(f"{name} {stream}"), noise=idle.noise())
        node = Node(machine, propose=lambda _: 0.0, candidate_scale=idle.candidate_scale)
        adopted += node.work(idle.runs).adopted > 0
    return adopted


def _crowd(job: tuple[float, int]) -> dict[str, object]:
    """A node that tries 20 authors' claims for a week, of whom so many lie."""
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


def share_of(part: int, whole: int) -> dict[str, object]:
    """A share with Wilson's 95 % interval."""
    if whole == 0:
        return {"share": None, "from": 0.0, "to": 1.0, "of": 0}
    rate, z = part / whole, 1.959964
    middle = rate + z * z / (2 * whole)
    spread = z * math.sqrt(rate * (1 - rate) / whole + (z / (2 * whole)) ** 2)
    scale = 1 + z * z / whole
    return {
        "share": round(rate, 4),
        "from": round((middle - spread) / scale, 4),
        "to": round((middle + spread) / scale, 4),
        "of": whole,
    }


def _ratio(gains: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """The ratio of two means with a bootstrap's 95 % interval."""
    chance, count = random.Random(1), len(gains)
    ratios: list[float] = []
    for _ in range(1_000):
        drawn = chance.choices(range(count), k=count)
        ratios.append(sum(gains[i] for i in drawn) / sum(other[i] for i in drawn))
    ratios.sort()
    return {
        "ratio": round(fmean(gains) / fmean(other), 3),
        "from": round(ratios[25], 3),
        "to": round(ratios[974], 3),
    }


def _tell(what: str) -> None:
    print(f"  {what} …", file=sys.stderr, flush=True)
