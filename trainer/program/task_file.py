"""Parses a program task's `task.toml` into its manifest and its recipe."""

import hashlib
import re
from collections.abc import Sequence
from typing import Final, cast

from protocol.errors import ConfigurationError, Rejected
from protocol.manifest import AuditCaps, Budget, Direction, Limits, MetricSpec, TaskManifest
from protocol.program import Guard, Instances, ModelBudget, ProgramLimits, ProgramSpec
from protocol.source import Source, check_words
from protocol.units import NANO
from trainer.host.folder_files import check_inside
from trainer.program.data import LIMIT_S, MEMORY_BYTES, DataFolder, JudgeResources
from trainer.program.environments import (
    JUDGE_LOCK,
    LOCK,
    packages_of_folder,
    require_packages,
)
from trainer.program.harness.files import File
from trainer.program.harness.handing import FOLDERS, IN, IN_FILE, OUT, OUT_FILE, is_asked
from trainer.program.holdout import Holdout, read_holdout
from trainer.program.manifest import (
    BATCH,
    BATCH_HINT,
    DEVICES,
    ENCODINGS,
    EVALUATOR,
    FOLDERS_HINT,
    FRESH,
    ISOLATIONS,
    JUDGE,
    KIND,
    MODULE_HINT,
    SCRIPT,
    SCRIPTED,
    ProgramRecipe,
    batch_fault,
    folders_fault,
    module_fault,
    most_of_a_split,
    tools_of,
)
from trainer.program.metric import AGGREGATES, MOST, OF_BASELINE, SCALE
from trainer.sandbox.toolchains import TOOLCHAINS
from trainer.task_folder.fields import Fields, nearest
from trainer.task_folder.folder import TaskFolder
from trainer.task_folder.task import read_regions

_MOST_MB: Final = 256
_MOST_SCRATCH_MB: Final = 1 << 16
_MOST_JUDGING_S: Final = 3600
_WARMUP_LIMIT_S: Final = 10  # enough for a compiler that runs at the first call
_MOST_JUDGES_GB: Final = 256
_MOST_CALLS: Final = 100_000
_MOST_TOKENS: Final = 1_000_000_000
_CALLED_HINT: Final = (
    "entry is a function like 'solve.py:solve', run a command like ['python', 'solve.py'], module a"
    " file that the judge imports"
)
_DRAW_HINT: Final = "replace `fixed` in [instances], for example by `public = 1`, `secret = 1`"
_FOLDER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


def read_manifest(
    fields: Fields, folder: TaskFolder, source: Source, *, title: str
) -> tuple[TaskManifest, ProgramRecipe]:
    """Return a task's manifest and recipe. Implements `trainer.task_folder.task.KindReader`."""
    judging = fields.section("judge")
    judge = folder.read(judging, judging.text("file"))
    public, hidden = _data(fields, folder)
    packages, judges = require_packages(
        packages_of_folder(_sorted_texts(fields, "requires"), folder, LOCK),
        packages_of_folder(_sorted_texts(judging, "requires"), folder, JUDGE_LOCK),
        task=folder.called,
        title=title,
    )
    judge_means = JudgeResources(
        packages=judges,
        data=(*public, *hidden),
        scratch_bytes=_whole(judging, "scratch_mb", 0, low=1, high=_MOST_SCRATCH_MB) * 1_000_000,
        **_judge_limits(judging),
    )
    script = _script(folder, _optional(fields, "llm"), _optional(judging, "llm"))
    fixed = _files(fields, folder)
    recipe = ProgramRecipe(
        judge=judge,
        fixed=fixed,
        judge_files=_files(judging, folder),
        script=script,
        holdout=_holdout(fields, folder, fixed),
        packages=packages,
        data=next(iter(public), None),
        judge_means=judge_means,
    )
    judging.has("vary")
    judging.finish()
    _check_places(fields, recipe, [path for path, _ in source.files])
    manifest = _manifest(fields, source, recipe)
    if (problem := module_fault(manifest)) is not None:
        raise fields.error("module", problem, MODULE_HINT)
    checked = TaskManifest.from_value(manifest.to_value())
    if isinstance(checked, Rejected):
        raise ConfigurationError(f"{fields.path}: {checked.reason}", "fix that field")
    return manifest, recipe


