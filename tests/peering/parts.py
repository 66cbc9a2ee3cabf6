"""The roles of a core's processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PARTS: Final = {
    "node.network.program": "network",
    "node.peering.record_reader": "reading",
    "node.network.dht_program": "meeting",
}
ENDED: Final = (FileNotFoundError, ProcessLookupError)  # of a process that has just ended


def parts_of(core: int) -> Iterator[tuple[int, str]]:
    """Yield each process of a core with its role, except those that only watch another one."""
    yield core, "core"
    yield from _below(core)


def _below(parent: int) -> Iterator[tuple[int, str]]:
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in task.read_text().split():
            try:
                line = Path(f"/proc/{child}/cmdline").read_bytes()
            except ENDED:
                continue
            if b"python" in line.split(b"\0")[0]:
                name = next(
                    (name for part, name in _PARTS.items() if part.encode() in line), "other"
                )
                yield int(child), name
            else:
                yield from _below(int(child))
