"""The types of the state that the research loop needs after a kill: lines, jobs, planned runs.

A run's seed is committed before the run starts, and its outcome when it has ended. So killing the
node never gives a free retry. The research loop defines what the values mean;
`node.store.job_store` stores them.
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
    """The purpose and progress of a job. Each kind of job implements it in its own class."""

    KIND: ClassVar[str]  # the name in the store
    # True if the job's runs are compared on one secret split, used by this job only.
    IS_ON_ONE_SPLIT: ClassVar[bool]

    def to_value(self) -> Value:
        """Return the step in the form that is stored as the job's body."""
        ...

    @classmethod
    def from_value(cls, value: Value) -> Self | Rejected:
        """Return the step that a stored body has, or the reason the body is invalid."""
        ...


S = TypeVar("S", bound=Step)
S_co = TypeVar("S_co", bound=Step, covariant=True)

_LIMIT_BYTES = 1 << 20  # larger than a record, since local values may hold the end of a log


@dataclass(frozen=True, slots=True, kw_only=True)
class LineKey:
    """The key of a line: its task and hardware class."""

    task: bytes
    hardware_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The state of a line.

    `verified` and `working` are the trees of the verified head and the working line. `stack` are
    the patches kept since the last promotion trial, which was at the time `promotion_trial_ms`.
    `reference_nano` are the scores of the reference runs of the working tree. They are used only
    for screening.
    """

    task: bytes
    hardware_class: str
    verified: bytes
    working: bytes
    stack: tuple[bytes, ...]
    reference_nano: tuple[int, ...]
    promotion_trial_ms: int

    @property
    def key(self) -> LineKey:
        """The key of this line."""
        return LineKey(task=self.task, hardware_class=self.hardware_class)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[S_co]):
    """A unit of the loop's work. `step` has everything that is needed to resume it after a kill."""

    id: int
    line: LineKey
    step: S_co
    state: JobState
    created_ms: int
    split: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOutcome:
    """The outcome of a run. Only `run` is published in a record; the rest never leaves this node.

    `curve` is the loss that the run printed while training, and `steps` is its total number of
    steps, if it printed that. If the run was stopped early as hopeless, `stopped_at_milli` is the
    share of the steps done by then, in thousandths. `machine` is the other machine that measured
    the run for this node.
    """

    run: Run
    log_tail: str
    stages: tuple[Stage, ...] = ()
    curve: tuple[LossPoint, ...] = ()
    steps: int | None = None
    stopped_at_milli: int | None = None
    machine: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """A run of a job; `outcome` is None until the run has ended."""

    job_id: int
    ordinal: int
    role: Role
    tree: bytes
    seed: int
    outcome: StoredOutcome | None

    @property
    def run(self) -> Run | None:
        """The outcome as published in a record; None until the run has ended."""
        return self.outcome.run if self.outcome else None


def encode_outcome(outcome: StoredOutcome) -> bytes:
    """Return the bytes that the store keeps. The log is untrusted text, so it is kept as bytes."""
    log = outcome.log_tail.encode("utf-8", "backslashreplace")
    stages: list[Value] = [[one.part, one.name, one.start_ms, one.end_ms] for one in outcome.stages]
    curve: list[Value] = [[one.step, one.loss_nano] for one in outcome.curve]
    kept: dict[str, Value] = {"log": log, "run": outcome.run.to_value(), "stages": stages}
    more: dict[str, Value] = {
        "curve": curve or None,
        "steps": outcome.steps,
        "stopped_at_milli": outcome.stopped_at_milli,
        "machine": outcome.machine,
    }
    return encode({**kept, **{name: value for name, value in more.items() if value is not None}})


def decode_outcome(data: bytes) -> StoredOutcome:
    """Return the outcome from its stored bytes. Raises DamagedStoreError if they are invalid."""
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
                    stopped_at_milli=cast("int | None", rest.get("stopped_at_milli")),
                    machine=cast("str | None", rest.get("machine")),
                )
    raise DamagedStoreError("a run's outcome in the store cannot be read", DAMAGED_HINT)


def _stage(item: Any) -> Stage:
    part, name, start_ms, end_ms = item
    return Stage(part=part, name=name, start_ms=start_ms, end_ms=end_ms)


def _point(item: Any) -> LossPoint:
    step, loss_nano = item
    return LossPoint(step=step, loss_nano=loss_nano)


def body_value(data: bytes) -> Value:
    """Return the value from its stored bytes. Raises DamagedStoreError if they are invalid."""
    value = decode(data, limit_bytes=_LIMIT_BYTES)
    if isinstance(value, Rejected):
        raise DamagedStoreError(f"a job in the store cannot be read: {value.reason}", DAMAGED_HINT)
    return value
