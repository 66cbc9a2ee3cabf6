"""The benefit of transfers between rungs.

There are two settings: large nodes that try the finds of small ones, and one node that shares its
time between two rungs. A patch's gain above is simulated: `transfer` times its gain below, with a
scatter of 0.3 of that between patches. A node's own ideas on both rungs come from the common model.
A large node tries each find that was confirmed below, the largest expected gain first, by the
shipped code (`protocol.transfer`). Gains are in standard deviations of one run of the rung.
"""

import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean

from node.ladder.time_share import LadderTimeShare
from node.ladder.transfer_selector import LEAST_SD
from node.line.trial import Confirmation
from protocol.prospects import KEPT_ERROR_SD
from protocol.transfer import ObservedTransfer, Slope, overall
from tools.bench.members import Member
from tools.bench.offers import Swarm
from tools.bench.shares import ratio_of
from tools.bench.worlds import RUNS_A_NIGHT, Machine

TRANSFERS = (0.0, 0.3, 0.6, 0.9)
SMALL, LARGE = 16, 2
NIGHTS = {"night": 1, "three nights": 3, "week": 7}
ALONE = {"runs of 5 min": RUNS_A_NIGHT, "runs of 30 s": 10 * RUNS_A_NIGHT}  # a night has
CHEAPER = 4.0  # factor by which a run one rung below is cheaper
_SEEDS = 24
_SCATTER = 0.3


@dataclass(frozen=True, slots=True)
class TransferCandidate:
    """A patch that was kept below, its gain there by its runs, and its true gain above."""

    gain_sd: float
    above: float


@dataclass
class TransferCandidates:
    """The finds of the rung below, known at once to all nodes above."""

    chance: random.Random
    transfer: float
    found: list[TransferCandidate] = field(default_factory=list)

    def add(self, gain_sd: float, below: float) -> None:
        """Publish a kept patch whose true gain below is `below`."""
        share = self.chance.gauss(self.transfer, _SCATTER)
        self.found.append(TransferCandidate(gain_sd=gain_sd, above=share * below))


class Promoted:
    """The finds that one node above tried, and its expectations of the others."""

    def __init__(self, candidates: TransferCandidates) -> None:
        self._candidates = candidates
        self._together = 0  # number of finds that were offered for a stack
        self._left: list[TransferCandidate] = []  # finds left to try alone
        self._known: list[ObservedTransfer] = []
        self._under_way: tuple[TransferCandidate, ...] = ()

    def next(self) -> float | None:
        """Return the true gain of the most promising transfer: all new finds, or one old find.

        None if no expected gain is large enough to be measured.
        """
        slope = overall(self._known)
        new = tuple(
            candidate
            for candidate in self._candidates.found[self._together :]
            if candidate.gain_sd > 0
        )
        self._together = len(self._candidates.found)
        if len(new) > 1 and sum(_expected(slope, new)) >= LEAST_SD:
            self._under_way = new
            return sum(candidate.above for candidate in new)
        self._left += new
        best = max(
            self._left, key=lambda candidate: sum(_expected(slope, [candidate])), default=None
        )
        if best is None or sum(_expected(slope, [best])) < LEAST_SD:
            return None
        self._left.remove(best)
        self._under_way = (best,)
        return best.above

    def decided(self, gain_sd: float, *, is_kept: bool) -> bool:
        """Record the result of the last proposal. Return True if it was a find."""
        candidates, self._under_way = self._under_way, ()
        if not candidates:
            return False
        if len(candidates) > 1 and not is_kept:
            self._left += candidates
        self._known.append(
            ObservedTransfer(
                below=sum(candidate.gain_sd for candidate in candidates),
                below_error=KEPT_ERROR_SD * sqrt(len(candidates)),
                above=gain_sd,
                above_error=KEPT_ERROR_SD,
            )
        )
        return True


def _expected(slope: Slope, candidates: Sequence[TransferCandidate]) -> tuple[float, float]:
    gain_sd = sum(candidate.gain_sd for candidate in candidates)
    return slope.expected(gain_sd, KEPT_ERROR_SD * sqrt(len(candidates)))


@dataclass
class Small(Member):
    """A node of the rung below. Its confirmed patches are finds; with `is_own`, all kept ones."""

    candidates: TransferCandidates = field(
        default_factory=lambda: TransferCandidates(random.Random(0), 0.0)
    )
    is_own: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._kept: list[tuple[float, float]] = []

    def decided(self, *, is_kept: bool, gain_sd: float, runs: int) -> None:
        """Record an own idea that was kept."""
        is_own = not self._trial
        super().decided(is_kept=is_kept, gain_sd=gain_sd, runs=runs)
        if is_kept and is_own:
            found = gain_sd, self.swarm.worth(self._step)
            if self.is_own:
                self.candidates.add(*found)
            else:
                self._kept.append(found)

    def judged(self, *, passed: bool, confirmation: Confirmation) -> None:
        """Publish the parts of a stack that passed."""
        super().judged(passed=passed, confirmation=confirmation)
        kept, self._kept = self._kept, []
        for gain_sd, below in kept if passed else ():
            self.candidates.add(gain_sd, below)


