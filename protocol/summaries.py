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
from typing import Annotated, ClassVar, Final

from protocol.codecs import integer, line
from protocol.fields import ClassName, Digest, Items, Mapped, ModelName, Named, Natural, Word
from protocol.remarks import MAX_EVIDENCE, MAX_TITLE
from protocol.runs import Figures

MAX_REPORT_BYTES: Final = 1 << 20  # as any blob
MAX_COUNTS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportBody(Mapped):
    """A session's report: from when to when, from which head to which, in figures and a text."""

    kind: ClassVar = "report"
    task: Digest
    hardware_class: ClassName
    title: Annotated[str, line(1, MAX_TITLE)]
    since_ms: Annotated[Natural, Named("since")]
    until_ms: Annotated[Natural, Named("until")]
    base: Digest
    head: Digest
    figures: Figures
    text: Digest
    size_bytes: Annotated[int, integer(1, MAX_REPORT_BYTES), Named("size")]
    evidence: Annotated[tuple[Digest, ...], Items(0, MAX_EVIDENCE)]

    def _fault(self) -> str | None:
        return "until: before since" if self.until_ms < self.since_ms else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalCount(Mapped):
    """How the proposals of one proposer, model and program fared.

    Of `proposed` ones `void` were none (unreadable, without effect, tried before), `failed` ended
    without a figure, `rejected` were caught by the evaluator, `tried` were measured, and of these
    `kept` were kept.
    """

    proposer: Word
    model: ModelName | None
    program: Digest | None
    proposed: Natural
    void: Natural
    failed: Natural
    rejected: Natural
    tried: Natural
    kept: Natural

    def _fault(self) -> str | None:
        if self.void + self.failed + self.rejected + self.tried > self.proposed:
            return "more outcomes than proposals"
        return "more kept than tried" if self.kept > self.tried else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalsBody(Mapped):
    """How often what each proposer, model and program wrote was kept, failed, or cheated."""

    kind: ClassVar = "proposals"
    task: Digest
    hardware_class: ClassName
    since_ms: Annotated[Natural, Named("since")]
    until_ms: Annotated[Natural, Named("until")]
    counts: Annotated[tuple[ProposalCount, ...], Items(1, MAX_COUNTS)]

    def _fault(self) -> str | None:
        if self.until_ms < self.since_ms:
            return "until: before since"
        named = {(count.proposer, count.model, count.program) for count in self.counts}
        return "counts: a proposer twice" if len(named) < len(self.counts) else None
