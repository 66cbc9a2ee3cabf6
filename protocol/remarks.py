"""The small kinds: a noise floor, an intent, an insight, a retraction, a report, and proposals.

    noise   {task, class, env, tree, runs [base run] 1…64}
    intent  {task, class, base, title 1…120, ttl_s 1…3600}
    insight {task, class|nil, text 1…600, evidence [record id] ≤ 16}
    retract {target record id|nil, revoke, reason ≤ 200}
    report    {task, class, title 1…120, since ms, until ms, base, head, figures {name int} ≤ 32,
               text blob, size 1…1 MiB, evidence [record id] ≤ 16}
    proposals {task, class, since ms, until ms, counts [count] 1…32}
    count     {proposer, model|nil, program hash|nil, proposed, void, failed, rejected, tried, kept}

An intent is advisory and forgotten after a day. A retraction takes back one own record, or with
`revoke` the author's key and all that it ever signed; of what others signed it means nothing. A
report's text is a blob, to be read by people; its figures and title are what programs read. Of the
proposals of an author, task and class the record with the highest seq stands. Neither moves a
board: both are their author's word.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from protocol.body import Place, RecordBody, Sort
from protocol.codecs import integer, line, text
from protocol.fields import ClassName, Digest, Items, Mapped, ModelName, Named, Natural, Word
from protocol.runs import MAX_RUNS, Env, Figures, Run

MAX_INTENT_S: Final = 3600
MAX_TITLE: Final = 120
MAX_INSIGHT: Final = 600
MAX_EVIDENCE: Final = 16
MAX_REPORT_BYTES: Final = 1 << 20  # as any blob
MAX_COUNTS: Final = 32
_MAX_REASON = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseBody(RecordBody, Mapped):
    """An A/A measurement: runs of one tree with different seeds."""

    kind: ClassVar = "noise"
    task: Digest
    hardware_class: ClassName
    env: Env
    tree: Digest
    runs: Annotated[tuple[Run, ...], Items(1, MAX_RUNS)]

    @property
    def places(self) -> tuple[Place, ...]:
        return ("family",)

    def _fault(self) -> str | None:
        if any(run.role != "base" for run in self.runs):
            return "runs: the runs of a noise measurement have the role base"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentBody(RecordBody, Mapped):
    """Somebody is about to try this, for `ttl_s` seconds from the record's time."""

    kind: ClassVar = "intent"
    task: Digest
    hardware_class: ClassName
    base: Digest
    title: Annotated[str, line(1, MAX_TITLE)]
    ttl_s: Annotated[int, integer(1, MAX_INTENT_S)]

    @property
    def places(self) -> tuple[Place, ...]:
        return ("family",)

    @property
    def sort(self) -> Sort:
        return "intent"

    @property
    def lives_s(self) -> int:
        return self.ttl_s


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightBody(RecordBody, Mapped):
    """What a series of results taught; of one hardware class, or of all."""

    kind: ClassVar = "insight"
    task: Digest
    hardware_class: ClassName | None
    message: Annotated[str, text(MAX_INSIGHT), Named("text")]
    evidence: Annotated[tuple[Digest, ...], Items(0, MAX_EVIDENCE)]

    def _fault(self) -> str | None:
        return None if self.message else "text: empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetractBody(RecordBody, Mapped):
    """An author takes back an own record, or the own key (`revoke`, without a target)."""

    kind: ClassVar = "retract"
    target: Digest | None
    revoke: bool
    reason: Annotated[str, line(0, _MAX_REASON)]

    @property
    def places(self) -> tuple[Place, ...]:
        return ("everybody",)

    @property
    def about(self) -> bytes | None:
        return self.target

    def _fault(self) -> str | None:
        if (self.target is None) != self.revoke:
            return "a retraction names a target or revokes the key, one of the two"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportBody(RecordBody, Mapped):
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
class ProposalsBody(RecordBody, Mapped):
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
