"""Plain files of a folder that may come from somebody else, and nothing outside that folder.

The folder is the one that the user named; it may be a link. Inside it a link may point to another
file of the same folder. A name or link that leads elsewhere, a FIFO, a socket and a device are
refused with an error that names them. Each file is opened once: it is checked and read through the
same descriptor, so it cannot be exchanged in between, and no open waits for a writer.

A hard link looks like any other file, so it is not detected.
"""

import fnmatch
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from protocol.errors import ConfigurationError

_PIECE_BYTES: Final = 1 << 20
_KINDS: Final = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, slots=True)
class FolderFile:
    """A file in a folder: `root` is the folder as the user named it, `inside` the path within."""

    root: Path
    inside: str

    def __str__(self) -> str:
        return str(self.path)

    @property
    def path(self) -> Path:
        """The full path, for messages and for finding files next to it. To read, use `read`."""
        return self.root / self.inside

    @property
    def name(self) -> str:
        return PurePosixPath(self.inside).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self.inside).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.inside).suffix

    def size_bytes(self) -> int:
        """Return the size. Raises OSError, and ConfigurationError if the file is refused."""
        with _opened(self.path, self.root, self.inside) as descriptor:
            return os.fstat(descriptor).st_size

    def read(self, *, limit_bytes: int) -> bytes:
        """Return the content. Raises OSError, and ConfigurationError if it is refused or larger."""
        with _opened(self.path, self.root, self.inside) as descriptor:
            return _whole(descriptor, str(self), limit_bytes)

    def beginning(self, *, limit_bytes: int) -> bytes:
        """Return the first bytes. Raises OSError, and ConfigurationError if the file is refused."""
        with _opened(self.path, self.root, self.inside) as descriptor:
            return _bytes_of(descriptor, limit_bytes)

    def copy_to(self, target: Path) -> None:
        """Copy the file, up to its present size.

        Raises OSError, and ConfigurationError if it is refused.
        """
        with _opened(self.path, self.root, self.inside) as descriptor, target.open("xb") as copy:
            left = os.fstat(descriptor).st_size
            while left and (piece := os.read(descriptor, min(left, _PIECE_BYTES))):
                copy.write(piece)
                left -= len(piece)


def read_plain(path: Path, *, limit_bytes: int) -> bytes:
    """Return the content of a file that the user named; links may lead anywhere.

    Raises OSError, and ConfigurationError if it is not a plain file or is larger.
    """
    with _opened(path, None, str(path)) as descriptor:
        return _whole(descriptor, str(path), limit_bytes)


def find_file(root: Path, name: str | Path) -> FolderFile | None:
    """Return the file with this name in a folder; None if it is missing or is a folder.

    Raises ConfigurationError if the name leads outside, or to something other than a file.
    """
    target = check_inside(root, name)
    try:
        mode = target.stat().st_mode
    except OSError:
        return None
    if stat.S_ISDIR(mode):
        return None
    _check_kind(mode, f"{root}: {name}")
    return FolderFile(root, Path(name).as_posix())


def check_inside(root: Path, name: str | Path) -> Path:
    """Return the path that a name in a folder leads to.

    Raises ConfigurationError if that is outside.
    """
    target = Path(os.path.realpath(root / name))
    if not target.is_relative_to(os.path.realpath(root)):
        raise outside(root, name, target)
    return target


def named_files(root: Path, pattern: str) -> list[FolderFile]:
    """Return the files directly in a folder whose names match a pattern, sorted.

    Raises OSError, and ConfigurationError if one of them is refused.
    """
    names = sorted(name for name in os.listdir(root) if fnmatch.fnmatchcase(name, pattern))  # noqa: PTH208 -- names are wanted
    return [found for name in names if (found := find_file(root, name)) is not None]


def files_below(
    root: Path, *, is_wanted: Callable[[str, bool], bool] = lambda _inside, _is_folder: True
) -> Iterator[FolderFile]:
    """Yield all files below a folder, sorted within each folder.

    A link to a file of the folder is yielded. A link to a folder inside it is skipped, because its
    files appear under their own names. Entries for which `is_wanted(inside, is_folder)` is False
    are skipped. Raises ConfigurationError if another entry is refused.
    """
    waiting = [""]
    while waiting:
        within = waiting.pop()
        deeper = []
        with os.scandir(root / within) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                inside = f"{within}{entry.name}"
                if not is_wanted(inside, (root / inside).is_dir()):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    deeper.append(f"{inside}/")
                elif (found := find_file(root, inside)) is not None:
                    yield found
        waiting += reversed(deeper)


def outside(root: Path, name: str | Path, target: Path) -> ConfigurationError:
    """Return the error about a name that leads out of a folder."""
    return ConfigurationError(
        f"{root}: {name} lies outside the folder: it leads to {target}",
        "put a copy inside the folder, or remove the link",
    )


@contextmanager
def _opened(path: Path, root: Path | None, name: str) -> Iterator[int]:
    """Open a plain file for reading; `name` is its name inside `root` for messages."""
    # O_PATH only resolves the name: a device is not touched, and a FIFO does not block.
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        there = f"/proc/self/fd/{handle}"
        target = Path(there).readlink()
        if root is not None and not target.is_relative_to(os.path.realpath(root)):
            raise outside(root, name, target)
        _check_kind(os.fstat(handle).st_mode, name if root is None else f"{root}: {name}")
        descriptor = os.open(there, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    finally:
        os.close(handle)


def _check_kind(mode: int, name: str) -> None:
    for is_kind, kind in _KINDS:
        if is_kind(mode):
            raise ConfigurationError(
                f"{name} is {kind}, not a plain file", "remove it, or put a file in its place"
            )


def _whole(descriptor: int, name: str, limit_bytes: int) -> bytes:
    data = _bytes_of(descriptor, limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ConfigurationError(f"{name}: larger than {limit_bytes} bytes", "shorten it")
    return data


def _bytes_of(descriptor: int, most: int) -> bytes:
    pieces = []
    while most and (piece := os.read(descriptor, min(most, _PIECE_BYTES))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)
