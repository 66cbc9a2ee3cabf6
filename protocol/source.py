"""Sources: the content of a task's editable files, with its hash (the tree id) and its lines.

`tree = sha256(canonical [[path, blob], …] sorted by path)`, where blob is the sha256 of a file's
bytes. The tree id is authoritative about what ran; diffs are for people. A line ends at LF only, as
in a diff; `splitlines` would also split at CR and form feeds.

A task may forbid words in its sources. That is advisory, because the same meaning can be written
differently. They are plain words, not patterns, because a search with an untrusted pattern may
never end.
"""

import difflib
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from protocol.encoding import encode
from protocol.errors import Rejected


@dataclass(frozen=True)
class Source:
    """The editable files of a task, sorted by path. Compare sources by `tree`."""

    files: tuple[tuple[str, bytes], ...]

    @classmethod
    def of(cls, files: dict[str, bytes]) -> "Source":
        """Return the source with these files (path → bytes)."""
        return cls(tuple(sorted(files.items())))

    @cached_property
    def tree(self) -> bytes:
        """The 32-byte tree id."""
        return tree_id([(path, hashlib.sha256(data).digest()) for path, data in self.files])

    def __getitem__(self, path: str) -> bytes:
        return dict(self.files)[path]

    def replacing(self, path: str, data: bytes) -> "Source":
        """Return a copy with one file's bytes replaced."""
        return Source.of({**dict(self.files), path: data})


def tree_id(blobs: list[tuple[str, bytes]]) -> bytes:
    """Return the tree id of files given as (path, 32-byte blob hash)."""
    return hashlib.sha256(encode([[path, blob] for path, blob in sorted(blobs)])).digest()


def split_lines(data: bytes) -> list[bytes]:
    """Return the lines with their line ends; the last line may have none."""
    *whole, rest = data.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def ancestry(old: Sequence[bytes], new: Sequence[bytes]) -> list[int | None]:
    """Return for each line of `new` the index of the same line in `old`; None if it was added.

    The alignment is that of a patch's unified diff.
    """
    origins: list[int | None] = [None] * len(new)
    for block in difflib.SequenceMatcher(None, old, new).get_matching_blocks():
        for offset in range(block.size):
            origins[block.b + offset] = block.a + offset
    return origins


def check_words(source: Source, words: Sequence[str]) -> Rejected | None:
    """Return a rejection with the first file and line that contain a forbidden word, or None.

    Only whole words count: `eval` is not in `evaluate`. Files must be UTF-8.
    """
    if not words:
        return None
    pattern = re.compile("|".join(map(_whole, words)))
    for path, data in source.files:
        text = data.decode()
        if (found := pattern.search(text)) is not None:
            line = text.count("\n", 0, found.start()) + 1
            return Rejected(f"{path}: line {line} contains {found[0]!r}, which the task forbids")
    return None


def _whole(word: str) -> str:
    before = r"(?<!\w)" if word[0].isalnum() or word[0] == "_" else ""
    behind = r"(?!\w)" if word[-1].isalnum() or word[-1] == "_" else ""
    return f"{before}{re.escape(word)}{behind}"
