"""Opinions on the trees of a leaderboard: the re-runs and adoptions by other authors.

The last re-run of each author on a tree counts. It counts as its verdict if its own pairs support
that (protocol/evidence.py), else as `unsupported`. On tasks whose figures do not depend on the
machine, a published seed may give a different figure when run again. Such a re-run supports only
the verdict `refuted`.

Authors are keys, not people: one person may own all of them. So their number never affects a rank.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from protocol.board_facts import BoardClaim, Fact, HeadMove, Vote
from protocol.evidence import DECISIVE_VERDICTS, GAINS, least_nano
from protocol.gains import Gain


@dataclass(frozen=True, slots=True)
class Opinions:
    """The opinions on one tree: the last vote of each key, and the keys that adopted the tree.

    `votes` holds with each vote whether its runs support its verdict.
    """

    votes: dict[bytes, tuple[Vote, bool]] = field(default_factory=dict)
    adopted: set[bytes] = field(default_factory=set)

    def count(self, verdict: str, *, but: bytes) -> int:
        """Return the number of keys other than `but` with this verdict and runs that support it."""
        return sum(vote.verdict == verdict and supported for vote, supported in self._others(but))

    def unsupported(self, *, but: bytes) -> int:
        """Return the number of keys other than `but` whose runs do not support their verdict."""
        return sum(not supported for _, supported in self._others(but))

    def rerun(self, *, but: bytes) -> Gain | None:
        """Return the re-run gain over the anchor that has the highest lower bound.

        Only keys other than `but` count, and only if they found a gain that their runs support.
        """
        gains = [
            (vote.anchor_gain, vote.id)
            for vote, supported in self._others(but)
            if supported and vote.verdict in GAINS and vote.anchor_gain is not None
        ]
        if not gains:
            return None
        return min(gains, key=lambda one: (-one[0].lower_nano(), one[1]))[0]

    def _others(self, but: bytes) -> Iterable[tuple[Vote, bool]]:
        return (vote for author, vote in self.votes.items() if author != but)


def opinions_of(
    facts: Collection[Fact], bases: Mapping[bytes, Collection[bytes]]
) -> Mapping[bytes, Opinions]:
    """Return the opinions on each tree.

    `bases` maps a tree to the bases that it was claimed against, and the anchor. A re-run against
    another base answers a different question and is ignored.
    """
    claims = claims_of(facts)
    opinions: dict[bytes, Opinions] = defaultdict(Opinions)
    votes = (fact for fact in facts if isinstance(fact, Vote) and fact.verdict in DECISIVE_VERDICTS)
    for vote in sorted(votes, key=lambda one: (one.seq, one.id)):
        if vote.base in bases.get(vote.tree, ()):
            opinions[vote.tree].votes[vote.author] = vote, is_supported(vote, claims)
    for fact in facts:
        if isinstance(fact, HeadMove):
            opinions[fact.tree].adopted.add(fact.author)
    return opinions


def supported_votes(facts: Iterable[Fact], claims: Mapping[bytes, BoardClaim]) -> list[Vote]:
    """Return the re-runs whose own pairs support their verdict."""
    return [fact for fact in facts if isinstance(fact, Vote) and is_supported(fact, claims)]


def claims_of(facts: Iterable[Fact]) -> dict[bytes, BoardClaim]:
    """Return the claims among these facts, by id."""
    return {fact.id: fact for fact in facts if isinstance(fact, BoardClaim)}


def is_supported(vote: Vote, claims: Mapping[bytes, BoardClaim]) -> bool:
    """Return True if a re-run's own pairs support its verdict, given the claims by id."""
    claim = claims.get(vote.target) if vote.target else None
    if claim is None or claim.gain is None or (claim.base, claim.tree) != (vote.base, vote.tree):
        return vote.evidence.supported_verdict(0) == vote.verdict
    if _is_contradicted(claim, vote):
        return vote.verdict == "refuted"
    least = least_nano(claim.gain.value_nano, claim.gain.lower_nano())
    return vote.evidence.supported_verdict(least) == vote.verdict


def _is_contradicted(claim: BoardClaim, vote: Vote) -> bool:
    """Return True if a seed of the claim gives another figure than its author published."""
    again = vote.again
    return again is not None and any(
        seed == again.seed and again.contradicts(nano) for seed, nano in claim.published
    )
