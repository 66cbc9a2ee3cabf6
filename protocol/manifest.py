"""A task's manifest: all that a measured figure depends on, except the machine.

The task id is the sha256 of the manifest's canonical encoding, so anyone may announce a task and
nobody can change one. Instructions, hyperparameters and descriptions are not in it.

    {name, version, kind, files [[path, blob]], metric {name, unit, direction, max_step},
     budget {unit, amount}, limits {limit_s, warmup_limit_s, memory_mb, weights_mb,
     max_source_growth}, noise_floor, audit {k, tolerance, tau}, data [[name, hash]],
     tokenizer|nil, vocabulary, context, scored_rows, evaluator, program?, ladder?, target?}

`files` is the baseline; its paths are the files that patches may edit. max_step, noise_floor,
tolerance and tau are in the units of a record's figures: 1e-9 of the metric, or 10^-scale of it for
a program task. max_source_growth is in bytes of compressed source. `ladder` is the task one rung
below. A program task has a `program` (protocol/program.py), no tokenizer, and 0 for vocabulary,
context and scored_rows. If a language-model task has a `target`, in 1e-9 of what its evaluator
measures, the metric is the time that training takes to reach it. A reader that does not know the
kind, the budget's unit or the evaluator of a task stores and forwards it but does not run it.
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final, Literal, Self, TypeAlias

from protocol.codecs import NAME_PATTERN, identifier, single_line, strictly_rising
from protocol.encoding import Value, decode, encode
from protocol.errors import Rejected
from protocol.fields import (
    OPTIONAL,
    UNWRITTEN,
    Digest,
    Identifier,
    Items,
    Mapped,
    Named,
    NamedDigest,
    Natural,
    Positive,
)
from protocol.program import METRIC_NAME, PowerOfTen, ProgramSpec
from protocol.source import tree_id

Direction: TypeAlias = Literal["min", "max"]

MAX_FILES: Final = 8  # editable files in a task, and files in a patch
_MAX_DATA = 128
_EVALUATOR = r"[a-z0-9._-]{1,48}/[a-z0-9]{1,64}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec(Mapped):
    """The metric of a task; a gain above `max_step_nano` in one step is implausible.

    `scale` is the power of ten that turns a program's figures into the whole numbers in records.
    Figures of a language model are in 1e-9 units.
    """

    name: Annotated[str, identifier(METRIC_NAME)]
    unit: Annotated[str, single_line(0, 16)]
    direction: Direction
    max_step_nano: Annotated[Positive, Named("max_step")]
    scale: Annotated[PowerOfTen | None, OPTIONAL] = None

    @property
    def sign(self) -> int:
        """The factor, +1 or -1, by which to multiply figures so that smaller is better."""
        return 1 if self.direction == "min" else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget(Mapped):
    """The budget of a run, in tokens, seconds, instances or a `unit` that a later version added."""

    unit: Identifier
    amount: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Mapped):
    """The resource limits of a run, the same for every node."""

    limit_s: Positive
    warmup_limit_s: Natural
    memory_mb: Positive
    weights_mb: Natural
    max_source_growth_bytes: Annotated[Natural, Named("max_source_growth")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCaps(Mapped):
    """The number of positions that an audit draws, and upper limits for calibrated tolerances."""

    k: Natural
    tolerance_nano: Annotated[Natural, Named("tolerance")]
    tau_nano: Annotated[Natural, Named("tau")]


@dataclass(frozen=True, kw_only=True)  # no slots, so that `cached_property` can cache hashes
class TaskManifest(Mapped):
    """A task's manifest; files and data are named by hash.

    `kind` is language-model, program, or a word that a later version added. `received` is the
    original encoding if it has fields that this version does not know, because the id covers them
    too.
    """

    name: Annotated[str, identifier(NAME_PATTERN)]
    version: Positive
    kind: Identifier
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
    scored_rows: Natural
    evaluator: Annotated[str, identifier(_EVALUATOR)]
    program: Annotated[ProgramSpec | None, OPTIONAL] = None
    below: Annotated[Digest | None, Named("ladder"), OPTIONAL] = None
    target_nano: Annotated[Positive | None, Named("target"), OPTIONAL] = None
    received: Annotated[bytes | None, UNWRITTEN] = dataclasses.field(default=None, repr=False)

    @property
    def encoded(self) -> bytes:
        """The canonical encoding, whose hash is the id."""
        return encode(super().to_value()) if self.received is None else self.received

    @cached_property
    def id(self) -> bytes:
        """The 32-byte task id."""
        return hashlib.sha256(self.encoded).digest()

    @cached_property
    def baseline_tree(self) -> bytes:
        """The 32-byte tree id of the baseline, the anchor of the task's leaderboards."""
        return tree_id(list(self.files))

    @property
    def scoring(self) -> str:
        """The source of the task's figures: "judged", "public", "self" or "model".

        "judged": a judge measures them. "public": an imported evaluator measures them, on the same
        instances for every candidate. "self": the candidate reports them. "model": a language model
        gives an opinion.
        """
        if self.program is None:
            return "judged"
        is_public = self.program.scoring == "judged" and self.program.has_public_instances
        return "public" if is_public else self.program.scoring

    @property
    def is_ranked(self) -> bool:
        """True if the task has a leaderboard, because every node's judge gives the same score."""
        return self.program is None or self.program.scoring == "judged"

    def to_value(self) -> Value:
        """Return the map to write into a record, unknown fields included."""
        if self.received is None:
            return super().to_value()
        value = decode(self.received, limit_bytes=len(self.received))
        assert not isinstance(value, Rejected)  # noqa: S101 - it was encoded by from_value
        return value

    @classmethod
    def from_value(cls, value: Value) -> Self | Rejected:
        """Return the manifest read from `value`, or the first reason why it is invalid."""
        manifest = super().from_value(value)
        if isinstance(manifest, Rejected):
            return manifest
        received = encode(value)
        if received == manifest.encoded:
            return manifest
        return dataclasses.replace(manifest, received=received)

    def parts_from(self, other: Self) -> tuple[str, object, object] | None:
        """Return why this task and `other` cannot be rungs of one ladder, or None if they can.

        The reason is (property, value in `other`, value in this task). Rungs share the kind, the
        metric and the editable files.
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
                return f"{name}: not sorted by name, or a duplicate name"
        sizes = (self.vocabulary_size, self.context, self.scored_rows)
        if self.kind == "program":
            if self.tokenizer is not None or any(sizes):
                return "a program task has no tokenizer, vocabulary, context or scored_rows"
            if self.target_nano is not None:
                return "a program task has no target"
            if self.program is None or self.metric.scale is None:
                return "a program task needs program and its metric's scale"
            editable = {path for path, _ in self.files}
            if any(region.path not in editable for region in self.program.regions or ()):
                return "regions: a file that is not editable"
        elif self.kind == "language-model":
            if self.tokenizer is None or not all(sizes):
                return "a language-model task needs tokenizer, vocabulary, context and scored_rows"
            if self.program is not None or self.metric.scale is not None:
                return "a language-model task must have no program and no metric scale"
        return None
