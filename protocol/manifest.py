"""A task's manifest: everything that a measured number depends on besides the machine.

The task id is the sha256 of the manifest's canonical encoding, so anyone may announce a task
and nobody can change one. Program text, knobs and descriptions are not in it.

    {name, version, kind, files [[path, blob]], metric {name, unit, direction, max_step},
     budget {unit, amount}, limits {limit_s, warmup_limit_s, memory_mb, weights_mb,
     max_source_growth}, noise_floor, audit {k, tolerance, tau}, data [[name, hash]],
     tokenizer|nil, vocabulary, context, claim_rows, evaluator, program?, ladder?}

max_step, noise_floor, tolerance and tau are in the units of a record's figures: 1e-9 of the metric,
of a program task 10^-scale of it. max_source_growth is in bytes of compressed source. A program
task has a `program` (protocol/program.py), no tokenizer, and 0 for vocabulary, context and
claim_rows. `ladder` is the task one rung below. `files` is the baseline; its paths are what patches
may edit. A kind, a unit of a budget or an evaluator that a reader does not know makes a task that
it keeps and passes on and does not run.
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Final, Literal, TypeAlias

from protocol.encoding import Value, decode, encode
from protocol.errors import Rejected
from protocol.fields import (
    NAME_PATTERN,
    WORD_PATTERN,
    Codec,
    Mapped,
    Table,
    choice,
    digest,
    field,
    integer,
    line,
    listing,
    nullable,
    pair,
    relative_path,
    strictly_rising,
    word,
)
from protocol.program import METRIC_NAME, ProgramSpec, power_of_ten
from protocol.source import tree_id

TaskKind: TypeAlias = Literal["language-model", "program"]
Direction: TypeAlias = Literal["min", "max"]
BudgetUnit: TypeAlias = Literal["tokens", "seconds", "instances"]

MAX_FILES: Final = 8  # editable files, here and in a patch
_MAX_DATA = 128
_EVALUATOR = r"[a-z0-9._-]{1,48}/[a-z0-9]{1,64}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec(Mapped):
    """What is measured; a gain above `max_step_nano` in one step is implausible.

    `scale` is the power of ten that makes a program's figures whole numbers in records; those of
    a language model are in 1e-9 units.
    """

    name: str
    unit: str
    direction: Direction
    max_step_nano: int
    scale: int | None = None

    TABLE: ClassVar = Table(
        field("name", word(METRIC_NAME)),
        field("unit", line(0, 16)),
        field("direction", choice("min", "max")),
        field("max_step", integer(1), "max_step_nano"),
        field("scale", power_of_ten(), optional=True),
    )

    @property
    def sign(self) -> int:
        """What a figure is multiplied by for smaller to be better: +1 or -1."""
        return 1 if self.direction == "min" else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget(Mapped):
    """What a run may spend: `unit` is a `BudgetUnit`, or a word of a later version."""

    unit: str
    amount: int

    TABLE: ClassVar = Table(
        field("unit", word(WORD_PATTERN)),
        field("amount", integer(1)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Mapped):
    """The ceilings of a run, equal for everybody."""

    limit_s: int
    warmup_limit_s: int
    memory_mb: int
    weights_mb: int
    max_source_growth_bytes: int

    TABLE: ClassVar = Table(
        field("limit_s", integer(1)),
        field("warmup_limit_s", integer(0)),
        field("memory_mb", integer(1)),
        field("weights_mb", integer(0)),
        field("max_source_growth", integer(0), "max_source_growth_bytes"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCaps(Mapped):
    """How many positions an audit draws, and caps for what calibration may allow."""

    k: int
    tolerance_nano: int
    tau_nano: int

    TABLE: ClassVar = Table(
        field("k", integer(0)),
        field("tolerance", integer(0), "tolerance_nano"),
        field("tau", integer(0), "tau_nano"),
    )


@dataclass(frozen=True, kw_only=True)  # without slots, so that what is hashed is hashed once
class TaskManifest:
    """What is optimised, by hash.

    `kind` is a `TaskKind`, or a word of a later version. `received` is the encoding as it came when
    it holds fields that this version does not know: the id covers those too.
    """

    name: str
    version: int
    kind: str
    files: tuple[tuple[str, bytes], ...]
    metric: MetricSpec
    budget: Budget
    limits: Limits
    noise_floor_nano: int
    audit: AuditCaps
    data: tuple[tuple[str, bytes], ...]
    tokenizer: bytes | None
    vocabulary_size: int
    context: int
    claim_rows: int
    evaluator: str
    program: ProgramSpec | None = None
    below: bytes | None = None
    received: bytes | None = dataclasses.field(default=None, repr=False)

    TABLE: ClassVar = Table(
        field("name", word(NAME_PATTERN)),
        field("version", integer(1)),
        field("kind", word(WORD_PATTERN)),
        field("files", listing(pair(relative_path(), digest()), low=1, high=MAX_FILES)),
        field("metric", Codec(MetricSpec.from_value, MetricSpec.to_value)),
        field("budget", Codec(Budget.from_value, Budget.to_value)),
        field("limits", Codec(Limits.from_value, Limits.to_value)),
        field("noise_floor", integer(0), "noise_floor_nano"),
        field("audit", Codec(AuditCaps.from_value, AuditCaps.to_value)),
        field("data", listing(pair(relative_path(), digest()), high=_MAX_DATA)),
        field("tokenizer", nullable(digest())),
        field("vocabulary", integer(0), "vocabulary_size"),
        field("context", integer(0)),
        field("claim_rows", integer(0)),
        field("evaluator", word(_EVALUATOR)),
        field("program", Codec(ProgramSpec.from_value, ProgramSpec.to_value), optional=True),
        field("ladder", digest(), "below", optional=True),
    )

    @property
    def encoded(self) -> bytes:
        """The canonical encoding, of which the id is the hash."""
        return encode(self.TABLE.write(self)) if self.received is None else self.received

    @cached_property
    def id(self) -> bytes:
        """The 32-byte task id."""
        return hashlib.sha256(self.encoded).digest()

    @cached_property
    def baseline_tree(self) -> bytes:
        """The 32-byte tree id of the baseline, the anchor of the task's boards."""
        return tree_id(list(self.files))

    def to_value(self) -> Value:
        """Return the map that stands for it, unknown fields included."""
        if self.received is None:
            return self.TABLE.write(self)
        value = decode(self.received, limit_bytes=len(self.received))
        assert not isinstance(value, Rejected)  # noqa: S101 - it was encoded by from_value
        return value

    @classmethod
    def from_value(cls, value: Value) -> "TaskManifest | Rejected":
        """Return the manifest that `value` stands for."""
        manifest = cls.TABLE.read(cls, value, fault=cls._fault)
        if isinstance(manifest, Rejected):
            return manifest
        received = encode(value)
        if received == manifest.encoded:
            return manifest
        return dataclasses.replace(manifest, received=received)

    def _fault(self) -> str | None:
        for name, entries in (("files", self.files), ("data", self.data)):
            if not strictly_rising([entry for entry, _ in entries]):
                return f"{name}: not sorted by name, or a name twice"
        sizes = (self.vocabulary_size, self.context, self.claim_rows)
        if self.kind == "program":
            if self.tokenizer is not None or any(sizes):
                return "a program task has no tokenizer, vocabulary, context or claim_rows"
            if self.program is None or self.metric.scale is None:
                return "a program task needs program and its metric's scale"
        elif self.kind == "language-model":
            if self.tokenizer is None or not all(sizes):
                return "a language-model task needs tokenizer, vocabulary, context and claim_rows"
            if self.program is not None or self.metric.scale is not None:
                return "a language-model task has no program, and its metric no scale"
        return None
