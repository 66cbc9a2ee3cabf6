"""The stored patches of one task, this node's and peers', by id and by resulting tree.

A patch of this node may derive from a peer's patch. Its `parents` name the peer's patch, or its
`found_on` does if it was transferred from another task. Gains play no role in this module.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from merge3 import Merge3

from node.store.store import Store
from protocol.record_kinds import PatchBody
from protocol.records import Record
from protocol.source import Source, split_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchRecord:
    """A patch with the id and the author of its record."""

    id: bytes
    author: bytes
    is_own: bool
    body: PatchBody


class Patches:
    """The stored patches of one task, by id and by the tree that they made."""

    def __init__(self, store: Store, task: bytes) -> None:
        self._store = store
        self._by_id: dict[bytes, PatchRecord] = {}
        for record in store.records.listed("patch"):
            if isinstance(record.body, PatchBody) and record.body.task == task:
                self._by_id[record.id] = self._read(record, record.body)
        self._elsewhere: dict[bytes, PatchRecord | None] = {}  # of other tasks
        self._by_tree: dict[bytes, list[PatchRecord]] = {}
        for patch in self._by_id.values():
            self._by_tree.setdefault(patch.body.tree, []).append(patch)

    def get(self, patch: bytes) -> PatchRecord | None:
        """Return the patch with this record id."""
        return self._by_id.get(patch)

    def makers(self, tree: bytes) -> list[PatchRecord]:
        """Return the patches that made a tree, oldest first."""
        return self._by_tree.get(tree, [])

    def untrusted_ancestors(self, patch: PatchRecord) -> Iterator[PatchRecord]:
        """Yield the peers' patches that a patch of this node derives from, nearest first."""
        seen = {patch.id}
        pending = [patch.id]
        while pending:
            known = self._anywhere(pending.pop(0))
            if known is None:
                continue
            if not known.is_own:
                yield known
                continue
            fresh = [parent for parent in _made_from(known.body) if parent not in seen]
            seen.update(fresh)
            pending += fresh

    def _anywhere(self, patch: bytes) -> PatchRecord | None:
        """Return the patch with this record id, of this task or another; None if it is not here."""
        if patch in self._by_id:
            return self._by_id[patch]
        if patch not in self._elsewhere:
            records = self._store.records
            body = records.patch(patch)
            read = None if body is None else self._read(records.get(patch), body)
            self._elsewhere[patch] = read
        return self._elsewhere[patch]

    def _read(self, record: Record, body: PatchBody) -> PatchRecord:
        is_own = self._store.records.is_own(record.id)
        return PatchRecord(id=record.id, author=record.author, is_own=is_own, body=body)

    def below(self, patch: PatchRecord) -> Iterator[PatchRecord]:
        """Yield the peers' patches that made a patch's base, nearest first."""
        seen = {patch.body.tree}
        base = patch.body.base
        while base not in seen:
            seen.add(base)
            made = next((one for one in self.makers(base) if not one.is_own), None)
            if made is None:
                return
            yield made
            base = made.body.base

    def is_own(self, tree: bytes) -> bool:
        """Return True if an original patch of this node made the tree, not only a peer's patch."""
        return any(
            patch.is_own
            and all(ancestor.body.tree != tree for ancestor in self.untrusted_ancestors(patch))
            for patch in self.makers(tree)
        )


def _made_from(body: PatchBody) -> tuple[bytes, ...]:
    """Return the ids of a patch's parents, and of its original on the task where it was found."""
    found = None if body.found_on is None else body.found_on.patch
    return body.parents if found is None else (*body.parents, found)


def merged(base: Source, ours: Source, theirs: Source) -> Source | None:
    """Return the three-way merge of `ours` and `theirs` with the ancestor `base`.

    None on a conflict. A file that only `ours` or only `theirs` has is kept. The result is a new
    tree, which needs its own runs.
    """
    sides = [dict(source.files) for source in (base, ours, theirs)]
    files: dict[str, bytes] = {}
    for path in sorted({path for side in sides for path in side}):
        old, mine, other = (side.get(path) for side in sides)
        if other == old or mine == other:
            chosen = mine
        elif mine == old:
            chosen = other
        elif old is None or mine is None or other is None:
            return None
        else:
            chosen = _merged_file(old, mine, other)
            if chosen is None:
                return None
        if chosen is not None:
            files[path] = chosen
    return Source.of(files)


def _merged_file(old: bytes, mine: bytes, other: bytes) -> bytes | None:
    merge = Merge3(split_lines(old), split_lines(mine), split_lines(other))
    lines: list[bytes] = []
    for group in merge.merge_groups():
        if group[0] == "conflict":
            return None
        lines += group[1]
    is_torn = any(not line.endswith(b"\n") for line in lines[:-1])  # two lines were joined
    return None if is_torn else b"".join(lines)
