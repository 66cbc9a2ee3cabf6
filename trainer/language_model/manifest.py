"""A reader of a language model's fields in a task file: its text, its vocabulary, its metric.

A task has no manifest until the hashes of its shards are known
(`trainer.language_model.text.pin`). This module does not load data.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, cast

from protocol.errors import ConfigurationError, Rejected
from protocol.manifest import AuditCaps, Budget, Direction, Limits, MetricSpec, TaskManifest
from protocol.source import Source
from protocol.units import NANO
from trainer.language_model import lm_bpb_1
from trainer.language_model.evaluator import Evaluator
from trainer.language_model.text.pin import (
    Shard,
    find_pin,
    listed_shards,
    read_download,
    read_unpinned,
    with_pin,
)
from trainer.language_model.text.vocabulary import Vocabulary, parse_ranks
from trainer.task_folder.fields import Fields
from trainer.task_folder.folder import TaskFolder
from trainer.task_folder.task import Download, NotPreparedError, Task

KIND: Final = "language-model"
# The evaluators that a manifest may name.
EVALUATORS: Final[Mapping[str, Evaluator]] = {one.EVALUATOR: one for one in (lm_bpb_1,)}
# The metric of a task with a target: CPU seconds, or wall-clock seconds on a card.
TIME_TO_TARGET: Final = ("train_s", "of the baseline", "min")  # name, unit, which way is better

RecipeName = Literal["tiny-world", "text", "shards"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecipe:
    """The origin of the data: the generated world, the text at `path`, or shards at `url`.

    `shards` are in the manifest's order, and `download` is the size of their download. `vocabulary`
    turns all text into tokens.
    """

    name: RecipeName
    vocabulary: Vocabulary
    path: Path | None = None
    url: str = ""
    shards: tuple[Shard, ...] = ()
    download: Download | None = None
    named_blobs: tuple[bytes, ...] = ()


def recipe_of(task: Task) -> TextRecipe:
    """Return a language model's recipe. Raises TypeError for a task of another kind."""
    if not isinstance(task.recipe, TextRecipe):
        raise TypeError(f"task {task.name} is not a language model")
    return task.recipe


def read_manifest(
    fields: Fields, folder: TaskFolder, source: Source, *, title: str, data_dir: Path
) -> tuple[TaskManifest, TextRecipe]:
    """Return a task's manifest and recipe; implements `trainer.task_folder.task.KindReader`."""
    data = fields.section("data")
    if data.has("shards"):
        unpinned = read_unpinned(data, task=folder.called)
        pin = find_pin(unpinned, data_dir)
        if pin is None:
            raise NotPreparedError(
                kind=KIND,
                task=unpinned.task,
                title=title,
                lacks="the hashes of its data are not known here",
                unknown=unpinned,
                download=unpinned.download,
            )
        folder, data = folder.with_nearer(pin), with_pin(data, pin)
    vocabulary_name = data.text("vocabulary")
    vocabulary = parse_ranks(
        folder.read(data, vocabulary_name), name=str(folder.locate(data, vocabulary_name))
    )
    recipe = _recipe(data, vocabulary)
    manifest = _manifest(fields, data, source, vocabulary)
    data.finish()
    return manifest, recipe


def check_metric(manifest: TaskManifest) -> None:
    """Raise ConfigurationError unless the evaluator is known and the metric is the evaluator's.

    With the wrong direction, for example, losses would be published as gains.
    """
    if manifest.evaluator not in EVALUATORS:
        raise ConfigurationError(
            f"task {manifest.name}: there is no evaluator {manifest.evaluator!r} here",
            f"possible: {', '.join(EVALUATORS)}; or install the version that the task comes from",
        )
    if fault := _metric_fault(manifest):
        field, owned = fault
        raise ConfigurationError(
            f"task {manifest.name}: its metric's {field} is {getattr(manifest.metric, field)!r}, "
            f"but {_measured_by(manifest)} {owned!r}",
            f"only a task whose metric.{field} is {owned!r} can be run",
        )


def may_run_alongside(manifest: TaskManifest) -> bool:
    """Return True if runs of a task may run concurrently on one processor.

    With a budget of tokens the metric does not depend on the machine's load, unless it is a time.
    """
    return manifest.budget.unit == "tokens" and manifest.target_nano is None


