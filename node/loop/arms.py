"""Which of several proposers an experiment is of next, by what each brought for what it took.

Each is an arm of a bandit, each experiment of an own idea a slot. An arm's gain for a unit of cost
is drawn from what is known of it, and the largest draw has the slot (Thompson, Biometrika 1933):
gains come as a Poisson process of unknown rate, so that what is known is a gamma distribution, at
first one around the rate of all arms together. With a small chance a slot goes to any of them, so
that none that is bad at first is given up. Pure: it knows neither who proposes nor what is run.

A slot's gain is what was kept by fresh runs, or what an ablation says of that part; never the
figure of the screen which selected it, nor a stack's verified gain, which vouches for no part of
it. What every figure lets one expect, kept or not, tells arms apart no sooner (`make bench
PART=proposers`): few ideas gain, and one run says little of the others.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

FLOOR: Final = 0.05  # of the slots, for each arm, whatever came of it
_MOST_FLOOR: Final = 0.5  # for all of them together
_PRIOR: Final = 0.5  # gains that the rate of all arms counts as, for each


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTally:
    """What came of an arm: the gains of its slots and their squares, and what they took.

    Gains in standard deviations of one run; `cost` in hours of the device.
    """

    gain_sd: float = 0.0
    squares: float = 0.0
    cost: float = 0.0

    def after(self, gain_sd: float, cost: float) -> "ArmTally":
        """Return it with one more slot, whose gain is no less than 0."""
        return ArmTally(
            gain_sd=self.gain_sd + gain_sd,
            squares=self.squares + gain_sd**2,
            cost=self.cost + cost,
        )


def next_arm(ready: Sequence[str], tallies: Mapping[str, ArmTally], chance: random.Random) -> str:
    """Return whose the next slot is among those that are `ready`, of which there is one at least.

    `tallies` are of all arms: those that rest have their part in what is known of all.
    """
    if chance.random() < min(_MOST_FLOOR, FLOOR * len(ready)):
        return chance.choice(ready)
    gain_sd = sum(one.gain_sd for one in tallies.values())
    cost = sum(one.cost for one in tallies.values())
    if gain_sd == 0 or cost == 0:  # nothing tells them apart
        return chance.choice(ready)
    # A gain of many sizes says as much of a rate as so many of one size (compound Poisson).
    unit_sd = sum(one.squares for one in tallies.values()) / gain_sd
    prior_cost = _PRIOR * unit_sd * cost / gain_sd

    def draw(name: str) -> float:
        one = tallies.get(name, ArmTally())
        events = _PRIOR + one.gain_sd / unit_sd
        return chance.gammavariate(events, 1 / (prior_cost + one.cost))

    return max(ready, key=draw)
