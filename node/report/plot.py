"""The progress plot as SVG: every experiment a mark of its own with its interval, and both lines.

Marks differ in shape, not only in colour. What measured nothing stands on a strip below; what lies
beyond the edge is drawn at it, without an interval. Text is always escaped: only an `Element` is
ever markup.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from node.report.points import Mark, Point
from node.terminal.terminal import plain
from node.terminal.vocabulary import word

_WIDTH: Final = 720
_HEIGHT: Final = 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 70.0, 712.0, 10.0, 270.0
_STRIP_Y: Final = 288.0  # of what measured nothing
_TICKS: Final = 4
_MARGIN: Final = 0.25  # of the lines' range, as much again of what lies beyond is shown


class Element(str):
    """Markup that `element` made; whatever is made of it by other means is text again."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str) -> Element:
    """Return an element. A child that is none is text: it is escaped, and what is invisible spelt.

    Attributes are named as in Python: `class_`, `stroke_width`.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(plain(value))}"'
        for key, value in attributes.items()
    )
    return Element(f"<{name}{given}>{_together(children)}</{name}>")


def _together(children: Iterable[str]) -> Element:
    return Element(
        "".join(one if isinstance(one, Element) else html.escape(plain(one)) for one in children)
    )


def progress_plot(points: Sequence[Point], unit: str) -> Element:
    """Return the plot of at least one experiment, and its legend."""
    scale = _Scale.of(points)
    marks = [
        element("g", *_drawn(point, scale.x(number), scale), class_=f"mark {point.mark}")
        for number, point in enumerate(points)
    ]
    picture = element(
        "svg",
        element("title", f"{len(points)} experiments, in {unit}"),
        *_axis(scale),
        _line("working", [point.column.working for point in points], scale),
        *marks,
        _line("head", [point.column.head for point in points], scale),
        class_="plot",
        role="img",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
    )
    wide = element("div", picture, class_="wide")
    return _together([wide, _legend({point.mark for point in points})])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Where the metric's values and the experiments' numbers lie."""

    low: float
    high: float
    count: int

    @classmethod
    def of(cls, points: Sequence[Point]) -> "_Scale":
        """Fit both lines, what was kept and the trials against the head with their intervals."""
        values = [value for point in points for value in (point.column.working, point.column.head)]
        for point in points:
            if point.mark in ("kept", "confirmed", "unconfirmed", "baseline"):
                ends = (point.metric, point.low, point.high)
                values += [value for value in ends if value is not None]
        low, high = min(values), max(values)
        margin = _MARGIN * (high - low) or 0.01 * abs(high) or 1.0
        return cls(low=low - margin, high=high + margin, count=len(points))

    def x(self, number: float) -> float:
        """Return where an experiment stands."""
        return _LEFT + (number + 0.5) * (_RIGHT - _LEFT) / self.count

    def y(self, value: float) -> float:
        """Return where a value lies, at an edge what lies beyond it."""
        share = (self.high - value) / (self.high - self.low)
        return _TOP + min(1.0, max(0.0, share)) * (_BOTTOM - _TOP)

    def shows(self, value: float) -> bool:
        """Whether a value lies within the edges."""
        return self.low <= value <= self.high


def _axis(scale: _Scale) -> list[Element]:
    parts: list[Element] = []
    for number in range(_TICKS + 1):
        value = scale.low + number * (scale.high - scale.low) / _TICKS
        y = _number(scale.y(value))
        parts.append(element("path", class_="grid", d=f"M{_number(_LEFT)} {y}H{_number(_RIGHT)}"))
        label = element("text", f"{value:.4f}", x=_number(_LEFT - 6), y=y, class_="label")
        parts.append(label)
    below = _number(_STRIP_Y)
    parts.append(element("text", "no metric", x=_number(_LEFT - 6), y=below, class_="label"))
    end = f"{scale.count} experiments, oldest first"
    parts.append(element("text", end, x=_number(_RIGHT), y=_number(_HEIGHT - 6), class_="label"))
    return parts


def _line(name: str, levels: Sequence[float], scale: _Scale) -> Element:
    """Draw a line of steps through where it stood after each experiment."""
    path = [f"M{_number(_LEFT)} {_number(scale.y(levels[0]))}"]
    for number, level in enumerate(levels):
        path.append(f"H{_number(scale.x(number))}V{_number(scale.y(level))}")
    path.append(f"H{_number(_RIGHT)}")
    return element("path", class_=f"line {name}", d="".join(path))


def _drawn(point: Point, x: float, scale: _Scale) -> list[Element]:
    """Return a mark with its interval, and what a pointer on it tells."""
    metric = "no metric" if point.metric is None else f"{point.metric:.6f}"
    parts = [element("title", f"{word(point.mark)}: {metric}, {point.title}")]
    if point.metric is None:
        return [*parts, element("path", d=_SHAPES[point.mark].at(x, _STRIP_Y))]
    if point.low is not None and point.high is not None and scale.shows(point.metric):
        top, bottom = _number(scale.y(point.high)), _number(scale.y(point.low))
        parts.append(element("path", class_="interval", d=f"M{_number(x)} {top}V{bottom}"))
    return [*parts, element("path", d=_SHAPES[point.mark].at(x, scale.y(point.metric)))]


def _legend(shown: set[Mark]) -> Element:
    """Return what the lines and marks mean, each beside one of it."""
    items = [
        element("span", _sample(element("path", class_=f"line {name}", d="M1 7H15")), words)
        for name, words in (("head", "verified head"), ("working", "working line"))
    ]
    for mark, shape in _SHAPES.items():
        if mark in shown:
            drawn = element("g", element("path", d=shape.at(8, 7)), class_=f"mark {mark}")
            items.append(element("span", _sample(drawn), word(mark)))
    return element("p", *items, class_="legend")


def _sample(drawn: Element) -> Element:
    return element("svg", drawn, viewBox="0 0 16 14", class_="sample", aria_hidden="true")


# Shapes, around a point


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is drawn beside a point: how far from it that begins, and the path from there on."""

    dx: float
    dy: float
    path: str

    def at(self, x: float, y: float) -> str:
        return f"M{_number(x + self.dx)} {_number(y + self.dy)}{self.path}"


def _circle(radius: float) -> _Shape:
    r, across = _number(radius), _number(2 * radius)
    return _Shape(-radius, 0, f"a{r} {r} 0 1 0 {across} 0a{r} {r} 0 1 0 -{across} 0")


def _number(value: float) -> str:
    """Return a coordinate to a tenth, which is a fraction of a screen's pixel."""
    return f"{value:.1f}".removesuffix(".0")


_DIAMOND: Final = _Shape(0, -5.5, "l5.5 5.5l-5.5 5.5l-5.5 -5.5z")
_SQUARE: Final = _Shape(-3.5, -3.5, "h7v7h-7z")
_SHAPES: Final[dict[Mark, _Shape]] = {
    "kept": _circle(3.5),
    "branched": _Shape(0, 4, "v-3l-3.5 -5m3.5 5l3.5 -5"),  # a fork
    "discarded": _circle(2.2),
    "failed": _Shape(-3.5, -3.5, "l7 7m0 -7l-7 7"),  # a cross
    "rejected": _SQUARE,
    "confirmed": _DIAMOND,
    "unconfirmed": _DIAMOND,
    "unrunnable": _Shape(0, -4, "l4 7h-8z"),  # a bolt
    "baseline": _SQUARE,
}
