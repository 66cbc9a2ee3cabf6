"""Several proposers in one node, compared with each alone: gains kept in a night and in more.

Each simulated proposer has a share of ideas that gain about 1.5 sd. Most of the others do nothing,
many harm. All go through the screen and the recheck of the default policy, which keeps one in ten
of those that do nothing. `node.loop.arms` assigns the next slot by one of three figures: by the
rechecks of kept patches, as the node does; by the expected gain given every score; or by the true
gain of kept patches, as if each had an immediate ablation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Final

from node.loop.arms import ArmTally, next_arm
from protocol.prospects import KEPT_ERROR_SD, expected_gain_sd
from protocol.rule import DEFAULT
from tools.bench.shares import mean_of

SLOTS: Final = (100, 300, 1000)
SHARES: Final = ((0.08, 0.02), (0.08, 0.05), (0.08, 0.02, 0.02), (0.08, 0.08), (0.2, 0.05))
_LINES: Final = 200  # simulated lines per setting
_HARMFUL: Final = 0.35  # of the ideas that do not gain
_GAIN_SD: Final = (1.5, 0.5)  # mean and standard deviation of true gains
_LEVEL_ERROR_SD: Final = 0.3  # error of the level that screens are compared with
_RUN_H: Final = 1 / 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """An experiment: its deciding figure, its true gain, and its number of runs."""

    figure_sd: float
    is_kept: bool
    gain_sd: float
    runs: int


Worth = Callable[[Tried], float]
WORTHS: Final[Mapping[str, Worth]] = {
    "keeps": lambda one: max(0.0, one.figure_sd) if one.is_kept else 0.0,
    "figures": lambda one: expected_gain_sd(one.figure_sd, standard_error_sd=KEPT_ERROR_SD),
    "truth": lambda one: max(0.0, one.gain_sd) if one.is_kept else 0.0,
}


def run_proposers(_: Path) -> dict[str, object]:
    """Return each mixture's kept gain, relative to its best arm alone, by number of slots."""
    return {
        " + ".join(f"{share:g}" for share in shares): {
            "alone": [round(alone(share), 4) for share in shares],
            "evenly": round(fmean(map(alone, shares)) / max(map(alone, shares)), 3),
            **{
                name: {str(slots): _figures(shares, slots, worth) for slots in SLOTS}
                for name, worth in WORTHS.items()
            },
        }
        for shares in SHARES
    }


@cache
def alone(share: float, slots: int = 200_000) -> float:
    """Return the true gain of one proposer's kept ideas per run, in sd."""
    chance = Random(f"alone {share}")
    tried = [_experiment(share, chance) for _ in range(slots)]
    return sum(one.gain_sd for one in tried if one.is_kept) / sum(one.runs for one in tried)


def line(shares: Sequence[float], slots: int, worth: Worth, number: int) -> list[int]:
    """Return each proposer's number of runs on one simulated line with `slots` slots."""
    chance, names = Random(f"{shares} {number}"), [str(at) for at in range(len(shares))]
    tallies: dict[str, ArmTally] = {name: ArmTally() for name in names}
    runs = dict.fromkeys(names, 0)
    for slot in range(slots):
        name = next_arm(names, tallies, Random(f"{number} {slot}"))
        tried = _experiment(shares[int(name)], chance)
        tallies[name] = tallies[name].after(worth(tried), tried.runs * _RUN_H)
        runs[name] += tried.runs
    return list(runs.values())


def _experiment(share: float, chance: Random) -> Tried:
    """Return an experiment with an idea of a proposer whose share of gains is `share`."""
    kind = chance.random()
    gain = 0.0
    if kind < share:
        gain = max(0.1, chance.gauss(*_GAIN_SD))
    elif kind < share + _HARMFUL * (1 - share):
        gain = -chance.uniform(0.5, 3.0)
    against = chance.gauss(0.0, _LEVEL_ERROR_SD)
    screen = gain + against + chance.gauss(0.0, 1.0)
    if screen < DEFAULT.screen_sd:
        return Tried(figure_sd=screen, is_kept=False, gain_sd=gain, runs=1)
    recheck = gain + against + chance.gauss(0.0, 1.0)
    is_kept = recheck >= DEFAULT.rechecks_sd[0]
    return Tried(figure_sd=recheck, is_kept=is_kept, gain_sd=gain, runs=2)


def _figures(shares: Sequence[float], slots: int, worth: Worth) -> dict[str, object]:
    """Return the lines' kept gain relative to their best arm, and the first arm's runs."""
    rates = [alone(share) for share in shares]
    taken = [line(shares, slots, worth, number) for number in range(_LINES)]
    ratios = [
        sum(n * rate for n, rate in zip(one, rates, strict=True)) / (sum(one) * max(rates))
        for one in taken
    ]
    first = fmean(one[0] / sum(one) for one in taken)
    return {"of the best": mean_of(ratios), "the first's": round(first, 3)}
