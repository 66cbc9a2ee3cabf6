"""A task: what is optimised, read from a folder with a `task.toml`.

The manifest holds what a measured number depends on, and its hash is the task's id; program text,
knobs and moves are hints beside it. A folder may say `extends = "tiny"`: it then inherits every
field, section and file of that task that it does not give itself. A task whose shards are not known
by hash has no manifest, and loads once they are (`trainer.language_model.text.pin`). It knows no data.
"""

import ast
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, cast

from protocol.errors import ConfigurationError, Rejected, UsageError
from protocol.ideas import KnobSpec, Move
from protocol.manifest import AuditCaps, Budget, Direction, Limits, MetricSpec, TaskManifest
from protocol.source import Source
from protocol.units import NANO
from trainer.language_model.evaluators import METRICS, metric_fault
from trainer.language_model.text.pin import (
    NotPreparedError,
    Shard,
    find_pin,
    listed_shards,
    read_unpinned,
    with_pin,
)
from trainer.language_model.text.vocabulary import Vocabulary, parse_ranks
from trainer.task_folder.fields import Fields, TomlTable, nearest, read_toml
from trainer.task_folder.moves import read_moves

TASK_FILE: Final = "task.toml"
OWN_TASKS: Final = "tasks"  # the folder under `data_dir` that holds the own-text tasks

BUILTIN_FOLDER: Final = Path(__file__).parents[1] / "tasks"
_MAX_EXTENDS = 3

