"""The part of a manifest for tasks of the kind `program`: how to build, run and judge a program.

    program  {run [line] or entry or module, build?, encoding, isolation, judge hash,
              fixed_files [[path, blob]], instances {public, secret, fixed}, aggregate, guards,
              best_known?, impossible?,
              limits {threads, instance_mb, answer_mb, warmup, scratch_mb?, judge_limit_s?,
              judge_memory_mb?}, device, scoring,
              interactive, judge_data [[path, hash]], packages?, judge_packages?, llm?, judge_llm?,
              toolchains? [word], public_data? [path, hash], holdout? hash,
              regions? [{path, name}], forbid? [line], judge_files? [[path, blob]], vary? line}
    guard    {name, scale, times?, most?}
    llm      {models [line], calls, tokens}

Figures of the metric are ints in units of 10^-scale, with the `scale` of the manifest's metric; a
guard has its own scale. Blobs are named by hash. A node does not run a task whose encoding,
isolation, aggregate or scoring it does not know.
"""

from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from protocol.codecs import identifier, integer, single_line, strictly_rising
from protocol.fields import (
    OPTIONAL,
    Digest,
    Identifier,
    Items,
    Mapped,
    ModelName,
    Named,
    NamedDigest,
    Natural,
    Positive,
)
from protocol.regions import Region

MIN_SCALE: Final = -12
MAX_SCALE: Final = 15
MAX_FIXED_INSTANCES: Final = 64
METRIC_NAME: Final = r"[a-z0-9_]{1,32}"
_MAX_FIXED_FILES = 64
_MAX_JUDGE_DATA = 64
_MAX_GUARDS = 16
_MAX_TOOLCHAINS = 8
_MAX_MODELS = 16
_MAX_REGIONS = 8
_MAX_FORBIDDEN = 32
_MODULE = r"[A-Za-z0-9_][A-Za-z0-9._+/-]{0,127}"
_ENTRY = r"[A-Za-z0-9_][A-Za-z0-9._+/-]{0,127}:[A-Za-z_][A-Za-z0-9_]{0,63}"


