"""Checks on a tree before it becomes the verified head: capability marks, hygiene, no peer's prose.

A mark is a capability in the code, such as an import, that the task's baseline does not have. A
tree is this node's own if it is the baseline or the result of a patch of this node. A peer's tree
is adopted without its comments and docstrings; a new patch on the peer's patch removes them.
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
    """A tree that may be adopted, with its capabilities that the task's baseline lacks.

    `stripped_from` is the peer's patch from whose tree prose was removed. It is None if a recorded
    patch already made this tree.
    """

    source: Source
    marks: tuple[CapabilityFinding, ...]
    stripped_from: PatchRecord | None


def examine(patches: Patches, blobs: Blobs, manifest: TaskManifest, tree: bytes) -> ReviewedTree:
    """Return `tree` in the form that may be adopted: a peer's tree without its prose.

    `patches` are the task's patches. Raises SafetyError if `tree` must not be adopted.
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
    """Return a tree's capabilities that its task's baseline lacks; None if its files are not here.

    If the baseline is missing, return all capabilities other than arithmetic.
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
    """Return a source's capabilities that the baseline lacks.

    Without a baseline, return all capabilities other than arithmetic. Without a manifest, return
    all that training code does not need.
    """
    kind = LANGUAGE_MODEL if manifest is None else manifest.kind
    return inspect(source, kind=kind, baseline=baseline or Source.of({})).marks


def unread_of(blobs: Blobs, manifest: TaskManifest, tree: bytes) -> tuple[str, ...]:
    """Return the languages of a tree's changed files that the lint cannot read.

    The result is empty if the tree is missing here. Nothing is parsed, so a leaderboard can call
    this for each row.
    """
    try:
        source, baseline = blobs.get_source(tree), blobs.get_source(manifest.baseline_tree)
    except ArnodeError:
        return ()
    return languages(unread(source, baseline))


def concern(marks: Sequence[CapabilityFinding]) -> str:
    """Return a phrase that says why a source with these marks is a risk."""
    if all(mark.what == "unread" for mark in marks):
        return "contains code that the lint cannot read"
    return "does more than arithmetic"


def describe(mark: CapabilityFinding) -> str:
    """Return one line of text about a mark: file, source line, code and kind."""
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
    """Return the nearest source before a peer's patch that this node or the task wrote.

    Peers build on each other's patches, and all their text is untrusted.
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
