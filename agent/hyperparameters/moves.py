"""The moves that a task lists: their order, and which to combine."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from agent.proposal import Context, FromOthers, Outcome
from agent.source.canonical import fingerprint
from agent.source.edits import edits_between, is_made, reapply
from protocol.ideas import Edit, Move
from protocol.source import Source

# Nodes with one list would all try the same moves. In a simulation with 2,500 ideas in all, eight
# and sixteen nodes are 6.2 and 8.6 times as fast as one with both rules, 4.6 and 6.8 with neither.
OWN_PART_SHARE: Final = 0.8  # fraction of proposals that put moves assigned to peers last
REPORT_SHARE: Final = 0.75  # fraction that use peers' reports, so a false one only delays a move
TITLE_CHARACTERS: Final = 120
# A move that did this much harm, or crashed, is not tried again on another base.
_HOPELESS_SD = -2.0
MOST_AT_ONCE: Final = 8
_ENOUGH: Final = 4  # moves that peers kept; trying them takes as many runs as trying one of them
# A combination that gained less than this part of its largest claim may contain a move that harms.
_CLAIM_SHARE = 3 / 4
_ALONE, _WITHOUT = "move:", "without:"
TOGETHER: Final = "moves:"  # the beginning of the key of a combination


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateMove:
    """An idea to try. Its edits need not match the source. `is_find`: see `Proposal`."""

    key: str
    title: str
    why: str
    edits: tuple[Edit, ...]
    parents: tuple[bytes, ...] = ()
    is_find: bool = False


def draft_of(move: Move) -> CandidateMove:
    return CandidateMove(
        key=f"{_ALONE}{move.name}", title=move.title, why=move.why, edits=move.edits
    )


def moves_in(key: str) -> list[str]:
    """Return the names of the moves in an idea's key."""
    kind, _, names = key.partition(":")
    return names.split("+") if f"{kind}:" in (_ALONE, TOGETHER, _WITHOUT) else []


def applies(move: Move, source: Source) -> bool:
    """Return True if a move fits on a source that does not contain it."""
    return reapply(move.edits, source) is not None and not is_made(move.edits, source)


