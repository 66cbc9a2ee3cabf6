"""The runner's values: a run's outcome, its costs, and the baseline's cost."""

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

# A product's answers on the public split, such as log-probabilities. Only its kind reads them.
Answers: TypeAlias = object


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunOutcome:
    """This node's measurement of one run. Metrics are in 1e-9 units, None unless status is `ok`.

    Metrics and audit are rounded as far as the kind of task requires. `answers` are those on the
    public split; later audits use them to choose positions. `reason` may quote the candidate's
    output, `unquoted` never does. `reason` and `log_tail` contain no output printed after the
    candidate saw secret data. `stages` are the stages with their times. `curve` has the losses that
    the script printed during training, and `steps` the number of steps that it announced. Curve and
    steps stay on this node, except for the last step of a stopped run.

    `evidence` can be checked by any judge without running anything. `fault` is an error that the
    candidate did not cause. The caller records the run, then stops because of the fault.
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
        """Return the run in the form of records; without `quoting` it quotes no output."""
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
    """The cost of the task's baseline on this machine in this session.

    `product` is what the baseline's run produced; it can be scored again. `audited` is what this
    kind of task compares later audits with. `trained_s` is the length of the baseline's training,
    in the seconds that a metric of time counts.
    """

    cost: StageCosts
    product: bytes = field(repr=False)
    audited: object = None
    trained_s: float = 0.0


@dataclass(slots=True)
class Meter:
    """The figures of a run, filled in while it is running; they stay valid however it ends.

    `cost` has the seconds that ceilings limit. `others_share` is the fraction of all processors'
    time that others used during training, other lanes included. `outside_share` is the fraction
    that programs outside this node used. `has_rows` is True once the run was shown a row to score.
    """

    cost: StageCosts = field(default_factory=StageCosts)
    wall_s: float = 0.0
    train_cpu_s: float = 0.0
    others_share: float = 0.0
    outside_share: float = 0.0
    has_rows: bool = False
    score_wall_s: float = 0.0
    peak_mem_bytes: int = 0
    log_tail: str = ""
    card: "CardReport | None" = None
    timeline: Timeline = field(default_factory=Timeline)
    curve: LossCurve = field(default_factory=LossCurve)

    @property
    def is_contended(self) -> bool:
        """True if other programs used the card during the training."""
        return self.card is not None and self.card.is_contended

    @property
    def peak_bytes(self) -> int:
        """The peak memory of the run: on its card if that is known, else in main memory."""
        on_card = self.card.peak_own_bytes if self.card else None
        return self.peak_mem_bytes if on_card is None else on_card

    def note(self, sandbox: Sandbox, part: Part) -> None:
        """Record how a sandbox started, what it used and what it printed.

        A script that sees secret text can choose how much memory it holds, so only the memory of
        training counts.
        """
        self.timeline.started(part, sandbox.start)
        if part == "train":
            self.peak_mem_bytes = max(self.peak_mem_bytes, sandbox.peak_memory_bytes)
        self.log_tail = (self.log_tail + sandbox.output_tail())[-_LOG_CHARACTERS:]
