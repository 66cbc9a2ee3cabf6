"""The small kinds of records: noise, intent, insight, retraction, report and proposals.

    noise   {task, class, env, tree, runs [base run] 1…64}
    intent  {task, class, base, title 1…120, ttl_s 1…3600}
    insight {task, class|nil, text 1…600, evidence [record id] ≤ 16}
    retract {target record id|nil, revoke, reason ≤ 200}
    report    {task, class, title 1…120, since ms, until ms, base, head, figures {name int} ≤ 32,
               text blob, size 1…1 MiB, evidence [record id] ≤ 16}
    proposals {task, class, since ms, until ms, counts [count] 1…32}
    count     {proposer, model|nil, program hash|nil, proposed, unusable, failed, rejected, tried,
    kept}

An intent is advisory and deleted after a day. A retraction withdraws one of the author's own
records or, with `revoke`, the author's key and everything that it ever signed. It has no effect on
other authors' records. A report's text is a blob for people; programs read its figures and title.
Of the proposals records of one author, task and class, the one with the highest seq counts. Reports
and proposals are unverified, so they have no effect on a leaderboard.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from protocol.body import Place, RecordBody, Sort
from protocol.codecs import integer, long_text, single_line
from protocol.fields import ClassName, Digest, Identifier, Items, Mapped, ModelName, Named, Natural
from protocol.runs import MAX_RUNS, Env, Figures, Run

MAX_INTENT_S: Final = 3600
MAX_TITLE: Final = 120
MAX_INSIGHT: Final = 600
MAX_EVIDENCE: Final = 16
MAX_REPORT_BYTES: Final = 1 << 20  # the limit of any blob
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
            return "runs: the runs of a noise measurement must have the role base"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentBody(RecordBody, Mapped):
    """A notice that the author tries an idea soon, valid for `ttl_s` s from the record's time."""

    kind: ClassVar = "intent"
    task: Digest
    hardware_class: ClassName
    base: Digest
    title: Annotated[str, single_line(1, MAX_TITLE)]
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
    """A lesson from a series of results, for one hardware class or for all (None)."""

    kind: ClassVar = "insight"
    task: Digest
    hardware_class: ClassName | None
    message: Annotated[str, long_text(MAX_INSIGHT), Named("text")]
    evidence: Annotated[tuple[Digest, ...], Items(0, MAX_EVIDENCE)]

    def _fault(self) -> str | None:
        return None if self.message else "text: empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetractBody(RecordBody, Mapped):
    """A withdrawal of one of the author's records, or of its key (`revoke`, without a target)."""

    kind: ClassVar = "retract"
    target: Digest | None
    revoke: bool
    reason: Annotated[str, single_line(0, _MAX_REASON)]

    @property
    def places(self) -> tuple[Place, ...]:
        return ("everybody",)

    @property
    def about(self) -> bytes | None:
        return self.target

    def _fault(self) -> str | None:
        if (self.target is None) != self.revoke:
            return "a retraction must either name a target or revoke the key"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportBody(RecordBody, Mapped):
    """A session's report: its period, the verified heads before and after, figures and a text."""

    kind: ClassVar = "report"
    task: Digest
    hardware_class: ClassName
    title: Annotated[str, single_line(1, MAX_TITLE)]
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
    """The outcomes of the proposals of one proposer, language model and instructions.

    Of the `proposed` proposals, `unusable` were unreadable, without effect or tried before,
    `failed` ended without a figure, `rejected` were caught by the evaluator and `tried` were
    measured. Of the tried ones, `kept` were kept.
    """

    proposer: Identifier
    model: ModelName | None
    program: Digest | None
    proposed: Natural
    unusable: Natural
    failed: Natural
    rejected: Natural
    tried: Natural
    kept: Natural

    def _fault(self) -> str | None:
        if self.unusable + self.failed + self.rejected + self.tried > self.proposed:
            return "more outcomes than proposals"
        return "more kept than tried" if self.kept > self.tried else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalsBody(RecordBody, Mapped):
    """Counts of proposals kept, failed and so on, by proposer, model and instructions."""

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
        return "counts: a duplicate proposer" if len(named) < len(self.counts) else None
