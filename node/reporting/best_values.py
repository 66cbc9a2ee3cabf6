"""The values of changed constants in a source, and what they were in the baseline."""

from collections.abc import Iterable, Mapping
from typing import TypedDict

from node.store.experiments import Experiment
from node.store.store import Store


class ValueDocument(TypedDict):
    """A constant whose value differs from the baseline's."""

    name: str
    baseline: str
    value: str


def by_tree(history: Iterable[Experiment]) -> dict[bytes, Experiment]:
    """Return the experiments of a line, oldest first, by source: of equal ones the latest."""
    return {one.tree: one for one in history}


def changed_values(
    store: Store, makers: Mapping[bytes, Experiment], tree: bytes
) -> list[ValueDocument]:
    """Return the constants that the patches from the baseline to a tree changed, by name.

    `makers` has all experiments of the line, `by_tree`. Constants that have the baseline's value
    again are left out.
    """
    patches = _patches_to(makers, tree)
    changes = store.experiments.constants.of(patches)
    found: dict[str, tuple[str, str]] = {}
    for patch in patches:  # oldest first
        for name, (before, after) in changes.get(patch, {}).items():
            found[name] = (found[name][0] if name in found else before, after)
    return [
        {"name": name, "baseline": before, "value": after}
        for name, (before, after) in sorted(found.items())
        if before != after
    ]


def _patches_to(makers: Mapping[bytes, Experiment], tree: bytes) -> list[bytes]:
    """Return the patches from the baseline to a tree, oldest first."""
    patches: list[bytes] = []
    at = makers.get(tree)
    while at is not None and at.patch is not None:
        patches.append(at.patch)
        before = makers.get(at.parent) if at.parent != at.tree else None
        at = before if before is not None and before.n < at.n else None
    return patches[::-1]
