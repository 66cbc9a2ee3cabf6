"""The door for exporters: what writes a line's experiments for another tool.

An exporter is an `Exporter` under the entry-point group `arnode.exporters`; the entry's name is
what `arnode export` calls it. It may rely on this module, `node.exports.tracked`,
`node.home.faults` and `protocol.errors`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from node.exports.tracked import TrackedLine, TrackedRun
from node.home.faults import explaining_faults
from protocol.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """Writes experiments into a folder. `summary` is what `--help` says of it.

    `write(folder, line, runs)` writes them, oldest first, and returns how many it wrote: into the
    same folder again what is new, or all of it in the place of what was there. It sends nothing
    anywhere. It raises ConfigurationError where it lacks something, and UsageError for a folder
    that is none.
    """

    summary: str
    write: Callable[[Path, TrackedLine, Iterable[TrackedRun]], int]


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
