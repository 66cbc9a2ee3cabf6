"""What others say of the trees on a board: who counts, as what, and what they measured.

Of each author of attestations about a tree the last one counts, as the verdict that it gives if
its own pairs bear that out (protocol/evidence.py), else as `unsupported`. Where no machine changes
a figure and a seed of the claim's came to another one, that bears out `refuted` and nothing else.
These are keys, not people: one attester may own all of them. So nothing that ranks follows from how
many there are.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from protocol.board_facts import BoardClaim, Fact, HeadMove, Vote
from protocol.evidence import GAINS, SPOKEN, least_nano
from protocol.gains import Gain


@dataclass(frozen=True, slots=True)
class Opinions:
    """The keys that spoke about one tree, each with what it said last, and those that took it."""

    said: dict[bytes, tuple[Vote, bool]] = field(default_factory=dict)
    adopted: set[bytes] = field(default_factory=set)

    def count(self, verdict: str, *, but: bytes) -> int:
        """Return how many keys other than `but` said this and bear it out."""
        return sum(vote.verdict == verdict and borne for vote, borne in self._others(but))

    def unsupported(self, *, but: bytes) -> int:
        """Return how many keys other than `but` said what their own runs do not bear out."""
        return sum(not borne for _, borne in self._others(but))

    def attested(self, *, but: bytes) -> Gain | None:
        """Return the gain over the anchor that another than `but` measured, the surest there is.

        Only of those who found a gain and bear that out.
        """
        gains = [
            (vote.anchor_gain, vote.id)
            for vote, borne in self._others(but)
            if borne and vote.verdict in GAINS and vote.anchor_gain is not None
        ]
        if not gains:
            return None
        return min(gains, key=lambda one: (-one[0].lower_nano(), one[1]))[0]

    def _others(self, but: bytes) -> Iterable[tuple[Vote, bool]]:
        return (said for author, said in self.said.items() if author != but)


def opinions_of(
    facts: Collection[Fact], bases: Mapping[bytes, Collection[bytes]]
) -> Mapping[bytes, Opinions]:
    """Return what is said about each tree that is claimed, as it was claimed or of the anchor.

    `bases` are those that answer a tree's question: against another base an attestation answers
    another one.
    """
    claims = claims_of(facts)
    opinions: dict[bytes, Opinions] = defaultdict(Opinions)
    votes = (fact for fact in facts if isinstance(fact, Vote) and fact.verdict in SPOKEN)
    for vote in sorted(votes, key=lambda one: (one.seq, one.id)):
        if vote.base in bases.get(vote.tree, ()):
            opinions[vote.tree].said[vote.author] = vote, is_borne_out(vote, claims)
    for fact in facts:
        if isinstance(fact, HeadMove):
            opinions[fact.tree].adopted.add(fact.author)
    return opinions


def borne_out(facts: Iterable[Fact], claims: Mapping[bytes, BoardClaim]) -> list[Vote]:
    """Return the attestations that find something which their own pairs bear out."""
    return [fact for fact in facts if isinstance(fact, Vote) and is_borne_out(fact, claims)]


def claims_of(facts: Iterable[Fact]) -> dict[bytes, BoardClaim]:
    """Return the claims among these, by their id."""
    return {fact.id: fact for fact in facts if isinstance(fact, BoardClaim)}


def is_borne_out(vote: Vote, claims: Mapping[bytes, BoardClaim]) -> bool:
    """Say whether an attestation's own runs bear its verdict out, given the claims by their id."""
    claim = claims.get(vote.target) if vote.target else None
    if claim is None or claim.gain is None or (claim.base, claim.tree) != (vote.base, vote.tree):
        return vote.evidence.bears_out(0) == vote.verdict
    if _is_contradicted(claim, vote):
        return vote.verdict == "refuted"
    least = least_nano(claim.gain.value_nano, claim.gain.lower_nano())
    return vote.evidence.bears_out(least) == vote.verdict


def _is_contradicted(claim: BoardClaim, vote: Vote) -> bool:
    """Whether a seed of a claim's comes to another figure than its author published."""
    again = vote.again
    return again is not None and any(
        seed == again.seed and again.contradicts(nano) for seed, nano in claim.published
    )