def _manifest(fields: Fields, source: Source, recipe: ProgramRecipe) -> TaskManifest:
    spec = _spec(fields, source, recipe)
    metric = fields.section("metric")
    named = MetricSpec(
        name=metric.text("name"),
        unit=metric.text("unit"),
        direction=cast("Direction", metric.one_of("direction", ("min", "max"))),
        max_step_nano=_nano(metric.number("max_step", low=1e-9, high=MOST)),
        scale=SCALE,
    )
    metric.has("aggregate")
    metric.finish()
    if named.name in OF_BASELINE and spec.instances.fixed:
        problem = "needs new instances in each run, but the task's instances are fixed"
        raise metric.error("name", problem, _DRAW_HINT)
    figures_used = {named.name, *(guard.name for guard in spec.guards)}
    has_tools = bool(tools_of(spec.run) or spec.toolchains)
    if "cpu_s" in figures_used and (spec.limits.threads > 1 or has_tools):
        # The time of a process that is not waited for is not counted.
        problem = "does not include other processes, which this task may start"
        raise fields.error("cpu_s", problem, 'use "wall_s", or one thread and no toolchain')
    drawn = spec.instances.public + spec.instances.secret
    return TaskManifest(
        name=fields.text("name"),
        version=fields.whole("version", low=1, high=1 << 20),
        kind=KIND,
        files=tuple((path, _digest(content)) for path, content in source.files),
        metric=named,
        budget=Budget(unit="instances", amount=drawn or len(spec.instances.fixed)),
        limits=Limits(
            limit_s=fields.whole("limit_s", low=1, high=86_400),
            warmup_limit_s=_warmup_limit_s(fields, spec),
            memory_mb=round(1000 * fields.number("memory_gb", low=0.05, high=4096)),
            weights_mb=0,
            max_source_growth_bytes=fields.whole("max_source_growth", low=0, high=1 << 20),
        ),
        noise_floor_nano=_nano(fields.number("noise_floor", low=0, high=1e6)),
        audit=AuditCaps(k=0, tolerance_nano=0, tau_nano=0),
        data=(),
        tokenizer=None,
        vocabulary_size=0,
        context=0,
        scored_rows=0,
        evaluator=EVALUATOR,
        program=spec,
    )


