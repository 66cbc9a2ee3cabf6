"""The interface of a kind of task: it prepares tasks, runs sources, scores their products.

    prepare   make the task's data on this machine, once, before any run
    run       run a source in a sandbox, under the node's clock; return its product as bytes
    score     score the product, in sandboxes that no process of the run was ever in

The runner (`trainer.runner`) sets the ceilings, waits for idle minutes and repeats disturbed runs.
It depends on no particular kind, and never inspects a product or answers.
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

Progress: TypeAlias = Callable[[str, float], None]  # a description, and the part done: 0 to 1
NeedsAudit: TypeAlias = Callable[[int, int], Awaitable[bool]]


async def always(_public: int, _secret: int) -> bool:
    """Return True: audit every run."""
    return True


class NotThereYet(Exception):  # noqa: N818 -- an event: the run is repeated later
    """A run reached data that are still being loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request for one run. `ceiling` limits its costs.

    - `split`: the key of a secret split that the run shares with other runs; None: a new split.
    - `needs_audit`: returns True to audit, given the public and secret score in 1e-9 units.
    - `incumbent`: the answers that an audit compares with; None: the baseline's.
    - `is_fresh`: use only sandboxes that are not forked.
    - `on_training`: called with the loss curve whenever a training of the source begins.
    - `is_hopeless`: called repeatedly during training. If it returns a reason, the run ends, and
      this is the reason why it has no score.
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
    """The scores of a run's product: metrics in 1e-9 units, rounded as far as its kind requires.

    `answers` are the candidate's answers that the public metric was computed from. With
    `evidence` any judge can check the scores without running the source; it is None in kinds and
    tasks that have no such evidence.
    """

    answers: Answers
    public_nano: int
    secret_nano: int
    audit: Audit | None
    evidence: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskWords:
    """A description of a task, for people and proposers.

    `limits` is a sentence. `measured` is a list, one point a line, of how a change is measured.
    """

    budget: str
    limits: str
    measured: str


class Prepared(Protocol):
    """A task's data on this machine. Only `load_rest` changes it.

    `floor_nano` is a bound that no candidate can beat, in 1e-9 units of the metric, if one is
    known. `pool_bytes` is the amount of text that secret splits are drawn from; None if each split
    is generated. `is_pool_public` is True if anyone can get that text.
    """

    floor_nano: int | None
    pool_bytes: int | None
    is_pool_public: bool

    @property
    def scored_bytes(self) -> int | None:
        """The number of bytes of text in the public split; None if the split is not text."""

    @property
    def training_size(self) -> int:
        """The number of pieces to train on; the kind defines what a piece is."""

    @property
    def size(self) -> str:
        """The amount of data, in words."""

    @property
    def is_complete(self) -> bool:
        """True if all data are loaded. The data that runs are scored on are always loaded."""

    def load_rest(self, progress: Progress) -> None:
        """Load the remaining data. Raises what `prepare` raises; another call then resumes."""


class Measuring(Protocol):
    """A runner of one task's sources on one device that also scores their products.

    `watch` watches the card, if there is one. `baseline_cost` is None until the first scored run,
    which is the baseline's. `work` counts the CPU seconds of the source's scripts, which are
    load for other lanes.
    """

    watch: "CardWatch | None"
    baseline_cost: BaselineCost | None
    work: LaneWork

    @property
    def budget_tokens(self) -> int:
        """The budget in tokens, 0 if it is one of seconds."""

    @property
    def metric_tolerance(self) -> float:
        """The tolerance of audits, in the metric's unit; 0 before the baseline's run."""

    async def run(self, request: Request, meter: Meter) -> bytes:
        """Run a source in a sandbox; return the bytes that it produced, such as trained weights.

        Raises RunFailed if the source fails, CardLost if the card disappears during the run, and
        NotThereYet if the run needs data that are still being loaded.
        """

    async def score(self, request: Request, product: bytes, meter: Meter) -> Scores:
        """Return the scores of a product. Raises RunFailed.

        Once `meter.has_rows` is True, no run may be repeated: a script has seen the scored data.
        """

    async def judged(self, evidence: bytes, meter: Meter) -> Scores:
        """Return the scores that a peer's `Scores.evidence` proves. No code of the peer runs.

        Raises RunFailed if the evidence is invalid here, or proves no score.
        """

    async def grown(self) -> None:
        """Wait until the data that a run lacked (`NotThereYet`) are loaded."""

    async def completed(self) -> None:
        """Wait until all data are loaded."""

    def expect_no_more(self) -> None:
        """Do not start sandboxes in advance: no other run follows."""

    async def close(self) -> None:
        """End the sandboxes that wait for a run."""


class TaskKind(KindReader, Protocol):
    """A kind of task, which a manifest's `kind` names."""

    @property
    def harness(self) -> str:
        """The folder (`Profile.harness`) whose `boot.py` is the first program in a sandbox."""

    def settle(
        self,
        unsettled: NotPreparedError,
        *,
        data_dir: Path,
        data_url: str | None,
        progress: Progress,
    ) -> None:
        """Prepare a task that raised `unsettled` when it was read. Raises ArnodeError."""

    def has_first(self, task: Task, *, data_dir: Path) -> bool:
        """Return True if `prepare` has nothing to fetch."""

    def prepare(
        self,
        task: Task,
        *,
        data_dir: Path,
        progress: Progress,
        data_url: str | None = None,
        visible: Sequence[Path] | None = None,
    ) -> Prepared:
        """Return the data for a first run, which the first call makes and stores in `data_dir`.

        `data_url` replaces the address that the task downloads its data from. `visible` are the
        files that must not contain scored data (default: all files that sandboxes show). Raises
        ArnodeError.
        """

    def card_fault(self, card: GraphicsCard) -> ArnodeError | None:
        """Return the reason why this kind's runs cannot use a card; None if they can."""

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
        """Check a task and yield the findings; the other parameters are as in `measuring`.

        Return None if this kind has no checks except a run of the baseline.
        """

    def assembled(
        self, manifest: TaskManifest, source: Source, read: Callable[[bytes], bytes]
    ) -> Task:
        """Return a peer's task, made without a folder; `read` returns a file, given its hash.

        Raises ConfigurationError for a kind whose tasks need more than manifests name.
        """

    def words(self, manifest: TaskManifest) -> TaskWords:
        """Return the description of a task for anyone who wants to improve it."""

    def may_run_alongside(self, manifest: TaskManifest) -> bool:
        """Return True if several runs of a task may share one processor.

        They may if neither scores nor limits depend on speed.
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
        """Return an object that runs and scores sources of a task on a device.

        `models` are the language models that its sources may ask, if the kind allows that.
        """
