"""What an author says of many experiments at once: a report, and how its proposers fared.

    report    {task, class, title 1…120, since ms, until ms, base, head, figures {name int} ≤ 32,
               text blob, size 1…1 MiB, evidence [record id] ≤ 16}
    proposals {task, class, since ms, until ms, counts [count] 1…32}
    count     {proposer, model|nil, program hash|nil, proposed, void, failed, rejected, tried, kept}

A report's text is a blob, to be read by people; its figures and title are what programs read. Of
the proposals of an author, task and class the record with the highest seq stands. Neither moves a
board: both are their author's word.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from protocol.fields import (
    CLASS_PATTERN,
    FLAG_PATTERN,
    Codec,
    Mapped,
    Table,
    digest,
    field,
    integer,
    line,
    listing,
    nullable,
    word,
)
from protocol.remarks import MAX_EVIDENCE, MAX_TITLE
from protocol.runs import Figures

MAX_REPORT_BYTES: Final = 1 << 20  # as any blob
MAX_COUNTS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportBody(Mapped):
    """A session's report: from when to when, from which head to which, in figures and a text."""

    kind: ClassVar = "report"
    task: bytes
    hardware_class: str
    title: str
    since_ms: int
    until_ms: int
    base: bytes
    head: bytes
    figures: Figures
    text: bytes
    size_bytes: int
    evidence: tuple[bytes, ...]

    TABLE: ClassVar = Table(
        field("task", digest()),
        field("class", word(CLASS_PATTERN), "hardware_class"),
        field("title", line(1, MAX_TITLE)),
        field("since", integer(0), "since_ms"),
        field("until", integer(0), "until_ms"),
        field("base", digest()),
        field("head", digest()),
        field("figures", Codec(Figures.from_value, Figures.to_value)),
        field("text", digest()),
        field("size", integer(1, MAX_REPORT_BYTES), "size_bytes"),
        field("evidence", listing(digest(), high=MAX_EVIDENCE)),
    )

    def _fault(self) -> str | None:
        return "until: before since" if self.until_ms < self.since_ms else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalCount(Mapped):
    """How the proposals of one proposer, model and program fared.

    Of `proposed` ones `void` were none (unreadable, without effect, tried before), `failed` ended
    without a figure, `rejected` were caught by the evaluator, `tried` were measured, and of these
    `kept` were kept.
    """

    proposer: str
    model: str | None
    program: bytes | None
    proposed: int
    void: int
    failed: int
    rejected: int
    tried: int
    kept: int

    TABLE: ClassVar = Table(
        field("proposer", word(FLAG_PATTERN)),
        field("model", nullable(line(1, 80))),
        field("program", nullable(digest())),
        field("proposed", integer(0)),
        field("void", integer(0)),
        field("failed", integer(0)),
        field("rejected", integer(0)),
        field("tried", integer(0)),
        field("kept", integer(0)),
    )

    def _fault(self) -> str | None:
        if self.void + self.failed + self.rejected + self.tried > self.proposed:
            return "more outcomes than proposals"
        return "more kept than tried" if self.kept > self.tried else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalsBody(Mapped):
    """How often what each proposer, model and program wrote was kept, failed, or cheated."""

    kind: ClassVar = "proposals"
    task: bytes
    hardware_class: str
    since_ms: int
    until_ms: int
    counts: tuple[ProposalCount, ...]

    TABLE: ClassVar = Table(
        field("task", digest()),
        field("class", word(CLASS_PATTERN), "hardware_class"),
        field("since", integer(0), "since_ms"),
        field("until", integer(0), "until_ms"),
        field(
            "counts",
            listing(
                Codec(ProposalCount.from_value, ProposalCount.to_value), low=1, high=MAX_COUNTS
            ),
        ),
    )

    def _fault(self) -> str | None:
        if self.until_ms < self.since_ms:
            return "until: before since"
        named = {(count.proposer, count.model, count.program) for count in self.counts}
        return "counts: a proposer twice" if len(named) < len(self.counts) else None
