"""The members of a simulated swarm.

Each member decides with the shipped code: its own experiments and promotion trials, and trials of
better heads and of others' claims on its working line, by `protocol.prospects`. Patches add up and
merge. Only runs, leaderboards without delay and liars are simulated.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf, sqrt
from statistics import median

from agent.hyperparameters.moves import MOST_AT_ONCE
from agent.hyperparameters.proposer import KEPT_BY_OTHERS_SHARE
from agent.hyperparameters.transplants import MOST_FAILED
from node.line.trial import ANCHOR_PAIRS, Confirmation
from protocol.gains import MILLION, T95, luck
from protocol.prospects import (
    LARGE_SD,
    MOST_IN_STACK,
    AuthorRate,
    is_lead_shown,
    is_stack_due,
    is_worth_early_trial,
    least_lead_sd,
    may_catch_up,
    stack_outcome,
    together,
    trial_outcome,
    turns,
)
from tools.bench.offers import Offer, Swarm
from tools.bench.streams import SD, Node
from tools.bench.worlds import draw_gain

SHARE = 0.25  # share of runs for peers' claims, the setting's default
_ANCHOR_ERROR_SD = sqrt(2 / ANCHOR_PAIRS)


@dataclass
class _Beyond:
    """The offers among the first `seen` that a head lacks. It is a cache of earlier checks."""

    head: frozenset[int] = frozenset()
    seen: int = 0
    offers: list[Offer] = field(default_factory=list)


@dataclass
class Member(Node):
    """A node of a swarm. `tried` has every working line that trials of offers would have made."""

    number: int = 0
    swarm: Swarm = field(default_factory=lambda: Swarm.of(random.Random(0), members=1))
    head: frozenset[int] = frozenset()
    start: frozenset[int] = frozenset()  # of the working line: the head, or a better one of others
    added: list[frozenset[int]] = field(default_factory=list)
    rates: dict[int, AuthorRate] = field(default_factory=dict)
    tried: set[frozenset[int]] = field(default_factory=set)
    failed: set[Offer] = field(default_factory=set)
    tried_heads: set[Offer] = field(default_factory=set)
    anchor_sd: float = 0.0
    bound_sd: float = 0.0
    tries: int = 0
    peer_runs: int = 0
    held: Counter[int] = field(default_factory=Counter)  # keeps that held here, less failed ones
    small_held: int = 0  # likewise, of small gains of all others
    done: set[int] = field(default_factory=set)  # ideas tried alone, or kept together
    most_together: int = MOST_AT_ONCE  # of others' ideas; fewer after some failed together
    kept_sd: float = 0.0  # gain kept since the last promotion trial, by the deciding runs

    def __post_init__(self) -> None:
        self.propose = self._own_idea
        # Both are rare, and not possible here, where heads are sets of patches.
        self.looks_back = self.explores = False
        self._trial: Sequence[Offer] = ()
        self._tree: Offer | None = None  # the head that the present experiment tries
        self._claim_sd = 0.0
        self._pool = self.swarm.ideas.of(self.number, self.machine.chance, lambda: self._doubted)
        self._fits: dict[Offer, frozenset[int]] = {}
        self._beyond = _Beyond()

    def go_on(self) -> None:
        """Do the next step as a node alone does, with peers' offers where the loop has them."""
        if self._is_promotion_trial_due():
            are_reference_runs_stale = self.machine.session != self.session
            self._trial = (
                () if are_reference_runs_stale else self._stack(is_promotion_trial_next=True)
            )
            if self._trial:
                self._experiment()
            else:
                self._run_promotion_trial()
        elif not self._needs_reference_run() and (best := self._best_head()):
            self._tree = best
            self.tried_heads.add(best)
            self._experiment()
        else:
            super().go_on()

    def _is_promotion_trial_due(self) -> bool:
        ideas = self.swarm.ideas
        tries_early = ideas.sharing.tries_early and ideas.assumed.is_endless and ideas.members > 1
        is_worth_it = tries_early and bool(self.stack) and is_worth_early_trial(self.kept_sd)
        return is_worth_it or super()._is_promotion_trial_due()

    @property
    def known(self) -> frozenset[int]:
        """All patches in the working line."""
        return self.start.union(*self.added)

    @property
    def _is_due(self) -> bool:
        return self.peer_runs < SHARE * (self.machine.runs + 1)

    def _best_head(self) -> Offer | None:
        least_sd = self.kept_sd + least_lead_sd(has_own=bool(self.head or self.stack))
        latest, is_due = self.swarm.latest_visible_run(self.machine.runs), self._is_due
        may = {author: may_catch_up(rate, is_due=is_due) for author, rate in self.rates.items()}
        may_newcomer = may_catch_up(AuthorRate(), is_due=is_due)
        ahead = [
            offer
            for offer in self.swarm.offers
            if offer.runs <= latest
            and offer.bound_sd - self.bound_sd >= least_sd
            and offer.author != self.number
            and offer not in self.tried_heads
            and may.get(offer.author, may_newcomer)
        ]
        return max(ahead, key=lambda offer: offer.bound_sd, default=None)

    def _own_idea(self, chance: random.Random) -> float:
        if self._tree:
            self._step = self._tree.head - self.known
            self._claim_sd = self._tree.anchor_sd - self.anchor_sd - self.kept_sd
            return self.swarm.worth(self._tree.head) - self.swarm.worth(self.known)
        if not self._trial and self._is_due:
            self._trial = self._next_trial(chance)
        if self._trial:
            self._step = self._with(self._trial) - self.known
            self._claim_sd = self._claimed_by(self._trial)
            self.tried.add(self.known | self._step)
        else:
            self._step = self._kept_by_others(chance) or frozenset([self._idea(chance)])
        known = self.known
        return self.swarm.worth(known | self._step) - self.swarm.worth(known)

    def _kept_by_others(self, chance: random.Random) -> frozenset[int]:
        """Return ideas that others kept and that are not tried here, several at once."""
        ideas, known = self.swarm.ideas, self.known
        new = [
            idea
            for idea in ideas.kept_by_others(
                self.number, self.machine.runs, self._skipped, least_sd=self._least_claim_sd
            )
            if idea not in known and idea not in self.done and ideas.merges(idea, self.number)
        ]
        if not new or chance.random() > KEPT_BY_OTHERS_SHARE:
            return frozenset()
        return frozenset(new[: self.most_together])

    @property
    def _least_claim_sd(self) -> float:
        """The smallest claimed gain that others kept and that is tried; as in `transplants`."""
        return LARGE_SD if self.small_held <= -MOST_FAILED else -inf

    @property
    def _doubted(self) -> set[int]:
        """The authors whose results do not count."""
        return {who for who, rate in self.rates.items() if rate.status == "doubted"}

    @property
    def _skipped(self) -> set[int]:
        """The authors whose keeps do not count: they are doubted, or failed here too often."""
        return self._doubted | {who for who, count in self.held.items() if count <= -MOST_FAILED}

    def _idea(self, chance: random.Random) -> int:
        ideas = self.swarm.ideas
        if ideas.assumed.pool is None:
            return ideas.invented(draw_gain(chance))
        known = self.known
        for passed_over, idea in enumerate(self._pool):
            # After a whole pass, ideas with a negative screen are tried after all.
            is_over = passed_over >= ideas.assumed.pool
            if idea not in known and (
                is_over
                or ideas.is_worth_a_try(idea, self.number, self.machine.runs, chance, self._doubted)
            ):
                return idea
        raise AssertionError  # the pool repeats without end

    def _next_trial(self, chance: random.Random) -> Sequence[Offer]:
        offers = self._offers()
        for turn in turns(chance.random()):
            match turn:
                case "newcomer":
                    fresh = [offer for offer in offers if offer.author not in self.rates]
                    trial: Sequence[Offer] = [chance.choice(fresh)] if fresh else ()
                case "stack":
                    trial = self._stack(is_promotion_trial_next=False)
                case "single":
                    trial = [offer for offer in offers if self._rate(offer).status == "open"][:1]
            if trial:
                return trial
        return ()

    def _stack(self, *, is_promotion_trial_next: bool) -> Sequence[Offer]:
        offers = [offer for offer in self._offers() if self._rate(offer).status == "trusted"]
        company: list[Offer] = []
        for offer in offers:
            if len(company) < MOST_IN_STACK and not self._fitting(offer) <= self._with(company):
                company.append(offer)
        if is_stack_due(self._claimed_by(company), is_promotion_trial_next=is_promotion_trial_next):
            return together(company, self._untried) or ()
        return ()

    def _untried(self, offers: Sequence[Offer]) -> Sequence[Offer] | None:
        return None if self._with(offers) in self.tried else offers

    def _with(self, offers: Sequence[Offer]) -> frozenset[int]:
        return self.known.union(*map(self._fitting, offers))

    def _fitting(self, offer: Offer) -> frozenset[int]:
        """Return the patches of a step that merge into this line."""
        ideas = self.swarm.ideas
        if not ideas.assumed.conflicts:
            return offer.step
        if offer not in self._fits:
            fits = frozenset(one for one in offer.step if ideas.merges(one, self.number))
            self._fits[offer] = fits
        return self._fits[offer]

    def _offers(self) -> list[Offer]:
        """Return others' offers beyond the working line, best first, without distrusted authors."""
        known, latest = self.known, self.swarm.latest_visible_run(self.machine.runs)
        doubted = self._doubted
        offers = [
            offer
            for offer in self._beyond_head()
            if offer.runs <= latest
            and offer.author not in doubted
            and offer not in self.failed
            and not self._fitting(offer) <= known
        ]
        return sorted(offers, key=self._worth_of, reverse=True)

    def _beyond_head(self) -> Sequence[Offer]:
        """Return all offers with patches that the head lacks, in order."""
        beyond = self._beyond
        if not beyond.head <= self.head:  # the new head may lack patches that the old one had
            self._beyond = beyond = _Beyond()
        if beyond.head != self.head:
            beyond.head = self.head
            beyond.offers = [one for one in beyond.offers if not self._fitting(one) <= self.head]
        for offer in self.swarm.offers[beyond.seen :]:
            if offer.author != self.number and not self._fitting(offer) <= self.head:
                beyond.offers.append(offer)
        beyond.seen = len(self.swarm.offers)
        return beyond.offers

    def _rate(self, offer: Offer) -> AuthorRate:
        return self.rates.get(offer.author, AuthorRate())

    def _worth_of(self, offer: Offer) -> float:
        claim_sd = self._left_of(offer, self.known)
        return self._rate(offer).worth_sd(claim_sd, standard_error_sd=sqrt(2 / offer.pairs))

    def _claimed_by(self, offers: Sequence[Offer]) -> float:
        """Return the total claim of offers, each counted for the patches that earlier ones lack."""
        known, claimed_sd = self.known, 0.0
        for offer in offers:
            claimed_sd += self._left_of(offer, known)
            known |= self._fitting(offer)
        return claimed_sd

    def _left_of(self, offer: Offer, known: frozenset[int]) -> float:
        """Return the part of an offer's claim that is due to patches not in `known`."""
        return offer.claim_sd * len(self._fitting(offer) - known) / len(offer.step)

    def may_be_kept(self, gain_sd: float) -> bool:
        """Return False for a whole head that gained too little of its claimed lead."""
        return self._tree is None or is_lead_shown(self._claim_sd, gain_sd)

    def decided(self, *, is_kept: bool, gain_sd: float, runs: int) -> None:
        """Record the result of the last proposal, and rate the authors of its offers."""
        if self._tree:
            self._tree_decided(self._tree, is_kept=is_kept, gain_sd=gain_sd, runs=runs)
            self._tree = None
            return
        trial, self._trial = self._trial, ()
        if not trial and self.swarm.ideas.assumed.pool is not None:
            self._publish_idea(is_kept=is_kept, gain_sd=gain_sd)
        if is_kept:
            self.most_together = MOST_AT_ONCE
            self.added.append(self._step)
            self.kept_sd += gain_sd
        if len(trial) == 1 and not is_kept:
            self.failed.add(trial[0])
        if trial:
            self.peer_runs += runs
        outcome = (
            trial_outcome(is_kept=is_kept, claim_sd=self._claim_sd, gain_sd=gain_sd)
            if len(trial) == 1
            else stack_outcome(
                is_kept=is_kept, claim_sd=self._claim_sd, gain_sd=gain_sd, claims=len(trial)
            )
        )
        if outcome is not None:
            for offer in trial:
                self.rates[offer.author] = self._rate(offer).after(outcome)

    def _tree_decided(self, tree: Offer, *, is_kept: bool, gain_sd: float, runs: int) -> None:
        outcome = trial_outcome(is_kept=is_kept, claim_sd=self._claim_sd, gain_sd=gain_sd)
        self.rates[tree.author] = self._rate(tree).after(outcome)
        self.peer_runs += runs
        if is_kept:
            self.start, self.added = tree.head, []
            self.kept_sd += gain_sd

    def _publish_idea(self, *, is_kept: bool, gain_sd: float) -> None:
        """Publish the result of an idea, and remember that of several."""
        ideas, said = self.swarm.ideas, (self.number, self.machine.runs, gain_sd)
        self._note_held(is_kept=is_kept)
        if is_kept or len(self._step) == 1:
            self.done |= self._step
        if len(self._step) > 1:
            self.most_together = len(self._step) // 2
            return
        (idea,) = self._step
        ideas.tries[idea].append(said)
        if is_kept:
            ideas.keeps[idea].append(said)

    def _note_held(self, *, is_kept: bool) -> None:
        """Remember if what others kept held here. A failed combination counts against no author."""
        change = 1 if is_kept else -1
        keeps = [self.swarm.ideas.keeps.get(idea, ()) for idea in self._step]
        if is_kept or len(self._step) == 1:
            for who, _, _ in chain.from_iterable(keeps):
                self.held[who] += change
        gains = [median(gain_sd for _, _, gain_sd in of_one) for of_one in keeps if of_one]
        if min(gains, default=LARGE_SD) < LARGE_SD:
            self.small_held += change

    def judged(self, *, passed: bool, confirmation: Confirmation) -> None:
        """Publish a stack that passed as an offer."""
        self.tries += 1
        self.kept_sd = 0.0
        known, self.added = self.known, []
        step = known - self.head
        if passed and confirmation.latest is not None:
            self.head = known
            self._note_anchor()
            self.swarm.offers.append(
                Offer(
                    author=self.number,
                    runs=self.machine.runs,
                    step=step,
                    head=self.head,
                    claim_sd=confirmation.latest.gain / SD,
                    anchor_sd=self.anchor_sd,
                    bound_sd=self.bound_sd,
                    pairs=len(confirmation.pairs),
                )
            )
        self.start = self.head

    def _note_anchor(self) -> None:
        noise = self.machine.chance.gauss(0, _ANCHOR_ERROR_SD)
        self.anchor_sd = self.swarm.worth(self.head) + noise
        # The same bound as on a leaderboard if the pairs scatter by the task's noise.
        reach_sd = T95[ANCHOR_PAIRS - 2] * _ANCHOR_ERROR_SD + luck(self.tries)
        self.bound_sd = self.anchor_sd - reach_sd / MILLION