def _spec(fields: Fields, source: Source, recipe: ProgramRecipe) -> ProgramSpec:
    run = fields.texts("run") if fields.has("run") else None
    entry = fields.text("entry") if fields.has("entry") else None
    module = fields.text("module") if fields.has("module") else None
    if [run, entry, module].count(None) != 2:
        message = "or entry or module must be set, and only one of the three"
        raise fields.error("run", message, _CALLED_HINT)
    build = fields.texts("build") if fields.has("build") else None
    _check_files(fields, source, run, build)
    if entry is not None and build is None:
        _check_entry(fields, source, entry)
    metric, bound = fields.section("metric"), _optional(fields, "bound")
    instances = _instances(fields.section("instances"))
    judging = fields.section("judge")
    judge_llm = _llm(_optional(judging, "llm"), instances)
    means = recipe.judge_means
    spec = ProgramSpec(
        run=run,
        entry=entry,
        build=build,
        encoding=_word(fields, "encoding", ENCODINGS, "bytes" if run else "json"),
        isolation=_word(fields, "isolation", ISOLATIONS, FRESH),
        judge=_digest(recipe.judge),
        fixed_files=_named(recipe.fixed),
        instances=instances,
        aggregate=_word(metric, "aggregate", AGGREGATES, "mean"),
        guards=_guards(_optional(fields, "guards")),
        best_known=_bound(bound, "best_known"),
        impossible=_bound(bound, "impossible"),
        limits=ProgramLimits(
            threads=_whole(fields, "threads", 1, low=1, high=1024),
            instance_mb=_whole(fields, "instance_mb", 16, low=1, high=_MOST_MB),
            answer_mb=_whole(fields, "answer_mb", 16, low=1, high=_MOST_MB),
            warmup=_whole(fields, "warmup", 0, low=0, high=16),
            scratch_mb=means.scratch_bytes // 1_000_000 or None,
            judge_limit_s=means.limit_s if means.limit_s != LIMIT_S else None,
            judge_memory_mb=means.memory_bytes // 1_000_000
            if means.memory_bytes != MEMORY_BYTES
            else None,
        ),
        device=_word(fields, "device", DEVICES, "cpu"),
        scoring=_scoring(fields, judge_llm),
        interactive=fields.has("interactive") and fields.flag("interactive"),
        judge_data=_judge_data(recipe),
        packages=recipe.packages.digest,
        judge_packages=means.packages.digest,
        llm=_llm(_optional(fields, "llm"), instances),
        judge_llm=judge_llm,
        toolchains=_toolchains(fields),
        public_data=None if recipe.data is None else (recipe.data.name, recipe.data.digest),
        regions=read_regions(fields, source) or None,
        forbid=_forbidden(_optional(fields, "source"), source),
        module=module,
        judge_files=_named(recipe.judge_files) or None,
        vary=judging.text("vary") if judging.has("vary") else None,
        holdout=None if recipe.holdout is None else recipe.holdout.digest,
    )
    bound.finish()
    if spec.interactive and spec.encoding not in (("json",) if run else ("json", "arrays")):
        raise fields.error("encoding", f"is {spec.encoding!r}", 'interactive commands use "json"')
    if (problem := folders_fault(spec)) is not None:
        raise fields.error("encoding", f"is {FOLDERS!r}, but {problem}", FOLDERS_HINT)
    if (problem := batch_fault(spec)) is not None:
        raise fields.error("isolation", f"is {BATCH!r}, but {problem}", BATCH_HINT)
    if spec.limits.warmup and (entry is None or spec.interactive):
        raise fields.error("warmup", "needs an entry that is not interactive", "omit it")
    return spec


def _warmup_limit_s(fields: Fields, spec: ProgramSpec) -> int:
    """Return the limit for all warm-ups of a process together. No metric contains their time."""
    if not spec.limits.warmup:
        if fields.has("warmup_limit_s"):
            raise fields.error("warmup_limit_s", "needs warmup", "write `warmup = 1`, or omit it")
        return 0
    return _whole(fields, "warmup_limit_s", _WARMUP_LIMIT_S, low=1, high=3600)


def _files(section: Fields, folder: TaskFolder) -> tuple[File, ...]:
    names = sorted(section.texts("files")) if section.has("files") else []
    return tuple(File(path=name, data=folder.read(section, name)) for name in names)


def _named(files: tuple[File, ...]) -> tuple[tuple[str, bytes], ...]:
    return tuple((one.path, _digest(one.data)) for one in files)


def _forbidden(section: Fields, source: Source) -> tuple[str, ...] | None:
    """Return the words that no source may contain. The baseline must not contain them either."""
    words = tuple(sorted(set(section.texts("forbid")))) if section.has("forbid") else ()
    section.finish()
    if (fault := check_words(source, words)) is not None:
        raise section.error("forbid", f"refuses the baseline: {fault.reason}", "fix either")
    return words or None


def _check_files(
    fields: Fields,
    source: Source,
    run: tuple[str, ...] | None,
    build: tuple[str, ...] | None,
) -> None:
    """Raise ConfigurationError if a command asks for a file that it cannot have."""
    asked = [what for what in (IN, OUT) if is_asked(run or (), what)]
    if any(is_asked(build or (), what) for what in (IN, OUT)):
        raise fields.error(
            "build",
            f"uses {IN} or {OUT}",
            "a build has no instance or answer: omit the placeholder",
        )
    if asked and fields.has("interactive") and fields.flag("interactive"):
        raise fields.error("run", f"uses {asked[0]}", "an interactive program has no such file")
    names = {path for path, _ in source.files}
    names.update(fields.texts("files") if fields.has("files") else ())
    for what, name in ((IN, IN_FILE), (OUT, OUT_FILE)):
        if what in asked and name in names:
            raise fields.error("run", f"uses {what}, but a file is called {name}", "rename it")


