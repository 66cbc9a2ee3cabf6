"""What each kind of job remembers between its runs, so that a killed node goes on where it was.

    experiment  a proposal against a base: screen, then recheck
    checkpoint  the working line against the verified head, as one stack
    submission  a source that was handed in and waits for its turn as an experiment

Bodies are canonical values; only this node writes and reads them.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, TypeVar

from node.faults import DAMAGED_HINT, DamagedStoreError
from protocol.encoding import Value
from protocol.errors import Rejected
from protocol.fields import (
    Codec,
    Table,
    boolean,
    digest,
    field,
    integer,
    line,
    listing,
    nullable,
    text,
)
from protocol.ideas import Edit

_Step = TypeVar("_Step")
_MAX_EDIT_TEXT = 4096
_MAX_EDITS = 64
_MAX_STACK = 256

SUBMITTED: Final = "try"  # the proposer of whatever a person or another program wrote

_EDIT_TABLE: Final = Table(
    field("path", line(1, 256)),
    field("search", text(_MAX_EDIT_TEXT)),
    field("replace", text(_MAX_EDIT_TEXT)),
)
_EDIT: Final = Codec(lambda value: _EDIT_TABLE.read(Edit, value), _EDIT_TABLE.write)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentStep:
    """A proposal as it was made. `bank_nano` is what its base measured when it was proposed.

    `decision`, `gain_milli` (base − candidate in thousandths of a standard deviation) and the
    bank that it was judged against are filled in when it is closed: they are what proposers
    learn from, and the decision follows from them again. What was handed in has no `edits`.
    """

    base: bytes
    tree: bytes
    fingerprint: bytes
    key: str
    title: str
    why: str
    proposer: str
    edits: tuple[Edit, ...]
    bank_nano: tuple[int, ...]
    parents: tuple[bytes, ...] = ()
    decision: str = ""
    gain_milli: int | None = None

    TABLE: ClassVar = Table(
        field("base", digest()),
        field("tree", digest()),
        field("fingerprint", digest()),
        field("key", line(1, 120)),
        field("title", line(1, 120)),
        field("why", text(600)),
        field("proposer", line(1, 64)),
        field("edits", listing(_EDIT, high=_MAX_EDITS)),
        field("bank", listing(integer(), high=8), "bank_nano"),
        field("parents", listing(digest(), high=8)),
        field("decision", line(0, 32)),
        field("gain", nullable(integer()), "gain_milli"),
    )

    def to_value(self) -> Value:
        """Return the body to keep."""
        return self.TABLE.write(self)

    @classmethod
    def from_value(cls, value: Value) -> "ExperimentStep":
        """Return the step kept in a body."""
        return _readable(cls.TABLE.read(cls, value))


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionStep:
    """A source that was handed in. Its base is the working line when its turn comes."""

    tree: bytes
    fingerprint: bytes
    title: str
    why: str
    parents: tuple[bytes, ...] = ()

    TABLE: ClassVar = Table(
        field("tree", digest()),
        field("fingerprint", digest()),
        field("title", line(1, 120)),
        field("why", text(600)),
        field("parents", listing(digest(), high=8)),
    )

    def to_value(self) -> Value:
        """Return the body to keep."""
        return self.TABLE.write(self)

    @classmethod
    def from_value(cls, value: Value) -> "SubmissionStep":
        """Return the step kept in a body."""
        return _readable(cls.TABLE.read(cls, value))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointStep:
    """A stack on trial: the patches kept since the verified head, and the split it is judged on."""

    base: bytes
    tree: bytes
    stack: tuple[bytes, ...]
    rotation: int
    passed: bool = False

    TABLE: ClassVar = Table(
        field("base", digest()),
        field("tree", digest()),
        field("stack", listing(digest(), high=_MAX_STACK)),
        field("rotation", integer(0)),
        field("passed", boolean()),
    )

    def to_value(self) -> Value:
        """Return the body to keep."""
        return self.TABLE.write(self)

    @classmethod
    def from_value(cls, value: Value) -> "CheckpointStep":
        """Return the step kept in a body."""
        return _readable(cls.TABLE.read(cls, value))


def _readable(step: _Step | Rejected) -> _Step:
    if isinstance(step, Rejected):
        raise DamagedStoreError(f"a job in the store does not read: {step.reason}", DAMAGED_HINT)
    return step
