"""The proposer that needs no language model: moves that the task lists, and steps of its constants.

Deterministic given the context's seed and history. While listed moves are untried about half of
the proposals are moves, nearly all while others kept one of them; of several that others kept a few
come at once, as each alone would take three runs to keep. Knobs are changed in three ways
in turn: as a peer changed them, by a local step (log-normal, the 1/5th rule per knob, a direction
that gained goes on), and as a model of what was tried expects most of; while that knows too little,
by a quasi-random probe of a range. Nothing is ever proposed whose canonical AST was run before.
"""

import hashlib
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from agent.knobs.changes import Change, Trial, edits_of, key_of, title_of, trials
from agent.knobs.past import Past, pasts
from agent.knobs.transplants import Transplant, transplants
from agent.proposal import Context, Level, Outcome, Proposal
from agent.source.canonical import fingerprint, parse
from agent.source.edits import is_made, reapply
from agent.source.literals import REACH, Knob, Scalar, axis_of, find_knobs
from protocol.ideas import Edit, Move
from protocol.regions import lies_inside
from protocol.source import Source

_MAX_ATTEMPTS = 200
_UNTRIED_MOVE_SHARE = 0.5
_PRAISED_MOVE_SHARE = 0.9
_RETRIED_MOVE_SHARE = 0.15
_MOST_AT_ONCE = 4  # moves
_TOGETHER = "moves:"
# A move that did this much harm, or crashed, is not tried again on another base.
_HOPELESS_SD = -2.0
# Nodes that draw on one list would all try the same. Simulated with 2,500 ideas for all of them,
# eight and sixteen nodes are 5.8 and 9.8 times as fast as one with both, 4.6 and 6.9 with neither.
OWN_PART_SHARE: Final = 0.8  # how often what falls to others comes later
HEEDED_SHARE: Final = 0.75  # likewise what others tried in vain: who lies about that only delays it
_TRANSPLANT_SHARE = 1 / 3
_LOCAL_SHARE = 1 / 3  # of what is no transplant; the model has the rest
# The work must not grow with a history's length.
_MOST_LOOKED_AT = 600
_TITLE_CHARACTERS = 120
# Constants that the task does not list are tried too, but it knew what it was listing.
_UNLISTED_WEIGHT = 1 / 3
_TRANSPLANTED: Mapping[Level, str] = {
    "here": "it gained here before",
    "others": "a peer says that it gains, and others measured it too",
    "claimed": "a peer says that it gains",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    key: str
    title: str
    why: str
    edits: tuple[Edit, ...]
    parents: tuple[bytes, ...] = ()


class KnobsProposer:
    """Proposes listed moves and changed constants."""

    def propose(self, context: Context) -> Proposal | None:
        """Return a patch nobody tried before, or None when nothing new was found."""
        drafts = _Drafts(context)
        base = fingerprint(context.source)
        for attempt in range(_MAX_ATTEMPTS):
            draft = drafts.draw(attempt)
            if draft is None:
                continue
            source = reapply(draft.edits, context.source)
            if source is None or not _parses(source):
                continue
            mark = fingerprint(source)
            if mark == base or context.tried(mark):
                continue
            return Proposal(
                parent=context.source.tree,
                source=source,
                edits=draft.edits,
                key=draft.key,
                title=draft.title,
                why=draft.why,
                proposer="knobs",
                fingerprint=mark,
                parents=draft.parents,
            )
        return None


class _Drafts:
    """Draws one idea after another for one context; moves and transplants come up once each."""

    def __init__(self, context: Context) -> None:
        # The latest outcomes are in it, so that a history cut to a length still moves on.
        recent = [(outcome.key, outcome.decision) for outcome in context.history[-3:]]
        self._chance = random.Random(
            f"{context.seed}:{len(context.history)}:{context.source.tree.hex()}:{recent}"
        )
        self._context = context
        self._history = _telling(context.history)
        self._past = pasts(self._history)
        self._drawn = sum(outcome.key.startswith("knob:") for outcome in context.history)
        found = find_knobs(context.source, context.editable, context.knobs)
        self._knobs = [
            knob for knob in found if _may_change(knob, context) and not self._is_a_limit(knob)
        ]
        # One knob for a name: a history tells them apart by nothing else.
        self._by_name = {knob.name: knob for knob in reversed(self._knobs)}
        self._untried, self._retried = _ordered_moves(context)
        self._together = self._praised_together()

    def draw(self, attempt: int) -> _Draft | None:
        roll = self._chance.random()
        if self._together is not None and roll < _PRAISED_MOVE_SHARE:
            together, self._together = self._together, None
            return together
        is_praised = bool(self._untried) and self._untried[0].title in self._context.praised
        share = _PRAISED_MOVE_SHARE if is_praised else _UNTRIED_MOVE_SHARE
        if self._untried and (roll < share or not self._knobs):
            return _move_draft(self._untried.pop(0))
        if self._retried and (roll > 1 - _RETRIED_MOVE_SHARE or not self._knobs):
            return _move_draft(self._retried.pop(0))
        if not self._knobs:
            return None
        if self._chance.random() < _TRANSPLANT_SHARE:
            transplant = next(self._transplants, None)
            if transplant is not None:
                return self._transplanted(transplant)
        if self._chance.random() < _LOCAL_SHARE:
            return self._local()
        changes = next(self._promising, None)
        if changes is not None:
            whose = " here and elsewhere" if self._context.others else ""
            return self._drafted(changes, f"a model of what was tried{whose} expects most of it")
        return self._probe(1 + self._drawn + attempt)

    def _praised_together(self) -> _Draft | None:
        """Return the first untried moves that others kept as one change, if there are several.

        After one that came to nothing, which of them is to blame is for single moves to say first.
        """
        for outcome in reversed(self._history):
            if outcome.decision == "kept":
                break
            if outcome.key.startswith(_TOGETHER):
                return None
        joined: list[Move] = []
        edits: list[Edit] = []
        for move in self._untried:
            fits = reapply([*edits, *move.edits], self._context.source) is not None
            if move.title in self._context.praised and fits and len(joined) < _MOST_AT_ONCE:
                joined.append(move)
                edits += move.edits
        if len(joined) < 2:
            return None
        names = "+".join(move.name for move in joined)
        title = "; ".join(move.title for move in joined)
        return _Draft(
            key=f"{_TOGETHER}{names}",
            title=title if len(title) <= _TITLE_CHARACTERS else f"{len(joined)} moves at once",
            why=f"others kept each of them: {names}",
            edits=tuple(edits),
        )

    @cached_property
    def _trials(self) -> tuple[Trial, ...]:
        """This node's trials of knobs, the latest first, then what was imported."""
        told = [*self._context.imported, *self._history]
        return tuple(trials(told[-_MOST_LOOKED_AT:], self._context.knobs))

    @cached_property
    def _transplants(self) -> Iterator[Transplant]:
        if not self._context.peers:
            return iter(())
        done = [trial.step for trial in self._trials]
        return transplants(self._context.peers, self._by_name, self._context.knobs, done)

    @cached_property
    def _promising(self) -> Iterator[tuple[Change, ...]]:
        from agent.knobs.acquisition import promising  # and numpy with it

        knobs = [knob for knob in self._knobs if self._by_name[knob.name] is knob]
        weights = [self._weight(knob) for knob in knobs]
        others = self._context.others
        found = promising(knobs, weights, self._trials, self._chance, others)
        return (changes for changes in found if len(title_of(changes)) <= _TITLE_CHARACTERS)

    def _weight(self, knob: Knob) -> float:
        return _UNLISTED_WEIGHT if self._is_unlisted(knob) else 1.0

    def _is_unlisted(self, knob: Knob) -> bool:
        return bool(self._context.knobs) and knob.spec is None

    def _is_a_limit(self, knob: Knob) -> bool:
        past = self._past.get(knob.name)
        return past is not None and past.is_a_limit and self._is_unlisted(knob)

    def _local(self) -> _Draft | None:
        known = [self._past.get(knob.name, Past(())) for knob in self._knobs]
        weights = [
            past.weight * self._weight(knob) for knob, past in zip(self._knobs, known, strict=True)
        ]
        at = self._chance.choices(range(len(self._knobs)), weights)[0]
        knob, past = self._knobs[at], known[at]
        axis = axis_of(knob)
        direction = past.direction(self._chance)
        if axis is None or isinstance(knob.value, str):
            return self._draft(knob, self._neighbour(knob, direction), "another of its choices")
        sign = 1 if direction == "up" else -1
        length = min(REACH, past.step * max(0.3, abs(self._chance.gauss(0, 1)))) * axis.unit
        if axis.is_whole and axis.kind != "log":
            length = max(1, round(length))
        # A negative number goes up by growing smaller.
        value = axis.value(axis.position(knob.value) + sign * axis.sign * length)
        gained = past.steps and past.steps[-1][1].decision == "kept"
        return self._draft(knob, value, "this knob gained before" if gained else "a local step")

    def _neighbour(self, knob: Knob, direction: str) -> Scalar:
        """Return the next number that the task lists, or any other choice."""
        value = knob.value
        if isinstance(value, bool | str):
            return self._chance.choice(knob.choices)
        numbers = [choice for choice in knob.choices if not isinstance(choice, str)]
        onward = [choice for choice in numbers if (choice > value) == (direction == "up")]
        return min(onward, key=lambda choice: abs(choice - value), default=knob.choices[0])

    def _probe(self, index: int) -> _Draft | None:
        """Return the point of a Halton sequence that the seed shifts."""
        which = (_van_der_corput(index, 2) + _shift(self._context.seed, "which")) % 1
        where = (_van_der_corput(index, 3) + _shift(self._context.seed, "where")) % 1
        knob = self._knobs[int(which * len(self._knobs))]
        axis = axis_of(knob)
        if axis is None:
            value: Scalar = knob.choices[int(where * len(knob.choices))]
        else:
            value = axis.value(axis.low + where * (axis.high - axis.low))
        return self._draft(knob, value, "a quasi-random probe of its range")

    def _draft(self, knob: Knob, value: Scalar, why: str) -> _Draft | None:
        change = Change(knob, value)
        return None if change.does_nothing else self._drafted((change,), why)

    def _drafted(self, changes: Sequence[Change], why: str) -> _Draft:
        edits = edits_of(self._context.source, changes)
        return _Draft(key=key_of(changes), title=title_of(changes), why=why, edits=edits)

    def _transplanted(self, transplant: Transplant) -> _Draft:
        draft = self._drafted(transplant.changes, _TRANSPLANTED[transplant.peer.level])
        return replace(
            draft,
            title=f"{draft.title}, from {transplant.whose}",
            parents=(transplant.peer.patch,),
        )


def _may_change(knob: Knob, context: Context) -> bool:
    data = context.source[knob.path]
    line = data.decode()[: knob.start].count("\n") + 1
    of_file = [region for region in context.regions if region.path == knob.path]
    return all(lies_inside(data, region, line) for region in of_file)


def _telling(history: Sequence[Outcome]) -> list[Outcome]:
    """Return what says something of the changes: others on the machine cut off the rest."""
    return [outcome for outcome in history if not outcome.was_cut_off]


def _ordered_moves(context: Context) -> tuple[list[Move], list[Move]]:
    """Return what fits: untried moves in the seed's order, tried ones the rarest first.

    What others kept comes first, what they tried in vain last, and what falls to them before that.
    """
    history = _telling(context.history)
    best: dict[str, float] = {}
    times = Counter(outcome.key for outcome in history)
    for outcome in history:
        gain_sd = -math.inf if outcome.gain_sd is None else outcome.gain_sd
        best[outcome.key] = max(best.get(outcome.key, -math.inf), gain_sd)
    moves = [
        move
        for move in context.moves
        if reapply(move.edits, context.source) is not None
        and not is_made(move.edits, context.source)
    ]
    untried = [move for move in moves if f"move:{move.name}" not in best]
    tried = [move for move in moves if best.get(f"move:{move.name}", -math.inf) > _HOPELESS_SD]
    is_heeding = _shift(context.seed, "heeding") < HEEDED_SHARE
    keeps_to_its_part = _shift(context.seed, "its part") < OWN_PART_SHARE

    places = {title: place for place, title in enumerate(context.praised)} if is_heeding else {}

    def turn(move: Move) -> tuple[bool, int, bool, float]:
        is_in_vain = is_heeding and move.title in context.in_vain
        is_others = keeps_to_its_part and move.name in context.others_part
        place = places.get(move.title, len(places))
        return is_in_vain, place, is_others, _shift(context.seed, move.name)

    untried.sort(key=turn)
    tried.sort(key=lambda move: (times[f"move:{move.name}"], -best[f"move:{move.name}"]))
    return untried, tried


def _move_draft(move: Move) -> _Draft:
    return _Draft(key=f"move:{move.name}", title=move.title, why=move.why, edits=move.edits)


def _parses(source: Source) -> bool:
    return all(parse(data) is not None for path, data in source.files if path.endswith(".py"))


def _van_der_corput(index: int, base: int) -> float:
    value, scale = 0.0, 1.0
    while index:
        index, digit = divmod(index, base)
        scale /= base
        value += digit * scale
    return value


def _shift(seed: int, name: str) -> float:
    """Return a number in [0, 1) that the seed and a name decide."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