def _check_entry(fields: Fields, source: Source, entry: str) -> None:
    """Raise ConfigurationError if the entry's file is none that the program has."""
    fixed = fields.texts("files") if fields.has("files") else ()
    names = (*(path for path, _ in source.files), *fixed)
    path = entry.partition(":")[0]
    if path not in names:
        hint = f"name one of {', '.join(names)}, or add it to `editable` or `files`"
        raise fields.error("entry", f"names {path}, which is no file of the task", hint)


def _data(fields: Fields, folder: TaskFolder) -> tuple[tuple[DataFolder, ...], ...]:
    """Return two groups of data folders: those candidates see, and those only the judge sees."""
    section = _optional(fields, "data")
    named = [(section.text(one),) if section.has(one) else () for one in ("public", "judge")]
    section.has("holdout")
    section.finish()
    for name in (*named[0], *named[1]):
        if not _FOLDER.fullmatch(name):
            raise fields.error("data", f"names {name!r}", "name a folder next to task.toml")
    if named[0] and named[0] == named[1]:
        raise fields.error("data", "names one folder twice", "give the judge another folder")
    if any(named) and not (fields.has("private") and fields.flag("private")):
        problem = "needs a private task"
        raise fields.error("data", problem, "data stay on this machine: write `private = true`")
    root = folder.folders[0]
    return tuple(
        tuple(DataFolder.read(one, check_inside(root, one)) for one in names) for names in named
    )


def _holdout(fields: Fields, folder: TaskFolder, fixed: Sequence[File]) -> Holdout | None:
    """Return the files that replace fixed ones on secret instances, if the task has any."""
    section = _optional(fields, "data")
    if not section.has("holdout"):
        return None
    name = section.text("holdout")
    if not _FOLDER.fullmatch(name):
        raise section.error("holdout", f"is {name!r}", "name a folder next to task.toml")
    if not (fields.has("private") and fields.flag("private")):
        problem = "needs a private task"
        raise section.error(
            "holdout", problem, "the holdout stays on this machine: write `private = true`"
        )
    if fields.has("module"):
        problem = "cannot be used with an imported evaluator, which has its own files"
        raise section.error("holdout", problem, "use `vary` in [judge] instead")
    if fields.section("instances").has("fixed"):
        problem = "needs secret instances, but the task's instances are fixed"
        raise section.error("holdout", problem, _DRAW_HINT)
    return read_holdout(folder.folders[0], name, fixed)


def _judge_limits(section: Fields) -> dict[str, int]:
    """Return the judge's limits that the file sets."""
    said = {}
    if section.has("limit_s"):
        said["limit_s"] = section.whole("limit_s", low=1, high=_MOST_JUDGING_S)
    if section.has("memory_gb"):
        memory_gb = section.number("memory_gb", low=0.1, high=_MOST_JUDGES_GB)
        said["memory_bytes"] = round(1000 * memory_gb) * 1_000_000
    return said


def _check_places(fields: Fields, recipe: ProgramRecipe, sources: list[str]) -> None:
    """Raise ConfigurationError if a source or fixed file is inside a data folder.

    Otherwise candidates could see the judge's data, or edit their own data.
    """
    taken = {folder.name for folder in recipe.judge_means.data}
    files = (one.path for one in (*recipe.fixed, *recipe.judge_files))
    for path in (*sources, *files, JUDGE):
        if path.split("/")[0] in taken:
            raise fields.error("data", f"contains {path!r}", "move that file out of the data")


def _judge_data(recipe: ProgramRecipe) -> tuple[tuple[str, bytes], ...]:
    hidden = [folder for folder in recipe.judge_means.data if folder is not recipe.data]
    named = [(folder.name, folder.digest) for folder in hidden]
    if recipe.script is not None:
        named.append((SCRIPT, _digest(recipe.script)))
    return tuple(sorted(named))


