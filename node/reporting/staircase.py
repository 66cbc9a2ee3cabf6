"""A plot in characters: a mark for each experiment, and curves for head and working line.

A column shows one or several experiments.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypedDict, cast

from rich.text import Text

from node.terminal.vocabulary import word, wording
from protocol.units import from_nano

if TYPE_CHECKING:  # every command that prints a table imports this module
    from node.store.experiments import Adoption, Experiment

Mark = Literal["kept", "discarded", "failed"]

_MARKS: dict[Mark, str] = {"kept": "●", "discarded": "·", "failed": "×"}
_WORKING_STYLE, _HEAD_STYLE = "cyan", "bold green"
_MARGIN = 0.2  # fraction of the curves' range; marks beyond it are drawn at the edge
_LABEL_WIDTH = 8
REPORT_WIDTH: Final = 78
_REPORT_HEIGHT = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One experiment: its mark, its metric, and the metrics of working line and head after it."""

    mark: Mark | None
    metric: float | None
    working: float
    head: float


class PointsDocument(TypedDict):
    """A line's experiments as columns, oldest first.

    `low` and `high` are the 95 % interval of the metric of a trial against the head. `head` and
    `working` are the metrics of head and working line after the experiment.
    """

    id: list[str]
    ts: list[int]
    metric: list[float | None]
    low: list[float | None]
    high: list[float | None]
    head: list[float | None]
    working: list[float | None]
    decision: list[str]
    stage: list[str]
    title: list[str]


def columns(
    entries: Sequence["Experiment"],
    start: float | None = None,
    moves: Sequence["Adoption"] = (),
) -> list[Column]:
    """Return the history of a line for the plot, oldest first.

    `start` is the head's metric before the first entry; pass it unless that is the baseline.
    `moves` are the changes of the head, including manual changes and returns to an earlier head. A
    change to a tree that no entry measured is ignored.
    """
    found: list[Column] = []
    working, head = start, start
    metrics: dict[bytes, float | None] = {}
    waiting = deque(moves)
    for entry in entries:
        while waiting and waiting[0].n < entry.n:
            working = head = metrics.get(waiting.popleft().body.to_tree, head)
        metric = from_nano(entry.metric_nano)
        if metric is not None:
            metrics[entry.tree] = metric
        match entry.decision:
            case "baseline" | "adopted":
                working = head = metric
            case "unconfirmed" | "overfit":
                working = head
            case "kept" | "branched":
                working = metric
        if working is not None and head is not None:
            mark = mark_of(entry.decision)
            found.append(Column(mark=mark, metric=metric, working=working, head=head))
    return found


def columns_in(points: PointsDocument) -> list[Column]:
    """Return the plot's columns for a document of points."""
    rows = zip(points["decision"], points["metric"], points["working"], points["head"], strict=True)
    return [
        Column(mark=mark_of(decision), metric=metric, working=working, head=head)
        for decision, metric, working, head in rows
        if working is not None and head is not None
    ]


def mark_of(decision: str) -> Mark | None:
    """Return the mark of an experiment; None for a decision that only changes the curves."""
    match decision:
        case "kept" | "discarded":
            return cast("Mark", decision)
        case "baseline" | "adopted" | "unconfirmed" | "overfit" | "branched":
            return None
        case _:
            return "failed"


def staircase(history: Sequence[Column], *, width: int, height: int) -> Text:
    """Return the plot in `height` rows and `width` columns, axis included."""
    inner = width - _LABEL_WIDTH - 2
    shown = _fitted(history, inner)
    levels = [level for column in shown for level in (column.working, column.head)]
    low, high = min(levels), max(levels)
    margin = _MARGIN * (high - low) or 0.01 * abs(high) or 1.0
    low, high = low - margin, high + margin
    grid = [[(" ", "")] * inner for _ in range(height)]

    def row(value: float) -> int:
        share = (high - value) / (high - low)
        return min(height - 1, max(0, int(share * height)))

    _draw_line(grid, [row(column.working) for column in shown], tuple("─│┐└┘┌"), _WORKING_STYLE)
    _draw_line(grid, [row(column.head) for column in shown], tuple("━┃┓┗┛┏"), _HEAD_STYLE)
    for x, column in enumerate(shown):
        if column.mark is not None:
            y = 0 if column.metric is None else row(column.metric)
            grid[y][x] = _pen(column.mark)
    step = (high - low) / height
    labels = {y: f"{high - (y + 0.5) * step:.3f}" for y in (0, height // 2, height - 1)}
    plot = Text(no_wrap=True, overflow="crop")
    for y, cells in enumerate(grid):
        tick = "┤" if y in labels else "│"
        plot.append(f"{labels.get(y, ''):>{_LABEL_WIDTH}} {tick}", style="bright_black")
        for character, style in cells:
            plot.append(character, style=style)
        if y < height - 1:
            plot.append("\n")
    return plot


def picture(history: Sequence[Column], head_words: str, width: int) -> Text:
    """Return the plot with its legend, in the height for reports."""
    plot = staircase(history, width=width, height=_REPORT_HEIGHT)
    return Text.assemble(plot, "\n", legend(head_words, width), no_wrap=True, overflow="crop")


def legend(head_words: str, width: int) -> Text:
    """Return the legend of curves and marks, to print below the plot, in one line or two."""
    curves = Text.assemble(
        ("━", _HEAD_STYLE), (f" {head_words}   ", "bright_black"),
        ("─", _WORKING_STYLE), (" working line", "bright_black"),
    )  # fmt: skip
    marks = Text("   ").join(
        Text.assemble(_pen(mark), (f" {word(mark)}", "bright_black")) for mark in _MARKS
    )
    indent = " " * (_LABEL_WIDTH + 3)
    fits = len(indent) + curves.cell_len + 3 + marks.cell_len <= width
    return Text.assemble(indent, curves, "   " if fits else f"\n{indent}", marks, no_wrap=True)


def _pen(mark: Mark) -> tuple[str, str]:
    return _MARKS[mark], wording(mark).style


def _fitted(history: Sequence[Column], width: int) -> list[Column]:
    """Return at most one entry per column. Few entries are spread, many are merged."""
    count = len(history)
    if count >= width:
        shares = (history[x * count // width : (x + 1) * count // width] for x in range(width))
        return [_together(share) for share in shares]
    spread = min(3, width // count)
    fitted: list[Column] = []
    before = history[0]
    for column in history:
        blank = Column(mark=None, metric=None, working=before.working, head=before.head)
        fitted += [*[blank] * (spread - 1), column]
        before = column
    return fitted


def _together(share: Sequence[Column]) -> Column:
    """Return one column for several experiments; a kept one takes precedence."""
    order: dict[Mark | None, int] = {None: 0, "discarded": 1, "failed": 2, "kept": 3}
    loudest = max(share, key=lambda column: order[column.mark])
    last = share[-1]
    return Column(mark=loudest.mark, metric=loudest.metric, working=last.working, head=last.head)


def _draw_line(
    grid: list[list[tuple[str, str]]], rows: Sequence[int], pen: Sequence[str], style: str
) -> None:
    """Draw a step curve. `pen` has six characters: flat, upright, two corners down, two up."""
    flat, upright, leave_down, enter_down, leave_up, enter_up = pen
    before = rows[0]
    for x, now in enumerate(rows):
        if now == before:
            grid[now][x] = (flat, style)
        else:
            falls = now > before
            grid[before][x] = (leave_down if falls else leave_up, style)
            for y in range(min(now, before) + 1, max(now, before)):
                grid[y][x] = (upright, style)
            grid[now][x] = (enter_down if falls else enter_up, style)
        before = now
