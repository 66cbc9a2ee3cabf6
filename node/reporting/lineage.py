"""The graph of trees on a line: this node's patches, and those that peers claim."""

from typing import TypedDict

from node.reporting.open_home import OpenHome
from node.reporting.queries import OfLine
from node.store.boards import BoardKey
from protocol.board_facts import BoardClaim
from protocol.record_kinds import ResultBody
from protocol.units import NANO, from_nano


class TreeDocument(TypedDict):
    """A tree with its latest measurement, by this node or by the author of a claim.

    `author` is null for a measurement by this node.
    """

    tree: str
    title: str
    author: str | None
    own: bool
    decision: str
    gain: float | None
    ts: int


EdgeDocument = TypedDict("EdgeDocument", {"from": str, "to": str, "patch": str | None})


class LineageDocument(TypedDict):
    """Trees and the patches between them. `head` and `working` are null before the baseline."""

    nodes: list[TreeDocument]
    edges: list[EdgeDocument]
    head: str | None
    working: str | None
    baseline: str


_SHOWN = ("baseline", "kept", "adopted", "branched")  # decisions that lead to further steps


def lineage_document(at: OpenHome, query: OfLine) -> LineageDocument:
    """Return the patches that this node kept, and those that peers claim."""
    store, (line, manifest) = at.store, at.line(query)
    nodes: dict[bytes, TreeDocument] = {}
    edges: dict[tuple[bytes, bytes], bytes | None] = {}
    key = BoardKey(net=at.net, task=line.task, hardware_class=line.hardware_class)
    for fact in store.boards.facts(key):
        if not isinstance(fact, BoardClaim) or fact.gain is None:
            continue
        record = store.records.get(fact.id)
        if store.records.is_own(fact.id) or not isinstance(record.body, ResultBody):
            continue
        patch = record.body.patch
        known_patch = store.records.patch(patch) if patch else None
        nodes[fact.tree] = {
            "tree": fact.tree.hex(),
            "title": known_patch.title if known_patch else "",
            "author": fact.author.hex(),
            "own": False,
            "decision": "claimed",
            "gain": fact.gain.value_nano / NANO,
            "ts": record.ts_ms,
        }
        edges.setdefault((fact.base, fact.tree), patch)
    for entry in store.experiments.listed(line):
        if entry.decision not in _SHOWN:
            continue
        nodes[entry.tree] = {
            "tree": entry.tree.hex(),
            "title": entry.title,
            "author": None,
            "own": True,
            "decision": entry.decision,
            "gain": from_nano(entry.gain_nano),
            "ts": entry.ts_ms,
        }
        if entry.parent != entry.tree:
            edges[entry.parent, entry.tree] = entry.patch
    known = store.jobs.line(line)
    return {
        "nodes": list(nodes.values()),
        "edges": [
            {"from": base.hex(), "to": tree.hex(), "patch": None if patch is None else patch.hex()}
            for (base, tree), patch in edges.items()
        ],
        "head": known.verified.hex() if known else None,
        "working": known.working.hex() if known else None,
        "baseline": manifest.baseline_tree.hex(),
    }
