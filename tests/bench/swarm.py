"""Many nodes that hear of each other: how soon the typical one is as far as one alone.

Each member decides with the code that ships: its own trials and confirmations, catch-up against
its head, others' stacks on its working line in the order of `protocol.prospects`. Patches add up
and merge; only runs, boards without delay and liars are invented.
"""

import os
import random
import sys
from dataclasses import dataclass, field
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, median

from node.loop.peers import LEAST_CATCH_UP_SD, NEWCOMERS_SHARE, may_catch_up
from node.loop.trial import ANCHOR_PAIRS, Confirmation
from protocol.prospects import AuthorRate, trial_outcome
from protocol.rule import Claim
from tests.bench.streams import SD, Node
from tests.bench.worlds import Machine, draw_gain

SIZES = (1, 4, 8, 16, 32)
LIARS = (0.0, 0.3, 0.5)  # of all, beside so many honest nodes
TARGETS_SD = (40.0, 150.0)
SHARE = 0.25  # of runs for peers, the setting's default
_SEEDS = 8
_ANCHOR_ERROR_SD = sqrt(2 / ANCHOR_PAIRS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A confirmed step and the head that it led to; patches by number."""

    author: int
    step: frozenset[int]
    head: frozenset[int]
    claim_sd: float
    anchor_sd: float
    pairs: int


@dataclass
class Swarm:
    """What everybody knows: the truth of each patch (told to nobody) and all offers."""

    chance: random.Random
    gains: list[float] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)

    def new_patch(self, gain: float) -> int:
        """Give a patch its number."""
        self.gains.append(gain)
        return len(self.gains) - 1

    def worth(self, patches: frozenset[int]) -> float:
        """Return what these patches truly gain together."""
        return sum(self.gains[number] for number in patches)

    def lie(self, author: int) -> None:
        """Let a liar offer nothing for much, on top of the best there is."""
        best = max((offer.anchor_sd for offer in self.offers), default=0.0)
        step = frozenset([self.new_patch(min(0.0, draw_gain(self.chance)))])
        claim_sd = self.chance.uniform(3, 8)
        self.offers.append(
            Offer(
                author=author,
                step=step,
                head=step,
                claim_sd=claim_sd,
                anchor_sd=best + claim_sd,
                pairs=ANCHOR_PAIRS,
            )
        )


@dataclass
class Member(Node):
    """A node of a swarm."""

    number: int = 0
    swarm: Swarm = field(default_factory=lambda: Swarm(random.Random(0)))
    head: frozenset[int] = frozenset()
    added: list[frozenset[int]] = field(default_factory=list)
    rates: dict[int, AuthorRate] = field(default_factory=dict)
    looked_at: set[Offer] = field(default_factory=set)
    caught_up: set[Offer] = field(default_factory=set)
    anchor_sd: float = 0.0
    peer_runs: int = 0

    def __post_init__(self) -> None:
        self.propose = self._own_idea
        self.looks_back = False  # rare, and heads are sets of patches here
        self._offer: Offer | None = None

    def go_on(self) -> None:
        """As a node alone, with what comes from peers where the loop has it."""
        if not self._is_checkpoint_due() and not self.stack and (best := self._best_head()):
            self._catch_up(best)
        else:
            super().go_on()

    @property
    def _is_due(self) -> bool:
        return self.peer_runs < SHARE * (self.machine.runs + 1)

    def _best_head(self) -> Offer | None:
        ahead = [
            offer
            for offer in self.swarm.offers
            if offer.author != self.number
            and offer not in self.caught_up
            and offer.anchor_sd - self.anchor_sd >= LEAST_CATCH_UP_SD
            and may_catch_up(self.rates.get(offer.author, AuthorRate()), is_due=self._is_due)
        ]
        return max(ahead, key=lambda offer: offer.anchor_sd, default=None)

    def _catch_up(self, offer: Offer) -> None:
        self.caught_up.add(offer)
        before = self.machine.runs
        worth = self.swarm.worth(offer.head)
        lead_sd = offer.anchor_sd - self.anchor_sd
        confirmation = self._confirm(worth, Claim(gain=lead_sd * SD))
        verdict = confirmation.judgement.verdict if confirmation.judgement else None
        if verdict is not None:
            rate = self.rates.get(offer.author, AuthorRate())
            self.rates[offer.author] = rate.after(verdict)
        if confirmation.move == "pass":
            self.progress.adopt(worth - self.progress.gain)
            self.head = offer.head
            self._note_anchor()
        self._bank_from(confirmation)
        self.peer_runs += self.machine.runs - before

    def _own_idea(self, chance: random.Random) -> float:
        self._offer = self._next_offer(chance)
        known = self.head.union(*self.added)
        if self._offer is None:
            self._step = frozenset([self.swarm.new_patch(draw_gain(chance))])
        else:
            self.looked_at.add(self._offer)
            self._step = self._offer.step - known
            self._claim_sd = self._left_of(self._offer, known)
        return self.swarm.worth(self._step)

    def _next_offer(self, chance: random.Random) -> Offer | None:
        if not self._is_due:
            return None
        known = self.head.union(*self.added)
        offers = [
            offer
            for offer in self.swarm.offers
            if offer.author != self.number and offer not in self.looked_at and offer.step - known
        ]
        fresh = [offer for offer in offers if offer.author not in self.rates]
        if fresh and chance.random() < NEWCOMERS_SHARE:
            return chance.choice(fresh)
        return max(offers, key=lambda offer: self._worth_of(offer, known), default=None)

    def _worth_of(self, offer: Offer, known: frozenset[int]) -> float:
        rate = self.rates.get(offer.author, AuthorRate())
        claim_sd = self._left_of(offer, known)
        return rate.worth_sd(claim_sd, standard_error_sd=sqrt(2 / offer.pairs))

    @staticmethod
    def _left_of(offer: Offer, known: frozenset[int]) -> float:
        """What is claimed of the part of a step that is new here."""
        return offer.claim_sd * len(offer.step - known) / len(offer.step)

    def decided(self, *, is_kept: bool, gain_sd: float, runs: int) -> None:
        """Remember what the last proposal was, and whose."""
        if is_kept:
            self.added.append(self._step)
        if self._offer is not None:
            author = self._offer.author
            outcome = trial_outcome(is_kept=is_kept, claim_sd=self._claim_sd, gain_sd=gain_sd)
            self.rates[author] = self.rates.get(author, AuthorRate()).after(outcome)
            self.peer_runs += runs

    def judged(self, *, passed: bool, confirmation: Confirmation) -> None:
        """Offer a stack that passed to everybody."""
        step = frozenset[int]().union(*self.added)
        self.added = []
        if passed and confirmation.latest is not None:
            self.head |= step
            self._note_anchor()
            self.swarm.offers.append(
                Offer(
                    author=self.number,
                    step=step,
                    head=self.head,
                    claim_sd=confirmation.latest.gain / SD,
                    anchor_sd=self.anchor_sd,
                    pairs=len(confirmation.pairs),
                )
            )

    def _note_anchor(self) -> None:
        noise = self.machine.chance.gauss(0, _ANCHOR_ERROR_SD)
        self.anchor_sd = self.swarm.worth(self.head) + noise


def run_swarm(_kept: Path) -> dict[str, object]:
    """Return runs per node to each target, and how many times as fast as one alone that is."""
    jobs = [
        (nodes, share, seed) for nodes in SIZES for share in LIARS for seed in range(_SEEDS)
        if nodes > 1 or share == 0
    ]  # fmt: skip
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        reached = dict(zip(jobs, pool.map(_reach, jobs, chunksize=1), strict=True))
    swarms = dict.fromkeys((nodes, share) for nodes, share, _ in jobs)
    means = {
        swarm: [
            fmean(of_target)
            for of_target in zip(*(reached[*swarm, seed] for seed in range(_SEEDS)), strict=True)
        ]
        for swarm in swarms
    }
    alone = means[1, 0.0]
    return {
        f"{nodes} nodes, {share:.0%} liars": {
            f"to_{target:.0f}_sd": {"runs": round(runs), "times_alone": round(one / runs, 2)}
            for target, runs, one in zip(TARGETS_SD, spent, alone, strict=True)
        }
        for (nodes, share), spent in means.items()
    }


def _reach(job: tuple[int, float, int]) -> list[int]:
    nodes, share, seed = job
    print(f"  {nodes} nodes, {share:.0%} liars", file=sys.stderr, flush=True)
    return runs_to(TARGETS_SD, nodes, round(nodes * share / (1 - share)), seed)


def runs_to(targets: tuple[float, ...], nodes: int, liars: int, seed: int) -> list[int]:
    """Return how many runs a node spends until the typical one has truly gained each target."""
    chance = random.Random(seed)
    swarm = Swarm(chance)
    members = [
        Member(Machine(random.Random(chance.random())), number=number, swarm=swarm)
        for number in range(nodes)
    ]
    for member in members:
        member.begin()
    reached: list[int] = []
    lies = 0
    while len(reached) < len(targets):
        member = min(members, key=lambda one: one.machine.runs)
        # A liar has something new as often as an honest node would.
        while lies < liars * member.machine.runs // 40:
            swarm.lie(nodes + lies % liars)
            lies += 1
        member.go_on()
        if median(one.progress.gain for one in members) >= targets[len(reached)]:
            reached.append(member.machine.runs)
    return reached
