"""The trees that other nodes' working lines reached, with the gains that these nodes claim.

Each of their patches was kept by few runs of a node that may lie. So this is no evidence. But
trying such a tree takes no more runs than trying one of its patches, and a node that has just
joined is soon as far as the others.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from node.line.line_writer import LineWriter
from node.store.others_results import OthersResults, ReportedGains
from protocol.record_kinds import ResultBody

_MOST_AUTHORS: Final = 64  # with the most recent results
_MOST_KEPT: Final = 256  # the latest patches of an author
_LIARS: Final = 3  # one of so many authors; the largest claims may be invented
_LEAST_KEPT: Final = 3  # patches in a tree; fewer are better combined with those of other nodes


class ReachedTree(NamedTuple):
    """The result of the latest patch that an author kept, and the tree's claimed gain.

    `gain_nano` is the gain over the task's baseline, in 1e-9 units of the metric, positive if
    better.
    """

    author: bytes
    result: ResultBody
    gain_nano: int


class _Kept(NamedTuple):
    result: ResultBody
    gain_nano: int  # over its base


class OthersLines:
    """A reader of a line's records that keeps its position between calls."""

    def __init__(self, line_writer: LineWriter) -> None:
        manifest = line_writer.record_writer.manifest
        self._baseline = manifest.baseline_tree
        self._results = OthersResults(line_writer.store, line_writer.key)
        self._gains = ReportedGains(is_maximised=manifest.metric.direction == "max")
        # By author and tree; authors and trees in the order of their latest results.
        self._kept: dict[bytes, dict[bytes, _Kept]] = {}

    def reached(
        self, accepts: Callable[[bytes], bool], *, confirmed_nano: Mapping[bytes, int]
    ) -> list[ReachedTree]:
        """Return a tree of each accepted author that kept several patches, without the best third.

        The best is first. If up to a third of the authors lie, it is not exaggerated.
        `confirmed_nano` has the gains of trees whose earlier patches need not be known.
        """
        for envelope, body in self._results.new():
            self._take(envelope.author, body)
        found: list[ReachedTree] = []
        for author, kept in self._kept.items():
            newest = next(reversed(kept.values()))
            gain_nano = self._total(kept, newest.result.tree, confirmed_nano)
            if gain_nano is not None and accepts(author):
                found.append(ReachedTree(author, newest.result, gain_nano))
        found.sort(key=lambda one: (-one.gain_nano, one.result.tree))
        return found[len(found) // _LIARS :]

    def _total(
        self, kept: Mapping[bytes, _Kept], tree: bytes, confirmed_nano: Mapping[bytes, int]
    ) -> int | None:
        """Return the gain of a tree over the baseline.

        None if an earlier patch is unknown, or if it has too few of them.
        """
        total_nano, passed = 0, set[bytes]()
        while tree != self._baseline:
            if tree in confirmed_nano:
                return total_nano + confirmed_nano[tree]
            if tree in passed or tree not in kept:
                return None
            passed.add(tree)
            total_nano += kept[tree].gain_nano
            tree = kept[tree].result.base
        return total_nano if len(passed) >= _LEAST_KEPT else None

    def _take(self, author: bytes, body: ResultBody) -> None:
        gain_nano = self._gains.take(author, body)
        if body.stage != "keep" or body.patch is None or gain_nano is None:
            return
        kept = self._kept.pop(author, {})
        kept.pop(body.tree, None)
        kept[body.tree] = _Kept(body, gain_nano)
        if len(kept) > _MOST_KEPT:
            del kept[next(iter(kept))]
        self._kept[author] = kept
        if len(self._kept) > _MOST_AUTHORS:
            del self._kept[next(iter(self._kept))]
