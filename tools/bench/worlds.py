"""Invented research for simulations: what proposals are worth, and how machines scatter.

Figures are in standard deviations of one run ("sd"); gains are positive if better. What proposers
try is this model: few patches are good, most do nothing, many harm.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from node.loop.session_plan import Span
from tests.protocol.scatter import Noise, normal

GOOD_SHARE, BAD_SHARE = 0.05, 0.35
RUNS_A_NIGHT = 96
SESSION_SD = 0.5


Propose: TypeAlias = Callable[[random.Random], float]  # what a proposal truly gains


def draw_gain(chance: random.Random) -> float:
    """Return what a proposal truly gains."""
    drawn = chance.random()
    if drawn < GOOD_SHARE:
        return chance.uniform(1, 3)
    return -chance.uniform(0, 2) if drawn < GOOD_SHARE + BAD_SHARE else 0.0


@dataclass
class Machine:
    """Measures trees in sessions, each of which is off by a little, for all its runs alike."""

    chance: random.Random
    noise: Noise = normal
    session_sd: float = SESSION_SD
    runs_a_session: int = RUNS_A_NIGHT
    drift_sd: float = 0.0  # by which a session's offset walks from run to run
    runs: int = 0
    offset: float = 0.0

    def measure(self, value: float, *, scale: float = 1.0) -> float:
        """Return what one run of a tree says that is truly worth `value`; lower is better.

        It scatters `scale` times as much as others.
        """
        if self.is_at_beginning:
            self.offset = self.chance.gauss(0, self.session_sd)
        elif self.drift_sd:
            self.offset += self.chance.gauss(0, self.drift_sd)
        self.runs += 1
        return value + self.offset + scale * self.noise(self.chance)

    @property
    def session(self) -> int:
        """The number of the session that the next run is in."""
        return self.runs // self.runs_a_session

    @property
    def is_at_beginning(self) -> bool:
        """Whether the next run is the first of its session."""
        return self.runs % self.runs_a_session == 0

    @property
    def span(self) -> Span:
        """What is left of the session, and how long it is: a run takes a second."""
        left = self.runs_a_session - self.runs % self.runs_a_session
        return Span(left_s=left, whole_s=self.runs_a_session)
