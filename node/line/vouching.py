"""Which own result vouches for a tree."""

from node.store.jobs import LineKey
from node.store.store import Store


def evidence_for(store: Store, line: LineKey, tree: bytes) -> bytes | None:
    """Return the own result that vouches for a tree: its baseline, or a confirmation it passed.

    The latest that was not taken back.
    """
    for entry in reversed(store.experiments(line)):
        vouched = entry.stage == "baseline" or entry.decision == "adopted"
        if entry.tree == tree and vouched and store.retraction(entry.id) is None:
            return entry.id
    return None
