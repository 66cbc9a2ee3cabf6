"""Folders of data that a task's judge or its candidates read, identified by the hash of a listing.

The data stay in their folder, and sandboxes see them read-only. Records do not contain the data, so
a task with data is private. A folder that has changed since it was hashed is refused.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from protocol.errors import ConfigurationError
from trainer.sandbox.packages import NO_PACKAGES, Packages
from trainer.sandbox.visible import VisiblePath

LIMIT_S: Final = 60  # default limit of one question to a judge, in processor seconds
MEMORY_BYTES: Final = 2 << 30  # default memory limit of a judge
SHOWN_IN: Final = "/data"  # in a sandbox, next to arnode's code
_MOST_FILES: Final = 10_000
_MOST_LISTING: Final = 1 << 20  # bytes, the limit of any file in a bundle

# A file's stat fields: size, inode number, times of its last write and its last change.
_Mark: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFolder:
    """One folder of data.

    `name` is its path in a program's folder. `listing` has lines as `sha256sum` prints them, sorted
    by path.
    """

    name: str
    path: Path
    listing: bytes
    _marks: dict[str, _Mark] = field(repr=False)

    @classmethod
    def read(cls, name: str, path: Path) -> "DataFolder":
        """Read and hash a folder. Raises ConfigurationError if sandboxes cannot show it."""
        # Marks first: a write during reading then shows as a changed mark in `check`.
        marks = _marks(path)
        return cls(name=name, path=path, listing=_listing(path, marks), _marks=marks)

    @property
    def digest(self) -> bytes:
        """The SHA-256 of its listing."""
        return hashlib.sha256(self.listing).digest()

    @property
    def shown(self) -> VisiblePath:
        """The path where sandboxes show it."""
        return VisiblePath(self.path, f"{SHOWN_IN}/{self.name}")

    def check(self) -> None:
        """Raise ConfigurationError if the data have changed since `read`."""
        marks = _marks(self.path)
        if marks == self._marks:
            return
        if _listing(self.path, marks) != self.listing:
            raise ConfigurationError(
                f"{self.path}: the data have changed since the task was loaded",
                "restore them, or load the task again, which gives it another id",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeResources:
    """The packages that a judge may import, the data that it reads, and its limits.

    The limits are for one question: bytes to write, processor seconds, bytes of memory.
    """

    packages: Packages = NO_PACKAGES
    data: tuple[DataFolder, ...] = ()
    scratch_bytes: int = 0
    limit_s: int = LIMIT_S
    memory_bytes: int = MEMORY_BYTES


def _marks(path: Path) -> dict[str, _Mark]:
    marks: dict[str, _Mark] = {}
    try:
        for one in _files(path):
            stat_result = one.stat(follow_symlinks=False)
            mark = (
                stat_result.st_size,
                stat_result.st_ino,
                stat_result.st_mtime_ns,
                stat_result.st_ctime_ns,
            )
            if not stat.S_ISREG(stat_result.st_mode):
                raise ConfigurationError(
                    f"{one.path} is not a plain file", "put a plain file there, not a link"
                )
            name = os.path.relpath(one.path, path)
            if not name.isprintable():
                raise ConfigurationError(
                    f"{path}: the file name {name!r} is not printable", "rename the file"
                )
            marks[name] = mark
            if len(marks) > _MOST_FILES:
                raise _too_many(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not marks:
        raise ConfigurationError(f"{path}: the folder has no files", "put the data there")
    return marks


def _files(path: Path) -> Iterator["os.DirEntry[str]"]:
    waiting = [str(path)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for one in entries:
                if one.is_dir(follow_symlinks=False):
                    waiting.append(one.path)
                else:
                    yield one


def _listing(path: Path, marks: dict[str, _Mark]) -> bytes:
    lines = []
    try:
        for name in sorted(marks):
            with (path / name).open("rb") as file:
                lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    except OSError as error:
        raise _unreadable(path, error) from error
    listing = "".join(lines).encode()
    if len(listing) > _MOST_LISTING:
        raise _too_many(path)
    return listing


def _too_many(path: Path) -> ConfigurationError:
    return ConfigurationError(f"{path}: too many files to list", "pack them into an archive")


def _unreadable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"{error.filename or path}: cannot be read ({error.strerror})",
        f"task.toml names the folder {path.name}: put the data there",
    )
