"""Leaderboards as the API serves them: a list of all, and some rows of one at a time."""

from typing import TypedDict

from node.reporting.boards import BoardDocument, Code
from node.reporting.open_home import OpenHome
from node.reporting.queries import Nothing, OfBoard
from node.reporting.tasks import TaskName, task_name
from node.store.boards import BoardKey

BoardName = TypedDict(
    "BoardName", {"network": str, "task": TaskName, "class": str, "rows": int | None}
)
"""A leaderboard. `rows` is null if the leaderboard was not computed yet."""


class BoardNames(TypedDict):
    """All leaderboards with at least one record."""

    boards: list[BoardName]


class BoardPage(BoardDocument):
    """Some rows of a leaderboard; `total` counts all rows with the requested level of evidence."""

    total: int
    offset: int


def boards_document(at: OpenHome, _: Nothing) -> BoardNames:
    """Return the leaderboards of every network, without those of unknown tasks."""
    boards, records = at.store.boards, at.store.records
    keys = [key for net in boards.networks() for key in boards.listed(net)]
    named = [(key, manifest) for key in keys if (manifest := records.manifest(key.task))]
    return {
        "boards": [
            {
                "network": key.net,
                "task": task_name(manifest),
                "class": key.hardware_class,
                "rows": boards.kept_rows(key),
            }
            for key, manifest in named
        ]
    }


def board_page(at: OpenHome, query: OfBoard) -> BoardPage:
    """Return the rows that a query selects. Raises UsageError if the task is not known here."""
    task, net = bytes.fromhex(query.task), query.network or at.net
    key = BoardKey(net=net, task=task, hardware_class=query.hardware_class)
    board = at.boards.get(at.store, key)
    rows = board.rows(query.level)
    shown = rows[query.offset : query.offset + query.limit]
    code = Code.of(at.store, at.blobs, board.manifest, shown, reads=False)
    document = board.document(shown, code, at.store.imported.listed(), top=20)
    return {**document, "total": len(rows), "offset": query.offset}
