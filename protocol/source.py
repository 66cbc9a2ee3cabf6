"""A source: the content of a task's editable files, and its hash, the tree id.

`tree = sha256(canonical [[path, blob], …] sorted by path)`, where blob is the sha256 of a
file's bytes. The tree id is the authority about what ran; diffs are for people.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

from protocol.encoding import encode


@dataclass(frozen=True)
class Source:
    """The editable files of a task, sorted by path. Compare by `tree`."""

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
