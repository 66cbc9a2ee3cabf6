"""Leaderboards: the ranking of one task and hardware class, computed from a set of records.

A pure function of the set: no clock, no order of arrival, no trust, no floats. It reads

- results of the stage `confirm` (claims). Three pairs make a row. Four pairs against the anchor
  (the task's baseline tree) make a ranked row. On exact tasks one pair is enough. All claims of an
  author, retracted ones too, count as its tries N.
- re-runs, adoptions and retractions, and equivocations (two records with one sequence number) by
  the authors of any of these.

It returns one row per tree. The row shows the claim with the highest lower bound of the gain over
the anchor. That bound is taken on the split where it is lower, after an allowance for the luckiest
of N tries (protocol/gains.py). A row ranks by this bound until another key's re-run finds a gain
over the anchor that its own pairs support (protocol/opinions.py). From then on it ranks by the best
bound of such re-runs, because they did not select among results. Rows whose interval reaches the
leader's lower bound share its rank. Within such a group the smaller compressed source goes first,
then the smaller tree id. All records of an author that equivocated or revoked its key are ignored.
A task whose candidates score themselves has no rows.
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
from protocol.fields import Digest, Identifier, Items, Mapped, Named, Natural, Positive
from protocol.gains import Gain, luck
from protocol.manifest import TaskManifest
from protocol.opinions import Opinions, opinions_of
from protocol.records import VERSION, Record
from protocol.runs import Env

_BOARD_CONTEXT = b"arnode/board/%d\0" % VERSION
_SET_CONTEXT = b"arnode/set/%d\0" % VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Mapped):
    """One tree: what its author claims and what others measured.

    `rank` is None if there are too few pairs against the anchor. `gain_rerun_nano` is what
    another key measured against the anchor. `unsupported` counts keys whose own runs do not
    support their verdict.
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
    rerun_pairs: Natural
    gain_rerun_nano: Annotated[int | None, Named("gain_rerun")]
    gain_rerun_lower_nano: Annotated[int | None, Named("gain_rerun_lower")]
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
    flags: Annotated[tuple[Identifier, ...], Items(0, 2)]

    @property
    def found_gain(self) -> int:
        """The number of keys whose re-runs found a gain: `confirmed` plus `smaller`."""
        return self.confirmed + self.smaller

    @property
    def figure_nano(self) -> int | None:
        """The gain over the anchor whose lower bound is `bound_nano`."""
        if self.gain_rerun_nano is not None:
            return self.gain_rerun_nano
        return self.gain_anchor_nano

    @property
    def bound_nano(self) -> int | None:
        """The lower bound that the row ranks by: of the best re-run, else of the claim."""
        if self.gain_rerun_lower_nano is not None:
            return self.gain_rerun_lower_nano
        return self.gain_anchor_lower_nano


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The rows of one task and hardware class, with digests of the rows and of the records read.

    Two nodes with equal set digests have read the same records, and so show the same rows. Equal
    board digests prove equal rows.
    """

    rows: tuple[Row, ...]
    set_digest: bytes
    board_digest: bytes


def board_of(records: Iterable[Record], manifest: TaskManifest, hardware_class: str) -> Board:
    """Return the leaderboard of a task and class, computed from any set of records."""
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
    """Compute the leaderboard from facts that were read from records.

    Withdrawals and equivocations count only if their author is the author of one of the facts.
    """
    authors = {fact.id: fact.author for fact in facts}
    known = set(authors.values())
    ignored_authors: set[bytes] = set()
    retracted: set[bytes] = set()
    read = set(authors)
    for withdrawal in withdrawals:
        if withdrawal.target is None and withdrawal.author in known:
            ignored_authors.add(withdrawal.author)
            read.add(withdrawal.id)
        elif withdrawal.target and authors.get(withdrawal.target) == withdrawal.author:
            retracted.add(withdrawal.target)
            read.add(withdrawal.id)
    for equivocation in equivocations:
        if equivocation.author in known:
            ignored_authors.add(equivocation.author)
            read.update(equivocation.ids)
    rows = _rows(manifest, facts, retracted=retracted, ignored_authors=ignored_authors)
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
    ignored_authors: Collection[bytes],
) -> tuple[Row, ...]:
    if not manifest.is_ranked:
        return ()
    counted = [fact for fact in facts if fact.author not in ignored_authors]
    tries = Counter(fact.author for fact in counted if isinstance(fact, BoardClaim))
    not_retracted = [fact for fact in counted if fact.id not in retracted]
    bases: dict[bytes, set[bytes]] = defaultdict(lambda: {manifest.baseline_tree})
    best: dict[bytes, _Candidate] = {}
    for claim in not_retracted:
        if isinstance(claim, BoardClaim) and claim.gain is not None:
            bases[claim.tree].add(claim.base)
            candidate = _Candidate.of(claim, claim.gain, tries[claim.author])
            known = best.setdefault(claim.tree, candidate)
            best[claim.tree] = min(known, candidate, key=_Candidate.precedence)
    opinions = opinions_of(not_retracted, bases)
    with_opinions = [one.with_opinions(opinions[tree]) for tree, one in best.items()]
    return tuple(_row(one, rank=rank, tie=tie) for rank, tie, one in _ranked(with_opinions))


def _board_digest(task: bytes, hardware_class: str, rows: Iterable[Row]) -> bytes:
    state = hashlib.sha256(_BOARD_CONTEXT + task + hardware_class.encode() + b"\0")
    for row in rows:
        state.update(encode(row.to_value()))
    return state.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A claim that may become its tree's row; other authors' opinions are added later.

    `lower_nano` and `upper_nano` bound its gain over the anchor; the claim ranks by `lower_nano`.
    """

    claim: BoardClaim
    gain: Gain
    tries: int
    claimed_lower_nano: int | None
    lower_nano: int | None
    upper_nano: int
    opinions: Opinions = attribute(default_factory=Opinions)
    rerun: Gain | None = None

    @classmethod
    def of(cls, claim: BoardClaim, gain: Gain, tries: int) -> "_Candidate":
        allowance = claim.noise_nano * luck(tries)
        anchor_gain = claim.anchor_gain
        lower_nano = None if anchor_gain is None else anchor_gain.lower_nano(allowance)
        return cls(
            claim=claim,
            gain=gain,
            tries=tries,
            claimed_lower_nano=lower_nano,
            lower_nano=lower_nano,
            upper_nano=0 if anchor_gain is None else anchor_gain.upper_nano,
        )

    def with_opinions(self, opinions: Opinions) -> "_Candidate":
        """Return a copy of this candidate with other authors' opinions.

        If one of these authors measured the gain, the copy is ranked by that measurement.
        """
        rerun = opinions.rerun(but=self.claim.author)
        if rerun is None:
            return replace(self, opinions=opinions)
        return replace(
            self,
            opinions=opinions,
            rerun=rerun,
            lower_nano=rerun.lower_nano(),
            upper_nano=rerun.upper_nano,
        )

    def precedence(self) -> tuple[bool, int, bytes]:
        """Return the sort key: highest bound first, claims without an anchor last, then by id."""
        bound = self.gain.lower_nano() if self.lower_nano is None else self.lower_nano
        return (self.lower_nano is None, -bound, self.claim.id)


def _ranked(candidates: Iterable[_Candidate]) -> Iterator[tuple[int | None, bool, _Candidate]]:
    """Yield (rank, whether the rank is shared, candidate) in the leaderboard's order."""
    ordered = sorted(candidates, key=_Candidate.precedence)
    # Sort once by each end of the interval, so that many small groups do not cost quadratic time.
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
    claim, opinions, rerun = candidate.claim, candidate.opinions, candidate.rerun
    anchor_gain, author = claim.anchor_gain, claim.author
    return Row(
        rank=rank,
        tie=tie,
        tree=claim.tree,
        author=author,
        result=claim.id,
        metric_nano=claim.metric_nano,
        anchor_pairs=0 if anchor_gain is None else anchor_gain.pairs,
        gain_anchor_nano=None if anchor_gain is None else anchor_gain.value_nano,
        gain_anchor_lower_nano=candidate.claimed_lower_nano,
        rerun_pairs=0 if rerun is None else rerun.pairs,
        gain_rerun_nano=None if rerun is None else rerun.value_nano,
        gain_rerun_lower_nano=None if rerun is None else rerun.lower_nano(),
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
