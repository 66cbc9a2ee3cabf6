"""Boards as files for any web server: a page and a JSON document each, and an index of them.

Pages have no script and fetch nothing. What follows from the same records has the same bytes, and
a file that would not change is not written again. Nothing of what other tools wrote is in them.
"""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Final

from node.exports.folders import make_folder
from node.exports.markup import Element, element
from node.home.faults import explaining_faults
from node.home.files import write_file
from node.reporting.board_table import (
    LEGEND,
    METRIC,
    ON_THE_LEFT,
    cells_of,
    columns_of,
    digests_of,
    heading_of,
    title_of,
)
from node.reporting.boards import Code, Leaderboard
from node.store.blobs import Blobs
from node.store.boards import BoardKey
from node.store.store import Store
from node.terminal.progress import Progress, silent
from node.terminal.vocabulary import many, why_unranked
from protocol.board import Row
from protocol.records import VERSION

SHOWN: Final = 500
"""So many rows are on a page; all of them are in the document beside it."""

_ID_DIGITS: Final = 8
_EVERYBODY: Final = 0o644  # a web server reads them, as another user
# Which of the three ways of knowing a column belongs to.
_KNOWING: Final = {
    "claimed gain": "claimed",
    "at least": "claimed",
    METRIC: "claimed",
    "tries": "claimed",
    "attested": "others",
    "others": "others",
    "here": "here",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A board that was written: its files, and how many rows it has."""

    key: BoardKey
    task: str
    metric: str
    rows: int
    board_digest: bytes

    @property
    def stem(self) -> str:
        """Return what its files are called, which no other board's are."""
        return f"{self.task}-{self.key.task.hex()[:_ID_DIGITS]}-{self.key.hardware_class}"


def write_boards(
    folder: Path,
    store: Store,
    blobs: Blobs,
    net: str,
    keys: Sequence[BoardKey],
    *,
    author: bytes | None,
    progress: Progress = silent,
) -> list[Snapshot]:
    """Write these boards of a network and their index into a folder.

    `author` is the key of the node whose measurements *here* means. Raises UsageError where the
    folder is none, ArnodeError where it cannot be written.
    """
    folder = make_folder(folder)
    written: list[Snapshot] = []
    for number, key in enumerate(keys):
        progress("writing the boards", number / len(keys))
        manifest = store.records.manifest(key.task)
        assert manifest is not None  # noqa: S101 -- the caller names boards of known tasks
        found = Leaderboard.of(store, key, manifest)
        rows = found.rows()
        one = Snapshot(
            key=key,
            task=manifest.name,
            metric=manifest.metric.name,
            rows=len(rows),
            board_digest=found.board.board_digest,
        )
        code = Code.of(store, blobs, manifest, rows, reads=False)
        document = found.document(rows, code, [], top=0)
        _write(folder / f"{one.stem}.json", _json(document))
        _write(folder / f"{one.stem}.html", _board_page(found, code, one, author))
        written.append(one)
    _write(folder / "index.json", _json(_index(net, written)))
    _write(folder / "index.html", _index_page(net, written))
    return written


def _write(path: Path, text: str) -> None:
    data = text.encode()
    with explaining_faults(path):
        if not path.is_file() or path.read_bytes() != data:
            write_file(path, data, mode=_EVERYBODY)


def _json(document: Mapping[str, object]) -> str:
    return json.dumps({"v": 1, **document}, indent=2, ensure_ascii=True) + "\n"


# The index


def _index(net: str, boards: Sequence[Snapshot]) -> dict[str, object]:
    return {
        "network": net,
        "network_version": VERSION,
        "boards": [
            {
                "task": {"id": one.key.task.hex(), "name": one.task},
                "class": one.key.hardware_class,
                "metric": one.metric,
                "rows": one.rows,
                "board_digest": one.board_digest.hex(),
                "html": f"{one.stem}.html",
                "json": f"{one.stem}.json",
            }
            for one in boards
        ],
    }


def _index_page(net: str, boards: Sequence[Snapshot]) -> str:
    title = f"Boards of the network {net}"
    parts = [element("h1", title)]
    if boards:
        names = ("task", "hardware class", "metric", "rows", "")
        head = element("tr", *(element("th", name, class_=_side(name)) for name in names))
        rows = [
            element(
                "tr",
                element("td", element("a", one.task, href=f"{one.stem}.html"), class_="words"),
                element("td", one.key.hardware_class, class_="words"),
                element("td", one.metric, class_="words"),
                element("td", str(one.rows)),
                element("td", element("a", "JSON", href=f"{one.stem}.json"), class_="words"),
            )
            for one in boards
        ]
        parts.append(_table([head], rows))
    else:
        parts.append(element("p", "No board yet: a first checkpoint that confirms makes one."))
    parts.append(element("p", element("a", "All of it as JSON", href="index.json"), class_="soft"))
    return _page(title, parts)


# A board


def _board_page(found: Leaderboard, code: Code, one: Snapshot, author: bytes | None) -> str:
    title, rows = title_of(found.key, found.manifest), found.board.rows
    parts = [element("h1", title)]
    if (why := why_unranked(found.manifest.scoring)) is not None:
        parts.append(element("p", why))
    elif rows:
        parts.append(_table_of(found, rows[:SHOWN], code))
        whose = "" if author is None else f" That machine's node has the key {author.hex()[:12]}."
        parts.append(element("p", f"{LEGEND}{whose}", class_="soft"))
    else:
        parts.append(element("p", "No row yet."))
    if len(rows) > SHOWN:
        rest = f"{many(len(rows) - SHOWN, 'more row')} in the JSON document."
        parts.append(element("p", rest, class_="soft"))
    beside = element("a", "JSON", href=f"{one.stem}.json")
    others = element("a", "all boards", href="index.html")
    digests = digests_of(found.board)
    parts.append(element("p", digests, " · ", beside, " · ", others, class_="soft"))
    return _page(title, parts)


def _table_of(found: Leaderboard, rows: Sequence[Row], code: Code) -> Element:
    columns = columns_of(rows, has_code=code.is_shown)
    groups = [
        element("th", knowing, class_=knowing or "none", colspan=str(len(list(among))))
        for knowing, among in groupby(_KNOWING.get(column, "") for column in columns)
    ]
    names = [
        element("th", heading_of(column, found.manifest), class_=_class(column))
        for column in columns
    ]
    body = [_row(found, row, columns, code) for row in rows]
    return _table([element("tr", *groups, class_="groups"), element("tr", *names)], body)


def _row(found: Leaderboard, row: Row, columns: Sequence[str], code: Code) -> Element:
    cells = cells_of(
        row,
        found.here.get(row.tree),
        is_in_doubt=found.is_in_doubt(row),
        code=code.words(row.tree),
    )
    return element(
        "tr", *(element("td", cells[column], class_=_class(column)) for column in columns)
    )


def _class(column: str) -> str:
    kinds = [_KNOWING.get(column, ""), "words" if column in ON_THE_LEFT else ""]
    kinds.append("id" if column == "id" else "")
    return " ".join(filter(None, kinds)) or "figure"


def _side(name: str) -> str:
    return "figure" if name == "rows" else "words"


# Pages


def _table(head: Sequence[Element], rows: Sequence[Element]) -> Element:
    table = element("table", element("thead", *head), element("tbody", *rows))
    return element("div", table, class_="wide")


def _page(title: str, parts: Sequence[Element]) -> str:
    template = files("node.exports").joinpath("board.html").read_text(encoding="utf-8")
    return Template(template).substitute(title=html.escape(title), main="\n".join(parts))
