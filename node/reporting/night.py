"""A report as a page draws it: text in blocks, of which none is markup, and plots in columns."""

from collections.abc import Iterator, Sequence
from datetime import tzinfo
from typing import Any, Final, Literal, TypeAlias, TypedDict, cast

from markdown_it import MarkdownIt
from markdown_it.token import Token

from node.reporting.points import NINETY_FIVE
from node.reporting.progress import MetricDocument, PointsDocument
from node.reporting.report import LineReport, Report
from node.reporting.report_json import report_json
from node.reporting.words import SHOWN, as_markdown
from node.terminal.vocabulary import head_words

BlockKind: TypeAlias = Literal["heading", "paragraph", "list", "table", "plot"]

# What reports are written in and nothing else: no HTML, links or pictures, whoever wrote them.
_SYNTAX: Final = ("backticks", "fence", "heading", "list", "table")
_CAPTION: Final = (
    "An experiment has the interval in which 95 % of the runs of such a source fall ({reach:.6f} "
    "{unit} on either side), a trial against the head the 95 % interval of its gain. What lies "
    "beyond an edge is drawn at it."
)

_ENDS: Final[dict[BlockKind, str]] = {
    "heading": "heading_close",
    "paragraph": "paragraph_close",
    "list": "bullet_list_close",
    "table": "table_close",
    "plot": "fence",
}


class SpanDocument(TypedDict):
    """Some text; `code`: words of somebody else, or a name."""

    text: str
    code: bool


Cell: TypeAlias = list[SpanDocument]


class BlockDocument(TypedDict):
    """A part of a report's text, in rows of cells.

    A heading and a paragraph have one row of one cell, a list a row of one cell for each item. A
    table's first row is its head, and `figures` says which columns are figures. `level` is a
    heading's, from 1; `plot` is the number of the plot that stands there.
    """

    kind: BlockKind
    level: int
    rows: list[list[Cell]]
    figures: list[bool]
    plot: int | None


class PlotDocument(TypedDict):
    """The experiments of a line in the time that is told of, as `ProgressDocument` has them."""

    metric: MetricDocument
    head_words: str
    caption: str
    points: PointsDocument


class NightDocument(TypedDict):
    """What happened from `since` to `until` (milliseconds since 1970); `shown` items of a list."""

    title: str
    since: int
    until: int
    shown: int
    blocks: list[BlockDocument]
    plots: list[PlotDocument]


class WholeNightDocument(NightDocument):
    """The same beside what `arnode report --json` prints."""

    models: dict[str, Any]
    lines: list[dict[str, Any]]
    imported: list[dict[str, Any]]


def night_document(report: Report, zone: tzinfo | None) -> NightDocument:
    """Return what is drawn of a report; times are told in `zone`, None being this machine's."""
    reader = MarkdownIt("zero").enable(_SYNTAX)
    tokens = reader.parse(as_markdown(report, zone, shown=None))
    plots = [_plot(line) for line in report.lines if line.points]
    title, *blocks = _blocks(tokens)
    return {
        "title": "".join(span["text"] for span in title["rows"][0][0]),
        "since": report.span.since_ms,
        "until": report.span.until_ms,
        "shown": SHOWN,
        "blocks": blocks,
        "plots": plots,
    }


def report_document(report: Report, zone: tzinfo | None) -> WholeNightDocument:
    """Return all of a report, for eyes and for scripts."""
    return cast("WholeNightDocument", {**report_json(report), **night_document(report, zone)})


def _blocks(tokens: Sequence[Token]) -> Iterator[BlockDocument]:
    """Yield the blocks of a text; the plots are where it has them drawn in characters."""
    plots = 0
    block: BlockDocument | None = None
    for token in tokens:
        match token.type:
            case "heading_open":
                block = _block("heading", level=int(token.tag.removeprefix("h")))
            case "bullet_list_open":
                block = _block("list")
            case "table_open":
                block = _block("table")
            case "tr_open" | "list_item_open" if block is not None:
                block["rows"].append([])
            case "th_open" if block is not None:
                block["figures"].append(bool(token.attrs))  # those are aligned to the right
            case "paragraph_open" if block is None:
                block = _block("paragraph")
            case "inline":
                assert block is not None  # noqa: S101 -- text is always in one of the above
                if block["kind"] in ("heading", "paragraph"):
                    block["rows"].append([])
                block["rows"][-1].append(_spans(token))
            case "fence":
                yield {**_block("plot"), "plot": plots}
                plots += 1
        if block is not None and token.type == _ENDS[block["kind"]]:
            yield block
            block = None


def _block(kind: BlockKind, *, level: int = 0) -> BlockDocument:
    return {"kind": kind, "level": level, "rows": [], "figures": [], "plot": None}


def _spans(inline: Token) -> Cell:
    return [
        {
            "text": "\n" if child.type == "softbreak" else child.content,
            "code": child.type == "code_inline",
        }
        for child in inline.children or ()
    ]


def _plot(line: LineReport) -> PlotDocument:
    metric, points = line.metric, line.points
    return {
        "metric": {"name": metric.name, "unit": metric.unit, "direction": metric.direction},
        "head_words": head_words(line.scoring),
        "caption": _CAPTION.format(reach=NINETY_FIVE * line.noise_sd, unit=metric.unit),
        "points": {
            "id": [point.entry.id.hex() for point in points],
            "ts": [point.entry.ts_ms for point in points],
            "metric": [point.metric for point in points],
            "low": [point.low for point in points],
            "high": [point.high for point in points],
            "head": [point.column.head for point in points],
            "working": [point.column.working for point in points],
            "decision": [point.entry.decision for point in points],
            "stage": [point.entry.stage for point in points],
            "title": [point.entry.title for point in points],
        },
    }