def _toolchains(fields: Fields) -> tuple[str, ...] | None:
    if not fields.has("toolchains"):
        return None
    names = _sorted_texts(fields, "toolchains")
    for name in names:
        if name not in TOOLCHAINS:
            raise fields.error("toolchains", f"names {name!r}", nearest(name, TOOLCHAINS))
    return names


def _instances(section: Fields) -> Instances:
    fixed = section.texts("fixed") if section.has("fixed") else ()
    if fixed and (section.has("public") or section.has("secret")):
        hint = "omit `fixed`, or omit `public` and `secret`"
        raise section.error("fixed", "clashes with public or secret", hint)
    drawn = [0 if fixed else section.whole(name, low=1, high=4096) for name in ("public", "secret")]
    section.finish()
    return Instances(public=drawn[0], secret=drawn[1], fixed=fixed)


def _scoring(fields: Fields, judge_llm: ModelBudget | None) -> str:
    """Return who computes the scores: a judge, the candidate itself or a language model."""
    least = "judged" if judge_llm is None else "model"
    scoring = _word(fields, "scoring", ("judged", "self"), least)
    if judge_llm is not None and scoring != least:
        raise fields.error("scoring", "clashes with judge.llm", "omit one of the two")
    return scoring


def _script(folder: TaskFolder, *sections: Fields) -> bytes | None:
    """Return the task's script, which replaces a language model wherever one is asked."""
    named = {one.text("script"): one for one in sections if one.has("script")}
    if len(named) > 1:
        raise sections[-1].error(
            "script", "differs from the script of the other section", "name one script"
        )
    return next((folder.read(one, name) for name, one in named.items()), None)


def _llm(section: Fields, instances: Instances) -> ModelBudget | None:
    """Return a run's budget for language models; None without the section.

    `models` are names: "any" for any model that a node has, "scripted" for the task's own `script`.
    `calls` and `tokens` are limits of a run, divided evenly among the instances of a split.
    """
    if not section.names():
        return None
    models = section.texts("models")
    if (SCRIPTED in models) != section.has("script"):
        problem = f'must be set if `models` contains "{SCRIPTED}", and only then'
        raise section.error("script", problem, "set both, or neither")
    least = most_of_a_split(instances)
    budget = ModelBudget(
        models=models,
        calls=section.whole("calls", low=least, high=_MOST_CALLS),
        tokens=section.whole("tokens", low=least, high=_MOST_TOKENS),
    )
    section.finish()
    return budget


def _guards(section: Fields) -> tuple[Guard, ...]:
    guards = []
    for name in sorted(section.names()):
        one = section.section(name)
        times = one.number("times", low=1e-6, high=1e6) if one.has("times") else None
        most = one.number("most", low=-MOST, high=MOST) if one.has("most") else None
        one.finish()
        guards.append(
            Guard(
                name=name,
                scale=SCALE,
                times_millionths=None if times is None else round(times * 1e6),
                most=None if most is None else _nano(most),
            )
        )
    section.finish()
    return tuple(guards)


def _bound(section: Fields, name: str) -> int | None:
    return _nano(section.number(name, low=-MOST, high=MOST)) if section.has(name) else None


def _optional(fields: Fields, name: str) -> Fields:
    return fields.section(name) if fields.has(name) else Fields(fields.path, {}, f"{name}.")


def _sorted_texts(fields: Fields, name: str) -> tuple[str, ...]:
    return tuple(sorted(set(fields.texts(name)))) if fields.has(name) else ()


def _word(fields: Fields, name: str, known: tuple[str, ...], default: str) -> str:
    return fields.one_of(name, known) if fields.has(name) else default


def _whole(fields: Fields, name: str, default: int, *, low: int, high: int) -> int:
    return fields.whole(name, low=low, high=high) if fields.has(name) else default


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _nano(value: float) -> int:
    return round(value * NANO)
