"""Holdout files, which replace visible files of the same names on secret instances.

So candidates run with them only in promotion trials and in `verify`. They appear in no record,
prompt, log or page. A manifest contains one hash of them. The hash includes a file of random bytes
next to them, so that nobody can guess a small file from it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from protocol.errors import ConfigurationError
from trainer.host.folder_files import FolderFile, check_inside, files_below, find_file
from trainer.importing.holdout import SALT_BYTES, SALT_FILE
from trainer.program.harness.files import File, pack_files

_LEAST_SALT_BYTES: Final = 16
_MOST_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """The files of a holdout, and their salted hash."""

    files: tuple[File, ...] = field(repr=False)
    digest: bytes

    def in_place(self, files: Sequence[File]) -> list[File]:
        """Return a candidate's files, with holdout files in place of the visible ones."""
        held_out = {one.path: one for one in self.files}
        return [held_out.get(one.path, one) for one in files]


def read_holdout(root: Path, name: str, fixed: Sequence[File]) -> Holdout:
    """Return the holdout in the folder `name` of a task, to replace files in `fixed`.

    Raises ConfigurationError if it has no salt, or a file in it replaces no file of the task.
    """
    folder = check_inside(root, name)
    try:
        found = [one for one in files_below(folder) if one.inside != SALT_FILE]
        salt_file = find_file(folder, SALT_FILE)
        salt = b"" if salt_file is None else salt_file.read(limit_bytes=_MOST_BYTES)
        files = tuple(_file(one) for one in sorted(found, key=lambda one: one.inside))
    except OSError as error:
        raise ConfigurationError(
            f"{folder}: cannot be read ({error.strerror})", "task.toml names it as the holdout"
        ) from error
    if len(salt) < _LEAST_SALT_BYTES:
        raise ConfigurationError(
            f"{folder}: the holdout has no {SALT_FILE}, so its hash in records could be guessed",
            f"head -c {SALT_BYTES} /dev/urandom > {folder / SALT_FILE}",
        )
    check_replaces([one.path for one in files], [one.path for one in fixed], str(folder))
    return Holdout(files=files, digest=hashlib.sha256(salt + pack_files(files)).digest())


def check_replaces(held_out: Sequence[str], visible: Sequence[str], folder: str) -> None:
    """Raise ConfigurationError unless each holdout file replaces a visible one."""
    if not held_out:
        raise ConfigurationError(
            f"{folder}: the holdout has no files", "put files there that replace visible ones"
        )
    if alone := [name for name in held_out if name not in visible]:
        raise ConfigurationError(
            f"{folder}: {alone[0]} replaces no file of the task",
            f"use the name of a visible file: {', '.join(visible) or 'the task has none'}",
        )


def _file(found: FolderFile) -> File:
    return File(path=found.inside, data=found.read(limit_bytes=_MOST_BYTES))
