"""The user's own text, split into training, public and secret blocks by the blocks' content.

Blocks are assigned to splits in the order of their hashes, and a block that occurs twice counts
once. So no block of one split occurs in another. This module does not know tokens.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError
from trainer.host.folder_files import FolderFile, files_below

MIN_TEXT_BYTES: Final = 400_000  # with less, the splits are too small to compare patches
MAX_TEXT_BYTES: Final = 64 << 20  # all of it is held in memory; a run reads less than 1 MB

# Blocks are small, since a run reads only half a megabyte. With a few large blocks, each seed would
# learn different words.
_MAX_BLOCK_BYTES = 4 << 10
_MIN_BLOCK_BYTES = 2 << 10
_BLOCKS = 200  # at least so many if the text allows, to keep the shares of the splits accurate
_PUBLIC_PERCENT, _SECRET_PERCENT = 10, 25


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSplits:
    """The blocks of each split and the hash of the whole text, paths included."""

    training: tuple[str, ...]
    public: tuple[str, ...]
    secret: tuple[str, ...]
    digest: bytes


def read_splits(path: Path) -> TextSplits:
    """Read and split a file or a folder. Raises ConfigurationError if it is unusable."""
    return split_texts(path, read_texts(path))


def split_texts(path: Path, texts: Sequence[tuple[str, bytes]]) -> TextSplits:
    """Split the texts of a file or folder. Raises ConfigurationError if they are too few."""
    total = sum(len(text) for _, text in texts)
    size = max(_MIN_BLOCK_BYTES, min(_MAX_BLOCK_BYTES, total // _BLOCKS))
    blocks = {
        hashlib.sha256(block).digest(): block for _, text in texts for block in _blocks(text, size)
    }
    ordered = [blocks[digest] for digest in sorted(blocks)]
    distinct = sum(len(block) for block in ordered)
    if distinct < MIN_TEXT_BYTES:
        raise ConfigurationError(
            f"{path}: {total} bytes of text, {distinct} of them not repeated, are too few",
            f"give at least {MIN_TEXT_BYTES} bytes, better several megabytes",
        )
    training, public, secret = [], [], []
    before = 0
    for block in ordered:
        share = 100 * before / distinct
        if share < _PUBLIC_PERCENT:
            public.append(block.decode())
        elif share < _PUBLIC_PERCENT + _SECRET_PERCENT:
            secret.append(block.decode())
        else:
            training.append(block.decode())
        before += len(block)
    return TextSplits(
        training=tuple(training),
        public=tuple(public),
        secret=tuple(secret),
        digest=_digest(texts),
    )


def read_texts(path: Path) -> list[tuple[str, bytes]]:
    """Return the texts of a file or folder with their relative paths, without hidden files.

    Raises ConfigurationError if they cannot be read, are not UTF-8, or are too large in all.
    """
    # A link named by the user may lead anywhere. A link inside the folder may not lead out of it.
    is_folder = path.is_dir()
    files = _files_below(path) if is_folder else _named(path.resolve())
    if not files:
        raise ConfigurationError(
            f"{path}: there is no text", "give a text file or a folder of them"
        )
    texts, left = [], MAX_TEXT_BYTES
    for file in files:
        content = _read(file, left)
        left -= len(content)
        if left < 0:
            raise ConfigurationError(
                f"{path}: more than the {MAX_TEXT_BYTES} bytes that are supported",
                "give a part of it: a run on a CPU reads less than a megabyte",
            )
        texts.append((file.inside if is_folder else "", content))
    for file, (_, content) in zip(files, texts, strict=True):
        _check_text(file, content)
    return texts


def _named(path: Path) -> list[FolderFile]:
    return [FolderFile(path.parent, path.name)] if path.exists() else []


def _files_below(folder: Path) -> list[FolderFile]:
    """Return a folder's files without hidden ones and links. Reject a link that leads out."""
    try:
        found = [
            file
            for file in files_below(folder, is_wanted=lambda inside, _: "/." not in f"/{inside}")
            if not file.path.is_symlink()
        ]
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or folder}: cannot be read ({error.strerror})",
            "make it readable, or leave it out",
        ) from error
    return sorted(found, key=lambda file: file.path)


def _read(file: FolderFile, most: int) -> bytes:
    """Return a file's first `most` + 1 bytes, so that the caller sees if the file is too long."""
    try:
        return file.beginning(limit_bytes=most + 1)
    except OSError as error:
        raise ConfigurationError(
            f"{file}: cannot be read ({error.strerror})", "make it readable, or leave it out"
        ) from error


def _check_text(file: FolderFile, content: bytes) -> None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{file}: not UTF-8 text, see the byte at offset {error.start}",
            "convert the file to UTF-8, or keep it out of the folder",
        ) from error


def _blocks(text: bytes, size: int) -> Iterator[bytes]:
    """Cut a text into blocks of about `size` bytes, after the end of a line if possible."""
    start = 0
    while start < len(text):
        end = start + size
        if end >= len(text):
            end = len(text)
        else:
            line_end = text.rfind(b"\n", start + size // 2, end) + 1
            end = line_end or _character_start(text, end)
        yield text[start:end]
        start = end


def _character_start(text: bytes, position: int) -> int:
    while text[position] & 0xC0 == 0x80:  # inside a UTF-8 character
        position -= 1
    return position


def _digest(texts: Sequence[tuple[str, bytes]]) -> bytes:
    whole = hashlib.sha256()
    for name, content in texts:
        whole.update(hashlib.sha256(name.encode()).digest())
        whole.update(hashlib.sha256(content).digest())
    return whole.digest()
