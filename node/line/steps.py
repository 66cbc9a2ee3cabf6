"""What each kind of job remembers between its runs, so that a killed node goes on where it was.

    experiment  a proposal against a base: screen, then recheck
    checkpoint  the working line against the verified head, as one stack
    submission  a source that was handed in and waits for its turn as an experiment
    attestation somebody's claim, run again as it was made
    catchup     the best tree of others against the verified head
    remeasure   the verified head against the one before it, because it is in doubt
    branch      another tree that the working line goes on from (`node.line.branch`)

Bodies are canonical values; only this node writes and reads them.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Final, TypeVar

from node.home.faults import DAMAGED_HINT, DamagedStoreError
from protocol.changes import Origin
from protocol.encoding import Value
from protocol.errors import Rejected
from protocol.fields import (
    Codec,
    Mapped,
    Table,
    binary,
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
from protocol.rule import QUICK, VERIFY, Claim, Policy
from protocol.units import NANO, from_nano

_Step = TypeVar("_Step")
_MAX_EDIT_TEXT = 4096
_MAX_EDITS = 64
_MAX_STACK = 256

SUBMITTED: Final = "try"  # the proposer of whatever a person or another program wrote
PEER: Final = "peer"  # the proposer of what somebody else's record claims
COMBINING: Final = "combination"  # the proposer of two patches that were never tried together

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
    learn from, and the decision follows from them again. What was handed in has no `edits`. A
    peer's patch has its `author` and what they say it gains, in thousandths of a deviation; a
    stack of several claims has `co_authors`, one for each claim after the first. `model` and
    `program` say where a model's idea came from, `tokens` and `usd_nano` what it cost to write.
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
    author: bytes | None = None
    claim_milli: int | None = None
    co_authors: tuple[bytes, ...] | None = None
    model: str | None = None
    program: bytes | None = None
    tokens: int | None = None
    usd_nano: int | None = None

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
        field("author", digest(), optional=True),
        field("claim", integer(), "claim_milli", optional=True),
        field("co_authors", listing(digest(), high=8), optional=True),
        field("model", line(1, 80), optional=True),
        field("program", digest(), optional=True),
        field("tokens", integer(0), optional=True),
        field("usd", integer(0), "usd_nano", optional=True),
    )

    @property
    def origin(self) -> Origin:
        """Who thought of it, as its patch says."""
        return Origin(proposer=self.proposer, model=self.model, program=self.program)

    @property
    def authors(self) -> tuple[bytes, ...]:
        """Whose claims it tries, one for each claim; of an own idea nobody's."""
        return () if self.author is None else (self.author, *(self.co_authors or ()))

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
class Measured(Mapped):
    """What a trial against the head measured, and the own result that says so.

    The gain and its 95 % interval are in 1e-9 units, positive if better; None without a pair.
    """

    record: bytes
    pairs: int
    gain_nano: int | None
    lower_nano: int | None
    upper_nano: int | None
    bases_fault: bool | None = None  # there is no verdict, as the head failed

    TABLE: ClassVar = Table(
        field("record", digest()),
        field("pairs", integer(0)),
        field("gain", nullable(integer()), "gain_nano"),
        field("lower", nullable(integer()), "lower_nano"),
        field("upper", nullable(integer()), "upper_nano"),
        field("bases_fault", boolean(), optional=True),
    )


