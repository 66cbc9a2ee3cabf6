"""Conversion of disk and database errors to one clear error with a hint.

It covers full disks, damaged pages and lost permissions. The message names the file or folder,
the hint says how to continue. Programming errors (constraint violations, wrong SQL) pass through
unchanged.
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import ArnodeError, ConfigurationError, UsageError

DISK_FULL_HINT = "free some space there and start again; earlier commits are intact"
DAMAGED_HINT = "run `arnode home fsck`, then `arnode home fsck --rebuild` (it copies damaged files)"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


class DiskFullError(ArnodeError):
    """A write failed because the disk is full; earlier commits are intact."""


class BusyStoreError(ArnodeError):
    """Another process is writing to the database."""


class DamagedStoreError(ArnodeError):
    """The database file is damaged."""


@contextmanager
def explaining_faults(place: Path) -> Iterator[None]:
    """Convert disk and database errors in the block to an `ArnodeError` that names `place`."""
    try:
        yield
    except (sqlite3.Error, OSError) as fault:
        explained = (
            _file_error(fault, place)
            if isinstance(fault, OSError)
            else _database_error(fault, place)
        )
        if explained is None:
            raise
        raise explained from fault


def _database_error(fault: sqlite3.Error, place: Path) -> ArnodeError | None:
    # The low byte is the primary result code: https://sqlite.org/rescode.html
    code = getattr(fault, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError(f"the disk is full: {place} could not be written", DISK_FULL_HINT)
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return DamagedStoreError(f"the store {place} is damaged: {fault}", DAMAGED_HINT)
    if code == sqlite3.SQLITE_BUSY:
        return BusyStoreError(
            f"the store {place} is busy: another process is writing to it",
            "try again in a moment, or see `arnode status`",
        )
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        return ConfigurationError(
            f"the store {place} cannot be opened: {fault}",
            "check owner and permissions of its folder, or set ARNODE_HOME to another one",
        )
    if code == sqlite3.SQLITE_IOERR:
        return ArnodeError(
            f"reading or writing the store {place} failed: {fault}",
            "check the disk (space, quota, `dmesg`), then run `arnode home fsck`",
        )
    return None


def _file_error(fault: OSError, place: Path) -> ArnodeError | None:
    if fault.errno in FULL:
        return DiskFullError(f"the disk is full: {place} could not be written", DISK_FULL_HINT)
    if fault.errno in _DENIED:
        return ConfigurationError(
            f"{place}: {(fault.strerror or 'refused').lower()}",
            "check its owner and permissions, or set ARNODE_HOME to a folder of your own",
        )
    return None


def empty_folder(folder: Path) -> None:
    """Create a folder to write into. Raises UsageError if it is not an empty folder."""
    with explaining_faults(folder):
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise UsageError(f"{folder} is not an empty folder", "name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
