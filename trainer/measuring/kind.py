"""What a kind of task is to everybody else: it prepares tasks, runs sources, scores their products.

    prepare   once, before any run: the task's data on this machine
    run       a source works in a sandbox, under the node's clock; what it made comes out as bytes
    score     these bytes are judged, in sandboxes that no process of that run ever was in

The runner (`trainer.runner`) decides what each may cost, waits for idle minutes and repeats a run
that others disturbed. It knows no kind by name, and looks into nothing that a run made or answered.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from protocol.errors import ArnodeError
from protocol.manifest import TaskManifest
from protocol.runs import Audit
from protocol.source import Source
from trainer.cards.cards import GraphicsCard
from trainer.host.device import Device
from trainer.measuring.checks import Remark
from trainer.measuring.cost import StageCosts
from trainer.measuring.host_load import LaneWork
from trainer.measuring.loss_curve import LossCurve
from trainer.measuring.models import KeptModels
from trainer.measuring.outcome import Answers, BaselineCost, Meter
from trainer.sandbox.compiled import CompiledCode
from trainer.task_folder.task import KindReader, NotPreparedError, Task

if TYPE_CHECKING:
    from trainer.cards.watch import CardWatch

Progress: TypeAlias = Callable[[str, float], None]  # what is done, and how much of it: 0 to 1
NeedsAudit: TypeAlias = Callable[[int, int], Awaitable[bool]]


async def always(_public: int, _secret: int) -> bool:
    """Say that a run is audited."""
    return True


class NotThereYet(Exception):  # noqa: N818 -- an event: the run is repeated when it is
    """A run got as far as data that are still on their way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One run as it was asked for. `ceiling` is what it may cost.

    `split` is the key of the secret split that it shares with others, None for one of its own.
    `needs_audit` is asked with (public, secret) in 1e-9 units; `incumbent` is what an audit holds
    answers against, None for the baseline's; `is_fresh` asks for sandboxes that are not forked.
    `on_training` is given the curve of each training of the source as that begins, `is_hopeless`
    again and again while it trains: what it returns ends the run, as the reason.
    """

    source: Source
    seed: int
    split: bytes | None
    needs_audit: NeedsAudit
    incumbent: Answers | None
    ceiling: StageCosts
    is_fresh: bool = False
    on_training: Callable[[LossCurve], None] = lambda _curve: None
    is_hopeless: Callable[[LossCurve], str | None] = lambda _curve: None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """What a run's product is worth: metrics in 1e-9 units, as coarse as their kind lets them out.

    `answers` are those that the public metric was computed from; `evidence` is for anybody's judge
    to check without running anything, of kinds and tasks that have such a thing.
    """

    answers: Answers
    public_nano: int
    secret_nano: int
    audit: Audit | None
    evidence: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskWords:
    """A task in the words of its kind, for people and proposers.

    `limits` is a sentence; `measured` are lines, each a point, of how a change is measured.
    """

    budget: str
    limits: str
    measured: str


class Prepared(Protocol):
    """A task's data on this machine. Only `load_rest` changes it.

    `floor_nano`: what no candidate can beat, in 1e-9 units of the metric, if that is known.
    `pool_bytes`: how much text secret splits are drawn from, None if each is made anew;
    `is_pool_public` says whether anybody can get it.
    """

    floor_nano: int | None
    pool_bytes: int | None
    is_pool_public: bool

    @property
    def scored_bytes(self) -> int | None:
        """How many bytes of text the public split stands for, None if it is no text."""

    @property
    def training_size(self) -> int:
        """How many pieces to train on are here; what a piece is, its kind says."""

    @property
    def size(self) -> str:
        """How much there is, in words."""

    @property
    def is_complete(self) -> bool:
        """Whether all of it is here. What is scored always is."""

    def load_rest(self, progress: Progress) -> None:
        """Load what is to come. Raises what `prepare` raises; another call then goes on."""


class Measuring(Protocol):
    """Runs sources of one task on one device, and scores what they made.

    `watch` is the card's, while there is one. `baseline_cost` is None until the first scored run,
    the baseline's; `budget_tokens` is 0 where the budget is one of seconds. `work` is what its
    scripts used, for others that measure beside it.
    """

    watch: "CardWatch | None"
    baseline_cost: BaselineCost | None
    work: LaneWork

    @property
    def budget_tokens(self) -> int:
        """The budget in tokens, 0 if it is one of seconds."""

    @property
    def metric_tolerance(self) -> float:
        """How far its audits may be off, in the metric's unit; 0 before there is a baseline."""

    async def run(self, request: Request, meter: Meter) -> bytes:
        """Return what a source makes.

        Raises RunFailed, CardLost if the card went away meanwhile, or NotThereYet if more of the
        data would have been needed than have come.
        """

    async def score(self, request: Request, product: bytes, meter: Meter) -> Scores:
        """Return what a product is worth. Raises RunFailed.

        From `meter.has_rows` on nothing may be repeated: somebody has seen what is scored.
        """

    async def judged(self, evidence: bytes, meter: Meter) -> Scores:
        """Return what somebody's `Scores.evidence` is worth, without running anything of theirs.

        Raises RunFailed for what is no evidence here, or worth nothing.
        """

    async def grown(self) -> None:
        """Wait until what a run asked for in vain is there."""

    async def completed(self) -> None:
        """Wait until all data are there."""

    def expect_no_more(self) -> None:
        """Start nothing ahead for another run."""

    async def close(self) -> None:
        """End what waits for a run."""


