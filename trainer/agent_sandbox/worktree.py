"""The folder in which an untrusted program edits a task's files.

The node writes the files before the program starts, and reads them when it has ended. Only the
editable files are read back. Added files are dropped, and the first few are named. If a file was
removed, linked or turned into something other than a plain file, the folder is rejected with a
message that names the file. So nothing is lost unnoticed. The folder is read after every process
that could write there has ended, and no link is followed. This module does not depend on the
meaning of the files.
"""

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from protocol.errors import Rejected
from protocol.hygiene import MAX_FILE_BYTES
from protocol.source import Source

_MOST_ENTRIES = 1_000  # in a folder; a few files are expected, and some leftovers of tools
_NAME_LIMIT = 80
_MOST_NAMED = 5
_SPECIAL: Final = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX | 0o111


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The files for a program: `editable` to change, `read_only` (path, bytes) to read.

    The program may write anything into the folder `notes`. Files and folders whose name matches a
    pattern in `ignored` (such as `.aider*`) are known leftovers and are discarded.
    """

    editable: Source
    read_only: tuple[tuple[str, bytes], ...] = ()
    notes: str = ".arnode"
    ignored: tuple[str, ...] = ()


def lay_out(folder: Path, given: Given) -> None:
    """Write the given files into an empty folder."""
    (folder / given.notes).mkdir()
    for files, mode in ((given.editable.files, 0o644), (given.read_only, 0o444)):
        for name, data in files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedFiles:
    """The editable files as they are now, and the names of the first few added files."""

    source: Source
    dropped: tuple[str, ...]


def edited_files(folder: Path, given: Given) -> EditedFiles | Rejected:
    """Return the editable files as they are now, or the reason the folder is rejected."""
    to_read = {
        name: data for name, data in given.read_only if not name.startswith(f"{given.notes}/")
    }
    expected = {*dict(given.editable.files), *to_read}
    try:
        added = _added(folder, expected, given)
    except OSError as error:
        return Rejected(f"the folder cannot be read ({error.strerror})")
    if isinstance(added, Rejected):
        return added
    read = {name: _read(folder / name, name, limit_bytes=MAX_FILE_BYTES) for name in expected}
    for name, data in read.items():
        if isinstance(data, Rejected):
            return data
        if name in to_read and data != to_read[name]:
            return Rejected(f"{name} was changed, which is not one of the editable files")
    files = {name: data for name, data in read.items() if isinstance(data, bytes)}
    return EditedFiles(
        source=Source.of({name: files[name] for name, _ in given.editable.files}),
        dropped=tuple(sorted(added)[:_MOST_NAMED]),
    )


def note(folder: Path, given: Given, name: str, *, limit_bytes: int) -> bytes:
    """Return a file of the folder `notes`; empty if missing, too long or not a plain file."""
    notes = folder / given.notes
    if notes.is_symlink():
        return b""
    data = _read(notes / name, name, limit_bytes=limit_bytes)
    return b"" if isinstance(data, Rejected) else data


def _added(folder: Path, expected: Collection[str], given: Given) -> list[str] | Rejected:
    """Return the names of added files and folders, or a rejection that names a missing file."""
    folders = {str(parent) for name in expected for parent in Path(name).parents} - {"."}
    seen: set[str] = set()
    added: list[str] = []
    waiting = [""]
    while waiting:
        within = waiting.pop()
        entries = list(_entries(folder / within))
        if len(entries) > _MOST_ENTRIES:
            return Rejected("a folder has too many new files")
        for entry in entries:
            name = f"{within}{entry.name}"
            if name == given.notes or any(fnmatchcase(entry.name, one) for one in given.ignored):
                continue
            if name in folders and entry.is_dir(follow_symlinks=False):
                waiting.append(f"{name}/")
            elif name in expected:
                seen.add(name)
            elif name not in folders:
                added.append(_shown(name))
    missing = sorted(set(expected) - seen)
    return Rejected(f"{missing[0]} was removed") if missing else added


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for _, entry in zip(range(_MOST_ENTRIES + 1), entries, strict=False):
            yield entry


def _read(path: Path, name: str, *, limit_bytes: int) -> bytes | Rejected:
    """Return a plain file's bytes, or the reason it is rejected.

    Its writers have ended, so the file cannot change between the check and the reading.
    """
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return Rejected(f"{name} was replaced by a link")
        if not stat.S_ISREG(status.st_mode):
            return Rejected(f"{name} is no longer a plain file")
        if status.st_nlink > 1:
            return Rejected(f"{name} has another hard link")
        if status.st_mode & _SPECIAL:
            return Rejected(f"{name} was made executable, which no patch can carry")
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit_bytes + 1)
    except OSError as error:
        return Rejected(f"{name} cannot be read ({error.strerror})")
    if len(data) > limit_bytes:
        return Rejected(f"{name} has more than {limit_bytes} bytes")
    return data


def _shown(name: str) -> str:
    return ascii(name)[1:-1][:_NAME_LIMIT]
