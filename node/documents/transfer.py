"""Patch by hardware class as scripts read it (`node.views.matrix`)."""

from collections.abc import Sequence
from typing import TypedDict

from node.documents.boards import TaskName
from node.documents.gains import GainDocument, gain_document
from node.views.matrix import Cell, TransferRow
from protocol.manifest import TaskManifest


class CellDocument(GainDocument):
    """What is known of a step on one class, at the best level of knowing there is."""

    level: str
    verdict: str
    keys: int


class StepDocument(TypedDict):
    """A tree against its base, by class."""

    patch: str | None
    base: str
    tree: str
    title: str
    classes: dict[str, CellDocument]


class TransferDocument(TypedDict):
    """All steps that the boards of a task know."""

    network: str
    task: TaskName | None
    patches: list[StepDocument]


def transfer_document(
    net: str, manifest: TaskManifest | None, steps: Sequence[TransferRow]
) -> TransferDocument:
    """Return what scripts read of the matrix."""
    return {
        "network": net,
        "task": None if manifest is None else {"id": manifest.id.hex(), "name": manifest.name},
        "patches": [
            {
                "patch": None if step.patch is None else step.patch.hex(),
                "base": step.base.hex(),
                "tree": step.tree.hex(),
                "title": step.title,
                "classes": {name: _cell(cell) for name, cell in step.cells.items()},
            }
            for step in steps
        ],
    }


def _cell(cell: Cell) -> CellDocument:
    return {
        "level": cell.level,
        "verdict": cell.verdict,
        **gain_document(cell.gain),
        "keys": cell.keys,
    }
