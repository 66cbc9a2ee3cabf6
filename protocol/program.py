"""What a manifest says of a task of the kind `program`: how it is built, run and judged.

    program  {run [line] or entry, build?, encoding, isolation, judge hash,
              fixed_files [[path, blob]], instances {public, secret, fixed}, aggregate, guards,
              best_known?, impossible?, limits {threads, instance_mb, answer_mb, warmup}, device,
              scoring, interactive, judge_data [[path, hash]], packages?, judge_packages?, llm?}
    guard    {name, scale, times?, most?}
    llm      {models [line], calls, tokens}

Figures of the metric are ints in 10^-scale units of it, the `scale` of the manifest's metric; those
of a guard go by the guard's own. Blobs are named by hash, and what a node does not know of the
words here (an encoding, a way to isolate, to aggregate, to score) it does not run.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from protocol.fields import (
    WORD_PATTERN,
    Codec,
    Mapped,
    Table,
    boolean,
    digest,
    field,
    integer,
    line,
    listing,
    pair,
    relative_path,
    strictly_rising,
    word,
)

MIN_SCALE: Final = -12
MAX_SCALE: Final = 15
MAX_FIXED_INSTANCES: Final = 64
METRIC_NAME: Final = r"[a-z0-9_]{1,32}"
_MAX_ARGUMENTS = 32
_MAX_ARGUMENT = 200
_MAX_FIXED_FILES = 64
_MAX_JUDGE_DATA = 64
_MAX_GUARDS = 16
_MAX_MODELS = 16
_ENTRY = r"[A-Za-z0-9_][A-Za-z0-9._+/-]{0,127}:[A-Za-z_][A-Za-z0-9_]{0,63}"


def power_of_ten() -> Codec[int]:
    """A power of ten: a figure is round(value * 10^scale), in whole numbers below 2^53."""
    return integer(MIN_SCALE, MAX_SCALE)


def _arguments() -> Codec[tuple[str, ...]]:
    return listing(line(1, _MAX_ARGUMENT), low=1, high=_MAX_ARGUMENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instances(Mapped):
    """How many instances a run draws of either split, or the names of those that never change."""

    public: int
    secret: int
    fixed: tuple[str, ...]

    TABLE: ClassVar = Table(
        field("public", integer(0)),
        field("secret", integer(0)),
        field("fixed", listing(line(1, _MAX_ARGUMENT), high=MAX_FIXED_INSTANCES)),
    )

    def _fault(self) -> str | None:
        if bool(self.fixed) == bool(self.public or self.secret):
            return "either fixed instances or numbers of drawn ones"
        if len(set(self.fixed)) != len(self.fixed):
            return "fixed: an instance twice"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard(Mapped):
    """What must hold beside the metric: at most `times_millionths` of the base's, or `most`."""

    name: str
    scale: int
    times_millionths: int | None = None
    most: int | None = None

    TABLE: ClassVar = Table(
        field("name", word(METRIC_NAME)),
        field("scale", power_of_ten()),
        field("times", integer(1), "times_millionths", optional=True),
        field("most", integer(), optional=True),
    )

    def _fault(self) -> str | None:
        neither = self.times_millionths is None and self.most is None
        return "times, most or both" if neither else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramLimits(Mapped):
    """The ceilings of one instance beside the task's own; `warmup` counts throw-away calls."""

    threads: int
    instance_mb: int
    answer_mb: int
    warmup: int

    TABLE: ClassVar = Table(
        field("threads", integer(1)),
        field("instance_mb", integer(1)),
        field("answer_mb", integer(1)),
        field("warmup", integer(0)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBudget(Mapped):
    """Which language models a candidate may ask in a run, how often, and for how many tokens."""

    models: tuple[str, ...]
    calls: int
    tokens: int

    TABLE: ClassVar = Table(
        field("models", listing(line(1, 80), low=1, high=_MAX_MODELS)),
        field("calls", integer(1)),
        field("tokens", integer(1)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSpec(Mapped):
    """How a program is built, run and judged; everything that a number depends on."""

    run: tuple[str, ...] | None
    entry: str | None
    build: tuple[str, ...] | None
    encoding: str
    isolation: str
    judge: bytes
    fixed_files: tuple[tuple[str, bytes], ...]
    instances: Instances
    aggregate: str
    guards: tuple[Guard, ...]
    best_known: int | None
    impossible: int | None
    limits: ProgramLimits
    device: str
    scoring: str
    interactive: bool
    judge_data: tuple[tuple[str, bytes], ...]
    packages: bytes | None
    judge_packages: bytes | None
    llm: ModelBudget | None

    TABLE: ClassVar = Table(
        field("run", _arguments(), optional=True),
        field("entry", word(_ENTRY), optional=True),
        field("build", _arguments(), optional=True),
        field("encoding", word(WORD_PATTERN)),
        field("isolation", word(WORD_PATTERN)),
        field("judge", digest()),
        field("fixed_files", listing(pair(relative_path(), digest()), high=_MAX_FIXED_FILES)),
        field("instances", Codec(Instances.from_value, Instances.to_value)),
        field("aggregate", word(WORD_PATTERN)),
        field("guards", listing(Codec(Guard.from_value, Guard.to_value), high=_MAX_GUARDS)),
        field("best_known", integer(), optional=True),
        field("impossible", integer(), optional=True),
        field("limits", Codec(ProgramLimits.from_value, ProgramLimits.to_value)),
        field("device", word(WORD_PATTERN)),
        field("scoring", word(WORD_PATTERN)),
        field("interactive", boolean()),
        field("judge_data", listing(pair(relative_path(), digest()), high=_MAX_JUDGE_DATA)),
        field("packages", digest(), optional=True),
        field("judge_packages", digest(), optional=True),
        field("llm", Codec(ModelBudget.from_value, ModelBudget.to_value), optional=True),
    )

    def _fault(self) -> str | None:
        if (self.run is None) == (self.entry is None):
            return "either run or entry"
        for name, entries in (("fixed_files", self.fixed_files), ("judge_data", self.judge_data)):
            if not strictly_rising([entry for entry, _ in entries]):
                return f"{name}: not sorted by name, or a name twice"
        if not strictly_rising([guard.name for guard in self.guards]):
            return "guards: not sorted by name, or a name twice"
        return None
