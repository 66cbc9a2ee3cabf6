"""The matrix of patch and hardware class (`matrix.py`) and transfers between tasks, as JSON."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from node.ladder.transfer_history import (
    Place,
    TransferHistory,
    Where,
    slopes_known,
    tasks_of,
    transfer_histories,
)
from node.reporting.matrix import Cell, TransferRow, transfer_matrix
from node.reporting.open_home import OpenHome
from node.reporting.queries import OfTask
from node.reporting.tasks import GainDocument, TaskName, gain_document, task_name
from node.store.measured_here import boards_of
from node.store.named_tasks import labels
from protocol.manifest import TaskManifest
from protocol.transfer import Slope


class CellDocument(GainDocument):
    """The best evidence for a patch on one class."""

    level: str
    verdict: str
    keys: int


class PatchByClassDocument(TypedDict):
    """A tree compared with its base, by hardware class."""

    patch: str | None
    base: str
    tree: str
    title: str
    classes: dict[str, CellDocument]


WhereDocument = TypedDict("WhereDocument", {"task": TaskName, "class": str})


class PlaceDocument(TypedDict):
    """The gain of a change on one task and class with its 95 % interval, measured by one author."""

    where: WhereDocument
    author: str
    own: bool
    result: str | None
    decision: str
    gain: float | None
    lower: float | None
    upper: float | None


class CarriedDocument(TypedDict):
    """A transferred change. `holds_on` counts the `places` where it was kept or confirmed.

    The change is one `patch`, or several `patches` together. Results of several patches are no
    evidence for a single one of them.
    """

    title: str
    found_on: WhereDocument
    patch: str | None
    patches: list[str]
    there: PlaceDocument | None
    places: list[PlaceDocument]
    holds_on: int


SlopeDocument = TypedDict(
    "SlopeDocument",
    {
        "from": WhereDocument,
        "to": WhereDocument,
        "slope": float,
        "lower": float,
        "upper": float,
        "changes": int,
    },
)


class TransferDocument(TypedDict):
    """All patches on the leaderboards of a task, and the transfers between tasks.

    A slope is the average ratio of the gain after a transfer to the gain before it.
    """

    network: str
    task: TaskName | None
    patches: list[PatchByClassDocument]
    carried: list[CarriedDocument]
    slopes: list[SlopeDocument]


def transfer_document(
    net: str,
    manifest: TaskManifest | None,
    steps: Sequence[TransferRow],
    changes: Sequence[TransferHistory],
    known: Mapping[tuple[Where, Where], Slope],
    names: Mapping[bytes, str],
) -> TransferDocument:
    """Return the matrix and the transfers as JSON; `names` maps task ids to names."""

    def place(where: Where) -> WhereDocument:
        return {
            "task": {"id": where.task.hex(), "name": names.get(where.task, "")},
            "class": where.hardware_class,
        }

    def place_document(one: Place) -> PlaceDocument:
        return {
            "where": place(one.where),
            "author": one.author.hex(),
            "own": one.is_own,
            "result": None if one.result is None else one.result.hex(),
            "decision": one.outcome,
            "gain": one.gain,
            "lower": one.interval and one.interval[0],
            "upper": one.interval and one.interval[1],
        }

    return {
        "network": net,
        "task": None if manifest is None else task_name(manifest),
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
        "carried": [
            {
                "title": change.title,
                "found_on": place(Where(change.found_on.task, change.found_on.hardware_class)),
                "patch": None if change.found_on.patch is None else change.found_on.patch.hex(),
                "patches": [patch.hex() for patch in change.patches],
                "there": None if change.there is None else place_document(change.there),
                "places": [place_document(one) for one in change.places],
                "holds_on": change.holds_on,
            }
            for change in changes
        ],
        "slopes": [
            {
                "from": place(below),
                "to": place(above),
                "slope": slope.mean,
                "lower": slope.interval[0],
                "upper": slope.interval[1],
                "changes": slope.count,
            }
            for (below, above), slope in known.items()
        ],
    }


def transfer_page(at: OpenHome, query: OfTask) -> TransferDocument:
    """Return the matrix of the task that a query names, and all transfers."""
    store = at.store
    keys = boards_of(store, at.net, query.task)
    manifest = store.records.manifest(keys[0].task) if keys else None
    changes = transfer_histories(store)
    named = labels(store, tasks_of(changes))
    steps = transfer_matrix(store, keys)
    return transfer_document(at.net, manifest, steps, changes, slopes_known(changes), named)


def _cell(cell: Cell) -> CellDocument:
    return {
        "level": cell.level,
        "verdict": cell.verdict,
        **gain_document(cell.gain),
        "keys": cell.keys,
    }
