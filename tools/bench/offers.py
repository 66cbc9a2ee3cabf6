"""The offers of a simulated swarm, and the state that its members share."""

import random
from dataclasses import dataclass, field

from node.line.trial import ANCHOR_PAIRS
from tools.bench.assumptions import AS_SHIPPED, Assumed, Ideas, Sharing
from tools.bench.worlds import draw_gain


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offer:
    """A confirmed step and the resulting head, with the author's runs by then. Patches are numbers.

    Offers are compared by identity, for speed: there are thousands.
    """

    author: int
    runs: int
    step: frozenset[int]
    head: frozenset[int]
    claim_sd: float
    anchor_sd: float
    bound_sd: float
    pairs: int


@dataclass
class Swarm:
    """The state shared by all members: all offers, and the ideas, whose true gains are hidden."""

    chance: random.Random
    ideas: Ideas
    offers: list[Offer] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        chance: random.Random,
        *,
        members: int,
        liars: int = 0,
        assumed: Assumed = AS_SHIPPED,
        sharing: Sharing | None = None,
    ) -> "Swarm":
        """Return a swarm of `members` honest members and some liars."""
        sharing = sharing or Sharing()
        ideas = Ideas(chance=chance, assumed=assumed, sharing=sharing, members=members, liars=liars)
        return cls(chance=chance, ideas=ideas)

    def worth(self, patches: frozenset[int]) -> float:
        """Return the true gain of these patches together."""
        return self.ideas.worth(patches)

    def latest_visible_run(self, runs: int) -> int:
        """Return the latest time, in runs, of offers that are known after `runs` runs."""
        return runs - self.ideas.assumed.delay_runs

    def lie(self, author: int, runs: int) -> None:
        """Publish a liar's worthless offer with a high claim on top of the best, and a false no."""
        self.ideas.lie(author, runs)
        best = max((offer.anchor_sd for offer in self.offers), default=0.0)
        bound = max((offer.bound_sd for offer in self.offers), default=0.0)
        step = frozenset([self.ideas.invented(min(0.0, draw_gain(self.chance)))])
        claim_sd = self.chance.uniform(3, 8)
        self.offers.append(
            Offer(
                author=author,
                runs=runs,
                step=step,
                head=step,
                claim_sd=claim_sd,
                anchor_sd=best + claim_sd,
                bound_sd=bound + claim_sd,
                pairs=ANCHOR_PAIRS,
            )
        )
