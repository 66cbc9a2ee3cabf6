"""Peers' changes that this node may run without asking its user. Each tree is examined once.

A change may run only if its code has no capability, such as an import, that the task's baseline
lacks (a *mark*). Its comments and docstrings are removed first. Gains play no role in this module.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from node.source_review.adoption import ReviewedTree, examine
from node.source_review.inspection import inspect
from node.source_review.patches import Patches, merged
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.manifest import TaskManifest
from protocol.patches import unified_diff
from protocol.record_kinds import ResultBody
from protocol.source import Source

_REMEMBERED: Final = 512  # trees, each with its source


class ReviewedStep(NamedTuple):
    """A peer's change in the form that may run here: without prose and without marks."""

    base: Source
    tree: Source


class Fitted(NamedTuple):
    """A change applied to another tree, and the `part` of it (0 to 1) that the tree lacked."""

    source: Source
    fingerprint: bytes
    part: float


class SourceReview:
    """An examiner of the trees in one task's results.

    `want` is called with each patch that cannot be examined because files of its trees are missing.
    """

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        manifest: TaskManifest,
        *,
        want: Callable[[bytes], None] | None = None,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._manifest = manifest
        self._want = want
        self._reviewed: dict[bytes, ReviewedTree | None] = {}  # by tree
        self._patches: Patches | None = None
        self._newest = 0  # number of the last record when `_patches` was read

    def is_here(self, result: ResultBody) -> bool:
        """Return True if both trees of a result are here; request missing ones."""
        return all(self._has(tree, result) for tree in (result.base, result.tree))

    def is_reviewed(self, result: ResultBody) -> bool:
        """Return True if a result's tree was examined before, so that `tree` is fast."""
        return result.tree in self._reviewed

    def tree(self, tree: bytes, result: ResultBody) -> ReviewedTree | None:
        """Return a tree in the form that may run.

        None if the tree must not run, or if its files or its patch are missing.
        """
        if tree in self._reviewed:
            return self._reviewed[tree]
        if not self._has(tree, result):
            return None
        patches = self._known_patches()
        if tree != self._manifest.baseline_tree and not patches.makers(tree):
            return None  # the patch that made it may arrive later than the result
        if len(self._reviewed) >= _REMEMBERED:
            del self._reviewed[next(iter(self._reviewed))]
        self._reviewed[tree] = self._examined(patches, tree)
        return self._reviewed[tree]

    def step(self, result: ResultBody, *, own: bytes) -> ReviewedStep | None:
        """Return the change that a result reports on; None if it must not run.

        A peer's base is returned without its prose. The task's baseline and `own`, a tree of this
        node, are returned unchanged.
        """
        found = self.tree(result.tree, result)
        if found is None or not self._has(result.base, result):
            return None
        if result.base in (own, self._manifest.baseline_tree):
            return ReviewedStep(self._blobs.get_source(result.base), found.source)
        below = self.tree(result.base, result)
        return None if below is None else ReviewedStep(below.source, found.source)

    def onto(self, result: ResultBody, working: Source) -> Fitted | None:
        """Return a result's change applied to `working`.

        None if it adds nothing, conflicts with `working`, or must not run.
        """
        step = self.step(result, own=working.tree)
        if step is None:
            return None
        base, tree = step
        source = tree if result.base == working.tree else merged(base, working, tree)
        if source is None or source.tree == working.tree:
            return None
        mark = self.fingerprint(source)
        if mark is None:
            return None
        left = _changed_lines(working, source) / max(1, _changed_lines(base, tree))
        return Fitted(source, mark, min(1.0, left))

    def fingerprint(self, source: Source) -> bytes | None:
        """Return a hash of the AST of a merged source; None if it must not run."""
        baseline = self._blobs.get_source(self._manifest.baseline_tree)
        found = inspect(source, kind=self._manifest.kind, baseline=baseline)
        return None if found.marks else found.fingerprint

    def _has(self, tree: bytes, result: ResultBody) -> bool:
        """Return True if a tree of a result is here; otherwise request its patch."""
        missing = self._blobs.lacking(tree)
        if missing and self._want is not None and result.patch is not None:
            self._want(result.patch)
        return missing == []  # None: the id is not a tree's

    def _known_patches(self) -> Patches:
        """Return the task's patches; read them again if new records arrived."""
        newest = self._store.records.last_number()
        if self._patches is None or newest != self._newest:
            self._patches, self._newest = Patches(self._store, self._manifest.id), newest
        return self._patches

    def _examined(self, patches: Patches, tree: bytes) -> ReviewedTree | None:
        try:
            found = examine(patches, self._blobs, self._manifest, tree)
        except ArnodeError:  # this tree must not run; another may
            return None
        return None if found.marks else found


def _changed_lines(old: Source, new: Source) -> int:
    lines = unified_diff(old, new).splitlines()
    return sum(line[:1] in "+-" and line[:4] not in ("--- ", "+++ ") for line in lines)