@dataclass
class Large(Member):
    """A node of the upper rung, which tries finds before ideas of its own."""

    promoted: Promoted | None = None
    time_share: LadderTimeShare = field(
        default_factory=LadderTimeShare
    )  # decides the share of time

    def _own_idea(self, chance: random.Random) -> float:
        worth = self.promoted.next() if self.promoted and not self._trial else None
        if worth is None:
            return super()._own_idea(chance)
        self._step = frozenset([self.swarm.ideas.invented(worth)])
        return worth

    def decided(self, *, is_kept: bool, gain_sd: float, runs: int) -> None:
        """Record the result, also of a find."""
        kept_sd = max(0.0, gain_sd) if is_kept else 0.0
        is_candidate = self.promoted is not None and self.promoted.decided(gain_sd, is_kept=is_kept)
        (self.time_share.carry if is_candidate else self.time_share.own.add)(kept_sd, runs)
        super().decided(is_kept=is_kept, gain_sd=gain_sd, runs=runs)


def run_ladder(_kept: Path) -> dict[str, object]:
    """Return the gains of large nodes with transfers, compared with the same nodes without."""
    jobs = [(transfer, seed) for transfer in TRANSFERS for seed in range(_SEEDS)]
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        swarms = dict(zip(jobs, pool.map(_swarms, jobs, chunksize=1), strict=True))
        alone = {
            name: dict(zip(jobs, pool.map(partial(_alone, runs), jobs, chunksize=1), strict=True))
            for name, runs in ALONE.items()
        }
    return {
        "assumed": "gains add up, finds are heard at once, what carries over scatters by 0.3",
        f"{SMALL} small and {LARGE} large nodes": _figures(swarms),
        **{f"one node that shares its time, {name}": _figures(one) for name, one in alone.items()},
    }


Reached = dict[str, tuple[float, float]]  # by horizon: with the ladder, and without


def _figures(reached: dict[tuple[float, int], Reached]) -> dict[str, object]:
    return {
        f"transfer {transfer}": {
            horizon: {
                "with_sd": round(fmean(_of(reached, transfer, horizon, 0)), 1),
                "without_sd": round(fmean(_of(reached, transfer, horizon, 1)), 1),
                "times": ratio_of(
                    _of(reached, transfer, horizon, 0), _of(reached, transfer, horizon, 1)
                ),
            }
            for horizon in NIGHTS
        }
        for transfer in TRANSFERS
    }


def _of(
    reached: dict[tuple[float, int], Reached], wanted: float, horizon: str, at: int
) -> list[float]:
    return [one[horizon][at] for (transfer, _), one in reached.items() if transfer == wanted]


def _swarms(job: tuple[float, int]) -> Reached:
    transfer, seed = job
    print(f"  {SMALL} and {LARGE} nodes, transfer {transfer}", file=sys.stderr, flush=True)
    with_ladder, without = (_large(transfer, seed, is_promoted=it) for it in (True, False))
    return {name: (with_ladder[name], without[name]) for name in NIGHTS}


def _large(transfer: float, seed: int, *, is_promoted: bool) -> dict[str, float]:
    """Return the mean true gain of the large nodes at each horizon."""
    chance = random.Random(seed)
    candidates = TransferCandidates(random.Random(seed), transfer)
    below, above = (Swarm.of(chance, members=1) for _ in range(2))
    members: list[Member] = [
        Large(
            Machine(random.Random(chance.random())),
            number=number,
            swarm=above,
            promoted=Promoted(candidates) if is_promoted else None,
        )
        for number in range(LARGE)
    ]
    if is_promoted:
        members += [
            Small(
                Machine(random.Random(chance.random())),
                number=number,
                swarm=below,
                candidates=candidates,
            )
            for number in range(SMALL)
        ]
    for member in members:
        member.begin()
    gained: dict[str, float] = {}
    for name, nights in NIGHTS.items():
        runs = nights * RUNS_A_NIGHT
        while (member := min(members, key=lambda one: one.machine.runs)).machine.runs < runs:
            member.go_on()
        gained[name] = fmean(one.progress.gain for one in members[:LARGE])
    return gained


def _alone(runs_a_night: int, job: tuple[float, int]) -> Reached:
    transfer, seed = job
    print(f"  one node, transfer {transfer}", file=sys.stderr, flush=True)
    with_ladder, without = (
        _sharing(transfer, seed, runs_a_night, is_shared=it) for it in (True, False)
    )
    return {name: (with_ladder[name], without[name]) for name in NIGHTS}


def _sharing(transfer: float, seed: int, runs_a_night: int, *, is_shared: bool) -> dict[str, float]:
    """Return one node's gain above, with time counted in runs of the upper rung.

    Its sessions have as many runs above as those without sharing, and so are longer.
    """
    chance = random.Random(seed)
    candidates = TransferCandidates(random.Random(seed), transfer)
    above = Large(
        Machine(random.Random(seed), runs_a_session=runs_a_night),
        swarm=Swarm.of(chance, members=1),
        promoted=Promoted(candidates) if is_shared else None,
    )
    below = Small(
        Machine(random.Random(seed + 1), runs_a_session=runs_a_night),
        swarm=Swarm.of(chance, members=1),
        candidates=candidates,
        is_own=True,
    )
    above.begin()
    below.begin()
    gained: dict[str, float] = {}
    for name, nights in NIGHTS.items():
        runs = nights * runs_a_night
        while (spent := above.machine.runs + is_shared * below.machine.runs / CHEAPER) < runs:
            before, found = below.machine.runs, len(candidates.found)
            if is_shared and before / CHEAPER < above.time_share.share_below() * spent:
                below.go_on()
                found_sd = sum(
                    max(0.0, candidate.gain_sd) for candidate in candidates.found[found:]
                )
                above.time_share.find(found_sd, (below.machine.runs - before) / CHEAPER)
            else:
                above.go_on()
        gained[name] = above.progress.gain
    return gained