# A figure is round(value * 10^scale), a whole number below 2^53.
PowerOfTen: TypeAlias = Annotated[int, integer(MIN_SCALE, MAX_SCALE)]
_Argument: TypeAlias = Annotated[str, single_line(1, 200)]
_Arguments: TypeAlias = Annotated[tuple[_Argument, ...], Items(1, 32)]
_Toolchains: TypeAlias = Annotated[tuple[Identifier, ...], Items(1, _MAX_TOOLCHAINS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instances(Mapped):
    """The numbers of public and secret instances that a run draws, or names of fixed instances."""

    public: Natural
    secret: Natural
    fixed: Annotated[tuple[_Argument, ...], Items(0, MAX_FIXED_INSTANCES)]

    def _fault(self) -> str | None:
        if bool(self.fixed) == bool(self.public or self.secret):
            return "needs either fixed instances or the numbers of instances to draw"
        if len(set(self.fixed)) != len(self.fixed):
            return "fixed: a duplicate instance"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard(Mapped):
    """A limit on a figure other than the metric, such as the peak memory.

    The figure may be at most `times_millionths` / 10^6 times the baseline's figure, or at most
    `most`; if both are set, both apply.
    """

    name: Annotated[str, identifier(METRIC_NAME)]
    scale: PowerOfTen
    times_millionths: Annotated[Positive | None, Named("times"), OPTIONAL] = None
    most: Annotated[int | None, OPTIONAL] = None

    def _fault(self) -> str | None:
        neither = self.times_millionths is None and self.most is None
        return "needs times, most or both" if neither else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramLimits(Mapped):
    """The limits for one instance, in addition to the task's.

    `warmup` is the number of calls before the first one that counts. `scratch_mb` limits the files
    that the judge may write while it answers one question; None: none. If `judge_limit_s` or
    `judge_memory_mb` is None, the default for judges applies.
    """

    threads: Positive
    instance_mb: Positive
    answer_mb: Positive
    warmup: Natural
    scratch_mb: Annotated[Positive | None, OPTIONAL] = None
    judge_limit_s: Annotated[Positive | None, OPTIONAL] = None
    judge_memory_mb: Annotated[Positive | None, OPTIONAL] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBudget(Mapped):
    """The language models that a run may ask, with the most calls and tokens.

    `ProgramSpec.llm` is the budget of candidates, `ProgramSpec.judge_llm` the budget of the judge.
    """

    models: Annotated[tuple[ModelName, ...], Items(1, _MAX_MODELS)]
    calls: Positive
    tokens: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSpec(Mapped):
    """The definition of how a program is built, run and judged: all that its scores depend on.

    - `toolchains`: available to a candidate in addition to those that the first words of its
      commands need.
    - `public_data`, `judge_data`: files by hash. `public_data` and one entry of `judge_data` may be
      a folder instead. Its hash is the hash of the list of its files. The files of such a folder
      stay with the task's author.
    - `holdout`: a salted hash of files that replace fixed files of the same names on secret
      instances. The replacing files never leave the author's machine.
    - `module`: a Python module of the candidate, which the judge's evaluator calls. Arguments and
      results are copied.
    - `judge_files`: the evaluator's files.
    - `vary`: names what in the evaluator depends on an instance's seed; None: nothing does.
    """

    run: Annotated[_Arguments | None, OPTIONAL]
    entry: Annotated[str | None, identifier(_ENTRY), OPTIONAL]
    build: Annotated[_Arguments | None, OPTIONAL]
    encoding: Identifier
    isolation: Identifier
    judge: Digest
    fixed_files: Annotated[tuple[NamedDigest, ...], Items(0, _MAX_FIXED_FILES)]
    instances: Instances
    aggregate: Identifier
    guards: Annotated[tuple[Guard, ...], Items(0, _MAX_GUARDS)]
    best_known: Annotated[int | None, OPTIONAL]
    impossible: Annotated[int | None, OPTIONAL]
    limits: ProgramLimits
    device: Identifier
    scoring: Identifier
    interactive: bool
    judge_data: Annotated[tuple[NamedDigest, ...], Items(0, _MAX_JUDGE_DATA)]
    packages: Annotated[Digest | None, OPTIONAL]
    judge_packages: Annotated[Digest | None, OPTIONAL]
    llm: Annotated[ModelBudget | None, OPTIONAL]
    judge_llm: Annotated[ModelBudget | None, OPTIONAL] = None
    toolchains: Annotated[_Toolchains | None, OPTIONAL] = None
    public_data: Annotated[NamedDigest | None, OPTIONAL] = None
    regions: Annotated[tuple[Region, ...] | None, Items(1, _MAX_REGIONS), OPTIONAL] = None
    forbid: Annotated[tuple[_Argument, ...] | None, Items(1, _MAX_FORBIDDEN), OPTIONAL] = None
    holdout: Annotated[Digest | None, OPTIONAL] = None
    module: Annotated[str | None, identifier(_MODULE), OPTIONAL] = None
    judge_files: Annotated[tuple[NamedDigest, ...] | None, Items(1, _MAX_FIXED_FILES), OPTIONAL] = (
        None
    )
    vary: Annotated[str | None, single_line(1, 80), OPTIONAL] = None

    @property
    def has_public_instances(self) -> bool:
        """True if an imported evaluator uses the same, public instances for every candidate."""
        return self.module is not None and self.vary is None

    @property
    def model_budgets(self) -> tuple[ModelBudget, ...]:
        """The language-model budgets of candidates and of the judge; empty if there are none."""
        return tuple(one for one in (self.llm, self.judge_llm) if one is not None)

    @property
    def blobs(self) -> tuple[bytes, ...]:
        """The hashes of the files that a node needs to run the task, except the baseline."""
        shown = () if self.public_data is None else (self.public_data,)
        named = (*self.fixed_files, *(self.judge_files or ()), *self.judge_data, *shown)
        locks = (lock for lock in (self.packages, self.judge_packages) if lock is not None)
        return (self.judge, *(blob for _, blob in named), *locks)

    def _fault(self) -> str | None:
        if [self.run, self.entry, self.module].count(None) != 2:
            return "needs exactly one of run, entry and module"
        if self.module is None and self.vary is not None:
            return "vary: needs a module"
        if self.module is not None and (fault := self._module_fault()) is not None:
            return f"module: {fault}"
        for name, entries in (
            ("fixed_files", self.fixed_files),
            ("judge_files", self.judge_files or ()),
            ("judge_data", self.judge_data),
        ):
            if not strictly_rising([entry for entry, _ in entries]):
                return f"{name}: not sorted by name, or a duplicate name"
        if self.toolchains is not None and not strictly_rising(list(self.toolchains)):
            return "toolchains: not sorted, or a duplicate"
        if self.holdout is not None and self.instances.fixed:
            return "holdout: fixed instances have no secret split"
        if not strictly_rising([guard.name for guard in self.guards]):
            return "guards: not sorted by name, or a duplicate name"
        if self.judge_llm is not None and self.scoring == "judged":
            return "judge_llm: not possible with scoring by a judge"
        if not strictly_rising([region.path for region in self.regions or ()]):
            return "regions: not sorted by path, or a duplicate path"
        if not strictly_rising(list(self.forbid or ())):
            return "forbid: not sorted, or a duplicate word"
        return None

    def _module_fault(self) -> str | None:
        """Return a setting that cannot be combined with `module`, or None."""
        if self.instances.fixed:
            return "not possible with fixed instances"
        if self.interactive:
            return "not possible with interactive"
        if self.model_budgets:
            return "not possible with model budgets"
        return None
