"""The common model of simulated research: the gains of proposals and the noise of machines.

Figures are in standard deviations of one run ("sd"). Gains are positive if better. Few proposed
patches are good, most do nothing, many harm.
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


Propose: TypeAlias = Callable[[random.Random], float]  # draws a proposal's true gain


def draw_gain(chance: random.Random) -> float:
    """Draw the true gain of a proposal."""
    drawn = chance.random()
    if drawn < GOOD_SHARE:
        return chance.uniform(1, 3)
    return -chance.uniform(0, 2) if drawn < GOOD_SHARE + BAD_SHARE else 0.0


@dataclass
class Machine:
    """A machine that measures trees in sessions. All runs of a session share a small offset."""

    chance: random.Random
    noise: Noise = normal
    session_sd: float = SESSION_SD
    runs_a_session: int = RUNS_A_NIGHT
    walk_step_sd: float = 0.0  # step of the offset's random walk from run to run
    runs: int = 0
    offset: float = 0.0

    def measure(self, value: float, *, scale: float = 1.0) -> float:
        """Return the score of one run of a tree whose true value is `value`. Lower is better.

        Its noise is `scale` times that of other runs.
        """
        if self.is_at_beginning:
            self.offset = self.chance.gauss(0, self.session_sd)
        elif self.walk_step_sd:
            self.offset += self.chance.gauss(0, self.walk_step_sd)
        self.runs += 1
        return value + self.offset + scale * self.noise(self.chance)

    @property
    def session(self) -> int:
        """The number of the next run's session."""
        return self.runs // self.runs_a_session

    @property
    def is_at_beginning(self) -> bool:
        """True if the next run is the first of its session."""
        return self.runs % self.runs_a_session == 0

    @property
    def span(self) -> Span:
        """The rest and the length of the session, with one second per run."""
        left = self.runs_a_session - self.runs % self.runs_a_session
        return Span(left_s=left, whole_s=self.runs_a_session)
