"""What a patch record says of its files, its diff and where it came from.

file   {path, old blob|nil, new blob, size}
diff   {zlib bytes 1…8192} or {blob hash}
origin {proposer, model|nil, program hash|nil}
found_on {task, class, patch id|nil}
"""

from dataclasses import dataclass
from typing import Annotated, Final

from protocol.codecs import binary
from protocol.fields import (
    OPTIONAL,
    ClassName,
    Digest,
    Mapped,
    ModelName,
    Named,
    Natural,
    RelativePath,
    Word,
)

MAX_INLINE_DIFF_BYTES: Final = 8192  # compressed; longer diffs are blobs


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange(Mapped):
    """One file of a patch: blob hashes before and after, and the new size."""

    path: RelativePath
    old: Digest | None
    new: Digest
    size_bytes: Annotated[Natural, Named("size")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff(Mapped):
    """A unified diff to read: zlib-compressed in the record, or a blob (of the same bytes)."""

    zlib: Annotated[bytes | None, binary(1, MAX_INLINE_DIFF_BYTES), OPTIONAL] = None
    blob: Annotated[Digest | None, OPTIONAL] = None

    def _fault(self) -> str | None:
        both_or_neither = (self.zlib is None) == (self.blob is None)
        return "either zlib or blob" if both_or_neither else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin(Mapped):
    """Who thought of a patch: a proposer, its model and the hash of the program it was given."""

    proposer: Word
    model: ModelName | None = None
    program: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundOn(Mapped):
    """Where an idea was found before it was carried here: a task, a class, and the patch there."""

    task: Digest
    hardware_class: ClassName
    patch: Digest | None = None
