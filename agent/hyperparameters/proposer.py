"""A proposer without a language model: it tries the task's moves and changes hyperparameters.

Deterministic given the context's seed and history. While there are untried moves, about half of the
proposals are moves, or nearly all if peers kept an untried move, or if one is this node's part
(`agent.hyperparameters.moves`). Values that peers kept are tried first too. Otherwise
hyperparameters are changed in three ways:

- A peer's change is repeated here.
- One hyperparameter is changed by a local step. The step's size is log-normal and adapts by the
  1/5th rule, for each hyperparameter alone. After a gain the direction usually stays.
- A model of the trials chooses the changes with the largest expected gain. While there are too few
  trials, a quasi-random value of one hyperparameter is tried instead.

A source whose canonical AST was run before is never proposed, nor a change that the owner wants
left alone (`agent.hyperparameters.left_alone`).
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

from agent.hyperparameters.changes import (
    Change,
    HyperparameterTrial,
    edits_of,
    key_of,
    title_of,
    trials,
)
from agent.hyperparameters.left_alone import left_alone
from agent.hyperparameters.moves import (
    TITLE_CHARACTERS,
    CandidateMove,
    combined,
    draft_of,
    informative,
    ordered_moves,
    removals,
    shift,
)
from agent.hyperparameters.past import Past, pasts
from agent.hyperparameters.transplants import (
    Transplant,
    kept_elsewhere,
    leading_values,
    transplants,
)
from agent.proposal import Context, Level, Proposal, hyperparameter_key
from agent.source.canonical import fingerprint, parse
from agent.source.edits import reapply
from agent.source.literals import REACH, Hyperparameter, Scalar, axis_of, find_hyperparameters
from protocol.ideas import Move
from protocol.prospects import LARGE_SD
from protocol.regions import lies_inside
from protocol.source import Source

_MAX_ATTEMPTS = 200
_UNTRIED_MOVE_SHARE = 0.5
KEPT_BY_OTHERS_SHARE: Final = 0.9
_RETRIED_MOVE_SHARE = 0.15
_TRANSPLANT_SHARE = 1 / 3
_LOCAL_SHARE = 1 / 3  # of proposals without transplants; the model makes the others
# The work must not grow with a history's length.
_MOST_LOOKED_AT = 600
# In company each node first searches the hyperparameters that are its part.
_OTHERS_WEIGHT = 1 / 4
# Constants that the task does not list are tried too, but its list is the better guess.
_UNLISTED_WEIGHT = 1 / 3
_TRANSPLANTED: Mapping[Level, str] = {
    "here": "it gained here before",
    "others": "a peer claims a gain, and other peers confirmed it",
    "claimed": "a peer claims a gain",
}


class BuiltInSearch:
    """A proposer of listed moves and changed constants."""

    def propose(self, context: Context) -> Proposal | None:
        """Return a patch that was never tried, or None if nothing new was found."""
        drafts = _Drafts(context)
        base = fingerprint(context.source)
        for attempt in range(_MAX_ATTEMPTS):
            draft = drafts.draw(attempt)
            if draft is None or drafts.left_alone.forbids(draft.key):
                continue
            source = reapply(draft.edits, context.source)
            if source is None or not _parses(source):
                continue
            new_fingerprint = fingerprint(source)
            if new_fingerprint == base or context.tried(new_fingerprint):
                continue
            return Proposal(
                parent=context.source.tree,
                source=source,
                edits=draft.edits,
                key=draft.key,
                title=draft.title,
                why=draft.why,
                proposer="search",
                fingerprint=new_fingerprint,
                parents=draft.parents,
                is_find=draft.is_find,
            )
        return None


class _Drafts:
    """A generator of ideas for one context. It returns each move and each peer's change once."""

    def __init__(self, context: Context) -> None:
        # Seed with the latest outcomes, so that draws change even when the history is cut.
        recent = [(outcome.key, outcome.decision) for outcome in context.history[-3:]]
        self._chance = random.Random(
            f"{context.seed}:{len(context.history)}:{context.source.tree.hex()}:{recent}"
        )
        self._context = context
        self._history = informative(context.history)
        self._past = pasts(self._history)
        self._drawn = sum(outcome.key.startswith("hyperparameter:") for outcome in context.history)
        self.left_alone = left_alone(context.history, context.hyperparameters)
        found = find_hyperparameters(context.source, context.editable, context.hyperparameters)
        self._hyperparameters = [
            hyperparameter
            for hyperparameter in found
            if _may_change(hyperparameter, context)
            and not self._is_a_limit(hyperparameter)
            and not self.left_alone.forbids(f"hyperparameters:{hyperparameter.name}")
        ]
        # One hyperparameter per name: a history distinguishes them by nothing else.
        self._by_name = {
            hyperparameter.name: hyperparameter
            for hyperparameter in reversed(self._hyperparameters)
        }
        may_move = [
            move for move in context.moves if not self.left_alone.forbids(f"move:{move.name}")
        ]
        context = replace(context, moves=tuple(may_move))
        self._untried, self._retried, do_finds_wait = ordered_moves(context, self._history)
        self._removals = removals(context, self._history)
        self._together: CandidateMove | None = None
        self._kept_values: list[CandidateMove] = []
        self._leading: tuple[Change, ...] = ()
        if not do_finds_wait:
            self._take_finds(context)

    def _take_finds(self, context: Context) -> None:
        """Prepare what peers found, which comes before this node's ideas."""
        others = (
            kept_elsewhere(context.others, self._by_name, self._trials) if context.others else ()
        )
        self._kept_values = [self._found(changes, "a peer kept it") for changes in others]
        self._leading = leading_values(context.others, self._by_name, self._trials)
        kept = context.from_others.kept
        moves = [move for move in self._untried if move.title in kept]
        large = [move for move in moves if kept[move.title] >= LARGE_SD / 2]
        # Values come after moves, and small gains after large ones, which would hide harm.
        # On exact tasks all values of a better tree are tried at once.
        is_exact = any(one.lead_sd is not None for one in context.others)
        values = [] if is_exact else self._kept_values
        several = large if len(large) > 1 else moves
        finds = [draft_of(move) for move in several] or values
        self._together = combined(finds, context.source, self._history)

    def draw(self, attempt: int) -> CandidateMove | None:
        roll = self._chance.random()
        if self._removals:
            return self._removals.pop(0)
        if self._together is not None:
            together, self._together = self._together, None
            return together
        if self._untried and self._comes_first(self._untried[0]) and roll < KEPT_BY_OTHERS_SHARE:
            return self._next_untried()
        if self._leading and roll < KEPT_BY_OTHERS_SHARE:
            leading, self._leading = self._leading, ()
            draft = self._found(leading, "the values of the best tree of a peer")
            is_long = len(draft.title) > TITLE_CHARACTERS
            return replace(draft, title=f"{len(leading)} values at once") if is_long else draft
        if self._kept_values and roll < KEPT_BY_OTHERS_SHARE:
            return self._kept_values.pop(0)
        # Nodes that begin at once know nothing of each other: a move is what peers can combine.
        is_first = not self._context.history
        if self._untried and (is_first or roll < _UNTRIED_MOVE_SHARE or not self._hyperparameters):
            return self._next_untried()
        if self._retried and (roll > 1 - _RETRIED_MOVE_SHARE or not self._hyperparameters):
            return draft_of(self._retried.pop(0))
        if not self._hyperparameters:
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
            return self._drafted(changes, f"best by a model of the experiments{whose}")
        return self._probe(1 + self._drawn + attempt)

    def _next_untried(self) -> CandidateMove:
        move = self._untried.pop(0)
        return replace(draft_of(move), is_find=move.title in self._context.from_others.kept)

    def _comes_first(self, move: Move) -> bool:
        """Return True for a move that peers kept, and in company for those assigned to this node.

        Among these are some that peers screened out: a false loss must not hide a move for long.
        """
        theirs = self._context.from_others
        is_own = bool(theirs.assigned) and move.name not in theirs.assigned
        return is_own or move.title in theirs.kept

    @cached_property
    def _trials(self) -> tuple[HyperparameterTrial, ...]:
        """This node's trials of hyperparameters, the latest first, then imported ones."""
        outcomes = [*self._context.imported, *self._history]
        return tuple(trials(outcomes[-_MOST_LOOKED_AT:], self._context.hyperparameters))

    @cached_property
    def _transplants(self) -> Iterator[Transplant]:
        if not self._context.peers:
            return iter(())
        done = [trial.step for trial in self._trials]
        return transplants(self._context.peers, self._by_name, self._context.hyperparameters, done)

    @cached_property
    def _promising(self) -> Iterator[tuple[Change, ...]]:
        from agent.hyperparameters.acquisition import promising  # imports numpy

        hyperparameters = [
            hyperparameter
            for hyperparameter in self._hyperparameters
            if self._by_name[hyperparameter.name] is hyperparameter
        ]
        weights = [self._weight(hyperparameter) for hyperparameter in hyperparameters]
        others = self._context.others
        found = promising(hyperparameters, weights, self._trials, self._chance, others)
        return (changes for changes in found if len(title_of(changes)) <= TITLE_CHARACTERS)

    def _weight(self, hyperparameter: Hyperparameter) -> float:
        weight = _UNLISTED_WEIGHT if self._is_unlisted(hyperparameter) else 1.0
        return weight * (_OTHERS_WEIGHT if self._is_others(hyperparameter) else 1.0)

    def _is_others(self, hyperparameter: Hyperparameter) -> bool:
        return hyperparameter_key(hyperparameter.name) in self._context.from_others.assigned

    def _is_unlisted(self, hyperparameter: Hyperparameter) -> bool:
        return bool(self._context.hyperparameters) and hyperparameter.spec is None

    def _is_a_limit(self, hyperparameter: Hyperparameter) -> bool:
        past = self._past.get(hyperparameter.name)
        return past is not None and past.is_a_limit and self._is_unlisted(hyperparameter)

    def _local(self) -> CandidateMove | None:
        known = [
            self._past.get(hyperparameter.name, Past(()))
            for hyperparameter in self._hyperparameters
        ]
        weights = [
            past.weight * self._weight(hyperparameter)
            for hyperparameter, past in zip(self._hyperparameters, known, strict=True)
        ]
        at = self._chance.choices(range(len(self._hyperparameters)), weights)[0]
        hyperparameter, past = self._hyperparameters[at], known[at]
        axis = axis_of(hyperparameter)
        direction = past.direction(self._chance)
        if axis is None or isinstance(hyperparameter.value, str):
            return self._draft(
                hyperparameter, self._neighbour(hyperparameter, direction), "another of its choices"
            )
        sign = 1 if direction == "up" else -1
        length = min(REACH, past.step * max(0.3, abs(self._chance.gauss(0, 1)))) * axis.unit
        if axis.is_whole and axis.kind != "log":
            length = max(1, round(length))
        # A negative number goes up when its absolute value shrinks.
        value = axis.value(axis.position(hyperparameter.value) + sign * axis.sign * length)
        gained = past.steps and past.steps[-1][1].decision == "kept"
        return self._draft(
            hyperparameter, value, "this hyperparameter gained before" if gained else "a local step"
        )

    def _neighbour(self, hyperparameter: Hyperparameter, direction: str) -> Scalar:
        """Return the next listed number in this direction, or any other choice."""
        value = hyperparameter.value
        if isinstance(value, bool | str):
            return self._chance.choice(hyperparameter.choices)
        numbers = [choice for choice in hyperparameter.choices if not isinstance(choice, str)]
        onward = [choice for choice in numbers if (choice > value) == (direction == "up")]
        return min(
            onward, key=lambda choice: abs(choice - value), default=hyperparameter.choices[0]
        )

    def _probe(self, index: int) -> CandidateMove | None:
        """Return a change at a point of a Halton sequence, shifted by the seed."""
        which = (_van_der_corput(index, 2) + shift(self._context.seed, "which")) % 1
        where = (_van_der_corput(index, 3) + shift(self._context.seed, "where")) % 1
        own = [one for one in self._hyperparameters if not self._is_others(one)]
        among = own or self._hyperparameters
        hyperparameter = among[int(which * len(among))]
        axis = axis_of(hyperparameter)
        if axis is None:
            value: Scalar = hyperparameter.choices[int(where * len(hyperparameter.choices))]
        else:
            value = axis.value(axis.low + where * (axis.high - axis.low))
        return self._draft(hyperparameter, value, "a quasi-random probe of its range")

    def _draft(
        self, hyperparameter: Hyperparameter, value: Scalar, why: str
    ) -> CandidateMove | None:
        change = Change(hyperparameter, value)
        return None if change.does_nothing else self._drafted((change,), why)

    def _drafted(self, changes: Sequence[Change], why: str) -> CandidateMove:
        edits = edits_of(self._context.source, changes)
        return CandidateMove(key=key_of(changes), title=title_of(changes), why=why, edits=edits)

    def _found(self, changes: Sequence[Change], why: str) -> CandidateMove:
        return replace(self._drafted(changes, why), is_find=True)

    def _transplanted(self, transplant: Transplant) -> CandidateMove:
        draft = self._found(transplant.changes, _TRANSPLANTED[transplant.peer.level])
        return replace(
            draft,
            title=f"{draft.title}, from {transplant.whose}",
            parents=(transplant.peer.patch,),
        )


def _may_change(hyperparameter: Hyperparameter, context: Context) -> bool:
    data = context.source[hyperparameter.path]
    line = data.decode()[: hyperparameter.start].count("\n") + 1
    of_file = [region for region in context.regions if region.path == hyperparameter.path]
    return all(lies_inside(data, region, line) for region in of_file)


def _parses(source: Source) -> bool:
    return all(parse(data) is not None for path, data in source.files if path.endswith(".py"))


def _van_der_corput(index: int, base: int) -> float:
    value, scale = 0.0, 1.0
    while index:
        index, digit = divmod(index, base)
        scale /= base
        value += digit * scale
    return value
