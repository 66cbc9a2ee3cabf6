"""Candidates for a transfer to another rung: the patches that led to a head, or one claim.

A peer's code is transferred only if it does nothing but arithmetic, and without its comments and
docstrings. The experiment on the other rung decides if the change is kept there.
"""

import heapq
from collections.abc import Sequence
from itertools import count
from typing import Final

from node.home.next_start import unless_running
from node.line.rung_transfer import TransferCandidate
from node.source_review.adoption import concern, examine
from node.source_review.patches import Patches, PatchRecord
from node.store.blobs import Blobs
from node.store.experiments import ABLATION, MADE_HERE
from node.store.jobs import Line
from node.store.store import Store
from protocol.codecs import fit_line, fit_text
from protocol.errors import SafetyError, UsageError
from protocol.manifest import TaskManifest
from protocol.record_kinds import FoundOn, PatchBody, ResultBody
from protocol.records import Record

_WHOLE: Final = MADE_HERE - {ABLATION}  # proposers of patches that contain several changes
_DETOUR: Final = 1000  # path cost of a combined patch; a single change costs 1


def check_rungs(below: TaskManifest, above: TaskManifest) -> None:
    """Raise UsageError unless changes of `below` can be tried on `above`."""
    if below.id == above.id:
        raise UsageError(
            f"the change was found on {above.name} itself",
            "name another task with --to; peers with other hardware need no transfer",
        )
    if parted := above.parts_from(below):
        raise UsageError(
            f"no change can be transferred from {below.name} to {above.name}:"
            f" their {parted[0]} differ",
            "choose a task with the same metric and the same editable files",
        )


def steps_of_head(store: Store, line: Line, below: TaskManifest) -> tuple[TransferCandidate, ...]:
    """Return the changes from the baseline to a line's verified head, in order.

    Raises UsageError if the head is the baseline, or if a patch on the path is a peer's.
    """
    if line.verified == below.baseline_tree:
        raise UsageError(
            f"the verified head of {below.name} is its baseline: there is nothing to transfer",
            unless_running("run `arnode start` to find a gain", "wait until the node finds a gain")
            + ", or give the id of a claim or patch",
        )
    return steps_to(store, line, line.verified, below)


def steps_to(
    store: Store, line: Line, tree: bytes, below: TaskManifest
) -> tuple[TransferCandidate, ...]:
    """Return the changes from the baseline to a tree of a line, in order.

    Raises UsageError if a patch on the path is not this node's own.
    """
    gains = {
        entry.patch: entry.gain_nano
        for entry in store.experiments.listed(line.key)
        if entry.patch is not None
    }
    steps = []
    for patch in _led_to(store, line.task, tree, below.baseline_tree):
        body = patch.body
        there = FoundOn(task=line.task, hardware_class=line.hardware_class, patch=patch.id)
        steps.append(_step(body, body.base, body.tree, below, there, gain_nano=gains.get(patch.id)))
    return tuple(steps)


def step_of_record(
    store: Store, blobs: Blobs, record: Record, below: TaskManifest
) -> TransferCandidate:
    """Return the change in a patch or result record.

    Comments and docstrings are removed from a peer's change. Raises UsageError for a record without
    a patch, and SafetyError for a peer's code that may only run if the user asks for it.
    """
    hardware_class, gain_nano = "", None
    patch_id: bytes = record.id
    if isinstance(record.body, ResultBody) and record.body.patch is not None:
        hardware_class, patch_id = record.body.hardware_class, record.body.patch
        entry = store.experiments.find(record.id)
        gain_nano = entry.gain_nano if entry else None
    body = store.records.patch(patch_id)
    if body is None:
        raise UsageError(
            f"record {record.id.hex()[:12]} is of kind {record.kind}, which has no patch",
            "give the id of a patch or of an experiment: see `arnode log`",
        )
    there = FoundOn(
        task=body.task, hardware_class=hardware_class or _class_of(store, patch_id), patch=patch_id
    )
    if store.records.is_own(patch_id):
        return _step(body, body.base, body.tree, below, there, gain_nano=gain_nano)
    trees, patches = [], Patches(store, below.id)
    for tree in (body.base, body.tree):
        fit = examine(patches, blobs, below, tree)
        if fit.marks:
            raise SafetyError(
                f"tree {tree.hex()[:12]} {concern(fit.marks)}, so it is not transferred",
                "read it with `arnode diff`; if you trust it, run it with `arnode try`",
            )
        trees.append(blobs.put_source(fit.source))
    author = store.records.get(patch_id).author
    return _step(body, trees[0], trees[1], below, there, gain_nano=gain_nano, author=author)


def _step(
    body: PatchBody,
    base: bytes,
    tree: bytes,
    below: TaskManifest,
    there: FoundOn,
    *,
    gain_nano: int | None,
    author: bytes | None = None,
) -> TransferCandidate:
    """Return a candidate, with the rung where its change was first found.

    If several changes were transferred together to the rung `below`, they count as one change that
    was found there.
    """
    return TransferCandidate(
        base=base,
        tree=tree,
        root=below.baseline_tree,
        title=fit_line(body.title, 120),
        # A peer's prose is not copied.
        why=fit_text(body.why, 600) if author is None else "",
        found_on=there if body.found_on is None or body.found_on.patch is None else body.found_on,
        gain_nano=gain_nano,
        author=author,
    )


def _class_of(store: Store, patch: bytes) -> str:
    """Return the hardware class of a patch's first measurement.

    Raises UsageError if no measurement is in the store.
    """
    for record in store.records.listed("result"):
        if isinstance(record.body, ResultBody) and record.body.patch == patch:
            return record.body.hardware_class
    raise UsageError(
        f"no stored result measures patch {patch.hex()[:12]}",
        "give the id of an experiment: see `arnode log` and `arnode leaderboard`",
    )


def _led_to(store: Store, task: bytes, to: bytes, baseline: bytes) -> Sequence[PatchRecord]:
    """Return this node's patches that lead from the baseline to a tree.

    Of several paths, prefer one that consists of single changes.

    Raises UsageError if a patch on the path is not this node's own.
    """
    patches = Patches(store, task)
    number = count()  # breaks ties: first in, first out
    reached: set[bytes] = set()
    ahead: list[tuple[int, int, bytes, tuple[PatchRecord, ...]]] = [(0, next(number), to, ())]
    while ahead:
        cost, _, tree, found = heapq.heappop(ahead)
        if tree == baseline:
            return found
        if tree in reached:
            continue
        reached.add(tree)
        for patch in patches.makers(tree):
            if patch.is_own and patch.body.base not in reached:
                more = _DETOUR if patch.body.origin.proposer in _WHOLE else 1
                entry = (cost + more, next(number), patch.body.base, (patch, *found))
                heapq.heappush(ahead, entry)
    raise UsageError(
        f"some patches that led to tree {to.hex()[:12]} are not this node's own",
        "give the id of a claim or patch instead",
    )