def _metric_fault(manifest: TaskManifest) -> tuple[str, str] | None:
    """Return the first field of the metric that is wrong, with the right value, or None."""
    evaluated = EVALUATORS[manifest.evaluator].METRIC
    measured = evaluated if manifest.target_nano is None else TIME_TO_TARGET
    for field, owned in zip(("name", "unit", "direction"), measured, strict=True):
        if getattr(manifest.metric, field) != owned:
            return field, owned
    return None


def _measured_by(manifest: TaskManifest) -> str:
    by = manifest.evaluator if manifest.target_nano is None else "a task with a target"
    return f"{by} measures"


def _recipe(data: Fields, vocabulary: Vocabulary) -> TextRecipe:
    name = cast("RecipeName", data.one_of("recipe", ("tiny-world", "text", "shards")))
    recipe = TextRecipe(name=name, vocabulary=vocabulary)
    if name == "text":
        return replace(recipe, path=Path(data.text("path")))
    if name == "shards":
        shards = listed_shards(data.section("sha256"))
        download = read_download(data, [shard.split for shard in shards])
        return replace(recipe, url=data.text("url"), shards=shards, download=download)
    return recipe


def _manifest(fields: Fields, data: Fields, source: Source, vocabulary: Vocabulary) -> TaskManifest:
    hashes = data.section("sha256")
    metric, audit, evaluator = map(fields.section, ("metric", "audit", "evaluator"))
    manifest = TaskManifest(
        name=fields.text("name"),
        version=fields.whole("version", low=1, high=1 << 20),
        kind=KIND,
        files=tuple((path, hashlib.sha256(content).digest()) for path, content in source.files),
        metric=MetricSpec(
            name=metric.text("name"),
            unit=metric.text("unit"),
            direction=cast("Direction", metric.one_of("direction", ("min", "max"))),
            max_step_nano=_nano(metric.number("max_step", low=1e-9, high=1e6)),
        ),
        budget=_budget(fields.section("budget")),
        limits=Limits(
            limit_s=fields.whole("limit_s", low=1, high=86_400),
            warmup_limit_s=fields.whole("warmup_limit_s", low=1, high=86_400),
            memory_mb=round(1000 * fields.number("memory_gb", low=0.1, high=4096)),
            weights_mb=fields.whole("weights_mb", low=1, high=1_000_000),
            max_source_growth_bytes=fields.whole("max_source_growth", low=0, high=1 << 20),
        ),
        noise_floor_nano=_nano(fields.number("noise_floor", low=0, high=1e6)),
        audit=AuditCaps(
            k=audit.whole("k", low=1, high=1 << 16),
            tolerance_nano=_nano(audit.number("tolerance", low=0, high=10)),
            tau_nano=_nano(audit.number("tau", low=0, high=10)),
        ),
        data=tuple((name, hashes.digest(name)) for name in sorted(hashes.names())),
        tokenizer=vocabulary.digest,
        vocabulary_size=vocabulary.size,
        context=data.whole("context", low=8, high=1 << 16),
        scored_rows=data.whole("rows", low=8, high=1 << 16),
        evaluator=evaluator.one_of("module", tuple(EVALUATORS)),
        target_nano=_nano(metric.number("target", low=1e-6, high=1e3))
        if metric.has("target")
        else None,
    )
    for section in (metric, audit, evaluator):
        section.finish()
    if fault := _metric_fault(manifest):
        name, owned = fault
        declared = getattr(manifest.metric, name)
        said = f"is {declared!r}, but {_measured_by(manifest)} {owned!r}"
        raise metric.error(name, said, f'write {name} = "{owned}", or leave the section out')
    checked = TaskManifest.from_value(manifest.to_value())
    if isinstance(checked, Rejected):
        raise ConfigurationError(f"{fields.path}: {checked.reason}", "fix that field")
    return manifest


def _budget(section: Fields) -> Budget:
    unit: Literal["tokens", "seconds"] = "seconds" if section.has("seconds") else "tokens"
    if section.has("tokens") and section.has("seconds"):
        raise section.error("seconds", "clashes with tokens", "name either seconds or tokens")
    budget = Budget(unit=unit, amount=section.whole(unit, low=1, high=1 << 50))
    section.finish()
    return budget


def _nano(value: float) -> int:
    return round(value * NANO)
