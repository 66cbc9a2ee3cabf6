"""Checks between a peer's tree and the verified head: marks, hygiene, removal of prose.

A tree is this node's own if it is the task's baseline or an own patch made it. It is a peer's if a
peer's patch made it. A peer's tree is adopted without its prose, as an own patch on theirs.
`node.line.head_by_hand` decides which evidence a head needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.source.allow_lists import LANGUAGE_MODEL
from agent.source.capabilities import CapabilityFinding, languages, unread
from node.source_review.inspection import Inspection, inspect
from node.source_review.patches import Patches, PatchRecord
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.errors import ArnodeError, Rejected, SafetyError
from protocol.hygiene import check_for_task
from protocol.manifest import TaskManifest
from protocol.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedTree:
    """A tree that may be adopted, with the capabilities it has beyond its task's baseline.

    `stripped_from` is the peer's patch from whose tree prose was removed. It is None if the tree is
    recorded already, as an own one or because it had no prose.
    """

    source: Source
    marks: tuple[CapabilityFinding, ...]
    stripped_from: PatchRecord | None


def examine(patches: Patches, blobs: Blobs, manifest: TaskManifest, tree: bytes) -> ReviewedTree:
    """Return what would be adopted for `tree`. Raises SafetyError for what never is.

    `patches` are those of the task.
    """
    baseline = blobs.get_source(manifest.baseline_tree)
    if tree == baseline.tree:
        return ReviewedTree(source=baseline, marks=(), stripped_from=None)
    is_own = patches.is_own(tree)
    makers = [patch for patch in patches.makers(tree) if not patch.is_own]
    if not is_own and not makers:
        raise SafetyError(
            f"no patch of this task names the author of tree {tree.hex()[:12]}",
            "give the id of a patch or result of this task: see `arnode log`",
        )
    source = blobs.get_source(tree)
    if is_own:
        found = inspect(source, kind=manifest.kind, baseline=baseline)
        return ReviewedTree(source=source, marks=found.marks, stripped_from=None)
    if (fault := check_for_task(source, manifest, baseline=baseline)) is not None:
        raise SafetyError(
            f"a peer's source is not adopted unchanged: {fault.reason}", "adopt another tree"
        )
    base = _own_text(patches, blobs, makers[0], baseline)
    found = inspect(source, kind=manifest.kind, baseline=baseline, base=base)
    stripped = _stripped(found, tree)
    is_new = stripped.tree != tree and not patches.is_own(stripped.tree)
    return ReviewedTree(
        source=stripped, marks=found.marks, stripped_from=makers[0] if is_new else None
    )


def marks_of(
    store: Store, blobs: Blobs, task: bytes, tree: bytes
) -> tuple[CapabilityFinding, ...] | None:
    """Return a tree's capabilities beyond its task's baseline; None if its files are not here.

    Without the baseline everything beyond arithmetic is a mark.
    """
    manifest = store.records.manifest(task)
    if manifest is not None and tree == manifest.baseline_tree:
        return ()
    try:
        source = blobs.get_source(tree)
    except ArnodeError:
        return None
    baseline = None
    if manifest is not None and blobs.has(manifest.baseline_tree):
        baseline = blobs.get_source(manifest.baseline_tree)
    return marks_beyond(source, baseline, manifest)


def marks_beyond(
    source: Source, baseline: Source | None, manifest: TaskManifest | None
) -> tuple[CapabilityFinding, ...]:
    """Return a source's capabilities beyond the baseline; without one, all beyond arithmetic.

    If the task is not known, everything beyond what training code needs is a mark.
    """
    kind = LANGUAGE_MODEL if manifest is None else manifest.kind
    return inspect(source, kind=kind, baseline=baseline or Source.of({})).marks


def unread_of(blobs: Blobs, manifest: TaskManifest, tree: bytes) -> tuple[str, ...]:
    """Return the languages of a tree's changed files that no lint reads; empty if it is not here.

    Nothing is parsed, so it is cheap enough for each row of a leaderboard.
    """
    try:
        source, baseline = blobs.get_source(tree), blobs.get_source(manifest.baseline_tree)
    except ArnodeError:
        return ()
    return languages(unread(source, baseline))


def concern(marks: Sequence[CapabilityFinding]) -> str:
    """Return the concern about a marked source, in words."""
    if all(mark.what == "unread" for mark in marks):
        return "contains code that the lint cannot read"
    return "does more than arithmetic"


def describe(mark: CapabilityFinding) -> str:
    """Return a mark on one line: place, code and kind."""
    if mark.what == "unread":
        return f"{mark.path}: {mark.text}"
    return f"{mark.path} line {mark.line}: {mark.text} ({mark.what})"


def _stripped(found: Inspection, tree: bytes) -> Source:
    if isinstance(found.stripped, Source):
        return found.stripped
    reason = found.stripped.reason if isinstance(found.stripped, Rejected) else "no base"
    raise SafetyError(
        f"the prose in tree {tree.hex()[:12]} cannot be separated from its code: {reason}",
        "adopt another tree; peers' comments and docstrings are never adopted",
    )


def _own_text(patches: Patches, blobs: Blobs, patch: PatchRecord, baseline: Source) -> Source:
    """Return the nearest tree below a peer's patch that is this node's own text.

    Peers build on each other, and the first one's text is just as untrusted.
    """
    seen: set[bytes] = set()
    base = patch.body.base
    while base not in seen:
        seen.add(base)
        if patches.is_own(base) and blobs.has(base):
            return blobs.get_source(base)
        below = patches.makers(base)
        if not below:
            break
        base = below[0].body.base
    return baseline
