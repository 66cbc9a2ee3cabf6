"""Others' steps as this node may run them without being asked: each tree is looked at once.

Only code without marks, and only without its prose. What a step is worth is not known here.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from node.store.blobs import Blobs
from node.store.store import Store
from node.vetting.adoption import Vetted, examine
from node.vetting.inspection import inspect
from node.vetting.patches import Patches, merged
from protocol.errors import ArnodeError
from protocol.manifest import TaskManifest
from protocol.patches import unified_diff
from protocol.record_kinds import ResultBody
from protocol.source import Source

_REMEMBERED: Final = 512  # trees, each a source


class VettedStep(NamedTuple):
    """A step of somebody else's as it may be run: without prose, and without marks."""

    base: Source
    tree: Source


class Fitted(NamedTuple):
    """A step made on another tree, and the `part` of it (0 to 1) that was not there already."""

    source: Source
    fingerprint: bytes
    part: float


class Vetting:
    """Looks at what results of one task are about.

    `want` is told of every patch that would be looked at if the files of its trees were here.
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
        self._vetted: dict[bytes, Vetted | None] = {}  # by tree
        self._patches: Patches | None = None
        self._newest = 0  # the last record when these were read

    def is_here(self, result: ResultBody) -> bool:
        """Whether both trees of a result are; what is not is wanted."""
        return all(self._has(tree, result) for tree in (result.base, result.tree))

    def is_vetted(self, result: ResultBody) -> bool:
        """Whether a result's tree was looked at, so that to ask again costs nothing."""
        return result.tree in self._vetted

    def tree(self, tree: bytes, result: ResultBody) -> Vetted | None:
        """Return what may be run of a tree that a result is about; None if nothing may, or yet."""
        if tree in self._vetted:
            return self._vetted[tree]
        if not self._has(tree, result):
            return None
        patches = self._known_patches()
        if tree != self._manifest.baseline_tree and not patches.makers(tree):
            return None  # the patch that made it may come after the result that names it
        if len(self._vetted) >= _REMEMBERED:
            del self._vetted[next(iter(self._vetted))]
        self._vetted[tree] = self._examined(patches, tree)
        return self._vetted[tree]

    def step(self, result: ResultBody, *, own: bytes) -> VettedStep | None:
        """Return the step that a result is about; None if it may not be run.

        A base that is the task's baseline or this node's `own` tree stays as it is.
        """
        found = self.tree(result.tree, result)
        if found is None or not self._has(result.base, result):
            return None
        if result.base in (own, self._manifest.baseline_tree):
            return VettedStep(self._blobs.get_source(result.base), found.source)
        below = self.tree(result.base, result)
        return None if below is None else VettedStep(below.source, found.source)

    def onto(self, result: ResultBody, working: Source) -> Fitted | None:
        """Return a result's step made on a tree; None if it adds nothing to it.

        Nor where both changed the same lines, or where it may not be run.
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
        """Return the canonical AST of a source made of steps; None if it may not be run."""
        baseline = self._blobs.get_source(self._manifest.baseline_tree)
        found = inspect(source, kind=self._manifest.kind, baseline=baseline)
        return None if found.marks else found.fingerprint

    def _has(self, tree: bytes, result: ResultBody) -> bool:
        """Say whether a tree that a result is about is here; if not, that its patch is wanted."""
        missing = self._blobs.lacking(tree)
        if missing and self._want is not None and result.patch is not None:
            self._want(result.patch)
        return missing == []  # None: somebody named as a tree what is none

    def _known_patches(self) -> Patches:
        """Return the task's patches, read again if records came since the last time."""
        newest = self._store.records.last_number()
        if self._patches is None or newest != self._newest:
            self._patches, self._newest = Patches(self._store, self._manifest.id), newest
        return self._patches

    def _examined(self, patches: Patches, tree: bytes) -> Vetted | None:
        try:
            found = examine(patches, self._blobs, self._manifest, tree)
        except ArnodeError:  # it is not fit to be run: others are
            return None
        return None if found.marks else found


def _changed_lines(old: Source, new: Source) -> int:
    lines = unified_diff(old, new).splitlines()
    return sum(line[:1] in "+-" and line[:4] not in ("--- ", "+++ ") for line in lines)
