"""The plugin interface of exporters, which write a line's experiments for another tool.

An exporter is an `Exporter` under the entry-point group `arnode.exporters`. `arnode export` calls
it by the entry's name. An exporter may import this module, `node.exports.tracked`,
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
    """An exporter of experiments into a folder. `summary` is its text in `--help`.

    `write(folder, line, runs)` writes the experiments, oldest first, and returns their number. In
    a folder with an earlier export it either adds the new experiments or replaces everything. It
    sends nothing over the network. It raises ConfigurationError if something it needs is missing,
    and UsageError if `folder` is not a folder.
    """

    summary: str
    write: Callable[[Path, TrackedLine, Iterable[TrackedRun]], int]


def make_folder(path: Path) -> Path:
    """Create a folder if it does not exist, and return its absolute path.

    Raises UsageError if something else is in its place, ArnodeError if it cannot be created.
    """
    with explaining_faults(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as fault:
            raise UsageError(
                f"{path} is not a folder and cannot be created", "name another folder"
            ) from fault
    return path.absolute()
