"""A holdout folder for an importer: files that replace visible files of the same names.

They are copied only to the task's folder `holdout/`.
"""

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from protocol.errors import UsageError
from trainer.host.folder_files import FolderFile, files_below
from trainer.importing.reading import MAX_TOTAL_BYTES, explaining_reads, is_path

HOLDOUT_FOLDER: Final = "holdout"  # in a task
SALT_FILE: Final = ".salt"  # records contain a salted hash of the holdout
SALT_BYTES: Final = 32


def held_out_files(
    folder: Path, visible: Mapping[str, FolderFile], editable: Iterable[str]
) -> dict[str, FolderFile]:
    """Return the files of a holdout folder. Each replaces one of the `visible` files.

    Raises UsageError if the folder is empty, or if a file in it replaces no visible file, can be
    edited, or has the content of a visible file.
    """
    found = named_in(folder)
    if shared := sorted(found.keys() & set(editable)):
        raise UsageError(
            f"{folder}: {shared[0]} is a file to edit, so it cannot be held out",
            "hold out files that the command reads",
        )
    if alone := sorted(found.keys() - visible.keys()):
        raise UsageError(
            f"{folder}: {alone[0]} replaces no file of the task",
            "give it the path of a visible file, relative to the folder in which the command runs",
        )
    contents = {_content(file): name for name, file in visible.items()}
    for name, file in found.items():
        if (shown := contents.get(_content(file))) is not None:
            raise UsageError(
                f"{folder}: {name} has the same content as the visible {shown}",
                "hold out data that candidates cannot see",
            )
    return found


def named_in(folder: Path) -> dict[str, FolderFile]:
    """Return the files of a holdout folder by name. Raises UsageError if there are no files."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "name the folder with the holdout files")
    with explaining_reads(folder):
        # Unlike in other folders, images and notes are not skipped.
        below = files_below(folder, is_wanted=lambda inside, _is_folder: is_path(inside))
        found = {one.inside: one for one in below}
    if not found:
        raise UsageError(f"{folder} has no files", "put files there that replace visible ones")
    return found


def is_within(path: Path, folder: Path | None) -> bool:
    """Return True if a path is in `folder`; always False without a folder."""
    return folder is not None and path.resolve().is_relative_to(folder.resolve())


def holdout_files(files: Mapping[str, FolderFile]) -> dict[str, bytes | FolderFile]:
    """Return the holdout files by their names in the task, and a new salt; empty if no files."""
    if not files:
        return {}
    named: dict[str, bytes | FolderFile] = {
        f"{HOLDOUT_FOLDER}/{name}": file for name, file in files.items()
    }
    named[f"{HOLDOUT_FOLDER}/{SALT_FILE}"] = secrets.token_bytes(SALT_BYTES)
    return named


def _content(file: FolderFile) -> bytes:
    with explaining_reads(file):
        return file.read(limit_bytes=MAX_TOTAL_BYTES)
