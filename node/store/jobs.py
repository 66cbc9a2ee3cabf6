"""What the research loop must still know after a kill: its lines, its jobs, its planned runs.

A run's seed is committed before the run starts and its outcome when it has ended, so that a kill
is never a free retry. What the values mean is the loop's; `node.store.job_store` keeps them.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar, cast

from node.home.faults import DAMAGED_HINT, DamagedStoreError
from protocol.encoding import Value, decode, encode
from protocol.errors import Rejected
from protocol.runs import Role, Run
from trainer.measuring.loss_curve import LossPoint
from trainer.measuring.timeline import Stage

JobState = Literal["open", "done"]


class Step(Protocol):
    """What a job is for and how far it has come. Each kind of job has a class of its own."""

    KIND: ClassVar[str]  # its word in the store
    # Its runs are compared with each other on one secret split, which it has alone.
    IS_ON_ONE_SPLIT: ClassVar[bool]

    def to_value(self) -> Value:
        """Return the body to keep."""
        ...

    @classmethod
    def from_value(cls, value: Value) -> Self | Rejected:
        """Return the step that a body keeps."""
        ...


S = TypeVar("S", bound=Step)
S_co = TypeVar("S_co", bound=Step, covariant=True)

_LIMIT_BYTES = 1 << 20  # local values may hold a log's tail, which no record does


@dataclass(frozen=True, slots=True, kw_only=True)
class LineKey:
    """One task on one hardware class."""

    task: bytes
    hardware_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Where a line stands: what the node vouches for and where it explores (trees).

    `stack` are the patches kept since the last checkpoint, at `checkpoint_ms`; `bank_nano` is
    what runs of the working tree measured, for screening only.
    """

    task: bytes
    hardware_class: str
    verified: bytes
    working: bytes
    stack: tuple[bytes, ...]
    bank_nano: tuple[int, ...]
    checkpoint_ms: int

    @property
    def key(self) -> LineKey:
        """What names this line."""
        return LineKey(task=self.task, hardware_class=self.hardware_class)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[S_co]):
    """One piece of the loop's work. `step` is whatever its kind needs to go on after a kill.

    `split` names the secret split of its runs (`node.line.splits`); None: each has one of its own.
    """

    id: int
    line: LineKey
    step: S_co
    state: JobState
    created_ms: int
    split: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOutcome:
    """How a run ended: what a record will say of it, and what only this node keeps.

    `curve` is what it printed of its loss while it trained, of so many `steps` as it said;
    `given_up` the share of these, in thousandths, after which it looked hopeless. `machine` is
    another one that measured it for this node.
    """

    run: Run
    log_tail: str
    stages: tuple[Stage, ...] = ()
    curve: tuple[LossPoint, ...] = ()
    steps: int | None = None
    given_up: int | None = None
    machine: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """A run that was decided on; `outcome` is None until it has ended."""

    job_id: int
    ordinal: int
    role: Role
    tree: bytes
    seed: int
    outcome: StoredOutcome | None

    @property
    def run(self) -> Run | None:
        """What a record will say of it, once it has ended."""
        return self.outcome.run if self.outcome else None


def encode_outcome(outcome: StoredOutcome) -> bytes:
    """Return the bytes the store keeps. The log is foreign text, hence bytes."""
    log = outcome.log_tail.encode("utf-8", "backslashreplace")
    stages: list[Value] = [[one.part, one.name, one.start_ms, one.end_ms] for one in outcome.stages]
    curve: list[Value] = [[one.step, one.loss_nano] for one in outcome.curve]
    kept: dict[str, Value] = {"log": log, "run": outcome.run.to_value(), "stages": stages}
    more: dict[str, Value] = {
        "curve": curve or None,
        "steps": outcome.steps,
        "given_up": outcome.given_up,
        "machine": outcome.machine,
    }
    return encode({**kept, **{name: value for name, value in more.items() if value is not None}})


def decode_outcome(data: bytes) -> StoredOutcome:
    """Return what `encode_outcome` was given."""
    match decode(data, limit_bytes=_LIMIT_BYTES):
        case {"log": bytes() as log, "run": dict() as value, "stages": list() as stages, **rest}:
            run = Run.from_value(value)
            if not isinstance(run, Rejected):
                text = log.decode("utf-8", "replace")
                curve = tuple(_point(item) for item in cast("list[Any]", rest.get("curve", [])))
                return StoredOutcome(
                    run=run,
                    log_tail=text,
                    stages=tuple(_stage(item) for item in stages),
                    curve=curve,
                    steps=cast("int | None", rest.get("steps")),
                    given_up=cast("int | None", rest.get("given_up")),
                    machine=cast("str | None", rest.get("machine")),
                )
    raise DamagedStoreError("a run's outcome in the store does not read", DAMAGED_HINT)


def _stage(item: Any) -> Stage:
    part, name, start_ms, end_ms = item
    return Stage(part=part, name=name, start_ms=start_ms, end_ms=end_ms)


def _point(item: Any) -> LossPoint:
    step, loss_nano = item
    return LossPoint(step=step, loss_nano=loss_nano)


def body_value(data: bytes) -> Value:
    """Return a job's body."""
    value = decode(data, limit_bytes=_LIMIT_BYTES)
    if isinstance(value, Rejected):
        raise DamagedStoreError(f"a job in the store does not read: {value.reason}", DAMAGED_HINT)
    return value
