"""Peers' knobs on the own working line.

Only values cross over, and each is written by us: a literal of the kind that our knob has, inside
the range that it has here. A stranger's code, comments and words never do; what a peer changed
beside knobs is for those who look at code first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.knobs.changes import Change, KnobChanges, read_back
from agent.proposal import Level, PeerPatch
from agent.source.literals import Knob, Scalar, axis_of, may_be
from protocol.ideas import KnobSpec

_UNVERIFIED: frozenset[Level] = frozenset({"claimed"})
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Transplant:
    """A peer's step as changes of our knobs."""

    changes: tuple[Change, ...]
    peer: PeerPatch

    @property
    def whose(self) -> str:
        """The peer, for a title: nothing but what an id consists of."""
        return "".join(letter for letter in self.peer.author if letter in _HEX)[:8] or "a peer"


def transplants(
    peers: Sequence[PeerPatch],
    knobs: Mapping[str, Knob],
    specs: tuple[KnobSpec, ...],
    done: Sequence[KnobChanges],
) -> Iterator[Transplant]:
    """Yield what fits on `knobs`, the most trustworthy peers first.

    A number is taken as it is, then, if ours was another before, by its ratio. What own steps have
    `done`, the same knobs to the same values, is not done again, whatever the base was.
    """
    known = [dict(step.after) for step in done]
    for peer in sorted(peers, key=lambda one: (one.level in _UNVERIFIED, not one.is_near)):
        step = read_back(peer.edits, specs)
        if step is None or not step.after.keys() <= knobs.keys():
            continue
        for values in (_as_they_are(step, knobs), _by_ratio(step, knobs)):
            changes = [Change(knobs[name], value) for name, value in values.items()]
            changes = [change for change in changes if not change.does_nothing]
            if changes and values not in known:
                known.append(values)
                yield Transplant(tuple(changes), peer)


def _as_they_are(step: KnobChanges, knobs: Mapping[str, Knob]) -> dict[str, Scalar]:
    """Return the peer's values, nothing unless all of them are possible here."""
    values = dict(step.after)
    return values if all(may_be(knobs[name], value) for name, value in values.items()) else {}


def _by_ratio(step: KnobChanges, knobs: Mapping[str, Knob]) -> dict[str, Scalar]:
    """Return our values moved as far as the peer's were, nothing unless all can be."""
    values: dict[str, Scalar] = {}
    for name, new in step.after.items():
        moved = _moved(knobs[name], step.before[name], new)
        if moved is None:
            return {}
        values[name] = moved
    return values


def _moved(knob: Knob, old: Scalar, new: Scalar) -> Scalar | None:
    axis = axis_of(knob)
    if axis is None or axis.kind == "linear":
        return None
    if any(type(value) is not type(knob.value) for value in (old, new)):
        return None
    numbers = [value for value in (knob.value, old, new) if not isinstance(value, bool | str)]
    own, before, after = map(axis.coordinate, numbers)
    coordinate = own + after - before
    # To stop at the end of our range would be another step than the peer's.
    return axis.value(coordinate) if axis.low <= coordinate <= axis.high else None
