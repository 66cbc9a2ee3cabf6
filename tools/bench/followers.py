"""A node that tries only peers' claims, in the shipped order, with liars among the authors."""

import math
from dataclasses import dataclass, field
from random import Random

from protocol.prospects import NEWCOMERS_SHARE, AuthorRate, trial_outcome
from protocol.rule import DEFAULT
from tools.bench.streams import Node
from tools.bench.worlds import draw_gain

_SCREEN_SD = math.sqrt(1.5)  # one run against two reference runs


@dataclass(slots=True)
class Author:
    """An author whose claims are true but lucky, or invented."""

    is_liar: bool
    rate: AuthorRate = field(default_factory=AuthorRate)
    is_known: bool = False
    gain: float = 0.0
    claim: float = 0.0

    def go_on(self, chance: Random) -> None:
        """Make a new claim: of a patch that passed a screen, or an impressive invention."""
        if self.is_liar:
            self.gain, self.claim = min(0.0, draw_gain(chance)), chance.uniform(3, 6)
            return
        self.claim = 0.0
        while self.claim < DEFAULT.screen_sd:
            self.gain = draw_gain(chance)
            self.claim = self.gain + chance.gauss(0, _SCREEN_SD)


@dataclass
class Follower(Node):
    """A node that tries authors' claims. `slots` lists the author and the runs of each trial."""

    authors: list[Author] = field(default_factory=list)
    slots: list[tuple[Author, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for author in self.authors:
            author.go_on(self.machine.chance)
        self.propose = self._choose

    def _choose(self, chance: Random) -> float:
        fresh = [author for author in self.authors if not author.is_known]
        if fresh and chance.random() < NEWCOMERS_SHARE:
            self._chosen = chance.choice(fresh)
        else:
            self._chosen = max(self.authors, key=lambda one: one.rate.worth_sd(one.claim))
        return self._chosen.gain

    def decided(self, *, is_kept: bool, gain_sd: float, runs: int) -> None:
        """Record the result of an author's claim."""
        author = self._chosen
        outcome = trial_outcome(is_kept=is_kept, claim_sd=author.claim, gain_sd=gain_sd)
        author.rate, author.is_known = author.rate.after(outcome), True
        self.slots.append((author, runs))
        author.go_on(self.machine.chance)
