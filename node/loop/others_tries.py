"""What others tried on a line, as their results say: what gained nothing, and who is at work.

Nodes that draw on the same list of ideas would try the same ones. Nobody is believed for it: an
idea that somebody else tried in vain comes later, or mostly not at all where it is another node's
to try. Of ideas that nobody tried each node takes those first that are its own by its key and the
others'.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Final

from agent.proposal import PeerTrial
from node.loop.others_trials import OthersTrials
from node.store.jobs import LineKey
from node.store.others_results import OthersResults, ToldGains
from node.store.store import Store
from protocol.record_kinds import ResultBody
from trainer.task_folder.task import Task

_AT_WORK_MS: Final = 6 * 3_600_000  # since somebody's last result
_MOST_AT_WORK: Final = 64
_MOST_TREES: Final = 2_000  # of which it is known what they measured


class OthersTries:
    """Reads on in the records whenever it is asked. `author` is this node's."""

    def __init__(self, store: Store, line: LineKey, author: bytes, task: Task) -> None:
        self._records = store.records
        self._author = author
        is_maximised = task.manifest.metric.direction == "max"
        self._gains = ToldGains(is_maximised=is_maximised, most=_MOST_TREES)
        self._trials = OthersTrials(task)
        self._results = OthersResults(store, line)
        self._in_vain: dict[str, set[bytes]] = defaultdict(set)  # titles, and whose they are
        self._kept: dict[str, dict[bytes, int]] = defaultdict(dict)  # and what they say it gains
        self._last_ms: dict[bytes, int] = {}

    @property
    def in_vain(self) -> frozenset[str]:
        """The titles of what somebody screened out, and nobody kept."""
        self._read_on()
        return frozenset(self._in_vain.keys() - self._kept.keys())

    def praised(self, titles: Iterable[str]) -> tuple[str, ...]:
        """Return those that no fewer kept than screened out, what they say gains most first."""
        self._read_on()
        gains = {
            title: median(self._kept[title].values())
            for title in titles
            if title in self._kept and len(self._kept[title]) >= len(self._in_vain.get(title, ()))
        }
        return tuple(sorted(gains, key=lambda title: (-gains[title], title)))

    def trials(
        self, run_sd: float, *, heeding: Callable[[], Callable[[bytes], bool]]
    ) -> tuple[PeerTrial, ...]:
        """Return what those who are heeded say of values that they tried (`OthersTrials.told`)."""
        self._read_on()
        return self._trials.told(run_sd, heeding=heeding)

    def are_at_work(self, now_ms: int) -> bool:
        """Say whether anybody else is on the line."""
        self._read_on()
        return any(now_ms - last < _AT_WORK_MS for last in self._last_ms.values())

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
        gain_nano = self._gains.take(author, body)
        if body.patch is None:
            return
        self._last_ms[author] = max(ts_ms, self._last_ms.get(author, 0))
        patch = self._records.patch(body.patch)
        if patch is None:
            return
        self._trials.take(author, body, patch, gain_nano)
        if body.stage == "screen" and body.status == "ok":
            self._in_vain[patch.title].add(author)
        elif body.stage in ("keep", "confirm"):
            self._kept[patch.title][author] = gain_nano or 0


def _weight(author: bytes, idea: str) -> bytes:
    return hashlib.sha256(author + idea.encode()).digest()
