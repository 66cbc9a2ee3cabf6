"""What a run gave, what it cost, and what the baseline costs: the runner's values."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from protocol.errors import ArnodeError
from protocol.runs import Audit, Role, Run, Status
from trainer.measuring.cost import StageCosts
from trainer.measuring.loss_curve import LossCurve, LossPoint
from trainer.measuring.timeline import Part, Stage, Timeline
from trainer.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from trainer.cards.load import CardReport

_LOG_CHARACTERS = 4000

# What a product answered of the public split: log-probabilities, say. Only its kind looks inside.
Answers: TypeAlias = object


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunOutcome:
    """What this node measured of one run. Metrics in 1e-9 units, None unless status is `ok`.

    Metrics and audit are as coarse as its kind of task lets them out. `answers` are those of the
    public split, to aim later audits with. `reason` may quote the candidate, `unquoted` never does;
    neither does, nor `log_tail`, from where it saw what is secret on. `stages` say where the
    seconds went, `curve` what it printed of its loss while it trained, which it says has so many
    `steps`: none of that leaves this node.
    `evidence` are bytes that anybody's judge can look at without running anything.
    `fault`: what ended it was no doing of the candidate's, and ends more than this run once it is
    written down.
    """

    seed: int
    status: Status
    metric_nano: int | None
    secret_nano: int | None
    ms: int
    cpu_ms: int
    serve_ms: int
    tokens: int
    peak_mem_bytes: int
    audit: Audit | None
    flags: tuple[str, ...]
    reason: str | None
    unquoted: str | None
    log_tail: str
    answers: Answers | None
    stages: tuple[Stage, ...] = ()
    curve: tuple[LossPoint, ...] = ()
    steps: int | None = None
    evidence: bytes | None = field(default=None, repr=False)
    fault: ArnodeError | None = None

    def to_run(self, role: Role, *, quoting: bool = True) -> Run:
        """Return what a record says of it; without `quoting` no word is the candidate's."""
        return Run(
            seed=self.seed,
            role=role,
            status=self.status,
            metric_nano=self.metric_nano,
            secret_nano=self.secret_nano,
            ms=self.ms,
            cpu_ms=self.cpu_ms,
            serve_ms=self.serve_ms,
            tokens=self.tokens,
            peak_mem_bytes=self.peak_mem_bytes,
            flags=self.flags,
            reason=self.reason if quoting else self.unquoted,
            audit=self.audit,
            step=self.curve[-1].step if self.status == "stopped" and self.curve else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BaselineCost:
    """What the task's baseline tree costs on this machine in this session.

    `product` is what it made, which can be scored again; `audited` is what its kind of task holds
    later audits against; `trained_s` is what its training took, by the same seconds as a metric.
    """

    cost: StageCosts
    product: bytes = field(repr=False)
    audited: object = None
    trained_s: float = 0.0


@dataclass(slots=True)
class Meter:
    """Fills up while a run goes on; whatever ends the run, these figures stand.

    `cost` are the seconds that count; `others_share` is what others used while it trained, other
    lanes among them, of all processors' time, `strangers_share` what strangers to this node did;
    `has_rows` says whether it was shown a row to score.
    """

    cost: StageCosts = field(default_factory=StageCosts)
    wall_s: float = 0.0
    train_cpu_s: float = 0.0
    others_share: float = 0.0
    strangers_share: float = 0.0
    has_rows: bool = False
    claim_wall_s: float = 0.0
    peak_mem_bytes: int = 0
    log_tail: str = ""
    card: "CardReport | None" = None
    timeline: Timeline = field(default_factory=Timeline)
    curve: LossCurve = field(default_factory=LossCurve)

    @property
    def is_contended(self) -> bool:
        """Whether others kept a card from the training."""
        return self.card is not None and self.card.is_contended

    @property
    def peak_bytes(self) -> int:
        """The most memory that it held: on its card, where that is told."""
        on_card = self.card.peak_own_bytes if self.card else None
        return self.peak_mem_bytes if on_card is None else on_card

    def note(self, sandbox: Sandbox, part: Part) -> None:
        """Take in how a sandbox came to be, what it used and said.

        How much memory a script holds when it sees secret text is of its choosing: that of
        training counts.
        """
        self.timeline.started(part, sandbox.start)
        if part == "train":
            self.peak_mem_bytes = max(self.peak_mem_bytes, sandbox.peak_memory_bytes)
        self.log_tail = (self.log_tail + sandbox.output_tail())[-_LOG_CHARACTERS:]
