"""A task's manifest: everything that a measured number depends on besides the machine.

The task id is the sha256 of the manifest's canonical encoding, so anyone may announce a task
and nobody can change one. Program text, knobs and descriptions are not in it.

    {name, version, kind, files [[path, blob]], metric {name, unit, direction, max_step},
     budget {unit, amount}, limits {limit_s, warmup_limit_s, memory_mb, weights_mb,
     max_source_growth}, noise_floor, audit {k, tolerance, tau}, data [[name, hash]],
     tokenizer|nil, vocabulary, context, claim_rows, evaluator, program?, ladder?, target?}

max_step, noise_floor, tolerance and tau are in the units of a record's figures: 1e-9 of the metric,
of a program task 10^-scale of it. max_source_growth is in bytes of compressed source. A program
task has a `program` (protocol/program.py), no tokenizer, and 0 for vocabulary, context and
claim_rows. `ladder` is the task one rung below. Where a language model has a `target`, in 1e-9 of
what its evaluator measures, the metric is the time that training takes to come there. `files` is
the baseline; its paths are what patches may edit. A kind, a unit of a budget or an evaluator that a
reader does not know makes a task that it keeps and passes on and does not run.
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final, Literal, Self, TypeAlias

from protocol.codecs import NAME_PATTERN, line, strictly_rising, word
from protocol.encoding import Value, decode, encode
from protocol.errors import Rejected
from protocol.fields import (
    OPTIONAL,
    UNWRITTEN,
    Digest,
    Items,
    Mapped,
    Named,
    NamedDigest,
    Natural,
    Positive,
    Word,
)
from protocol.program import METRIC_NAME, PowerOfTen, ProgramSpec
from protocol.source import tree_id

Direction: TypeAlias = Literal["min", "max"]

MAX_FILES: Final = 8  # editable files, here and in a patch
_MAX_DATA = 128
_EVALUATOR = r"[a-z0-9._-]{1,48}/[a-z0-9]{1,64}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec(Mapped):
    """What is measured; a gain above `max_step_nano` in one step is implausible.

    `scale` is the power of ten that makes a program's figures whole numbers in records; those of
    a language model are in 1e-9 units.
    """

    name: Annotated[str, word(METRIC_NAME)]
    unit: Annotated[str, line(0, 16)]
    direction: Direction
    max_step_nano: Annotated[Positive, Named("max_step")]
    scale: Annotated[PowerOfTen | None, OPTIONAL] = None

    @property
    def sign(self) -> int:
        """What a figure is multiplied by for smaller to be better: +1 or -1."""
        return 1 if self.direction == "min" else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget(Mapped):
    """What a run may spend, in tokens, seconds, instances or a later version's `unit`."""

    unit: Word
    amount: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Mapped):
    """The ceilings of a run, equal for everybody."""

    limit_s: Positive
    warmup_limit_s: Natural
    memory_mb: Positive
    weights_mb: Natural
    max_source_growth_bytes: Annotated[Natural, Named("max_source_growth")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCaps(Mapped):
    """How many positions an audit draws, and caps for what calibration may allow."""

    k: Natural
    tolerance_nano: Annotated[Natural, Named("tolerance")]
    tau_nano: Annotated[Natural, Named("tau")]


@dataclass(frozen=True, kw_only=True)  # without slots, so that what is hashed is hashed once
class TaskManifest(Mapped):
    """What is optimised, by hash.

    `kind` is language-model, program, or a later version's. `received` is the encoding as it came
    when it holds fields that this version does not know: the id covers those too.
    """

    name: Annotated[str, word(NAME_PATTERN)]
    version: Positive
    kind: Word
    files: Annotated[tuple[NamedDigest, ...], Items(1, MAX_FILES)]
    metric: MetricSpec
    budget: Budget
    limits: Limits
    noise_floor_nano: Annotated[Natural, Named("noise_floor")]
    audit: AuditCaps
    data: Annotated[tuple[NamedDigest, ...], Items(0, _MAX_DATA)]
    tokenizer: Digest | None
    vocabulary_size: Annotated[Natural, Named("vocabulary")]
    context: Natural
    claim_rows: Natural
    evaluator: Annotated[str, word(_EVALUATOR)]
    program: Annotated[ProgramSpec | None, OPTIONAL] = None
    below: Annotated[Digest | None, Named("ladder"), OPTIONAL] = None
    target_nano: Annotated[Positive | None, Named("target"), OPTIONAL] = None
    received: Annotated[bytes | None, UNWRITTEN] = dataclasses.field(default=None, repr=False)

    @property
    def encoded(self) -> bytes:
        """The canonical encoding, of which the id is the hash."""
        return encode(super().to_value()) if self.received is None else self.received

    @cached_property
    def id(self) -> bytes:
        """The 32-byte task id."""
        return hashlib.sha256(self.encoded).digest()

    @cached_property
    def baseline_tree(self) -> bytes:
        """The 32-byte tree id of the baseline, the anchor of the task's boards."""
        return tree_id(list(self.files))

    @property
    def scoring(self) -> str:
        """Whose word its figures are: "judged", the candidate's own ("self"), a "model"'s.

        "public": judged, by an imported evaluator that asks the same of every candidate.
        """
        if self.program is None:
            return "judged"
        is_public = self.program.scoring == "judged" and self.program.has_public_instances
        return "public" if is_public else self.program.scoring

    @property
    def is_ranked(self) -> bool:
        """Whether its figures have a board: somebody else's judge would find the same."""
        return self.program is None or self.program.scoring == "judged"

    def to_value(self) -> Value:
        """Return the map that stands for it, unknown fields included."""
        if self.received is None:
            return super().to_value()
        value = decode(self.received, limit_bytes=len(self.received))
        assert not isinstance(value, Rejected)  # noqa: S101 - it was encoded by from_value
        return value

    @classmethod
    def from_value(cls, value: Value) -> Self | Rejected:
        """Return the manifest that `value` stands for."""
        manifest = super().from_value(value)
        if isinstance(manifest, Rejected):
            return manifest
        received = encode(value)
        if received == manifest.encoded:
            return manifest
        return dataclasses.replace(manifest, received=received)

    def parts_from(self, other: Self) -> tuple[str, object, object] | None:
        """Return in what this is no other rung of a task's ladder: what, there and here; else None.

        Rungs have one kind, one metric and the same editable files.
        """
        for what, theirs, own in (
            ("kind", other.kind, self.kind),
            ("metric", other.metric.name, self.metric.name),
            ("direction", other.metric.direction, self.metric.direction),
            ("files", [path for path, _ in other.files], [path for path, _ in self.files]),
        ):
            if theirs != own:
                return what, theirs, own
        return None

    def _fault(self) -> str | None:
        for name, entries in (("files", self.files), ("data", self.data)):
            if not strictly_rising([entry for entry, _ in entries]):
                return f"{name}: not sorted by name, or a name twice"
        sizes = (self.vocabulary_size, self.context, self.claim_rows)
        if self.kind == "program":
            if self.tokenizer is not None or any(sizes):
                return "a program task has no tokenizer, vocabulary, context or claim_rows"
            if self.target_nano is not None:
                return "a program task has no target"
            if self.program is None or self.metric.scale is None:
                return "a program task needs program and its metric's scale"
            editable = {path for path, _ in self.files}
            if any(region.path not in editable for region in self.program.regions or ()):
                return "regions: of a file that is not editable"
        elif self.kind == "language-model":
            if self.tokenizer is None or not all(sizes):
                return "a language-model task needs tokenizer, vocabulary, context and claim_rows"
            if self.program is not None or self.metric.scale is not None:
                return "a language-model task has no program, and its metric no scale"
        return None