class TaskKind(KindReader, Protocol):
    """A kind of task, which a manifest's `kind` names. `harness` is as `Profile` has it."""

    @property
    def harness(self) -> str:
        """The folder whose `boot.py` is the first program in its sandboxes."""

    def settle(
        self,
        unsettled: NotPreparedError,
        *,
        data_dir: Path,
        data_url: str | None,
        progress: Progress,
    ) -> None:
        """See to what a task lacks, after which it can be read. Raises ArnodeError."""

    def has_first(self, task: Task, *, data_dir: Path) -> bool:
        """Say whether `prepare` has nothing to fetch."""

    def prepare(
        self,
        task: Task,
        *,
        data_dir: Path,
        progress: Progress,
        data_url: str | None = None,
        visible: Sequence[Path] | None = None,
    ) -> Prepared:
        """Return what a first run needs of a task's data, made on first use and kept in `data_dir`.

        `data_url` takes the place of where the task has its data from; `visible` are the files in
        which nothing that is scored may lie (default: all that sandboxes show). Raises ArnodeError.
        """

    def card_fault(self, card: GraphicsCard) -> ArnodeError | None:
        """Return why this kind's runs cannot use a card; None if they can."""

    def check(self, manifest: TaskManifest) -> None:
        """Raise ConfigurationError for a task that cannot be measured here."""

    def examined(
        self,
        task: Task,
        *,
        progress: Progress,
        device: Device,
        models: KeptModels | None = None,
    ) -> AsyncGenerator[Remark, None] | None:
        """Try a task by itself, and yield what that finds; the others as in `measuring`.

        None for a kind of which no more can be tried than a run of the baseline.
        """

    def assembled(
        self, manifest: TaskManifest, source: Source, read: Callable[[bytes], bytes]
    ) -> Task:
        """Return a stranger's task, of which there is no folder: `read` takes a file by its hash.

        Raises ConfigurationError for a kind whose tasks need more than what manifests name.
        """

    def words(self, manifest: TaskManifest) -> TaskWords:
        """Say of a task what is told to whoever wants to improve it."""

    def may_stand_beside(self, manifest: TaskManifest) -> bool:
        """Say whether runs of a task may stand beside each other on one processor.

        They may if nothing that counts depends on how fast they are let run.
        """

    def measuring(
        self,
        task: Task,
        data: Prepared,
        *,
        device: Device,
        compiled: CompiledCode | None,
        audit_key: bytes,
        models: KeptModels | None = None,
    ) -> Measuring:
        """Return what runs and scores sources of a task on a device.

        `models` are those that its sources may ask, if they are of a kind that asks.
        """
