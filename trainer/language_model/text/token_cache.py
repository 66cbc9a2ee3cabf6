"""Token arrays on disk: written atomically, verified when read, made again if damaged."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from trainer.language_model.text.vocabulary import Tokens


def tokens_digest(tokens: Tokens) -> bytes:
    """Return the sha256 of the tokens as little-endian 16-bit integers."""
    return hashlib.sha256(tokens.astype("<u2").tobytes()).digest()


def cached_tokens(path: Path, make: Callable[[], Tokens]) -> Tokens:
    """Return the array at `path`, or make and store it if it is absent or damaged."""
    kept = _read(path)
    if kept is not None:
        return kept
    tokens = make()
    stream = BytesIO()
    np.save(stream, tokens, allow_pickle=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, stream.getvalue())
    write_atomically(_digest_path(path), tokens_digest(tokens).hex().encode())
    return tokens


def mapped_tokens(path: Path, write: Callable[[BinaryIO], None]) -> Tokens:
    """Return the tokens at `path`, mapped into memory, since they may be too many to load.

    If they are absent or damaged, `write` writes them as little-endian 16-bit integers.
    """
    if not _is_whole(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        write_atomically(_digest_path(path), file_digest(part).hex().encode())
        part.replace(path)
    if not path.stat().st_size:
        return np.zeros(0, dtype=np.uint16)
    return np.memmap(path, dtype="<u2", mode="r")


def _is_whole(path: Path) -> bool:
    with suppress(OSError):
        return file_digest(path).hex() == _digest_path(path).read_text(encoding="ascii").strip()
    return False


def file_digest(path: Path) -> bytes:
    """Return the sha256 of a file that may be larger than memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _digest_path(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _read(path: Path) -> Tokens | None:
    try:
        expected = _digest_path(path).read_text(encoding="ascii").strip()
        tokens = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # absent, or no longer what was written
        return None
    if tokens.dtype != np.uint16 or tokens.ndim != 1:
        return None
    return tokens if tokens_digest(tokens).hex() == expected else None


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file atomically: even after a power cut it holds the whole old or new content."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
