"""A task, read from a folder with a `task.toml`.

The manifest holds everything that a score depends on, and its hash is the task's id. Instructions,
hyperparameters and moves are hints outside the manifest. Each kind of task reads the fields that
only it has.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

from protocol.codecs import odd_character
from protocol.errors import ConfigurationError, Rejected, UsageError
from protocol.ideas import HyperparameterSpec, Move
from protocol.manifest import TaskManifest
from protocol.program import ProgramSpec
from protocol.regions import REGION_NAME, Region, check_regions, outside
from protocol.source import Source, check_words
from trainer.task_folder.fields import Fields
from trainer.task_folder.folder import OWN_TASKS, TaskFolder, find_folder, with_inherited
from trainer.task_folder.moves import read_hyperparameters, read_moves, sized

_REGION: Final = "#"  # separates a file from the name of its editable region
_MOST_RUNGS: Final = 8  # in one ladder


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """The size of a task's download, known from its file before anything is downloaded.

    `files` is the total, `first_files` are needed before the first run. Each has about `file_mb`
    million bytes (None: unknown). `needs_card` is true if the task needs an NVIDIA card.
    """

    files: int
    first_files: int
    file_mb: int | None
    needs_card: bool


class Recipe(Protocol):
    """A description of how to obtain a task's data; only the task's kind knows the details."""

    @property
    def name(self) -> str:
        """The name of this recipe among those of its kind."""

    @property
    def download(self) -> Download | None:
        """The download it needs; None if the data are made or read locally."""

    @property
    def named_blobs(self) -> tuple[bytes, ...]:
        """Files that the manifest names by hash, and that peers need to run the task."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task on this node. Peers know only its `manifest`.

    `program` holds the instructions. If this node has only the manifest, `program` is a short text
    and `program_path` is None. `catalogue` is the file of published findings
    (`trainer.task_folder.findings`), if the task has one. `rung_below` is the task one rung below,
    as a command argument.
    """

    manifest: TaskManifest
    source: Source
    title: str
    program: str
    program_path: Path | None
    hyperparameters: tuple[HyperparameterSpec, ...]
    moves: tuple[Move, ...]
    catalogue: Path | None
    recipe: Recipe
    is_private: bool
    rung_below: str | None = None

    @cached_property
    def id(self) -> bytes:
        """The 32-byte task id."""
        return self.manifest.id

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def editable(self) -> tuple[str, ...]:
        """The paths that a patch may change."""
        return tuple(path for path, _ in self.manifest.files)


class NotPreparedError(ConfigurationError):
    """A task lacks something that its id depends on, or that its runs need.

    `task` is the task as a command argument, and `lacks` describes what is missing. `unknown` is
    what the task's kind must resolve first; `download` is the download needed for that.
    """

    def __init__(
        self, *, kind: str, task: str, title: str, lacks: str, unknown: object, download: Download
    ) -> None:
        super().__init__(
            f"task {task} is not prepared yet: {lacks}",
            f"prepare it: arnode task prepare {task}",
        )
        self.kind = kind
        self.title = title
        self.lacks = lacks
        self.unknown = unknown
        self.download = download


class KindReader(Protocol):
    """A reader of the fields that only one kind of task has."""

    def read(
        self, fields: Fields, folder: TaskFolder, source: Source, *, title: str, data_dir: Path
    ) -> tuple[TaskManifest, Recipe]:
        """Return a task's manifest and recipe.

        Raises NotPreparedError if that needs a download first, ConfigurationError if one of the
        task's files has a fault.
        """


def read_task(
    path: Path, readers: Mapping[str, KindReader], *, data_dir: Path, above: tuple[Path, ...] = ()
) -> Task:
    """Return the task of a folder; `readers` has a reader for each kind of task.

    `above` holds the folders of the rungs above this one. Raises ConfigurationError if a file has a
    fault, and the errors of the readers.
    """
    folder, fields = with_inherited(path)
    fields.has("extends")
    editable = [name.partition(_REGION)[0] for name in fields.texts("editable")]
    _check_characters(fields, editable)
    source = Source.of({name: folder.read(fields, name) for name in editable})
    source = sized(fields, source)
    moves: tuple[Move, ...] = ()
    if fields.has("moves"):
        moves = read_moves(folder.locate(fields, fields.text("moves")), source)
    hyperparameters = read_hyperparameters(fields, source, moves)
    title = fields.text("title")
    reader = readers[fields.one_of("kind", tuple(readers))]
    manifest, recipe = reader.read(fields, folder, source, title=title, data_dir=data_dir)
    if manifest.program is None and any(_REGION in name for name in fields.texts("editable")):
        raise fields.error(
            "editable", "names a region", "only program tasks have regions: name the file"
        )
    if manifest.program is not None:
        _check_moves(fields, moves, source, manifest.program)
    below = _rung_below(path, fields, data_dir, above)
    if below is not None:
        rung = read_task(below, readers, data_dir=data_dir, above=(*above, path))
        manifest = replace(manifest, below=_checked_rung(fields, manifest, rung.manifest).id)
    program_name = fields.text("program")
    task = Task(
        manifest=manifest,
        source=source,
        title=title,
        program=folder.read(fields, program_name).decode(),
        program_path=folder.locate(fields, program_name).resolve(),
        hyperparameters=hyperparameters,
        moves=moves,
        catalogue=_catalogue(folder, fields, source),
        recipe=recipe,
        is_private=fields.has("private") and fields.flag("private"),
        rung_below=None if below is None else TaskFolder((below,)).called,
    )
    fields.finish()
    return task


def _rung_below(path: Path, fields: Fields, data_dir: Path, above: tuple[Path, ...]) -> Path | None:
    """Return the folder of the task one rung below, given by name or by a relative path."""
    if not fields.has("ladder"):
        return None
    section = fields.section("ladder")
    wanted = section.text("below")
    section.finish()
    sibling = path / wanted
    try:
        found = find_folder(str(sibling) if sibling.is_dir() else wanted, data_dir / OWN_TASKS)
    except UsageError as fault:
        raise section.error("below", f"names no task: {fault.message}", fault.hint) from fault
    if len(above) >= _MOST_RUNGS or found.resolve() in [one.resolve() for one in (*above, path)]:
        raise section.error(
            "below", f"leads back to {wanted!r}", "name another rung, or omit [ladder]"
        )
    return found


def _checked_rung(fields: Fields, manifest: TaskManifest, below: TaskManifest) -> TaskManifest:
    """Return the manifest of the rung below if its patches can be transferred to this rung.

    Raises ConfigurationError otherwise.
    """
    if parted := manifest.parts_from(below):
        what, theirs, own = parted
        raise fields.error(
            "ladder.below",
            f"names {below.name}, whose {what} is {theirs!r}, not {own!r}",
            "all rungs must have the same metric and the same editable files",
        )
    return below


def _check_characters(fields: Fields, editable: Sequence[str]) -> None:
    """Raise ConfigurationError for a file name with characters that a patch cannot hold."""
    fixed = fields.texts("files") if fields.has("files") else ()
    for field, names in (("editable", editable), ("files", fixed)):
        for name in names:
            if (fault := odd_character(name)) is not None:
                raise fields.error(field, f"names {name!r}: {fault}", "rename that file")


def _check_moves(fields: Fields, moves: Sequence[Move], source: Source, spec: ProgramSpec) -> None:
    """Raise ConfigurationError for a move that uses a forbidden word or leaves the regions."""
    for move in moves:
        moved = source
        for edit in move.edits:
            text = moved[edit.path].decode().replace(edit.search, edit.replace, 1)
            moved = moved.replacing(edit.path, text.encode())
        fault = check_words(moved, spec.forbid or ())
        fault = fault or check_regions(moved, spec.regions or (), baseline=source)
        if fault is not None:
            raise fields.error("moves", f"{move.name}: {fault.reason}", "fix the move")


def read_regions(fields: Fields, source: Source) -> tuple[Region, ...]:
    """Return the regions that `editable` names, as in `sort.rs#EVOLVE-BLOCK`, sorted by file."""
    named = (name.partition(_REGION) for name in fields.texts("editable"))
    regions = [Region(path=path, name=name) for path, mark, name in sorted(named) if mark]
    for region in regions:
        if not re.fullmatch(REGION_NAME, region.name):
            hint = "letters, digits, _ and -, as in sort.rs#EVOLVE-BLOCK"
            raise fields.error("editable", f"names the region {region.name!r}", hint)
        lines = outside(source[region.path], region)
        if isinstance(lines, Rejected):
            start, end = region.markers
            raise fields.error("editable", lines.reason, f"write {start} and {end} into comments")
    return tuple(regions)


def _catalogue(folder: TaskFolder, fields: Fields, source: Source) -> Path | None:
    """Return the catalogue of findings; None if a nearer folder has its own baseline files."""
    if not fields.has("findings"):
        return None
    path = folder.locate(fields, fields.text("findings"))
    for at in folder.folders:
        if path.is_relative_to(at):
            return path
        if any((at / name).is_file() for name, _ in source.files):
            return None
    return path
