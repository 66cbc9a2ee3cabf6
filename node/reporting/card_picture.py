"""The drawing of a card as PNG, 1200 by 675 pixels, with Pillow and its default font.

Pillow is an extra (`card`). Only this module imports it, and only to draw a card.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from node.reporting.card import NightCard
from node.reporting.points import Point
from node.store.experiments import Decision
from protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

Colour: TypeAlias = str
SIZE: Final = (1200, 675)
_MARGIN: Final = 56
_PAPER, _PANEL, _INK, _SOFT, _RULE = "#14171d", "#1b2029", "#e9edf5", "#9aa4b8", "#2c323d"
_HEAD, _WORKING, _BAD = "#4fca7f", "#63b3ec", "#e3a24f"
_PLOT: Final = (_MARGIN, 330, SIZE[0] - _MARGIN, 560)  # left, top, right, bottom
_AXIS_WIDTH: Final = 92
_PADDING: Final = 18
_REACH: Final = 0.25  # margin above and below both curves, as a fraction of their range
_LARGE: Final = 1e5  # from here on a figure has no room for four decimals
_COLOURS: Final[dict[Decision, Colour]] = {
    "baseline": _INK,
    "kept": _HEAD,
    "branched": _WORKING,
    "discarded": _SOFT,
    "failed": _BAD,
    "rejected": _BAD,
    "adopted": _HEAD,
    "unconfirmed": _BAD,
    "overfit": _BAD,
}
_LOUD: Final = frozenset[Decision]({"kept", "adopted", "baseline"})


def drawn(card: NightCard) -> bytes:
    """Return the card as a PNG file. Raises ConfigurationError if Pillow is not installed."""
    try:
        from PIL import Image, ImageDraw
    except ImportError as fault:
        raise ConfigurationError(
            "the card needs Pillow, which is not installed",
            "install it: `pip install 'arnode[card]'` or `pip install pillow`",
        ) from fault
    image = Image.new("RGB", SIZE, _PAPER)
    draw = ImageDraw.Draw(image)
    _words(draw, card)
    _plot(draw, card.points)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _font(size: int) -> "FreeTypeFont | ImageFont":
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _text(
    draw: "ImageDraw",
    at: tuple[float, float],
    text: str,
    size: int,
    colour: Colour,
    *,
    anchor: str = "ls",
    width: float | None = None,
) -> float:
    """Draw one line of text, cut to `width` if given; return the width drawn."""
    font = _font(size)
    shown = text if width is None else _cut(draw, text, font, width)
    draw.text(at, shown, colour, font, anchor=anchor)
    return float(draw.textlength(shown, font))


def _cut(draw: "ImageDraw", text: str, font: "FreeTypeFont | ImageFont", width: float) -> str:
    """Return as much of a text as fits into a width, with an ellipsis if it was cut."""
    cuts = (text[:length].rstrip() + "..." for length in range(len(text) - 1, -1, -1))
    return next((one for one in (text, *cuts) if draw.textlength(one, font) <= width), "")


# Words


def _words(draw: "ImageDraw", card: NightCard) -> None:
    left, right = _MARGIN, SIZE[0] - _MARGIN
    dates = _text(draw, (right, 84), card.dates, 24, _SOFT, anchor="rs")
    title, below = (card.node, card.subject) if card.node else (card.subject, "")
    _text(draw, (left, 84), title, 34, _INK, width=right - left - dates - 30)
    _text(draw, (left, 124), below, 26, _SOFT, width=right - left)
    x = left + _text(draw, (left, 212), _figure(card.first), 58, _SOFT)
    x = _arrow(draw, x + 26, 194)
    x += _text(draw, (x, 212), _figure(card.last), 58, _HEAD)
    what = f"{card.unit}: baseline to {card.head}"
    _text(draw, (x + 18, 212), what, 26, _HEAD, width=right - x - 18)
    _text(draw, (left, 258), card.gain, 26, _INK, width=right - left)
    _text(draw, (left, 298), f"{card.tried}; {card.trials}", 24, _SOFT, width=right - left)
    name = draw.textlength("arnode", _font(26))
    _text(draw, (left, 634), card.measured, 22, _SOFT, width=right - left - name - 30)
    _text(draw, (right, 634), "arnode", 26, _HEAD, anchor="rs")


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < _LARGE else f"{value:.4g}"


def _arrow(draw: "ImageDraw", x: float, y: float) -> float:
    """Draw an arrow to the right; return the x at which the next text begins."""
    draw.line((x, y, x + 52, y), _SOFT, 5)
    draw.polygon([(x + 46, y - 14), (x + 70, y), (x + 46, y + 14)], _SOFT)
    return x + 96


# The plot


def _plot(draw: "ImageDraw", points: Sequence[Point]) -> None:
    left, top, right, bottom = _PLOT
    draw.rounded_rectangle((left, top, right, bottom), 10, _PANEL)
    if not points:
        middle = ((left + right) / 2, (top + bottom) / 2)
        _text(draw, middle, "no experiments in this time span", 24, _SOFT, anchor="mm")
        return
    low, high = _range(points)
    first, last = left + _AXIS_WIDTH, right - _PADDING
    step = (last - first) / len(points)

    def x(number: float) -> float:
        return first + (number + 0.5) * step

    def y(value: float) -> float:
        share = min(1.0, max(0.0, (high - value) / (high - low)))
        return top + _PADDING + share * (bottom - top - 2 * _PADDING)

    for share in (0.0, 0.5, 1.0):
        value = high - share * (high - low)
        draw.line((first, y(value), last, y(value)), _RULE, 1)
        _text(draw, (first - 12, y(value)), f"{value:.3f}", 18, _SOFT, anchor="rm")
    working = [y(point.column.working) for point in points]
    _steps(draw, [x(number) for number in range(len(points))], working, last, _WORKING, 2)
    head = [y(point.column.head) for point in points]
    _steps(draw, [x(number) for number in range(len(points))], head, last, _HEAD, 4)
    size = 3 if len(points) > 150 else 5
    for number, point in enumerate(points):
        if point.metric is not None:
            radius = size if point.entry.decision in _LOUD else max(2, size - 2)
            _dot(draw, x(number), y(point.metric), radius, _COLOURS[point.entry.decision])
    legend = (
        (_HEAD, "head and kept patches"),
        (_WORKING, "working line"),
        (_SOFT, "discarded"),
        (_BAD, "failed or not confirmed"),
    )
    place = float(first)
    for colour, name in legend:
        _dot(draw, place + 6, bottom + 24, 6, colour)
        place += 20 + _text(draw, (place + 20, bottom + 30), name, 18, _SOFT) + 30


def _range(points: Sequence[Point]) -> tuple[float, float]:
    levels = [level for point in points for level in (point.column.working, point.column.head)]
    low, high = min(levels), max(levels)
    margin = _REACH * (high - low) or 0.01 * abs(high) or 1.0
    return low - margin, high + margin


def _steps(
    draw: "ImageDraw",
    xs: Sequence[float],
    ys: Sequence[float],
    end: float,
    colour: Colour,
    width: int,
) -> None:
    path = [(xs[0], ys[0])]
    for x, y in zip(xs[1:], ys[1:], strict=True):
        path += [(x, path[-1][1]), (x, y)]
    draw.line([*path, (end, path[-1][1])], colour, width)


def _dot(draw: "ImageDraw", x: float, y: float, radius: float, colour: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), colour)
