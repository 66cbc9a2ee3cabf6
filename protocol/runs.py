"""What one execution measured, as it stands in records: `Run` and what goes with it.

Metrics and audit figures are ints in 1e-9 units ("nano"), times milliseconds, sizes bytes.

    run   {seed, role, metric|nil, secret|nil, ms, cpu_ms, serve_ms, tokens, peak_mem, status,
           flags, reason|nil, audit|nil, step?, answer?, also?}
    audit {k, mean, se, max}
    env   flat map of at most 32 short texts and ints
    cost  {device_ms, tokens?, micro_usd?}

Roles and statuses are words of which a reader knows some. A run with another one is a run all the
same: with another role it is in no pair, with another status it has no metric.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Literal, Self, TypeAlias, TypeVar, cast

from protocol.codecs import integer, line, word
from protocol.encoding import Value
from protocol.errors import Rejected
from protocol.fields import OPTIONAL, Digest, Items, Mapped, Named, Natural, Positive, Word
from protocol.units import mean_nano

T = TypeVar("T")
Status: TypeAlias = Literal["ok", "crash", "oom", "timeout", "nan", "rejected", "stopped"]
Role: TypeAlias = Literal["base", "candidate", "anchor", "again"]

MAX_SEED: Final = 2**31 - 1  # 31 bits, as attestation seeds have
MAX_REASON: Final = 200
MAX_RUNS: Final = 64  # of one record
_MAX_FLAGS = 16
# How a failure on the secret split is told, without its number.
ON_SECRET: Final = "an instance of the secret split"  # noqa: S105 -- words
CONTENDED = "contended"  # the flag of a run that others kept from its device
SHOWN = "shown"  # of one whose figure is that of an answer that a claim shows: nothing was run
THROTTLED = "throttled"  # that of one whose device was slowed down by heat or lack of power
_MAX_ENTRIES = 32
_MAX_ENV_TEXT = 120
_MAP_KEY = word(r"[a-z0-9_]{1,24}")
_ENV_TEXT = line(0, _MAX_ENV_TEXT)
_NUMBER = integer()


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit(Mapped):
    """Claim less audit over `k` positions: mean, its standard error and the largest difference."""

    k: Positive
    mean_nano: Annotated[int, Named("mean")]
    se_nano: Annotated[Natural, Named("se")]
    max_nano: Annotated[int, Named("max")]


@dataclass(frozen=True, slots=True)
class _Entries(Generic[T]):
    """A flat map in a record: at most 32 entries, sorted by name."""

    items: tuple[tuple[str, T], ...] = ()

    @classmethod
    def of(cls, entries: Mapping[str, T]) -> Self:
        """Return what has these entries."""
        return cls(tuple(sorted(entries.items())))

    def get(self, name: str) -> T | None:
        """Return the entry of that name."""
        return dict(self.items).get(name)

    def to_value(self) -> Value:
        """Return the map that stands for it in a record."""
        return dict[str, Any](self.items)

    @classmethod
    def from_value(cls, value: Value) -> Self | Rejected:
        """Return what `value` stands for."""
        if type(value) is not dict or len(value) > _MAX_ENTRIES:
            return Rejected(f"not a map of at most {_MAX_ENTRIES}")
        for name, entry in value.items():
            for read in (_MAP_KEY.read(name), cls._read_entry(entry)):
                if isinstance(read, Rejected):
                    return Rejected(f"{name}: {read.reason}")
        return cls.of(cast("dict[str, T]", value))

    @staticmethod
    def _read_entry(value: Value) -> object | Rejected:
        return _NUMBER.read(value)


@dataclass(frozen=True, slots=True)
class Figures(_Entries[int]):
    """Whole numbers by name; what they count is said where they stand."""


@dataclass(frozen=True, slots=True)
class Env(_Entries[str | int]):
    """What else the figures depend on (torch, driver, power limit …): short texts and ints."""

    @staticmethod
    def _read_entry(value: Value) -> object | Rejected:
        return (_NUMBER if type(value) is int else _ENV_TEXT).read(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Mapped):
    """One execution of a tree with a seed on one device: two metrics, or a failure.

    `metric_nano` is on the public split, `secret_nano` on the evaluating node's own; both are
    there exactly when the status is ok. `role` and `status` are a `Role` and a `Status`, or words
    of a later version. `step` is the training step at which a run was stopped, `answer` the blob
    of what a program answered to fixed instances (an array of bytes, in the order of the task),
    `also` what else was measured of it (guards), in the units of the task.
    """

    seed: Annotated[int, integer(0, MAX_SEED)]
    role: Word
    status: Word
    metric_nano: Annotated[int | None, Named("metric")]
    secret_nano: Annotated[int | None, Named("secret")]
    ms: Natural
    cpu_ms: Natural
    serve_ms: Natural
    tokens: Natural
    peak_mem_bytes: Annotated[Natural, Named("peak_mem")]
    flags: Annotated[tuple[Word, ...], Items(0, _MAX_FLAGS)] = ()
    reason: Annotated[str | None, line(0, MAX_REASON)] = None
    audit: Audit | None = None
    step: Annotated[Natural | None, OPTIONAL] = None
    answer: Annotated[Digest | None, OPTIONAL] = None
    also: Annotated[Figures | None, OPTIONAL] = None

    @property
    def was_cut_off_by_others(self) -> bool:
        """Whether it took too long where others kept it from its device: its tree may be sound."""
        return self.status == "timeout" and CONTENDED in self.flags

    def _fault(self) -> str | None:
        measured = self.status == "ok"
        if (self.metric_nano is not None) != measured or (self.secret_nano is not None) != measured:
            return "metric and secret are there exactly when the status is ok"
        return None


def speaking_nano(runs: Sequence[Run]) -> int | None:
    """Return the metric that a change's own runs among these come to; None if the last has none.

    Its screen is selected, so where fresh runs followed, their mean speaks.
    """
    own = [run.metric_nano for run in runs if run.role == "candidate"]
    fresh = own[1:] or own
    known = [nano for nano in fresh if nano is not None]
    if not known or fresh[-1] is None:
        return None
    return mean_nano(known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost(Mapped):
    """What an experiment cost. LLM tokens and money only if the user publishes them."""

    device_ms: Natural
    tokens: Annotated[Natural | None, OPTIONAL] = None
    micro_usd: Annotated[Natural | None, OPTIONAL] = None
