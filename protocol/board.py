"""Boards: what follows, for one task and hardware class, from a set of records alone.

A pure function of the set: no clock, no order of arrival, no trust, no floats. It reads

- results of the stage confirm: with 3 pairs a row, with 4 pairs beside the anchor (the task's
  baseline tree) a ranked one, where nothing scatters with one; all of them, retracted ones too,
  are their author's tries N
- attestations, adoptions, retractions, and equivocations by whoever wrote one of these

and answers with rows, one a tree: that of the result with the highest lower bound of the gain
over the anchor, on the split on which that is lower, after an allowance for the luckiest of N
(protocol/gains.py). A row ranks by that bound until somebody else has found a gain over the anchor
and bears it out (protocol/opinions.py); from then on by the best bound of these, who selected
nothing. Rows whose interval reaches the leader's lower bound share its rank; in a group the smaller
compressed source goes first, then the smaller tree id. Authors that equivocated or revoked their
key count for nothing. A task whose candidates score themselves has no rows.
"""

import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from typing import Annotated

from protocol.board_facts import (
    BoardClaim,
    Equivocation,
    Fact,
    Withdrawal,
    read_fact,
    read_withdrawal,
)
from protocol.encoding import encode
from protocol.fields import Digest, Items, Mapped, Named, Natural, Positive, Word
from protocol.gains import Gain, luck
from protocol.manifest import TaskManifest
from protocol.opinions import Opinions, opinions_of
from protocol.records import VERSION, Record
from protocol.runs import Env

_BOARD_CONTEXT = b"arnode/board/%d\0" % VERSION
_SET_CONTEXT = b"arnode/set/%d\0" % VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Mapped):
    """One tree: what is claimed of it, and what others say. Without a rank it has no anchor.

    `gain_attested_nano` is what another key measured beside the anchor; `unsupported` are keys
    whose own runs do not bear out what they say.
    """

    rank: Positive | None
    tie: bool
    tree: Digest
    author: Digest
    result: Digest
    metric_nano: Annotated[int, Named("metric")]
    anchor_pairs: Natural
    gain_anchor_nano: Annotated[int | None, Named("gain_anchor")]
    gain_anchor_lower_nano: Annotated[int | None, Named("gain_anchor_lower")]
    attested_pairs: Natural
    gain_attested_nano: Annotated[int | None, Named("gain_attested")]
    gain_attested_lower_nano: Annotated[int | None, Named("gain_attested_lower")]
    pairs: Positive
    gain_nano: Annotated[int, Named("gain")]
    gain_lower_nano: Annotated[int, Named("gain_lower")]
    tries: Positive
    confirmed: Natural
    smaller: Natural
    refuted: Natural
    unsupported: Natural
    adopted: Natural
    env: Env
    flags: Annotated[tuple[Word, ...], Items(0, 2)]

    @property
    def found_gain(self) -> int:
        """How many keys found a gain, as claimed or smaller."""
        return self.confirmed + self.smaller

    @property
    def figure_nano(self) -> int | None:
        """The gain over the anchor that `bound_nano` is the bound of."""
        if self.gain_attested_nano is not None:
            return self.gain_attested_nano
        return self.gain_anchor_nano

    @property
    def bound_nano(self) -> int | None:
        """The gain over the anchor that it ranks by: what attesters found, else the claim's."""
        if self.gain_attested_lower_nano is not None:
            return self.gain_attested_lower_nano
        return self.gain_anchor_lower_nano


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
    if not manifest.is_ranked:
        return ()
    counted = [fact for fact in facts if fact.author not in void]
    tries = Counter(fact.author for fact in counted if isinstance(fact, BoardClaim))
    standing = [fact for fact in counted if fact.id not in retracted]
    bases: dict[bytes, set[bytes]] = defaultdict(lambda: {manifest.baseline_tree})
    best: dict[bytes, _Candidate] = {}
    for claim in standing:
        if isinstance(claim, BoardClaim) and claim.gain is not None:
            bases[claim.tree].add(claim.base)
            candidate = _Candidate.of(claim, claim.gain, tries[claim.author])
            known = best.setdefault(claim.tree, candidate)
            best[claim.tree] = min(known, candidate, key=_Candidate.precedence)
    opinions = opinions_of(standing, bases)
    heard = [one.heard(opinions[tree]) for tree, one in best.items()]
    return tuple(_row(one, rank=rank, tie=tie) for rank, tie, one in _ranked(heard))


def _board_digest(task: bytes, hardware_class: str, rows: Iterable[Row]) -> bytes:
    state = hashlib.sha256(_BOARD_CONTEXT + task + hardware_class.encode() + b"\0")
    for row in rows:
        state.update(encode(row.to_value()))
    return state.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A claim that may become its tree's row, and what others say once they were heard.

    `lower_nano` and `upper_nano` are of the gain over the anchor that it stands by.
    """

    claim: BoardClaim
    gain: Gain
    tries: int
    claimed_lower_nano: int | None
    lower_nano: int | None
    upper_nano: int
    opinions: Opinions = attribute(default_factory=Opinions)
    attested: Gain | None = None

    @classmethod
    def of(cls, claim: BoardClaim, gain: Gain, tries: int) -> "_Candidate":
        allowance = claim.noise_nano * luck(tries)
        beside = claim.anchor_gain
        lower_nano = None if beside is None else beside.lower_nano(allowance)
        return cls(
            claim=claim,
            gain=gain,
            tries=tries,
            claimed_lower_nano=lower_nano,
            lower_nano=lower_nano,
            upper_nano=0 if beside is None else beside.upper_nano,
        )

    def heard(self, opinions: Opinions) -> "_Candidate":
        """Return it with what others say: what they found stands before what is claimed."""
        attested = opinions.attested(but=self.claim.author)
        if attested is None:
            return replace(self, opinions=opinions)
        return replace(
            self,
            opinions=opinions,
            attested=attested,
            lower_nano=attested.lower_nano(),
            upper_nano=attested.upper_nano,
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


def _row(candidate: _Candidate, *, rank: int | None, tie: bool) -> Row:
    claim, opinions, attested = candidate.claim, candidate.opinions, candidate.attested
    beside, author = claim.anchor_gain, claim.author
    return Row(
        rank=rank,
        tie=tie,
        tree=claim.tree,
        author=author,
        result=claim.id,
        metric_nano=claim.metric_nano,
        anchor_pairs=0 if beside is None else beside.pairs,
        gain_anchor_nano=None if beside is None else beside.value_nano,
        gain_anchor_lower_nano=candidate.claimed_lower_nano,
        attested_pairs=0 if attested is None else attested.pairs,
        gain_attested_nano=None if attested is None else attested.value_nano,
        gain_attested_lower_nano=None if attested is None else attested.lower_nano(),
        pairs=candidate.gain.pairs,
        gain_nano=candidate.gain.value_nano,
        gain_lower_nano=candidate.gain.lower_nano(),
        tries=candidate.tries,
        confirmed=opinions.count("confirmed", but=author),
        smaller=opinions.count("smaller", but=author),
        refuted=opinions.count("refuted", but=author),
        unsupported=opinions.unsupported(but=author),
        adopted=len(opinions.adopted - {author}),
        env=claim.env,
        flags=claim.flags,
    )
