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
_MOST_TREES: Final = 2_000  # whose scores are remembered
_LIARS: Final = 3  # one of so many authors; the largest claims may be invented
_LEAST_KEPT: Final = 3  # patches in a tree; fewer are better combined with those of other nodes


class ReachedTree(NamedTuple):
    """The result of the latest patch that an author kept, and the tree's claimed gain.

    `gain_nano` is the gain over the task's baseline, in 1e-9 units of the metric, positive if
    better. `patches` are those that made the tree, the latest first.
    """

    author: bytes
    result: ResultBody
    gain_nano: int
    patches: tuple[bytes, ...]


class _Kept(NamedTuple):
    result: ResultBody
    patch: bytes
    gain_nano: int  # over its base


class OthersLines:
    """A reader of a line's records that keeps its position between calls."""

    def __init__(self, line_writer: LineWriter) -> None:
        manifest = line_writer.record_writer.manifest
        self._baseline = manifest.baseline_tree
        self._results = OthersResults(line_writer.store, line_writer.key)
        is_maximised = manifest.metric.direction == "max"
        self._gains = ReportedGains(is_maximised=is_maximised, most=_MOST_TREES)
        # By author and tree; authors and trees in the order of their latest results.
        self._kept: dict[bytes, dict[bytes, _Kept]] = {}

    def reached(
        self, accepts: Callable[[bytes], bool], *, confirmed_nano: Mapping[bytes, int]
    ) -> list[ReachedTree]:
        """Return a tree of each accepted author that kept several patches, without the best third.

        The best is first. If up to a third of the authors lie, it is not exaggerated.
        `confirmed_nano` has the gains of trees whose earlier patches need not be known.
        """
        for result in self._results.new():
            self._take(result.envelope.author, result.body)
        found: list[ReachedTree] = []
        for author, kept in self._kept.items():
            if accepts(author) and (tree := self._newest(author, kept, confirmed_nano)):
                found.append(tree)
        found.sort(key=lambda one: (-one.gain_nano, one.result.tree))
        return found[len(found) // _LIARS :]

    def _newest(
        self, author: bytes, kept: dict[bytes, _Kept], confirmed_nano: Mapping[bytes, int]
    ) -> ReachedTree | None:
        """Return an author's newest tree.

        None if it is confirmed, if an earlier patch of it is unknown, or if it has too few of them.
        """
        newest = next(reversed(kept.values())).result
        tree, gain_nano, passed = newest.tree, 0, dict[bytes, bytes]()
        while tree != self._baseline and tree not in confirmed_nano:
            if tree in passed or tree not in kept:
                return None
            passed[tree] = kept[tree].patch
            gain_nano += kept[tree].gain_nano
            tree = kept[tree].result.base
        if len(passed) < (_LEAST_KEPT if tree == self._baseline else 1):
            return None
        gain_nano += confirmed_nano.get(tree, 0)
        return ReachedTree(author, newest, gain_nano, tuple(passed.values()))

    def _take(self, author: bytes, body: ResultBody) -> None:
        gain_nano = self._gains.take(author, body)
        if body.stage != "keep" or body.patch is None or gain_nano is None:
            return
        kept = self._kept.pop(author, {})
        kept.pop(body.tree, None)
        kept[body.tree] = _Kept(body, body.patch, gain_nano)
        if len(kept) > _MOST_KEPT:
            del kept[next(iter(kept))]
        self._kept[author] = kept
        if len(self._kept) > _MOST_AUTHORS:
            del self._kept[next(iter(self._kept))]
