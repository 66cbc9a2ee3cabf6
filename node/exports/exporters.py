"""The door for exporters: what writes a line's experiments for another tool.

An exporter is an `Exporter` under the entry-point group `arnode.exporters`; the entry's name is
what `arnode export` calls it. It may rely on `node.exports.tracked`, `node.exports.folders`,
`node.home.faults` and `protocol.errors`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from node.exports.tracked import TrackedLine, TrackedRun


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
