"""The choice of the next peer claim to try or re-run.

A patch, or several patches together, may be tried on the working line like an idea of this node;
whole trees are chosen by `node.loop.whole_trees`. A claim may be re-run as it was made (`audit`).
Authors whose claims were confirmed here are preferred, but that never affects a verdict. This node
adopts only what it confirmed itself.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence

from node.home.people import People
from node.line.experiment import PEER
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.line.rerun import RerunStep, WantedClaim
from node.loop.authors import Authors, failed_alone, status_of
from node.loop.offers import Offer, Offers, Ported
from node.loop.whole_trees import WholeTrees
from node.source_review.source_review import SourceReview
from protocol.codecs import fit_line
from protocol.prospects import (
    MOST_IN_STACK,
    AuthorRate,
    audit_order,
    is_stack_due,
    together,
    turns,
)
from protocol.source import Source

# An audit takes up to 32 runs, a patch's trial one to three. At this rate audits take a twentieth
# of the runs for peers.
_AUDIT_CHANCE = 1 / 300
_TITLE_CHARACTERS = 120


class Peers:
    """The choice among claims on this task's leaderboards.

    `noise_sd` is the current noise of one run. If there are `members`, only their claims are
    considered; with `only_friends`, only claims of the user's friends. `want` is called with every
    patch whose files must be fetched before it can be tried.
    """

    def __init__(
        self,
        line_writer: LineWriter,
        *,
        net: str,
        share: float,
        chance: random.Random,
        noise_sd: Callable[[], float],
        people: Callable[[], People] = People,
        members: frozenset[bytes] = frozenset(),
        only_friends: bool = False,
        want: Callable[[bytes], None] | None = None,
    ) -> None:
        self._line_writer = line_writer
        self._store = line_writer.store
        record_writer = line_writer.record_writer
        self.source_review = SourceReview(
            line_writer.store, line_writer.blobs, record_writer.manifest, want=want
        )
        self._offers = Offers(
            line_writer,
            net=net,
            noise_sd=noise_sd,
            source_review=self.source_review,
            fleet=lambda: people().fleet,
        )
        self.authors = Authors(
            line_writer, people=people, members=members, only_friends=only_friends
        )
        self.trees = WholeTrees(
            line_writer,
            offers=self._offers,
            authors=self.authors,
            source_review=self.source_review,
            noise_sd=noise_sd,
            is_due=lambda: self.is_due,
        )
        self._share = share
        self._chance = chance
        self._looked_at: set[tuple[bytes, bytes]] = set()  # result, and the working line then
        self._runs = self._peer_runs = 0

    def count(self, *, is_peers: bool) -> None:
        """Count a run that begins; `is_peers`: it is made for a peer's claim."""
        self._runs += 1
        self._peer_runs += is_peers

    @property
    def is_due(self) -> bool:
        """True if peers' claims got less than their fraction of this session's runs."""
        return self._peer_runs < self._share * (self._runs + 1)

    def idea(self) -> Idea | None:
        """Return the most promising of peers' claims that fit on the working line."""
        rates = self.authors.rates()
        offers = self.offers(rates)
        stackable = [offer for offer in offers if _may_be_stacked(offer, rates)]
        for turn in turns(self._chance.random()):
            match turn:
                case "newcomer":
                    fresh = [offer for offer in offers if offer.author not in rates]
                    self._chance.shuffle(fresh)
                    idea = self._first_of(fresh)
                case "stack":
                    idea = self._stack_of(stackable, is_promotion_trial_next=False)
                case "single":
                    idea = self._first_of(_one_by_one(offers, rates))
            if idea:
                return idea
        return None

    def instead_of_own(self) -> Idea | None:
        """Return an idea from peers' claims for a node that is out of ideas of its own.

        Nor does it wait for enough claims to try together, since it has nothing else to do.
        """
        return (self.idea() or self.stack()) if self._share else None

    def stack(self) -> Idea | None:
        """Return one idea that combines the trusted authors' claims that the working line lacks.

        It is tried before the line's promotion trial. None once all of these claims are in the line
        or were tried in vain.
        """
        rates = self.authors.rates()
        stackable = [offer for offer in self.offers(rates) if _may_be_stacked(offer, rates)]
        return self._stack_of(stackable, is_promotion_trial_next=True)

    def audit(self) -> WantedClaim | None:
        """Return, with a small probability, a claim to re-run as it was made."""
        if self._chance.random() >= _AUDIT_CHANCE:
            return None
        done = {
            job.step.target
            for job in self._store.jobs.closed_jobs(self._line_writer.key, RerunStep)
        }
        rates = self.authors.rates()
        offers = self._offers.ranked(rates, is_accepted=self.authors.accepted())
        offers = [offer for offer in offers if offer.pairs and offer.result not in done]
        self._chance.shuffle(offers)
        drawn = audit_order((offer.author for offer in offers), rates, self._chance)
        for offer in sorted(offers, key=lambda offer: drawn.index(offer.author)):
            claim = offer.body
            if not (
                self.source_review.is_here(claim) and self.source_review.tree(claim.tree, claim)
            ):
                continue
            return WantedClaim(
                base=self._line_writer.source(claim.base),
                candidate=self._line_writer.source(claim.tree),
                target=offer.result,
                author=offer.author,
                gain_nano=offer.gain_nano,
                lower_nano=offer.gain_lower_nano,
            )
        return None

    def offers(self, rates: Mapping[bytes, AuthorRate]) -> list[Offer]:
        """Return peers' claims to try here, the most promising first."""
        failed = failed_alone(self._line_writer)
        ranked = self._offers.ranked(rates, is_accepted=self.authors.accepted())
        return [offer for offer in ranked if offer.patch not in failed]

    def _first_of(self, offers: Iterable[Offer]) -> Idea | None:
        working = self._line_writer.explored
        for offer in offers:
            seen = (offer.result, working.tree)
            if seen not in self._looked_at and self.source_review.is_here(offer.body):
                self._looked_at.add(seen)
                ported = self._offers.onto(offer, working)
                if ported and (idea := self._untried([ported], working)):
                    return idea
        return None

    def _stack_of(self, offers: Iterable[Offer], *, is_promotion_trial_next: bool) -> Idea | None:
        working = self._line_writer.explored
        company = self._made_on(working, offers)
        gains_sd = sum(ported.gain_sd for ported in company)
        if not is_stack_due(gains_sd, is_promotion_trial_next=is_promotion_trial_next):
            return None

        def untried(part: Sequence[Ported]) -> Idea | None:
            return self._untried(self._made_on(working, [one.offer for one in part]), working)

        return together(company, untried)

    def _made_on(self, working: Source, offers: Iterable[Offer]) -> list[Ported]:
        """Apply offers' patches in order to a tree; skip those that add nothing or conflict.

        Stop at the largest number of patches that one idea may combine.
        """
        made: list[Ported] = []
        waiting = list(offers)
        while waiting:
            left: list[Offer] = []
            for offer in waiting:
                if len(made) == MOST_IN_STACK:
                    return made
                below = made[-1].source if made else working
                if ported := self._offers.onto(offer, below):
                    made.append(ported)
                else:
                    left.append(offer)
            if len(left) == len(waiting):
                break
            waiting = left  # a step on top of another offer's step fits once that is applied
        return made

    def _untried(self, made: Sequence[Ported], working: Source) -> Idea | None:
        """Return peers' patches, applied one after the other, as one idea on the working line.

        None if the resulting source was tried before.
        """
        if not made or self._store.jobs.tried(self._line_writer.key.task, made[-1].fingerprint):
            return None
        authors = [ported.offer.author for ported in made]
        patches = tuple(ported.offer.patch for ported in made)
        names = ", ".join(dict.fromkeys(author.hex()[:12] for author in authors))
        return Idea(
            base=working.tree,
            tree=self._line_writer.blobs.put_source(made[-1].source),
            fingerprint=made[-1].fingerprint,
            key=PEER,
            title=self._title(patches),
            why=f"claimed by {names}",
            proposer=PEER,
            parents=patches,
            author=authors[0],
            claim_milli=round(1000 * sum(ported.claim_sd for ported in made)),
            co_authors=tuple(authors[1:]) or None,
        )

    def _title(self, patches: Sequence[bytes]) -> str:
        found = [self._store.records.patch(patch) for patch in patches]
        titles = [patch.title if patch else "a peer's patch" for patch in found]
        if len(titles) == 1:
            return titles[0]
        return fit_line(f"{len(titles)} of peers: {'; '.join(titles)}", _TITLE_CHARACTERS)


def _may_be_stacked(offer: Offer, rates: Mapping[bytes, AuthorRate]) -> bool:
    """Return True if an offer may be tried together with others.

    It must be from this hardware class and by a trusted author. A gain on other hardware is tried
    alone. It may be no gain here, without its author's fault.
    """
    return offer.is_near and status_of(rates, offer.author) == "trusted"


def _one_by_one(offers: Iterable[Offer], rates: Mapping[bytes, AuthorRate]) -> list[Offer]:
    return [
        offer
        for offer in offers
        if not _may_be_stacked(offer, rates) and status_of(rates, offer.author) != "doubted"
    ]
