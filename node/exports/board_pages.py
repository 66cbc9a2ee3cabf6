"""Leaderboards as files for any web server: an index, and HTML and JSON for each leaderboard.

Pages have no script and fetch nothing. The same records give the same bytes, and an unchanged file
is not written again. Imported files of other tools are left out.
"""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

from node.exports.exporters import make_folder
from node.home.faults import explaining_faults
from node.home.files import write_file
from node.reporting.blocks import (
    Block,
    FileLink,
    figures_column,
    heading,
    paragraph,
    table,
    words_column,
)
from node.reporting.board_table import LEGEND, digests_of, table_of, title_of
from node.reporting.boards import Code, Leaderboard
from node.reporting.html import html_of
from node.store.blobs import Blobs
from node.store.boards import BoardKey
from node.store.store import Store
from node.terminal.progress import Progress, silent
from node.terminal.vocabulary import many, why_unranked
from protocol.records import VERSION

SHOWN: Final = 500
"""The largest number of rows on a page. The JSON file next to it has all rows."""

_ID_DIGITS: Final = 8
_EVERYBODY: Final = 0o644  # a web server reads the files as another user


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A leaderboard that was written: its files, and its number of rows."""

    key: BoardKey
    task: str
    metric: str
    rows: int
    board_digest: bytes

    @property
    def stem(self) -> str:
        """The name of its files without suffix, unique to this leaderboard."""
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
    """Write these leaderboards of a network and their index into a folder.

    `author` is the key of the node whose measurements are in the column *here*. Raises UsageError
    if `folder` is not a folder, ArnodeError if it cannot be written.
    """
    folder = make_folder(folder)
    written: list[Snapshot] = []
    for number, key in enumerate(keys):
        progress("writing the leaderboards", number / len(keys))
        manifest = store.records.manifest(key.task)
        assert manifest is not None  # noqa: S101 -- the caller names leaderboards of known tasks
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
    title = f"Leaderboards of the network {net}"
    names = ("task", "hardware class", "metric", "rows", "")
    columns = [(figures_column if name == "rows" else words_column)(name) for name in names]
    rows = [
        (
            FileLink(text=one.task, href=f"{one.stem}.html"),
            one.key.hardware_class,
            one.metric,
            str(one.rows),
            FileLink(text="JSON", href=f"{one.stem}.json"),
        )
        for one in boards
    ]
    shown = table(columns, rows)
    none = paragraph("No leaderboard yet: the first passed promotion trial creates one.")
    whole = paragraph(FileLink(text="This list as JSON", href="index.json"), soft=True)
    return _page(title, [shown if boards else none, whole])


# A board


def _board_page(found: Leaderboard, code: Code, one: Snapshot, author: bytes | None) -> str:
    rows = found.board.rows
    parts: list[Block] = []
    if (why := why_unranked(found.manifest.scoring)) is not None:
        parts.append(paragraph(why))
    elif rows:
        parts.append(table_of(found, rows[:SHOWN], code))
        whose = "" if author is None else f" That machine's node has the key {author.hex()[:12]}."
        parts.append(paragraph(f"{LEGEND}{whose}", soft=True))
    else:
        parts.append(paragraph("This leaderboard has no rows yet."))
    if len(rows) > SHOWN:
        rest = f"{many(len(rows) - SHOWN, 'more row')} in the JSON document."
        parts.append(paragraph(rest, soft=True))
    document = FileLink(text="JSON", href=f"{one.stem}.json")
    others = FileLink(text="all leaderboards", href="index.html")
    digests = digests_of(found.board)
    parts.append(paragraph(digests, " · ", document, " · ", others, soft=True))
    return _page(title_of(found.key, found.manifest), parts)


# Pages


def _page(title: str, blocks: Sequence[Block]) -> str:
    template = files("node.exports").joinpath("board.html").read_text(encoding="utf-8")
    main = html_of([heading(1, title), *blocks])
    return Template(template).substitute(title=html.escape(title), main=main)
