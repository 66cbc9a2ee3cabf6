"""Which own result vouches for a tree."""

from node.store.jobs import LineKey
from node.store.store import Store


def evidence_for(store: Store, line: LineKey, tree: bytes) -> bytes | None:
    """Return the latest own result that vouches for a tree and was not taken back.

    That is the baseline's, or one of a confirmation that the tree passed.
    """
    for entry in reversed(store.experiments.listed(line)):
        vouched = entry.stage == "baseline" or entry.decision == "adopted"
        if entry.tree == tree and vouched and store.records.retraction(entry.id) is None:
            return entry.id
    return None
