"""Peers' hyperparameter changes, applied to this node's working line.

Only values are copied from peers, never untrusted code, comments or text. This node writes each
value as a literal of its hyperparameter's type, inside the range for this node. Peers' other
changes are left to proposers that check code first.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self, TypeAlias

from agent.hyperparameters.changes import (
    Change,
    HyperparameterChanges,
    HyperparameterTrial,
    read_back,
)
from agent.hyperparameters.moves import TOGETHER
from agent.proposal import Level, PeerPatch, PeerTrial
from agent.source.literals import Hyperparameter, Scalar, axis_of, may_be
from protocol.ideas import HyperparameterSpec
from protocol.prospects import LARGE_SD

_UNVERIFIED: frozenset[Level] = frozenset({"claimed"})
MOST_FAILED: Final = 2  # changes of an author that failed here, beyond those that held
_HEX = frozenset("0123456789abcdef")
_Values: TypeAlias = frozenset[tuple[str, Scalar]]  # by name


@dataclass(frozen=True, slots=True)
class Transplant:
    """A peer's change of hyperparameters, converted to changes of this node's."""

    changes: tuple[Change, ...]
    peer: PeerPatch

    @property
    def whose(self) -> str:
        """The first eight hex digits of the peer's id, for a title."""
        return "".join(letter for letter in self.peer.author if letter in _HEX)[:8] or "a peer"


def transplants(
    peers: Sequence[PeerPatch],
    hyperparameters: Mapping[str, Hyperparameter],
    specs: tuple[HyperparameterSpec, ...],
    done: Sequence[HyperparameterChanges],
) -> Iterator[Transplant]:
    """Yield peers' changes that apply to `hyperparameters`, those with the best evidence first.

    First the peer's new values are tried. If this node's present values differ from the peer's old
    values, the present values are also tried after a change by the peer's ratios. New values that
    this node has already tried (`done`) are skipped, whatever their base.
    """
    known = [dict(step.after) for step in done]
    for peer in sorted(peers, key=lambda one: (one.level in _UNVERIFIED, not one.is_near)):
        step = read_back(peer.edits, specs)
        if step is None or not step.after.keys() <= hyperparameters.keys():
            continue
        for values in (_as_they_are(step, hyperparameters), _by_ratio(step, hyperparameters)):
            changes = [Change(hyperparameters[name], value) for name, value in values.items()]
            changes = [change for change in changes if not change.does_nothing]
            if changes and values not in known:
                known.append(values)
                yield Transplant(tuple(changes), peer)


def kept_elsewhere(
    others: Sequence[PeerTrial],
    hyperparameters: Mapping[str, Hyperparameter],
    own: Sequence[HyperparameterTrial],
) -> Iterator[tuple[Change, ...]]:
    """Yield the changes that peers kept and that apply here, the largest reported gain first.

    A change applies if the present values are those that the peer changed. `own` are this node's
    trials: their changes are not repeated, and authors whose changes failed here more often than
    they held are skipped. Unless scores are exact, small gains of all authors are skipped likewise:
    where effects are about as large as the noise, most are luck. So are changes that more peers
    found worse than better; what none found worse is first.
    """
    votes, tried = _votes(others), [_Tried.of(one) for one in own]
    kept = [one for one in others if one.is_kept]
    held = Counter[str]()
    for one in kept:
        if (is_held := _is_held(frozenset(one.after), tried)) is not None:
            held[one.author] += 1 if is_held else -1
    small = {frozenset(one.after) for one in kept if _is_small(one)}
    are_small_skipped = _balance(small, tried) <= -MOST_FAILED
    kept.sort(key=lambda one: (votes[frozenset(one.after)][False], -(one.gain_sd or 0.0)))
    for one in kept:
        after = frozenset(one.after)
        is_doubted = votes[after][False] > votes[after][True]
        is_skipped = held[one.author] <= -MOST_FAILED or (are_small_skipped and _is_small(one))
        if is_skipped or is_doubted or _is_held(after, tried) is not None:
            continue
        is_same = all(
            name in hyperparameters and hyperparameters[name].value == value
            for name, value in one.before
        )
        if is_same and all(may_be(hyperparameters[name], value) for name, value in one.after):
            changes = tuple(Change(hyperparameters[name], value) for name, value in one.after)
            if not any(change.does_nothing for change in changes):
                yield changes


class _Tried(NamedTuple):
    """The values that a trial of this node set."""

    after: _Values
    is_kept: bool
    is_together: bool  # it combined changes of peers

    @classmethod
    def of(cls, trial: HyperparameterTrial) -> Self:
        outcome = trial.outcome
        return cls(
            after=frozenset(trial.step.after.items()),
            is_kept=outcome.decision == "kept",
            is_together=outcome.key.startswith(TOGETHER),
        )