RecipeName = Literal["tiny-world", "text", "shards"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Where the data comes from: the generated world, the text at `path`, or shards at `url`.

    `shards` are in the manifest's order.
    """

    name: RecipeName
    path: Path | None = None
    url: str = ""
    shards: tuple[Shard, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task as this node works on it. `manifest` is what others know of it.

    `catalogue` is the file that lists what others published (`trainer.task_folder.findings`), if it has one.
    """

    manifest: TaskManifest
    source: Source
    title: str
    program: str
    program_path: Path
    knobs: tuple[KnobSpec, ...]
    moves: tuple[Move, ...]
    catalogue: Path | None
    recipe: Recipe
    vocabulary: Vocabulary
    is_private: bool

    @cached_property
    def id(self) -> bytes:
        """The 32-byte task id."""
        return self.manifest.id

    @property
    def name(self) -> str:
        """The manifest's name."""
        return self.manifest.name

    @property
    def editable(self) -> tuple[str, ...]:
        """The paths that a patch may change."""
        return tuple(path for path, _ in self.manifest.files)


def builtin_tasks() -> tuple[str, ...]:
    """Return the names of the tasks that come with arnode."""
    return tuple(sorted(path.parent.name for path in BUILTIN_FOLDER.glob(f"*/{TASK_FILE}")))


def builtin_ids(data_dir: Path) -> dict[str, bytes]:
    """Return the ids of the tasks that come with arnode, by name; those not prepared have none."""
    ids: dict[str, bytes] = {}
    for name in builtin_tasks():
        with suppress(NotPreparedError):
            ids[name] = load_task(name, data_dir=data_dir).id
    return ids


def load_task(name_or_path: str | Path, *, data_dir: Path) -> Task:
    """Return the task of that name, built in or made here before, or of that folder.

    Raises:
        UsageError: there is none.
        NotPreparedError: its shards are not known by hash here (`trainer.language_model.text.pinning`).
        ConfigurationError: one of its files has a fault.
    """
    return _load_folder(_find_folder(str(name_or_path), data_dir / OWN_TASKS), data_dir)


def _find_folder(wanted: str, own: Path) -> Path:
    names = {name: BUILTIN_FOLDER / name for name in builtin_tasks()}
    names |= {path.parent.name: path.parent for path in sorted(own.glob(f"*/{TASK_FILE}"))}
    if wanted in names:
        return names[wanted]
    path = Path(wanted).expanduser()
    if path.name == TASK_FILE:
        path = path.parent
    if (path / TASK_FILE).is_file():
        return path
    if path.is_dir():
        raise UsageError(
            f"{path}: no task folder, there is no {TASK_FILE} in it",
            f"write a {TASK_FILE}, as docs/writing-a-task.md says",
        )
    raise UsageError(f"there is no task {wanted!r}", nearest(wanted, names))


def _load_folder(folder: Path, data_dir: Path) -> Task:
    folders, table = _with_inherited(folder)
    path = folder / TASK_FILE
    fields = Fields(path, table)
    fields.has("extends")
    sources = Source.of({name: _read(folders, fields, name) for name in fields.texts("editable")})
    moves = _moves(folders, fields, sources)
    knobs = _knobs(fields, sources, moves)
    title = fields.text("title")
    data = fields.section("data")
    if data.has("shards"):
        wanted = folder.name if folder.parent == BUILTIN_FOLDER else str(folder)
        unpinned = read_unpinned(data, task=wanted, title=title)
        pin = find_pin(unpinned, data_dir)
        if pin is None:
            raise NotPreparedError(unpinned)
        folders, data = [pin, *folders], with_pin(data, pin)
    vocabulary_name = data.text("vocabulary")
    vocabulary = parse_ranks(
        _read(folders, data, vocabulary_name), name=str(_locate(folders, data, vocabulary_name))
    )
    recipe = _recipe(data)
    manifest = _manifest(fields, data, sources, vocabulary)
    program_name = fields.text("program")
    data.finish()
    task = Task(
        manifest=manifest,
        source=sources,
        title=title,
        program=_read(folders, fields, program_name).decode(),
        program_path=_locate(folders, fields, program_name),
        knobs=knobs,
        moves=moves,
        catalogue=_catalogue(folders, fields, sources),
        recipe=recipe,
        vocabulary=vocabulary,
        is_private=fields.has("private") and fields.flag("private"),
    )
    fields.finish()
    return task


def _with_inherited(folder: Path) -> tuple[list[Path], TomlTable]:
    """Return the folders to look for files in, nearest first, and all fields."""
    folders = [folder]
    table = read_toml(folder / TASK_FILE)
    extends = table.get("extends")
    while extends is not None:
        known = {name: BUILTIN_FOLDER / name for name in builtin_tasks()}
        if extends not in known or len(folders) > _MAX_EXTENDS:
            raise Fields(folder / TASK_FILE, table).error(
                "extends", f"is {extends!r}", f"a built-in task; {nearest(str(extends), known)}"
            )
        folders.append(known[str(extends)])
        base = read_toml(folders[-1] / TASK_FILE)
        extends = base.get("extends")
        table = {**base, **table}  # a section that is given replaces the inherited one
    return folders, table


def _locate(folders: list[Path], fields: Fields, name: str) -> Path:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise fields.error(name, "lies outside the task's folder", "name a file inside it")
    return next((at / name for at in folders if (at / name).is_file()), folders[0] / name)


def _read(folders: list[Path], fields: Fields, name: str) -> bytes:
    path = _locate(folders, fields, name)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read ({error.strerror})", f"{fields.path.name} names it: add it"
        ) from error


def _recipe(data: Fields) -> Recipe:
    name = cast("RecipeName", data.one_of("recipe", ("tiny-world", "text", "shards")))
    match name:
        case "text":
            return Recipe(name=name, path=Path(data.text("path")))
        case "shards":
            return Recipe(
                name=name, url=data.text("url"), shards=listed_shards(data.section("sha256"))
            )
        case _:
            return Recipe(name=name)


