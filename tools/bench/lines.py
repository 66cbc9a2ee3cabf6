"""The gains of simulated lines over a night, a week and 2,000 runs, compared with other rules.

The settings are the project's own mix of proposals, other mixes, lines without any possible gain,
and sessions that end. Gains are in standard deviations of one run.
"""

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.pool import Pool
from statistics import fmean

from node.line.trial import Confirmation
from tests.protocol.scatter import Noise, lasting, normal, scaled, student
from tools.bench.rivals import Progress, bootstrap, keep_if_lower, t_test
from tools.bench.shares import holds, ratio_of, share_of
from tools.bench.streams import SD, Node
from tools.bench.worlds import RUNS_A_NIGHT, Machine, Propose, draw_gain

HORIZONS = {"night": RUNS_A_NIGHT, "week": 7 * RUNS_A_NIGHT, "2000": 2_000}
RULES: dict[str, Callable[[Machine, int], Progress]] = {
    "arnode": lambda machine, runs: Node(machine).work(runs),
    "keep_if_lower": keep_if_lower,
    "bootstrap_3_v_3": bootstrap,
    "t_test_5_v_5": t_test,
}
STREAMS = {"night": 1_000, "week": 200, "2000": 100}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """A mix of proposals and a machine's noise. Each stream has its own of both."""

    propose: Callable[[], Propose] = lambda: draw_gain
    noise: Callable[[], Noise] = lambda: normal


def two_in_a_hundred(chance: random.Random) -> float:
    """Draw a gain from a mix in which few proposals are good."""
    return chance.uniform(1, 3) if chance.random() < 0.02 else min(0.0, chance.uniform(-2, 3))


def heavy_tailed(chance: random.Random) -> float:
    """Draw a gain from a mix in which good proposals gain at least 0.8, some of them 12."""
    drawn = chance.random()
    if drawn < 0.05:
        return min(12.0, 0.8 * chance.paretovariate(1.5))
    return 0.0 if drawn < 0.65 else -chance.uniform(0, 2)


def diminishing() -> Propose:
    """Return a proposer whose good proposals become rarer the more of them it has made."""
    made: list[float] = []

    def propose(chance: random.Random) -> float:
        drawn = chance.random()
        if drawn < 0.08 / (1 + len(made) / 10):
            made.append(chance.uniform(1, 3))
            return made[-1]
        return 0.0 if drawn < 0.65 else -chance.uniform(0, 2)

    return propose


