"""Folders that exports are written into."""

from pathlib import Path

from node.home.faults import explaining_faults
from protocol.errors import UsageError


def make_folder(path: Path) -> Path:
    """Make a folder if it is not there, and return where it is.

    Raises UsageError where something else is, and ArnodeError where none can be made.
    """
    with explaining_faults(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as fault:
            raise UsageError(
                f"{path} is no folder, and none can be made there", "name another folder"
            ) from fault
    return path.absolute()
