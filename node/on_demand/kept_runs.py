"""Finished runs of a command's long measurement, by tree and seed, in a text file.

All seeds are derived from the file's salt (`node.on_demand.kept_lines`). Runs of another setting
stay in the file, but are not used.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from node.on_demand.kept_lines import KeptLines, hexadecimal, kept_lines, read_line
from protocol.encoding import encode
from protocol.fields import Mapped, Named, Natural
from protocol.runs import MAX_SEED, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRun(Mapped):
    """A finished run of a tree, and the facts of its session that are needed to judge it.

    `setting` is the digest of everything else that the metric depends on. `tolerance_nano` is the
    largest error of a score that an audit accepts. `memorised_nano` is the largest gain that the
    tree could reach by memorising the text. Both are in 1e-9 of the metric's unit.
    """

    setting: Annotated[bytes, hexadecimal(32)]
    tree: Annotated[bytes, hexadecimal(32)]
    run: Run
    tolerance_nano: Annotated[Natural, Named("tolerance")]
    memorised_nano: Annotated[Natural, Named("memorised")]


class KeptRuns:
    """The runs of one setting, by tree and seed. `unread` is the number of invalid entries."""

    def __init__(self, lines: KeptLines, setting: bytes) -> None:
        self.setting = setting
        self.unread = 0
        self._lines = lines
        self._runs: defaultdict[tuple[bytes, int], list[KeptRun]] = defaultdict(list)
        for line in lines.lines:
            kept = read_line(KeptRun, line)
            if not isinstance(kept, KeptRun):
                self.unread += 1
            elif kept.setting == setting:
                self._runs[kept.tree, kept.run.seed].append(kept)

    def seed(self, block: int, number: int) -> int:
        """Return the seed of a pair in a block; nobody knew it before the file was created."""
        digest = hashlib.sha256(self._lines.salt + encode([block, number])).digest()
        return int.from_bytes(digest[:4]) & MAX_SEED

    @property
    def split_nonce(self) -> bytes:
        """The nonce of these runs' secret split; it differs for another file or setting."""
        return hashlib.sha256(b"split" + self._lines.salt + self.setting).digest()

    def tries(self, tree: bytes, seed: int) -> tuple[KeptRun, ...]:
        """Return the ended runs of a tree with a seed; a failed run may be repeated once."""
        return tuple(self._runs.get((tree, seed), ()))

    def keep(self, kept: KeptRun) -> None:
        """Write an ended run to disk."""
        self._lines.append(kept)
        self._runs[kept.tree, kept.run.seed].append(kept)


@contextmanager
def kept_runs(path: Path, setting: bytes, *, is_fresh: bool) -> Iterator[KeptRuns]:
    """Open a file of runs, as `kept_lines` does."""
    with kept_lines(path, is_fresh=is_fresh) as lines:
        yield KeptRuns(lines, setting)