def informative(history: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes without those that were cut off because of other programs' load."""
    return [outcome for outcome in history if not outcome.was_cut_off]


class OrderedMoves(NamedTuple):
    """The moves that apply to a source, and whether peers' finds wait (`do_finds_wait`)."""

    untried: list[Move]
    tried: list[Move]
    do_finds_wait: bool


def ordered_moves(context: Context, history: Sequence[Outcome]) -> OrderedMoves:
    """Return the moves that apply to the source in the order in which to try them.

    Untried moves that peers kept are first, then those assigned to this node, then those assigned
    to peers; ties are in an order that the seed determines. While moves that peers kept wait
    (`do_finds_wait`), they follow those assigned to this node. Of the moves assigned to this node
    those that peers tried in vain are last. Those assigned to others follow, since a peer that is
    to repeat them may lie or stop. Moves that are given up are left out. A quarter of the proposals
    ignore peers' reports, so that false reports suppress no move. Of the tried moves, those that
    were tried least often are first.
    """
    theirs = context.from_others
    best: dict[str, float] = {}
    times = Counter(outcome.key for outcome in history)
    for outcome in history:
        gain_sd = -math.inf if outcome.gain_sd is None else outcome.gain_sd
        best[outcome.key] = max(best.get(outcome.key, -math.inf), gain_sd)
        if outcome.key.startswith(_WITHOUT) and outcome.decision == "kept":
            best[_ALONE + outcome.key.removeprefix(_WITHOUT)] = -gain_sd
    moves = [move for move in context.moves if applies(move, context.source)]
    untried = [move for move in moves if f"{_ALONE}{move.name}" not in best]
    tried = [move for move in moves if best.get(f"{_ALONE}{move.name}", -math.inf) > _HOPELESS_SD]
    uses_reports = shift(context.seed, "heeding") < REPORT_SHARE
    keeps_to_its_part = shift(context.seed, "its part") < OWN_PART_SHARE

    if uses_reports:
        untried = [move for move in untried if move.title not in theirs.given_up]
    do_wait = do_finds_wait(
        untried,
        lambda move: may_run(move, context.source, context.tried),
        theirs,
        taken=context.intents,
        is_first=not context.history,
    )
    finds = theirs.kept if uses_reports and not do_wait else ()
    places = {title: place for place, title in enumerate(finds)}

    def turn(move: Move) -> tuple[int, bool, bool, float]:
        is_screened_out = uses_reports and move.title in theirs.in_vain
        is_others = keeps_to_its_part and move.name in theirs.assigned
        comes_later = is_others or (do_wait and move.title in theirs.kept)
        place = places.get(move.title, len(places))
        return place, comes_later, is_screened_out, shift(context.seed, move.name)

    untried.sort(key=turn)
    tried.sort(key=lambda move: (times[f"{_ALONE}{move.name}"], -best[f"{_ALONE}{move.name}"]))
    return OrderedMoves(untried, tried, do_wait)


def may_run(move: Move, source: Source, tried: Callable[[bytes], bool]) -> bool:
    """Return True if a move fits on a source, and what it makes of it was not `tried`."""
    made = reapply(move.edits, source)
    return made is not None and not tried(fingerprint(made))


def do_finds_wait(
    untried: Sequence[Move],
    possible: Callable[[Move], bool],
    theirs: FromOthers,
    *,
    taken: Collection[str],
    is_first: bool,
) -> bool:
    """Return True if a move that is assigned to this node and that nobody kept is tried first.

    Peers wait for it, and several finds can be tried at once later. With enough finds to try at
    once, they only wait for this node's first experiment (`is_first`). If peers screened the move
    out, few others repeat that, and a false loss would hide the move. `untried` are the moves that
    this node did not try, of which those that are not `possible` are not waited for, nor those
    whose title is `taken`: a peer tries them.
    """
    are_enough = sum(move.title in theirs.kept for move in untried) >= _ENOUGH
    if not theirs.assigned or (are_enough and not is_first):
        return False
    return any(
        move.name not in theirs.assigned
        and move.title not in theirs.kept
        and move.title not in taken
        and possible(move)
        for move in untried
    )


def combined(
    changes: Iterable[CandidateMove], source: Source, history: Sequence[Outcome]
) -> CandidateMove | None:
    """Return changes that peers kept, combined as far as they fit, if there are several.

    Combining saves runs: keeping a single change takes three or more. After a combination that was
    not kept, half as many are combined, the largest gains first, and then changes are tried one by
    one until one is kept. So what does harm is found out.
    """
    most = MOST_AT_ONCE
    for outcome in reversed(history):
        if outcome.decision == "kept":
            break
        if outcome.key.startswith(TOGETHER):
            most = len(moves_in(outcome.key)) // 2
            break
    joined: list[CandidateMove] = []
    made = source
    for change in changes:
        # One after the other: several moves may insert lines at one place.
        after = None if is_made(change.edits, made) else reapply(change.edits, made)
        if after is not None and len(joined) < most:
            joined.append(change)
            made = after
    edits = edits_between(source, made)
    if len(joined) < 2 or not edits:
        return None
    names = "+".join(change.key.partition(":")[2] for change in joined)
    title = "; ".join(change.title for change in joined)
    return CandidateMove(
        key=f"{TOGETHER}{names}",
        title=title if len(title) <= TITLE_CHARACTERS else f"{len(joined)} changes at once",
        why=f"peers kept each of them: {names}",
        edits=edits,
        is_find=True,
    )


def removals(context: Context, history: Sequence[Outcome]) -> list[CandidateMove]:
    """Return removals of moves that were kept with others and may do harm, the least claim first.

    They came in combinations that gained less than peers claim for one of the parts alone: another
    part may be a false claim, or do harm on this base. Each move is taken out once, until that is a
    gain.
    """
    listed = {move.name: move for move in context.moves}
    claims_sd = {name: context.from_others.kept.get(one.title, 0.0) for name, one in listed.items()}
    doubted = set[str]()
    for outcome in history:
        if outcome.decision != "kept":
            continue
        if outcome.key.startswith(_WITHOUT):
            doubted.clear()
        elif outcome.key.startswith(TOGETHER):
            parts = listed.keys() & moves_in(outcome.key)
            most_sd = max(map(claims_sd.__getitem__, parts), default=0.0)
            doubted |= parts if (outcome.gain_sd or 0.0) < _CLAIM_SHARE * most_sd else set()
    doubted -= {outcome.key.removeprefix(_WITHOUT) for outcome in history}
    return [
        CandidateMove(
            key=f"{_WITHOUT}{name}",
            title=f"Without: {listed[name].title}",
            why="together with others it gained less than peers claim for one of them alone",
            edits=tuple(_reversed(edit) for edit in listed[name].edits),
            is_find=True,
        )
        for name in sorted(doubted, key=lambda name: (claims_sd[name], name))
    ]


def _reversed(edit: Edit) -> Edit:
    return replace(edit, search=edit.replace, replace=edit.search)


def shift(seed: int, name: str) -> float:
    """Return a number in [0, 1) derived from the seed and a name."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
