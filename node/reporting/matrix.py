"""A matrix of patch × hardware class: the effect of a patch on each class, and the evidence for it.

A cell shows only the best available evidence: measured here, else re-run by peers, else claimed by
its author. These levels are never averaged.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from node.reporting.queries import Level
from node.store.boards import BoardKey
from node.store.measured_here import measured_here
from node.store.store import Store
from protocol.board_facts import BoardClaim, Fact, Vote
from protocol.evidence import DECISIVE_VERDICTS
from protocol.gains import Gain
from protocol.opinions import claims_of, supported_votes
from protocol.record_kinds import ResultBody


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The evidence for a patch on one class.

    `verdict` is that of a re-run, or `untested`. `gain` is this node's figure, else the author's;
    gains that peers measured are not averaged. `keys` is the number of keys that re-ran the patch,
    not counting its authors.
    """

    level: Level
    verdict: str
    gain: Gain | None
    keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRow:
    """A tree compared with its base, with a cell for each class that has evidence."""

    base: bytes
    tree: bytes
    patch: bytes | None
    title: str
    cells: Mapping[str, Cell]


def transfer_matrix(store: Store, keys: Iterable[BoardKey]) -> list[TransferRow]:
    """Return the patches on these leaderboards, those with evidence on most classes first."""
    cells: dict[tuple[bytes, bytes], dict[str, Cell]] = {}
    claims: dict[tuple[bytes, bytes], BoardClaim] = {}
    facts_by_class = {key: store.boards.facts(key) for key in keys}
    # A re-run may be of a claim that was made on other hardware.
    known = claims_of(fact for facts in facts_by_class.values() for fact in facts)
    for key, facts in facts_by_class.items():
        own, votes = store.boards.own_facts(key), supported_votes(facts, known)
        for claim in sorted(_claims(facts), key=lambda one: one.id):
            claims.setdefault((claim.base, claim.tree), claim)
        for step in _steps(facts, votes):
            cells.setdefault(step, {})[key.hardware_class] = _cell(step, facts, votes, own)
    found = [_step(store, step, known, claims.get(step)) for step, known in cells.items()]
    return sorted(found, key=lambda one: (-len(one.cells), one.title, one.tree))


def _claims(facts: Iterable[Fact]) -> list[BoardClaim]:
    return [fact for fact in facts if isinstance(fact, BoardClaim) and fact.gain is not None]


def _steps(facts: list[Fact], votes: list[Vote]) -> list[tuple[bytes, bytes]]:
    claimed = [(claim.base, claim.tree) for claim in _claims(facts)]
    return list(dict.fromkeys([*claimed, *((vote.base, vote.tree) for vote in votes)]))


def _cell(step: tuple[bytes, bytes], facts: list[Fact], votes: list[Vote], own: list[Fact]) -> Cell:
    claims = [claim for claim in _claims(facts) if (claim.base, claim.tree) == step]
    authors = {claim.author for claim in claims}
    of_others = {
        vote.author: vote.verdict
        for vote in votes
        if (vote.base, vote.tree) == step and vote.author not in authors
    }
    of_step = [
        fact
        for fact in own
        if not isinstance(fact, BoardClaim | Vote) or (fact.base, fact.tree) == step
    ]
    if here := measured_here(of_step).get(step[1]):
        return Cell(level="here", verdict=here.verdict, gain=here.gain, keys=len(of_others))
    gains = [claim.gain for claim in claims if claim.gain is not None]
    gain = max(gains, key=lambda one: (one.lower_nano(), one.value_nano), default=None)
    if of_others:
        verdict = _usual(list(of_others.values()))
        return Cell(level="others", verdict=verdict, gain=gain, keys=len(of_others))
    return Cell(level="claimed", verdict="untested", gain=gain, keys=0)


def _usual(verdicts: list[str]) -> str:
    """Return the most frequent verdict. Ties prefer `refuted` to `smaller` to `confirmed`."""
    return max(reversed(DECISIVE_VERDICTS), key=verdicts.count)


def _step(
    store: Store,
    step: tuple[bytes, bytes],
    cells: Mapping[str, Cell],
    claim: BoardClaim | None,
) -> TransferRow:
    body = store.records.get(claim.id).body if claim else None
    patch = body.patch if isinstance(body, ResultBody) else None
    known = store.records.patch(patch) if patch else None
    return TransferRow(
        base=step[0],
        tree=step[1],
        patch=patch,
        title=known.title if known else "",
        cells=cells,
    )
