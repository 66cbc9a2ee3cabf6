"""Every patch of one task that is here, own and strangers': what made a tree, and from whose.

An own patch may have been made from a stranger's: its `parents` say so. Knows nothing of what a
patch is worth.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from node.store.store import Store
from protocol.record_kinds import PatchBody


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchRecord:
    """A patch and the record that it came in."""

    id: bytes
    author: bytes
    is_own: bool
    body: PatchBody


class Patches:
    """Every patch of one task that is here, by whom and what it made."""

    def __init__(self, store: Store, task: bytes) -> None:
        self._by_id: dict[bytes, PatchRecord] = {
            record.id: PatchRecord(
                id=record.id,
                author=record.author,
                is_own=store.records.is_own(record.id),
                body=record.body,
            )
            for record in store.records.listed("patch")
            if isinstance(record.body, PatchBody) and record.body.task == task
        }
        self._by_tree: dict[bytes, list[PatchRecord]] = {}
        for patch in self._by_id.values():
            self._by_tree.setdefault(patch.body.tree, []).append(patch)

    def get(self, patch: bytes) -> PatchRecord | None:
        """Return the patch with this record id."""
        return self._by_id.get(patch)

    def makers(self, tree: bytes) -> list[PatchRecord]:
        """Return the patches that made a tree, oldest first."""
        return self._by_tree.get(tree, [])

    def strangers(self, patch: PatchRecord) -> Iterator[PatchRecord]:
        """Yield the strangers' patches that an own one was made from, nearest first."""
        seen = {patch.id}
        pending = [patch.id]
        while pending:
            known = self._by_id.get(pending.pop(0))
            if known is None:
                continue
            if not known.is_own:
                yield known
                continue
            fresh = [parent for parent in known.body.parents if parent not in seen]
            seen.update(fresh)
            pending += fresh

    def below(self, patch: PatchRecord) -> Iterator[PatchRecord]:
        """Yield strangers' patches that led to a patch's base, the nearest first."""
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
        """Say whether an own patch made this tree, other than by trying a stranger's as it was."""
        return any(
            patch.is_own and all(stranger.body.tree != tree for stranger in self.strangers(patch))
            for patch in self.makers(tree)
        )
