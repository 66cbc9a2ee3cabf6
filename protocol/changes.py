"""What a patch record says of its files, its diff and where it came from.

file   {path, old blob|nil, new blob, size}
diff   {zlib bytes 1…8192} or {blob hash}
origin {proposer, model|nil, program hash|nil}
found_on {task, class, patch id|nil}
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from protocol.fields import (
    CLASS_PATTERN,
    FLAG_PATTERN,
    Mapped,
    Table,
    binary,
    digest,
    field,
    integer,
    line,
    nullable,
    relative_path,
    word,
)

MAX_INLINE_DIFF_BYTES: Final = 8192  # compressed; longer diffs are blobs


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange(Mapped):
    """One file of a patch: blob hashes before and after, and the new size."""

    path: str
    old: bytes | None
    new: bytes
    size_bytes: int

    TABLE: ClassVar = Table(
        field("path", relative_path()),
        field("old", nullable(digest())),
        field("new", digest()),
        field("size", integer(0), "size_bytes"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff(Mapped):
    """A unified diff to read: zlib-compressed in the record, or a blob (of the same bytes)."""

    zlib: bytes | None = None
    blob: bytes | None = None

    TABLE: ClassVar = Table(
        field("zlib", binary(1, MAX_INLINE_DIFF_BYTES), optional=True),
        field("blob", digest(), optional=True),
    )

    def _fault(self) -> str | None:
        both_or_neither = (self.zlib is None) == (self.blob is None)
        return "either zlib or blob" if both_or_neither else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin(Mapped):
    """Who thought of a patch: a proposer, its model and the hash of the program it was given."""

    proposer: str
    model: str | None = None
    program: bytes | None = None

    TABLE: ClassVar = Table(
        field("proposer", word(FLAG_PATTERN)),
        field("model", nullable(line(1, 80))),
        field("program", nullable(digest())),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundOn(Mapped):
    """Where an idea was found before it was carried here: a task, a class, and the patch there."""

    task: bytes
    hardware_class: str
    patch: bytes | None = None

    TABLE: ClassVar = Table(
        field("task", digest()),
        field("class", word(CLASS_PATTERN), "hardware_class"),
        field("patch", nullable(digest())),
    )
