"""Boards: what follows, for one task and hardware class, from a set of records alone.

A pure function of the set: no clock, no order of arrival, no trust, no floats. It reads

- results of the stage confirm: with 2 pairs a row, with 4 pairs beside the anchor (the task's
  baseline tree) a ranked one; all of them, retracted ones too, are their author's tries N
- attestations, adoptions, retractions, and equivocations by whoever wrote one of these

and answers with rows, one a tree: that of the result with the highest lower bound of the gain
over the anchor, after an allowance for the luckiest of N (protocol/gains.py). Rows whose interval
reaches the leader's lower bound share its rank; in a group the smaller compressed source goes
first, then the smaller tree id. Authors that equivocated or revoked their key count for nothing.
"""

import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import ClassVar, Final

from protocol.attestation import AttestVerdict
from protocol.board_facts import (
    Claim,
    Equivocation,
    Fact,
    Move,
    Vote,
    Withdrawal,
    read_fact,
    read_withdrawal,
)
from protocol.encoding import encode
from protocol.fields import (
    FLAG_PATTERN,
    Codec,
    Mapped,
    Table,
    boolean,
    digest,
    field,
    integer,
    listing,
    nullable,
    word,
)
from protocol.gains import Gain, luck
from protocol.manifest import TaskManifest
from protocol.records import Record
from protocol.runs import Env