_MEASURED: Final = Codec(Measured.from_value, Measured.to_value)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointStep:
    """A stack on trial: the patches kept since the verified head.

    What came of it is filled in when it is closed, here and in the other trials against the head.
    """

    base: bytes
    tree: bytes
    stack: tuple[bytes, ...]
    passed: bool = False
    measured: Measured | None = None

    TABLE: ClassVar = Table(
        field("base", digest()),
        field("tree", digest()),
        field("stack", listing(digest(), high=_MAX_STACK)),
        field("passed", boolean()),
        field("measured", _MEASURED, optional=True),
    )

    def to_value(self) -> Value:
        """Return the body to keep."""
        return self.TABLE.write(self)

    @classmethod
    def from_value(cls, value: Value) -> "CheckpointStep":
        """Return the step kept in a body."""
        return _readable(cls.TABLE.read(cls, value))


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationStep:
    """A claim that is run again: a tree against the base that it was claimed against.

    `gain_nano` and `lower_nano` are what `target`, a result, says it gained and at least (None: it
    claims nothing), positive if better; `part` is the own patch that an ablation is about. All
    seeds follow from `proof`. What follows `part` is filled in when it is closed: the verdict, the
    word for the claim, the gain measured here with its interval, the evidence (ln E in
    thousandths) and the record that says so.
    """

    base: bytes
    tree: bytes
    target: bytes | None
    author: bytes
    gain_nano: int | None
    lower_nano: int | None
    alpha_micro: int
    max_pairs: int
    is_quick: bool
    is_published: bool
    proof: bytes
    part: bytes | None = None
    verdict: str = ""
    reason: str = ""
    word: str = ""
    measured_nano: int | None = None
    from_nano: int | None = None
    to_nano: int | None = None
    log_e_milli: int | None = None
    record: bytes | None = None

    TABLE: ClassVar = Table(
        field("base", digest()),
        field("tree", digest()),
        field("target", nullable(digest())),
        field("author", digest()),
        field("gain", nullable(integer()), "gain_nano"),
        field("lower", nullable(integer()), "lower_nano"),
        field("alpha", integer(1, 500_000), "alpha_micro"),
        field("max_pairs", integer(2, 64)),
        field("quick", boolean(), "is_quick"),
        field("published", boolean(), "is_published"),
        field("proof", binary(64, 64)),
        field("part", digest(), optional=True),
        field("verdict", line(0, 32)),
        field("reason", line(0, 300)),
        field("word", line(0, 32)),
        field("measured", nullable(integer()), "measured_nano"),
        field("from", nullable(integer()), "from_nano"),
        field("to", nullable(integer()), "to_nano"),
        field("log_e", nullable(integer()), "log_e_milli"),
        field("record", nullable(digest())),
    )

    def to_value(self) -> Value:
        """Return the body to keep."""
        return self.TABLE.write(self)

    @classmethod
    def from_value(cls, value: Value) -> "AttestationStep":
        """Return the step kept in a body."""
        return _readable(cls.TABLE.read(cls, value))

    @property
    def question(self) -> "AttestationStep":
        """What was asked, without what came of it."""
        return replace(
            self,
            verdict="",
            reason="",
            word="",
            measured_nano=None,
            from_nano=None,
            to_nano=None,
            log_e_milli=None,
            record=None,
        )

    @property
    def policy(self) -> Policy:
        """The rule's numbers for this claim."""
        mode = QUICK if self.is_quick else VERIFY
        return replace(mode, alpha=self.alpha_micro / 1e6, max_pairs=self.max_pairs)

    @property
    def claim(self) -> Claim | None:
        """What is claimed, in the metric's unit."""
        if self.gain_nano is None:
            return None
        return Claim(gain=self.gain_nano / NANO, lower=from_nano(self.lower_nano))


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchUpStep:
    """Somebody's tree on trial against the verified head: `theirs` without its prose is `tree`.

    `target` is their result, `patch` their patch, `gain_nano` and `lower_nano` what follows from
    their figures for a step from `base` and at least, positive if better. `verdict` and the word
    for the claim are filled in when it is closed.
    """

    base: bytes
    tree: bytes
    theirs: bytes
    patch: bytes
    target: bytes
    author: bytes
    gain_nano: int
    lower_nano: int | None = None
    verdict: str = ""
    word: str | None = None
    measured: Measured | None = None

    TABLE: ClassVar = Table(
        field("base", digest()),
        field("tree", digest()),
        field("theirs", digest()),
        field("patch", digest()),
        field("target", digest()),
        field("author", digest()),
        field("gain", integer(), "gain_nano"),
        field("lower", integer(), "lower_nano", optional=True),
        field("verdict", line(0, 32)),
        field("word", line(0, 32), optional=True),
        field("measured", _MEASURED, optional=True),
    )

    def to_value(self) -> Value:
        """Return the body to keep."""
        return self.TABLE.write(self)

    @classmethod
    def from_value(cls, value: Value) -> "CatchUpStep":
        """Return the step kept in a body."""
        return _readable(cls.TABLE.read(cls, value))

    @property
    def claim(self) -> Claim:
        """What is claimed of the step, in the metric's unit."""
        return Claim(gain=self.gain_nano / NANO, lower=from_nano(self.lower_nano))


@dataclass(frozen=True, slots=True, kw_only=True)
class RemeasureStep:
    """A head in doubt: `tree` against the `base` that it was adopted over, by `patch`.

    `evidence` is the own result that vouched for it. `verdict` is filled in when it is closed.
    """

    base: bytes
    tree: bytes
    patch: bytes
    evidence: bytes
    because: str
    verdict: str = ""
    measured: Measured | None = None

    TABLE: ClassVar = Table(
        field("base", digest()),
        field("tree", digest()),
        field("patch", digest()),
        field("evidence", digest()),
        field("because", line(1, 200)),
        field("verdict", line(0, 32)),
        field("measured", _MEASURED, optional=True),
    )

    def to_value(self) -> Value:
        """Return the body to keep."""
        return self.TABLE.write(self)

    @classmethod
    def from_value(cls, value: Value) -> "RemeasureStep":
        """Return the step kept in a body."""
        return _readable(cls.TABLE.read(cls, value))


def _readable(step: _Step | Rejected) -> _Step:
    if isinstance(step, Rejected):
        raise DamagedStoreError(f"a job in the store does not read: {step.reason}", DAMAGED_HINT)
    return step
