"""What others tried on a line, as their results say: what gained nothing, and who is at work.

Nodes that draw on the same list of ideas would try the same ones. Nobody is believed for it: an
idea that somebody else tried in vain comes later, not never, and of ideas that nobody tried each
node takes those first that are its own by its key and the others'.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from node.store.jobs import LineKey
from node.store.others_results import OthersResults
from node.store.store import Store
from protocol.record_kinds import ResultBody

_AT_WORK_MS: Final = 6 * 3_600_000  # since somebody's last result
_MOST_AT_WORK: Final = 64


class OthersTries:
    """Reads on in the records whenever it is asked. `author` is this node's."""

    def __init__(self, store: Store, line: LineKey, author: bytes) -> None:
        self._records = store.records
        self._author = author
        self._results = OthersResults(store, line)
        self._in_vain: set[str] = set()
        self._kept: set[str] = set()
        self._last_ms: dict[bytes, int] = {}

    @property
    def in_vain(self) -> frozenset[str]:
        """The titles of what somebody screened out, and nobody kept."""
        self._read_on()
        return frozenset(self._in_vain - self._kept)

    def part_of(self, ideas: Sequence[str], now_ms: int) -> frozenset[str]:
        """Return which ideas fall to others, of all that are at work on the line.

        Each falls to whose key gives the largest hash with it (Thaler & Ravishankar, 1998), so that
        whoever comes or goes changes as few as can be.
        """
        self._read_on()
        recent = [who for who, last in self._last_ms.items() if now_ms - last < _AT_WORK_MS]
        recent.sort(key=self._last_ms.__getitem__)
        others = recent[-_MOST_AT_WORK:]

        def is_others(idea: str) -> bool:
            own = _weight(self._author, idea)
            return any(_weight(who, idea) > own for who in others)

        return frozenset(filter(is_others, ideas))

    def _read_on(self) -> None:
        for envelope, body in self._results.new():
            self._take(body, envelope.author, envelope.ts_ms)

    def _take(self, body: ResultBody, author: bytes, ts_ms: int) -> None:
        if body.patch is None:
            return
        self._last_ms[author] = max(ts_ms, self._last_ms.get(author, 0))
        patch = self._records.patch(body.patch)
        if patch is None:
            return
        if body.stage == "screen" and body.status == "ok":
            self._in_vain.add(patch.title)
        elif body.stage in ("keep", "confirm"):
            self._kept.add(patch.title)


def _weight(author: bytes, idea: str) -> bytes:
    return hashlib.sha256(author + idea.encode()).digest()
