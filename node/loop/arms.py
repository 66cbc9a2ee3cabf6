"""The choice among several proposers for an experiment, by their gains and costs so far.

Each proposer is an arm of a bandit, and each experiment on an idea of this node is a slot. For each
arm a gain per unit of cost is drawn from its posterior; the largest draw gets the slot (Thompson,
Biometrika 1933). Gains are modelled as a Poisson process of unknown rate, so the posterior is a
gamma distribution. Its prior is centred on the rate of all arms together. With a small probability
a slot goes to a random arm, so that an arm with a bad start is not given up. The module is pure: it
knows neither the proposers nor what is run.

A slot's gain is the gain of a kept patch in fresh runs or, if there was one, in an ablation. It is
never the score of the screen that selected the patch. Nor is it the gain of several patches in a
promotion trial, which is no evidence for a single patch. Counting an expected gain for every score,
even of discarded patches, would not find the better arm sooner (`make bench PART=proposers`),
because few ideas gain.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

FLOOR: Final = 0.05  # share of the slots for each arm, whatever its gains
_MOST_FLOOR: Final = 0.5  # for all arms together
_PRIOR: Final = 0.5  # weight of the prior for each arm, as a number of gains


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTally:
    """An arm's totals: the gains of its slots, their squares and their costs.

    Gains are in standard deviations of one run; `cost` is in hours of the device.
    """

    gain_sd: float = 0.0
    squares: float = 0.0
    cost: float = 0.0

    def after(self, gain_sd: float, cost: float) -> "ArmTally":
        """Return the totals with one more slot, whose gain is at least 0."""
        return ArmTally(
            gain_sd=self.gain_sd + gain_sd,
            squares=self.squares + gain_sd**2,
            cost=self.cost + cost,
        )


def next_arm(ready: Sequence[str], tallies: Mapping[str, ArmTally], chance: random.Random) -> str:
    """Return the arm that gets the next slot, one of the `ready` arms; there must be at least one.

    `tallies` are of all arms: resting arms contribute to the prior too.
    """
    if chance.random() < min(_MOST_FLOOR, FLOOR * len(ready)):
        return chance.choice(ready)
    gain_sd = sum(one.gain_sd for one in tallies.values())
    cost = sum(one.cost for one in tallies.values())
    if gain_sd == 0 or cost == 0:  # no data distinguish the arms
        return chance.choice(ready)
    # The number of equal gains that is as informative about a rate (compound Poisson).
    unit_sd = sum(one.squares for one in tallies.values()) / gain_sd
    prior_cost = _PRIOR * unit_sd * cost / gain_sd

    def draw(name: str) -> float:
        one = tallies.get(name, ArmTally())
        events = _PRIOR + one.gain_sd / unit_sd
        return chance.gammavariate(events, 1 / (prior_cost + one.cost))

    return max(ready, key=draw)
