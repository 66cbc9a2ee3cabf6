"""The shards of a task with their hashes: written in the task's file, or found once on this node.

A task file may list shards without hashes, if its author could not download them. Then
`[data.shards]` lists them by split, and `vocabulary_size` is the size of the vocabulary to train on
the first training shard. `trainer.language_model.text.pinning` finds the hashes and trains the
vocabulary. The result, the pin, depends only on the shards' bytes and is stored as

    <data_dir>/pins/<key>/pin.toml, vocabulary.tiktoken

From then on the task loads like any other. Tasks that name the same shards share a pin.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from trainer.language_model.text.token_cache import write_atomically
from trainer.language_model.text.vocabulary import Vocabulary
from trainer.task_folder.fields import Fields, TomlTable, read_toml
from trainer.task_folder.task import Download

PINS: Final = "pins"  # the folder under `data_dir`

_PIN_FILE = "pin.toml"
_VOCABULARY_FILE = "vocabulary.tiktoken"
_HOW = "1"  # raise it when a change makes another vocabulary from the same shards
_KEY_DIGITS = 16
_MAX_VOCABULARY = 1 << 16  # tokens are kept in 16 bits
_MAX_MB = 1_000_000

Split = Literal["training", "public", "secret"]

SPLITS: Final[tuple[Split, ...]] = get_args(Split)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A file of text. `name` is its path below the task's URL or folder."""

    split: Split
    name: str
    sha256: bytes

    @property
    def entry(self) -> str:
        """The shard's name in the manifest; shards are ordered by it."""
        return f"{self.split}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpinned:
    """Shards without hashes, in order; `task` is how commands name the task."""

    task: str
    url: str
    shards: tuple[tuple[Split, str], ...]
    vocabulary_size: int
    download: Download

    @property
    def key(self) -> str:
        """The pin's key, shared by all tasks with these shards and this vocabulary size."""
        entries = (f"{split}/{name}" for split, name in self.shards)
        said = "\n".join((_HOW, str(self.vocabulary_size), *entries))
        return hashlib.sha256(said.encode()).hexdigest()[:_KEY_DIGITS]

    @property
    def first(self) -> str:
        return next(name for split, name in self.shards if split == "training")

    @property
    def names(self) -> tuple[str, ...]:
        """All shards, the first training shard before the others."""
        return (self.first, *(name for _, name in self.shards if name != self.first))


def listed_shards(hashes: Fields) -> tuple[Shard, ...]:
    """Return the shards that `[data.sha256]` lists as "split/name", sorted.

    Raises ConfigurationError if an entry has a fault or a split has no shard.
    """
    shards: list[Shard] = []
    for entry in sorted(hashes.names()):
        written, _, name = entry.partition("/")
        split = next((one for one in SPLITS if one == written), None)
        if split is None or not name:
            raise hashes.error(entry, "names no split", f"write {'/…, '.join(SPLITS)}/…")
        shard = Shard(split=split, name=name, sha256=hashes.digest(entry))
        if any(shard.name == one.name or shard.sha256 == one.sha256 for one in shards):
            raise hashes.error(entry, "names one shard twice", "a shard belongs to one split")
        shards.append(shard)
    for split in SPLITS:
        if all(shard.split != split for shard in shards):
            raise hashes.error(f'"{split}/…"', "is missing", "each split needs a shard of its own")
    return tuple(shards)


def read_unpinned(data: Fields, *, task: str) -> Unpinned:
    """Read a `[data]` section that lists its shards without hashes.

    Raises ConfigurationError if it has a fault.
    """
    for name in ("vocabulary", "sha256"):
        if data.has(name):
            hint = "leave out either `shards`, or `vocabulary` and `sha256`"
            raise data.error(name, "clashes with shards", hint)
    data.one_of("recipe", ("shards",))
    lists = data.section("shards")
    shards: list[tuple[Split, str]] = []
    for split in SPLITS:
        for name in lists.texts(split):
            if any(name == other for _, other in shards):
                raise lists.error(split, f"names {name} again", "a shard belongs to one split")
            shards.append((split, name))
    lists.finish()
    ordered = tuple(sorted(shards))
    return Unpinned(
        task=task,
        url=data.text("url"),
        shards=ordered,
        vocabulary_size=data.whole("vocabulary_size", low=257, high=_MAX_VOCABULARY),
        download=read_download(data, [split for split, _ in ordered]),
    )


def read_download(data: Fields, splits: Sequence[Split]) -> Download:
    """Read the download size of a `[data]` section; `splits` has the split of each shard."""
    scored = sum(split != "training" for split in splits)
    return Download(
        files=len(splits),
        first_files=scored + 1,
        file_mb=data.whole("shard_mb", low=1, high=_MAX_MB) if data.has("shard_mb") else None,
        needs_card=data.has("needs_card") and data.flag("needs_card"),
    )


def find_pin(unpinned: Unpinned, data_dir: Path) -> Path | None:
    """Return the folder of the pin, or None."""
    folder = data_dir / PINS / unpinned.key
    return folder if (folder / _PIN_FILE).is_file() else None


def with_pin(data: Fields, folder: Path) -> Fields:
    """Return a `[data]` section with the hashes and the vocabulary of the pin filled in."""
    given: TomlTable = {
        name: value
        for name, value in data.table.items()
        if name not in ("shards", "vocabulary_size")
    }
    return Fields(data.path, {**given, **read_toml(folder / _PIN_FILE)}, data.prefix)


def write_pin(
    unpinned: Unpinned, digests: Mapping[str, bytes], vocabulary: Vocabulary, *, data_dir: Path
) -> None:
    """Write a pin atomically; `digests` maps a shard's name to its sha256.

    Only one process may call it at a time, since it removes the leftovers of earlier ones.
    """
    folder = data_dir / PINS / unpinned.key
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in (folder, *folder.parent.glob(f".{unpinned.key}-*")):
        shutil.rmtree(leftover, ignore_errors=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{unpinned.key}-"))
    lines = [
        "# Made by `arnode task prepare`: the shards' hashes. Remove the folder to make it again.",
        f'vocabulary = "{_VOCABULARY_FILE}"',
        "",
        "[sha256]",
        *(f'"{split}/{name}" = "{digests[name].hex()}"' for split, name in unpinned.shards),
        "",
    ]
    try:
        write_atomically(made / _VOCABULARY_FILE, vocabulary.file_bytes)
        write_atomically(made / _PIN_FILE, "\n".join(lines).encode())
        made.replace(folder)
        at = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(at)
        finally:
            os.close(at)
    finally:
        shutil.rmtree(made, ignore_errors=True)
