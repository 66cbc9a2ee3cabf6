"""What one execution measured, as it stands in records: `Run` and what goes with it.

Metrics and audit figures are ints in 1e-9 units ("nano"), times milliseconds, sizes bytes.

    run   {seed, role, metric|nil, secret|nil, ms, cpu_ms, serve_ms, tokens, peak_mem, status,
           flags, reason|nil, audit|nil}
    audit {k, mean, se, max}
    env   flat map of at most 32 short texts and ints
    cost  {device_ms, tokens?, micro_usd?}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

from protocol.encoding import Value
from protocol.errors import Rejected
from protocol.fields import (
    FLAG_PATTERN,
    Codec,
    Mapped,
    Table,
    choice,
    field,
    integer,
    line,
    listing,
    nullable,
    word,
)

Status: TypeAlias = Literal["ok", "crash", "oom", "timeout", "nan", "rejected"]
Role: TypeAlias = Literal["base", "candidate", "anchor"]

STATUSES: Final = ("ok", "crash", "oom", "timeout", "nan", "rejected")
ROLES: Final = ("base", "candidate", "anchor")
MAX_SEED: Final = 2**31 - 1  # 31 bits, as attestation seeds have
MAX_REASON: Final = 200
MAX_RUNS: Final = 64  # of one record
_MAX_FLAGS = 16
CONTENDED = "contended"  # the flag of a run that others kept from its device
THROTTLED = "throttled"  # that of one whose device was slowed down by heat or lack of power
_MAX_ENV = 32
_MAX_ENV_TEXT = 120
_ENV_KEY = word(r"[a-z0-9_]{1,24}")
_ENV_TEXT = line(0, _MAX_ENV_TEXT)
_ENV_NUMBER = integer()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Mapped):
    """One execution of a tree with a seed on one device: two metrics, or a failure.

    `metric_nano` is on the public split, `secret_nano` on the evaluating node's own; both are
    there exactly when the status is ok.
    """

    seed: int
    role: Role
    status: Status
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

    TABLE: ClassVar = Table(
        field("seed", integer(0, MAX_SEED)),
        field("role", choice(*ROLES)),
        field("status", choice(*STATUSES)),
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
            item = _ENV_NUMBER.read(entry) if type(entry) is int else _ENV_TEXT.read(entry)
            for part in (_ENV_KEY.read(name), item):
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
