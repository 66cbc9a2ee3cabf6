"""Functions that write a file completely or not at all, and the size of free disk space.

A file is complete or missing even if the process is killed. Writing always uses the same steps: a
temporary name in the same folder, fsync, rename or link, fsync of the folder.
"""

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

TEMPORARY_PREFIX = ".arnode-tmp-"
LITTLE_BYTES: Final = 2 << 30  # with less free space a node warns: tasks or blobs may not fit
TOO_LITTLE_BYTES: Final = 200 << 20  # with less free space a node is about to stop


def write_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by a file with `data`, in one step that survives a power cut."""
    _write_then(path, data, mode, lambda temporary: temporary.replace(path))


def create_file(path: Path, data: bytes) -> None:
    """Create a file like `write_file`, but raise FileExistsError if it exists."""
    _write_then(path, data, 0o600, path.hardlink_to)


def remove_temporaries(folder: Path) -> None:
    """Delete the half-written files of a killed process in `folder`."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        leftover.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names of files in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_then(path: Path, data: bytes, mode: int, publish: Callable[[Path], object]) -> None:
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        publish(temporary)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def free_bytes(place: Path) -> int:
    """Return how many bytes this user can still write on the disk of `place`."""
    return shutil.disk_usage(place).free