def _is_held(after: _Values, tried: Sequence[_Tried]) -> bool | None:
    """Return True if a change was kept, alone or with others; None if it was not tried."""
    if any(one.is_kept and after <= one.after for one in tried):
        return True
    return False if any(after == one.after for one in tried) else None


def _balance(changes: Collection[_Values], tried: Sequence[_Tried]) -> int:
    """Return how many trials of these changes were kept, less those that failed.

    A trial of several together counts once.
    """
    return sum(
        1 if one.is_kept else -1
        for one in tried
        if one.after in changes
        or (one.is_together and any(after <= one.after for after in changes))
    )


def _is_small(change: PeerTrial) -> bool:
    return change.lead_sd is None and (change.gain_sd or 0.0) < LARGE_SD


def leading_values(
    others: Sequence[PeerTrial],
    hyperparameters: Mapping[str, Hyperparameter],
    own: Sequence[HyperparameterTrial],
) -> tuple[Change, ...]:
    """Return the changes to all values of the best tree that a peer kept, if it leads this node's.

    Only trees with the same hyperparameters as this node's tree are considered. Authors whose
    trees failed here, and changes among the trials of this node (`own`), are left out. So
    are changes that more peers found worse than better; what none found worse is first.
    """
    done = [frozenset(one.step.after.items()) for one in own]
    failed = [frozenset(one.step.after.items()) for one in own if one.outcome.decision != "kept"]
    ahead = [one for one in others if one.is_kept and (one.lead_sd or 0.0) > 0.0]
    vain = Counter[str]()
    for one in ahead:
        made = one.made.items()
        vain[one.author] += sum(len(part) > len(one.after) and part <= made for part in failed)
    votes = _votes(others)
    possible: list[tuple[int, float, tuple[Change, ...]]] = []
    for one in ahead:
        is_same = one.made.keys() == hyperparameters.keys()
        if not is_same or vain[one.author] >= MOST_FAILED:
            continue
        changes = [Change(hyperparameters[name], value) for name, value in one.made.items()]
        changes = [change for change in changes if not change.does_nothing]
        changed = frozenset((change.hyperparameter.name, change.value) for change in changes)
        is_possible = all(may_be(change.hyperparameter, change.value) for change in changes)
        worse, better = votes[changed][False], votes[changed][True]
        if changes and changed not in done and is_possible and worse <= better:
            possible.append((worse, -(one.lead_sd or 0.0), tuple(changes)))
    return min(possible, key=lambda one: one[:2], default=(0, 0.0, ()))[2]


def _votes(others: Sequence[PeerTrial]) -> Mapping[_Values, Counter[bool]]:
    """Return how many peers found new values better (True) and not better (False), by values."""
    latest: dict[_Values, dict[str, bool]] = defaultdict(dict)
    for one in reversed(others):  # each author's latest trial is first
        latest[frozenset(one.after)][one.author] = one.is_kept or (one.gain_sd or 0.0) > 0.0
    found = {after: Counter(by_author.values()) for after, by_author in latest.items()}
    return defaultdict(Counter, found)


def _as_they_are(
    step: HyperparameterChanges, hyperparameters: Mapping[str, Hyperparameter]
) -> dict[str, Scalar]:
    """Return the peer's values, or nothing if one of them is impossible here."""
    values = dict(step.after)
    return (
        values
        if all(may_be(hyperparameters[name], value) for name, value in values.items())
        else {}
    )


def _by_ratio(
    step: HyperparameterChanges, hyperparameters: Mapping[str, Hyperparameter]
) -> dict[str, Scalar]:
    """Return this node's values changed by the peer's ratios, or nothing if one is impossible."""
    values: dict[str, Scalar] = {}
    for name, new in step.after.items():
        moved = _moved(hyperparameters[name], step.before[name], new)
        if moved is None:
            return {}
        values[name] = moved
    return values


def _moved(hyperparameter: Hyperparameter, old: Scalar, new: Scalar) -> Scalar | None:
    axis = axis_of(hyperparameter)
    if axis is None or axis.kind == "linear":
        return None
    if any(type(value) is not type(hyperparameter.value) for value in (old, new)):
        return None
    numbers = [
        value for value in (hyperparameter.value, old, new) if not isinstance(value, bool | str)
    ]
    own, before, after = map(axis.coordinate, numbers)
    coordinate = own + after - before
    # A step cut short at the end of the range is not the peer's step.
    return axis.value(coordinate) if axis.low <= coordinate <= axis.high else None
