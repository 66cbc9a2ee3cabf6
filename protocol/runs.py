"""Runs as they appear in records: `Run` with its audit, environment and cost.

Metrics and audit figures are ints in 1e-9 units ("nano"), times milliseconds, sizes bytes.

    run   {seed, role, metric|nil, secret|nil, ms, cpu_ms, serve_ms, tokens, peak_mem, status,
           flags, reason|nil, audit|nil, step?, answer?, also?}
    audit {k, mean, se, max}
    env   flat map of at most 32 short texts and ints
    cost  {device_ms, tokens?, micro_usd?}

Later versions may add roles and statuses. A run with an unknown word is still a valid run. With an
unknown role it is in no pair; with an unknown status it has no metric.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, Literal, Self, TypeAlias, TypeVar, cast

from protocol.codecs import identifier, integer, single_line
from protocol.encoding import Value
from protocol.errors import Rejected
from protocol.fields import OPTIONAL, Digest, Identifier, Items, Mapped, Named, Natural, Positive
from protocol.units import mean_nano

T = TypeVar("T")
Status: TypeAlias = Literal["ok", "crash", "oom", "timeout", "nan", "rejected", "stopped"]
Role: TypeAlias = Literal["base", "candidate", "anchor", "again"]

MAX_SEED: Final = 2**31 - 1  # 31 bits, like the seeds of re-runs
MAX_REASON: Final = 200
MAX_RUNS: Final = 64  # in one record
_MAX_FLAGS = 16
# The phrase for a failure on the secret split; it hides the number of the instance.
ON_SECRET: Final = "an instance of the secret split"  # noqa: S105 -- words
# Flags of runs.
CONTENDED = "contended"  # other processes used the device as well
SHOWN = "shown"  # nothing was run; the figure is computed from the answer published with the claim
THROTTLED = "throttled"  # heat or lack of power slowed the device down
TIGHT = "tight"  # the training used nearly all of its ceiling
_MAX_ENTRIES = 32
_MAX_ENV_TEXT = 120
_MAP_KEY = identifier(r"[a-z0-9_]{1,24}")
_ENV_TEXT = single_line(0, _MAX_ENV_TEXT)
_NUMBER = integer()


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit(Mapped):
    """Mean, standard error and maximum of reported minus audited figures at `k` positions."""

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
        """Return a map with these entries."""
        return cls(tuple(sorted(entries.items())))

    def get(self, name: str) -> T | None:
        """Return the entry with this name, or None."""
        return dict(self.items).get(name)

    def to_value(self) -> Value:
        """Return the map to write into a record."""
        return dict[str, Any](self.items)

    @classmethod
    def from_value(cls, value: Value) -> Self | Rejected:
        """Return the map read from `value`, or the first reason why it is invalid."""
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
    """Whole numbers by name; the field that holds them defines their meaning."""


@dataclass(frozen=True, slots=True)
class Env(_Entries[str | int]):
    """The environment of a run (torch, driver, power limit …) as short texts and ints."""

    @staticmethod
    def _read_entry(value: Value) -> object | Rejected:
        return (_NUMBER if type(value) is int else _ENV_TEXT).read(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Mapped):
    """One execution of a tree with a seed on one device: two scores, or a failure.

    `metric_nano` is the score on the public split, `secret_nano` on the evaluating node's secret
    split. Both are present exactly if the status is ok. `role` and `status` are a `Role` and a
    `Status`, or words that a later version added. `step` is the training step at which a run was
    stopped. `answer` is the hash of a blob with a program's answers to fixed instances (an array of
    bytes, in the task's order). `also` holds the guards' figures, in the task's units.
    """

    seed: Annotated[int, integer(0, MAX_SEED)]
    role: Identifier
    status: Identifier
    metric_nano: Annotated[int | None, Named("metric")]
    secret_nano: Annotated[int | None, Named("secret")]
    ms: Natural
    cpu_ms: Natural
    serve_ms: Natural
    tokens: Natural
    peak_mem_bytes: Annotated[Natural, Named("peak_mem")]
    flags: Annotated[tuple[Identifier, ...], Items(0, _MAX_FLAGS)] = ()
    reason: Annotated[str | None, single_line(0, MAX_REASON)] = None
    audit: Audit | None = None
    step: Annotated[Natural | None, OPTIONAL] = None
    answer: Annotated[Digest | None, OPTIONAL] = None
    also: Annotated[Figures | None, OPTIONAL] = None

    @property
    def was_cut_off_by_others(self) -> bool:
        """True if it timed out while other processes used the device; the tree may be sound."""
        return self.status == "timeout" and CONTENDED in self.flags

    def _fault(self) -> str | None:
        measured = self.status == "ok"
        if (self.metric_nano is not None) != measured or (self.secret_nano is not None) != measured:
            return "metric and secret must be present if the status is ok, and only then"
        return None


def patch_score_nano(runs: Sequence[Run]) -> int | None:
    """Return a patch's score over its own runs; None if the last one has no score.

    If there are rechecks, the score is their mean: the screen was selected for its good figure.
    """
    own = [run.metric_nano for run in runs if run.role == "candidate"]
    fresh = own[1:] or own
    known = [nano for nano in fresh if nano is not None]
    if not known or fresh[-1] is None:
        return None
    return mean_nano(known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost(Mapped):
    """The cost of an experiment; model tokens and money only if the user publishes them."""

    device_ms: Natural
    tokens: Annotated[Natural | None, OPTIONAL] = None
    micro_usd: Annotated[Natural | None, OPTIONAL] = None
