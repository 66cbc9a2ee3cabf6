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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

from protocol.encoding import Value
from protocol.errors import Rejected
from protocol.fields import (
    FLAG_PATTERN,
    WORD_PATTERN,
    Codec,
    Mapped,
    Table,
    digest,
    field,
    integer,
    line,
    listing,
    nullable,
    word,
)

Status: TypeAlias = Literal["ok", "crash", "oom", "timeout", "nan", "rejected", "stopped"]
Role: TypeAlias = Literal["base", "candidate", "anchor"]

STATUSES: Final = ("ok", "crash", "oom", "timeout", "nan", "rejected", "stopped")
ROLES: Final = ("base", "candidate", "anchor")
MAX_SEED: Final = 2**31 - 1  # 31 bits, as attestation seeds have
MAX_REASON: Final = 200
MAX_RUNS: Final = 64  # of one record
_MAX_FLAGS = 16
CONTENDED = "contended"  # the flag of a run that others kept from its device
THROTTLED = "throttled"  # that of one whose device was slowed down by heat or lack of power
_MAX_FIGURES = 32
_MAX_ENV = 32
_MAX_ENV_TEXT = 120
_MAP_KEY = word(r"[a-z0-9_]{1,24}")
_ENV_TEXT = line(0, _MAX_ENV_TEXT)
_NUMBER = integer()


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit(Mapped):
    """Claim less audit over `k` positions: mean, its standard error and the largest difference."""

    k: int
    mean_nano: int
    se_nano: int
    max_nano: int

    TABLE: ClassVar = Table(
        field("k", integer(1)),
        field("mean", integer(), "mean_nano"),
        field("se", integer(0), "se_nano"),
        field("max", integer(), "max_nano"),
    )


@dataclass(frozen=True, slots=True)
class Figures:
    """Whole numbers by name, sorted, at most 32; what they count is said where they stand."""

    items: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, entries: Mapping[str, int]) -> "Figures":
        """Return the figures with these entries."""
        return cls(tuple(sorted(entries.items())))

    def to_value(self) -> Value:
        """Return the map that stands for them in a record."""
        return dict(self.items)

    @classmethod
    def from_value(cls, value: Value) -> "Figures | Rejected":
        """Return the figures that `value` stands for."""
        if type(value) is not dict or len(value) > _MAX_FIGURES:
            return Rejected(f"not a map of at most {_MAX_FIGURES}")
        entries: dict[str, int] = {}
        for name, entry in value.items():
            key, number = _MAP_KEY.read(name), _NUMBER.read(entry)
            for part in (key, number):
                if isinstance(part, Rejected):
                    return Rejected(f"{name}: {part.reason}")
            if not isinstance(number, Rejected):
                entries[name] = number
        return cls.of(entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Mapped):
    """One execution of a tree with a seed on one device: two metrics, or a failure.

    `metric_nano` is on the public split, `secret_nano` on the evaluating node's own; both are
    there exactly when the status is ok. `role` and `status` are a `Role` and a `Status`, or words
    of a later version. `step` is the training step at which a run was stopped, `answer` the blob
    of what a program answered to a fixed instance, `also` what else was measured of it (guards),
    in the units of the task.
    """

    seed: int
    role: str
    status: str
    metric_nano: int | None
    secret_nano: int | None
    ms: int
    cpu_ms: int
    serve_ms: int
    tokens: int
    peak_mem_bytes: int
    flags: tuple[str, ...] = ()
    reason: str | None = None
    audit: Audit | None = None
    step: int | None = None
    answer: bytes | None = None
    also: Figures | None = None

    TABLE: ClassVar = Table(
        field("seed", integer(0, MAX_SEED)),
        field("role", word(WORD_PATTERN)),
        field("status", word(WORD_PATTERN)),
        field("metric", nullable(integer()), "metric_nano"),
        field("secret", nullable(integer()), "secret_nano"),
        field("ms", integer(0)),
        field("cpu_ms", integer(0)),
        field("serve_ms", integer(0)),
        field("tokens", integer(0)),
        field("peak_mem", integer(0), "peak_mem_bytes"),
        field("flags", listing(word(FLAG_PATTERN), high=_MAX_FLAGS)),
        field("reason", nullable(line(0, MAX_REASON))),
        field("audit", nullable(Codec(Audit.from_value, Audit.to_value))),
        field("step", integer(0), optional=True),
        field("answer", digest(), optional=True),
        field("also", Codec(Figures.from_value, Figures.to_value), optional=True),
    )

    def _fault(self) -> str | None:
        measured = self.status == "ok"
        if (self.metric_nano is not None) != measured or (self.secret_nano is not None) != measured:
            return "metric and secret are there exactly when the status is ok"
        return None


@dataclass(frozen=True, slots=True)
class Env:
    """What else the figures depend on (torch, driver, power limit …), sorted by name."""

    items: tuple[tuple[str, str | int], ...] = ()

    @classmethod
    def of(cls, entries: Mapping[str, str | int]) -> "Env":
        """Return the environment with these entries."""
        return cls(tuple(sorted(entries.items())))

    def get(self, name: str) -> str | int | None:
        """Return the entry of that name."""
        return dict(self.items).get(name)

    def to_value(self) -> Value:
        """Return the map that stands for it in a record."""
        return dict(self.items)

    @classmethod
    def from_value(cls, value: Value) -> "Env | Rejected":
        """Return the environment that `value` stands for."""
        if type(value) is not dict or len(value) > _MAX_ENV:
            return Rejected(f"not a map of at most {_MAX_ENV}")
        entries: dict[str, str | int] = {}
        for name, entry in value.items():
            item = _NUMBER.read(entry) if type(entry) is int else _ENV_TEXT.read(entry)
            for part in (_MAP_KEY.read(name), item):
                if isinstance(part, Rejected):
                    return Rejected(f"{name}: {part.reason}")
            if not isinstance(item, Rejected):
                entries[name] = item
        return cls.of(entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost(Mapped):
    """What an experiment cost. LLM tokens and money only if the user publishes them."""

    device_ms: int
    tokens: int | None = None
    micro_usd: int | None = None

    TABLE: ClassVar = Table(
        field("device_ms", integer(0)),
        field("tokens", integer(0), optional=True),
        field("micro_usd", integer(0), optional=True),
    )
