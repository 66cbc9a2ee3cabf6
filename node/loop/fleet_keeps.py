"""Patches that the nodes of the user's own fleet kept by few runs, before they become claims.

A few runs of an untrusted peer are no evidence, since a peer can invent them. Runs of the user's
own machines are as good as this node's. Still, the patches are tried here before the line keeps
them.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from node.store.experiments import MADE_HERE
from node.store.jobs import LineKey
from node.store.others_results import OthersResults, ReportedGains
from node.store.records import Envelope
from node.store.store import Store
from protocol.record_kinds import PatchBody, ResultBody

_MOST: Final = 64  # the latest


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetKeep:
    """A patch that a node of the fleet kept: its result, and its gain in that node's runs.

    `gain_nano` is in 1e-9 units of the metric, positive if better.
    """

    result: bytes
    author: bytes
    body: ResultBody
    patch: bytes
    gain_nano: int


class FleetKeeps:
    """A reader of a line's records that keeps its position between calls."""

    def __init__(self, store: Store, line: LineKey, *, is_maximised: bool) -> None:
        self._store = store
        self._line = line
        self._is_maximised = is_maximised
        self._fleet = frozenset[bytes]()
        self._results: OthersResults | None = None
        self._gains = ReportedGains(is_maximised=is_maximised)
        self._keeps: deque[FleetKeep] = deque(maxlen=_MOST)

    def of(self, fleet: frozenset[bytes]) -> list[FleetKeep]:
        """Return the latest patches that these authors kept, the oldest first."""
        if fleet != self._fleet:  # a new member may have older records here
            self._fleet, self._results = fleet, None
            self._gains = ReportedGains(is_maximised=self._is_maximised)
            self._keeps.clear()
        if not fleet:
            return []
        if self._results is None:
            self._results = OthersResults(
                self._store, self._line, is_wanted=self._fleet.__contains__
            )
        for result in self._results.new():
            self._take(*result)
        return list(self._keeps)

    def _take(self, envelope: Envelope, body: ResultBody, patch: PatchBody | None) -> None:
        result, author = envelope.id, envelope.author
        gain_nano = self._gains.take(author, body) or 0
        if body.stage != "keep" or body.patch is None or patch is None:
            return
        if gain_nano > 0 and patch.origin.proposer not in MADE_HERE:
            self._keeps.append(
                FleetKeep(
                    result=result, author=author, body=body, patch=body.patch, gain_nano=gain_nano
                )
            )
