"""Whether a coding agent has written down what it was trusted with: its log-in or a key.

A proposal is published. What a peer wrote may have talked the agent into putting a secret into it,
so long words of the files and variables that it was given may not turn up there. That stops who
copies, not who encodes: a last look, not a wall.
"""

import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from protocol.source import Source

_WORD = re.compile(rb"[A-Za-z0-9_\-./+=]{16,}")
_MOST_BYTES = 256 * 1024
_MOST_FILES = 200  # of a folder, not of those in it


def long_words(paths: Iterable[Path], values: Iterable[str]) -> frozenset[bytes]:
    """Return the long words of files, of the files in folders, and of variables."""
    texts = [value.encode("utf-8", "surrogateescape") for value in values]
    texts += [_text(file) for path in paths for file in _files(path)]
    return frozenset(word for text in texts for word in _WORD.findall(text))


def leaking_file(
    source: Source, *, base: Source, note: bytes, secrets: frozenset[bytes]
) -> str | None:
    """Return which file has one of the secrets in it that the base does not have, if any."""
    known = b"\n".join(data for _, data in base.files)
    new = [secret for secret in secrets if secret not in known]
    texts = (*source.files, ("the title", note))
    return next((name for name, data in texts if any(secret in data for secret in new)), None)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        return list(islice(path.iterdir(), _MOST_FILES))
    except OSError:  # what we cannot list, nobody of ours could
        return []


def _text(path: Path) -> bytes:
    """Return a plain file's beginning; nothing of anything else, or of what cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return b""
