"""The changes that the owner wants left alone, which the built-in search does not propose again.

A change is left alone with all its parts: the moves that it makes, or the hyperparameters that it
changes, whatever their values. A note on a change of two hyperparameters forbids changes of both,
not of one of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.hyperparameters.changes import read_back
from agent.proposal import Outcome
from protocol.ideas import HyperparameterSpec


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """The parts of each change that is left alone."""

    changes: frozenset[frozenset[str]]

    def forbids(self, key: str) -> bool:
        """Return True if an idea with this key has all parts of a change that is left alone."""
        parts = _parts_of(key)
        return any(change <= parts for change in self.changes)


def left_alone(history: Sequence[Outcome], specs: tuple[HyperparameterSpec, ...]) -> LeftAlone:
    """Return the changes that the owner's notes on past experiments forbid.

    Other changes than moves and hyperparameters are not forbidden, as the search makes none.
    """
    parts = (
        _parts_of(outcome.key) or _changed(outcome, specs) for outcome in history if outcome.leave
    )
    return LeftAlone(frozenset(one for one in parts if one))


def _parts_of(key: str) -> frozenset[str]:
    """Return the moves and hyperparameters in the key of an idea of the built-in search."""
    kind, _, rest = key.partition(":")
    match kind:
        case "move" | "moves":
            return frozenset(f"move:{name}" for name in rest.split("+"))
        case "hyperparameter":
            return frozenset({rest.rpartition(":")[0]})
        case "hyperparameters":
            return frozenset(rest.split("+"))
    return frozenset()


def _changed(outcome: Outcome, specs: tuple[HyperparameterSpec, ...]) -> frozenset[str]:
    """Return the hyperparameters that another proposer's idea changes, if it changes only these."""
    step = read_back(outcome.edits, specs) if outcome.edits else None
    return frozenset(step.after) if step else frozenset()