MIXES = {
    "the project's own": Mix(),
    "2 % good": Mix(propose=lambda: two_in_a_hundred),
    "gains diminish": Mix(propose=diminishing),
    "gains with heavy tails": Mix(propose=lambda: heavy_tailed),
    "noise that stays for a while": Mix(noise=lambda: lasting(0.7)),
    "half the noise that its class has": Mix(noise=lambda: scaled(0.5)),
    "twice the noise that its class has": Mix(noise=lambda: scaled(2.0)),
    "noise with heavy tails": Mix(noise=lambda: student(3)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Lines without any possible gain. Each stream has its own noise.

    `session_sd` is the deviation between sessions, `walk_step_sd` the step of a session's random
    walk from run to run.
    """

    runs: int = 1_000
    streams: int = 2_000
    noise: Callable[[], Noise] = lambda: normal
    candidate_scale: float = 1.0
    session_sd: float = 0.5
    walk_step_sd: float = 0.0


IDLE = {
    "1000 runs": Idle(),
    "10000 runs": Idle(runs=10_000),
    "candidates twice as noisy": Idle(candidate_scale=2.0),
    "noise that stays for a while": Idle(noise=lambda: lasting(0.7)),
    "half the noise that its class has": Idle(noise=lambda: scaled(0.5)),
    "twice the noise that its class has": Idle(noise=lambda: scaled(2.0)),
    "heavy tails": Idle(noise=lambda: student(3)),
    "sessions that are off by 2 sd": Idle(session_sd=2.0),
    "a machine that drifts": Idle(walk_step_sd=0.1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Consecutive sessions of equal length on one line, from its first on."""

    runs: int
    streams: int
    in_a_row: int = 7


# The longest take a minute per stream, so there are few, with one session each.
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


def run_lines(pool: Pool, *, small: bool) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    streams = {"night": 60, "week": 10, "2000": 4} if small else STREAMS
    _print_progress("lines beside other rules")
    jobs = [(rule, name, streams[name]) for name in HORIZONS for rule in RULES]
    worked = dict(zip(jobs, pool.map(_streams, jobs, chunksize=1), strict=True))
    _print_progress("lines with other proposals and machines")
    mixed = [(mix, name, streams[name]) for name in HORIZONS for mix in MIXES]
    if small:
        mixed = [(mix, "night", 10) for mix in MIXES]
    both = dict(zip(mixed, pool.map(_mixed, mixed, chunksize=1), strict=True))
    _print_progress("sessions")
    chosen = SESSIONS
    if small:
        few = {name: replace(one, streams=6) for name, one in SESSIONS.items()}
        chosen = {name: one for name, one in few.items() if one.runs < 100}
    in_sessions = pool.map(_sessions, chosen.values(), chunksize=1)
    _print_progress("lines on which nothing is a gain")
    many = {"1000 runs": 25} if small else {name: idle.streams for name, idle in IDLE.items()}
    idle = {
        name: sum(pool.map(_idle, [(name, at, 25) for at in range(0, count, 25)], chunksize=1))
        for name, count in many.items()
    }
    return {
        "streams": {name: _comparison(worked, name, streams[name]) for name in HORIZONS},
        "streams_of_other_mixes": {
            horizon: {mix: both[mix, at, n] for mix, at, n in mixed if at == horizon}
            for horizon in HORIZONS
        },
        "sessions": dict(zip(chosen, in_sessions, strict=True)),
        "null_streams_with_an_adoption": {
            name: share_of(adopted, many[name]) for name, adopted in idle.items()
        },
    }


def _streams(job: tuple[str, str, int]) -> list[Progress]:
    rule, horizon, count = job
    runs = HORIZONS[horizon]
    # All rules use the same seeds, and so get the same first proposals on the same machine.
    return [RULES[rule](Machine(random.Random(number)), runs) for number in range(count)]


def _comparison(
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
            "of_keep_if_lower": ratio_of(gains, other),
            "false_adoptions": share_of(sum(one.false for one in streams), adopted),
            "streams_with_one": round(fmean(one.adopted > 0 for one in streams), 2),
        }
    return shown


def _mixed(job: tuple[str, str, int]) -> dict[str, object]:
    """Return the true and the reported gains of a mix, compared with keep-if-lower's."""
    name, horizon, count = job
    mix, runs = MIXES[name], HORIZONS[horizon]
    nodes, believed = [], []
    for number in range(count):
        machines = [Machine(random.Random(number), noise=mix.noise()) for _ in range(2)]
        nodes.append(_AdoptionLog(machines[0], propose=mix.propose()))
        nodes[-1].work(runs)
        believed.append(keep_if_lower(machines[1], runs, mix.propose()).gain)
    gains = [node.progress.gain for node in nodes]
    adoptions = [one for node in nodes for one in node.adoptions]
    adopted = sum(node.progress.adopted for node in nodes)
    return {
        "gain_sd": round(fmean(gains), 2),
        "of_keep_if_lower": ratio_of(gains, believed),
        "false_adoptions": share_of(sum(node.progress.false for node in nodes), adopted),
        "told_of_true_gain": ratio_of(
            [one.gain for one in adoptions], [one.true for one in adoptions]
        )
        if adoptions
        else None,
        "intervals_that_hold": share_of(sum(one.holds for one in adoptions), len(adoptions)),
    }


@dataclass(frozen=True, slots=True)
class _Adoption:
    """The true and the reported gain of an adopted stack, and if its interval holds the truth."""

    true: float
    gain: float
    holds: bool


@dataclass
class _AdoptionLog(Node):
    """A node that records the reported gains of its adoptions."""

    adoptions: list[_Adoption] = field(default_factory=list)

    def judged(self, *, passed: bool, confirmation: Confirmation) -> None:
        if passed and (latest := confirmation.latest):
            true = self._worth - self.progress.gain
            self.adoptions.append(_Adoption(true, latest.gain / SD, holds(latest, true * SD)))


def _sessions(asked: Sessions) -> dict[str, object]:
    """Return the share of sessions with a promotion, and the true gains."""
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
    """A node that records the sessions of its adoptions."""

    verified_in: set[int] = field(default_factory=set)

    def _adopt(self, worth: float) -> None:
        # The last run decided; a promotion trial may have started in an earlier session.
        self.verified_in.add((self.machine.runs - 1) // self.machine.runs_a_session)
        super()._adopt(worth)


def _idle(job: tuple[str, int, int]) -> int:
    """Return how many streams without possible gains still adopt something."""
    name, first, count = job
    idle, adopted = IDLE[name], 0
    for stream in range(first, first + count):
        machine = Machine(
            random.Random(f"{name} {stream}"),
            noise=idle.noise(),
            session_sd=idle.session_sd,
            walk_step_sd=idle.walk_step_sd,
        )
        node = Node(machine, propose=lambda _: 0.0, candidate_scale=idle.candidate_scale)
        adopted += node.work(idle.runs).adopted > 0
    return adopted


def _print_progress(what: str) -> None:
    print(f"  {what} …", file=sys.stderr, flush=True)
