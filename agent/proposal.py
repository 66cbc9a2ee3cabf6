"""What a proposer is told and what it answers: frozen values, nothing else crosses over."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from protocol.ideas import Edit, KnobSpec, Move
from protocol.source import Source

Decision = Literal["screened_out", "rechecked_out", "kept", "failed", "rejected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an earlier proposal.

    `gain_sd` is base − candidate in standard deviations of one run, None without a metric.
    """

    key: str
    decision: Decision
    gain_sd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything a proposer may know. `tried` answers whether a canonical AST was ever run."""

    source: Source
    editable: tuple[str, ...]
    knobs: tuple[KnobSpec, ...]
    moves: tuple[Move, ...]
    history: tuple[Outcome, ...]
    tried: Callable[[bytes], bool]
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A patch to try. `key` names the idea (`knob:LEARNING_RATE`, `move:rope`) across bases;
    `edits` re-apply it to another base."""

    parent: bytes
    source: Source
    edits: tuple[Edit, ...]
    key: str
    title: str
    why: str
    proposer: str
    fingerprint: bytes = field(repr=False)


class Proposer(Protocol):
    """Something that proposes patches."""

    def propose(self, context: Context) -> Proposal | None:
        """Return a patch nobody tried before, or None when this proposer is out of ideas."""
        ...