# Which rule rows follow by: raised with every change of it. Boards by different rules differ with
# the same records, so the number is in both digests, and peers tell each other theirs.
RULE: Final = 2
_BOARD_CONTEXT = b"arnode/board/%d\0" % RULE
_SET_CONTEXT = b"arnode/set/%d\0" % RULE


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Mapped):
    """One tree: what is claimed of it, and what others say. Without a rank it has no anchor."""

    rank: int | None
    tie: bool
    tree: bytes
    author: bytes
    result: bytes
    metric_nano: int
    anchor_pairs: int
    gain_anchor_nano: int | None
    gain_anchor_lower_nano: int | None
    pairs: int
    gain_nano: int
    gain_lower_nano: int
    tries: int
    confirmed: int
    refuted: int
    adopted: int
    env: Env
    flags: tuple[str, ...]

    TABLE: ClassVar = Table(
        field("rank", nullable(integer(1))),
        field("tie", boolean()),
        field("tree", digest()),
        field("author", digest()),
        field("result", digest()),
        field("metric", integer(), "metric_nano"),
        field("anchor_pairs", integer(0)),
        field("gain_anchor", nullable(integer()), "gain_anchor_nano"),
        field("gain_anchor_lower", nullable(integer()), "gain_anchor_lower_nano"),
        field("pairs", integer(2)),
        field("gain", integer(), "gain_nano"),
        field("gain_lower", integer(), "gain_lower_nano"),
        field("tries", integer(1)),
        field("confirmed", integer(0)),
        field("refuted", integer(0)),
        field("adopted", integer(0)),
        field("env", Codec(Env.from_value, Env.to_value)),
        field("flags", listing(word(FLAG_PATTERN), high=2)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The rows of one task and class, and what they follow from.

    Two nodes whose set digests agree show the same rows, and the board digest proves it.
    """

    rows: tuple[Row, ...]
    set_digest: bytes
    board_digest: bytes


def board_of(records: Iterable[Record], manifest: TaskManifest, hardware_class: str) -> Board:
    """Return the board that follows from any set of records."""
    facts: dict[bytes, Fact] = {}
    withdrawals: dict[bytes, Withdrawal] = {}
    numbered: dict[tuple[bytes, int], set[bytes]] = defaultdict(set)
    for record in records:
        numbered[record.author, record.seq].add(record.id)
        if withdrawal := read_withdrawal(record):
            withdrawals[record.id] = withdrawal
        if fact := read_fact(record, manifest, hardware_class):
            facts[record.id] = fact
    doubles = [(author, seq, ids) for (author, seq), ids in numbered.items() if len(ids) > 1]
    equivocations: dict[bytes, Equivocation] = {}
    for author, seq, ids in sorted(doubles, key=lambda one: -one[1]):
        first, second = sorted(ids)[:2]
        equivocations[author] = Equivocation(author=author, seq=seq, ids=(first, second))
    return assemble(
        manifest, hardware_class, facts.values(), withdrawals.values(), equivocations.values()
    )


def assemble(
    manifest: TaskManifest,
    hardware_class: str,
    facts: Collection[Fact],
    withdrawals: Iterable[Withdrawal],
    equivocations: Iterable[Equivocation],
) -> Board:
    """Return the board of these facts; of the other two it takes what concerns their authors."""
    authors = {fact.id: fact.author for fact in facts}
    known = set(authors.values())
    void: set[bytes] = set()
    retracted: set[bytes] = set()
    read = set(authors)
    for withdrawal in withdrawals:
        if withdrawal.target is None and withdrawal.author in known:
            void.add(withdrawal.author)
            read.add(withdrawal.id)
        elif withdrawal.target and authors.get(withdrawal.target) == withdrawal.author:
            retracted.add(withdrawal.target)
            read.add(withdrawal.id)
    for equivocation in equivocations:
        if equivocation.author in known:
            void.add(equivocation.author)
            read.update(equivocation.ids)
    rows = _rows(manifest, facts, retracted=retracted, void=void)
    return Board(
        rows=rows,
        set_digest=hashlib.sha256(_SET_CONTEXT + b"".join(sorted(read))).digest(),
        board_digest=_board_digest(manifest.id, hardware_class, rows),
    )


def _rows(
    manifest: TaskManifest,
    facts: Iterable[Fact],
    *,
    retracted: Collection[bytes],
    void: Collection[bytes],
) -> tuple[Row, ...]:
    counted = [fact for fact in facts if fact.author not in void]
    tries = Counter(fact.author for fact in counted if isinstance(fact, Claim))
    standing = [fact for fact in counted if fact.id not in retracted]
    bases: dict[bytes, set[bytes]] = defaultdict(lambda: {manifest.baseline_tree})
    best: dict[bytes, _Candidate] = {}
    for claim in standing:
        if isinstance(claim, Claim) and claim.gain is not None:
            bases[claim.tree].add(claim.base)
            candidate = _Candidate.of(claim, claim.gain, tries[claim.author], manifest)
            known = best.setdefault(claim.tree, candidate)
            best[claim.tree] = min(known, candidate, key=_Candidate.precedence)
    opinions = _opinions(standing, bases)
    return tuple(
        _row(candidate, rank=rank, tie=tie, opinions=opinions[candidate.claim.tree])
        for rank, tie, candidate in _ranked(best.values())
    )


def _board_digest(task: bytes, hardware_class: str, rows: Iterable[Row]) -> bytes:
    state = hashlib.sha256(_BOARD_CONTEXT + task + hardware_class.encode() + b"\0")
    for row in rows:
        state.update(encode(row.to_value()))
    return state.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A claim that may become its tree's row; the bounds are of the gain over the anchor."""

    claim: Claim
    gain: Gain
    tries: int
    lower_nano: int | None
    upper_nano: int

    @classmethod
    def of(cls, claim: Claim, gain: Gain, tries: int, manifest: TaskManifest) -> "_Candidate":
        allowance = manifest.noise_floor_nano * luck(tries)
        beside = claim.anchor_gain
        return cls(
            claim=claim,
            gain=gain,
            tries=tries,
            lower_nano=None if beside is None else beside.lower_nano(allowance),
            upper_nano=0 if beside is None else beside.upper_nano,
        )

    def precedence(self) -> tuple[bool, int, bytes]:
        """Sort by bound, highest first, those without an anchor last; then by id."""
        bound = self.gain.lower_nano() if self.lower_nano is None else self.lower_nano
        return (self.lower_nano is None, -bound, self.claim.id)


def _ranked(candidates: Iterable[_Candidate]) -> Iterator[tuple[int | None, bool, _Candidate]]:
    """Yield rank, whether it is shared, and the candidate, in the board's order."""
    ordered = sorted(candidates, key=_Candidate.precedence)
    # Once by each end of the interval: a board of many small groups must not cost their square.
    anchored = [one for one in ordered if one.lower_nano is not None]
    by_upper = deque(sorted(anchored, key=lambda one: -one.upper_nano))
    placed: set[bytes] = set()
    for leader in ordered:
        if leader.lower_nano is None:
            yield None, False, leader
        elif leader.claim.tree not in placed:
            group: list[_Candidate] = []
            while by_upper and by_upper[0].upper_nano >= leader.lower_nano:
                group.append(by_upper.popleft())
            group.sort(key=lambda one: (one.claim.size_bytes, one.claim.tree))
            for candidate in group:
                yield len(placed) + 1, len(group) > 1, candidate
            placed.update(candidate.claim.tree for candidate in group)


@dataclass(frozen=True, slots=True)
class _Opinions:
    """The keys that spoke about one tree, each with what it said last, and those that took it."""

    said: dict[bytes, Vote] = attribute(default_factory=dict)
    adopted: set[bytes] = attribute(default_factory=set)

    def hear(self, vote: Vote) -> None:
        known = self.said.setdefault(vote.author, vote)
        self.said[vote.author] = max(known, vote, key=lambda one: (one.seq, one.id))

    def count(self, verdict: AttestVerdict, *, but: bytes) -> int:
        """Return how many keys other than `but` said this."""
        return sum(vote.verdict == verdict and author != but for author, vote in self.said.items())


def _opinions(
    facts: Iterable[Fact], bases: Mapping[bytes, Collection[bytes]]
) -> Mapping[bytes, _Opinions]:
    """Return what is said about each tree that is claimed, as it was claimed or of the anchor.

    An attestation against another base answers another question.
    """
    opinions: dict[bytes, _Opinions] = defaultdict(_Opinions)
    for fact in facts:
        if isinstance(fact, Vote) and fact.counts and fact.base in bases.get(fact.tree, ()):
            opinions[fact.tree].hear(fact)
        elif isinstance(fact, Move):
            opinions[fact.tree].adopted.add(fact.author)
    return opinions


def _row(candidate: _Candidate, *, rank: int | None, tie: bool, opinions: _Opinions) -> Row:
    claim, beside = candidate.claim, candidate.claim.anchor_gain
    return Row(
        rank=rank,
        tie=tie,
        tree=claim.tree,
        author=claim.author,
        result=claim.id,
        metric_nano=claim.metric_nano,
        anchor_pairs=0 if beside is None else beside.pairs,
        gain_anchor_nano=None if beside is None else beside.value_nano,
        gain_anchor_lower_nano=candidate.lower_nano,
        pairs=candidate.gain.pairs,
        gain_nano=candidate.gain.value_nano,
        gain_lower_nano=candidate.gain.lower_nano(),
        tries=candidate.tries,
        confirmed=opinions.count("confirmed", but=claim.author),
        refuted=opinions.count("refuted", but=claim.author),
        adopted=len(opinions.adopted - {claim.author}),
        env=claim.env,
        flags=claim.flags,
    )