def _manifest(fields: Fields, data: Fields, source: Source, vocabulary: Vocabulary) -> TaskManifest:
    hashes = data.section("sha256")
    metric, audit = fields.section("metric"), fields.section("audit")
    manifest = TaskManifest(
        name=fields.text("name"),
        version=fields.whole("version", low=1, high=1 << 20),
        kind=cast("Literal['language-model']", fields.one_of("kind", ("language-model",))),
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
        claim_rows=data.whole("rows", low=8, high=1 << 16),
        evaluator=_evaluator(fields.section("evaluator")),
    )
    for section in (metric, audit):
        section.finish()
    if fault := metric_fault(manifest.evaluator, manifest.metric):
        name, owned = fault
        said = f"is {getattr(manifest.metric, name)!r}, but {manifest.evaluator} measures {owned!r}"
        raise metric.error(name, said, f'write {name} = "{owned}", or leave the section out')
    checked = TaskManifest.from_value(manifest.to_value())
    if isinstance(checked, Rejected):
        raise ConfigurationError(f"{fields.path}: {checked.reason}", "mend that field")
    return manifest


def _evaluator(section: Fields) -> str:
    module = section.one_of("module", tuple(METRICS))
    section.finish()
    return module


def _budget(section: Fields) -> Budget:
    unit: Literal["tokens", "seconds"] = "seconds" if section.has("seconds") else "tokens"
    if section.has("tokens") and section.has("seconds"):
        raise section.error("seconds", "stands beside tokens", "a budget is one or the other")
    budget = Budget(unit=unit, amount=section.whole(unit, low=1, high=1 << 50))
    section.finish()
    return budget


def _nano(value: float) -> int:
    return round(value * NANO)


def _knobs(fields: Fields, source: Source, moves: tuple[Move, ...]) -> tuple[KnobSpec, ...]:
    if not fields.has("knobs"):
        return ()
    section = fields.section("knobs")
    known = _constants(source)
    for move in moves:
        known |= {name for edit in move.edits for name in _constants_in(edit.replace)}
    knobs = []
    for name in section.names():
        if name not in known:
            raise section.error(
                name, "is no constant of the baseline or of a move", nearest(name, known)
            )
        knobs.append(_knob(name, section.section(name)))
    return tuple(knobs)


def _knob(name: str, spec: Fields) -> KnobSpec:
    kind = cast(
        "Literal['int', 'float', 'choice']", spec.one_of("type", ("int", "float", "choice"))
    )
    if kind == "choice":
        choices = spec.scalars("choices")
        spec.finish()
        return KnobSpec(name=name, type=kind, choices=choices)
    limit = float(1 << 50)
    low = spec.number("low", low=-limit, high=limit)
    high = spec.number("high", low=low, high=limit)
    scale: Literal["linear", "log"] = "linear"
    if spec.has("scale"):
        scale = cast("Literal['linear', 'log']", spec.one_of("scale", ("linear", "log")))
    if scale == "log" and low <= 0:
        raise spec.error("low", f"is {low:g}", "a logarithmic knob lies above zero")
    spec.finish()
    return KnobSpec(name=name, type=kind, low=low, high=high, scale=scale)


def _constants(source: Source) -> set[str]:
    """Return the module-level constants of the baseline (our own files: parsing them is safe)."""
    return {name for _, content in source.files for name in _constants_in(content.decode())}


def _constants_in(code: str) -> set[str]:
    """Return names in upper case that a line of the code assigns; fragments need not parse."""
    names = set()
    for line in code.splitlines():
        name, equals, value = line.partition(" = ")
        if equals and name.isupper() and name.isidentifier():
            try:
                ast.literal_eval(value.partition("#")[0].strip())
            except (ValueError, SyntaxError):
                continue
            names.add(name)
    return names


def _moves(folders: list[Path], fields: Fields, source: Source) -> tuple[Move, ...]:
    if not fields.has("moves"):
        return ()
    return read_moves(_locate(folders, fields, fields.text("moves")), source)


def _catalogue(folders: list[Path], fields: Fields, source: Source) -> Path | None:
    """Return where findings are listed, unless a nearer folder brings another baseline."""
    if not fields.has("findings"):
        return None
    path = _locate(folders, fields, fields.text("findings"))
    for folder in folders:
        if path.is_relative_to(folder):
            return path
        if any((folder / name).is_file() for name, _ in source.files):
            return None
    return path
