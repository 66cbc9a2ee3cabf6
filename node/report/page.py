"""A report as one HTML file, made of its Markdown: nothing is fetched, no script runs.

Its styles follow the reader's choice of light or dark, and the width of a phone.
"""

import html
from collections.abc import Callable, Iterator, Sequence
from datetime import tzinfo
from importlib.resources import files
from string import Template
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from node.report.lines import LineReport, Report
from node.report.plot import Element, element, progress_plot
from node.report.points import NINETY_FIVE
from node.report.words import SHOWN, as_markdown

# What reports are written in and nothing else: no HTML, links or pictures, whoever wrote them.
_SYNTAX: Final = ("backticks", "fence", "heading", "list", "table")
_CAPTION = (
    "An experiment has the interval in which 95 % of the runs of such a source fall ({reach:.6f} "
    "{unit} on either side), a trial against the head the 95 % interval of its gain. What lies "
    "beyond an edge is drawn at it."
)


def as_page(report: Report, zone: tzinfo | None) -> str:
    """Return the report as a page that ends with a newline: all of its lists, and drawn plots.

    Times are told in `zone`, None being this machine's.
    """
    template = files("node.report").joinpath("page.html").read_text(encoding="utf-8")
    reader = MarkdownIt("zero").enable(_SYNTAX)
    for name, rule in _RULES.items():
        reader.add_render_rule(name, rule)
    tokens = reader.parse(as_markdown(report, zone, shown=None))
    _fold(tokens)
    plots = map(_plot, (line for line in report.lines if line.points))
    main = reader.renderer.render(tokens, reader.options, {"plots": plots})
    title = next(token.content for token in tokens if token.type == "inline")
    return Template(template).substitute(title=html.escape(title), main=main)


def _fold(tokens: Sequence[Token]) -> None:
    """Mark where a list goes on that is folded until the reader asks for the rest."""
    items: list[Token] = []
    for token in tokens:
        match token.type:
            case "bullet_list_open":
                items = []
            case "list_item_open":
                items.append(token)
            case "bullet_list_close" if (more := len(items) - SHOWN) > 0:
                items[SHOWN].meta["more"] = more
                token.meta["is_folded"] = True


def _plot(line: LineReport) -> Element:
    unit = line.metric.unit
    caption = _CAPTION.format(reach=NINETY_FIVE * line.noise_sd, unit=unit)
    return element("figure", progress_plot(line.points, unit), element("figcaption", caption))


# Elements that are not what Markdown makes of them by itself


def _item(_: RendererHTML, tokens: Sequence[Token], at: int, *__: object) -> str:
    more = tokens[at].meta.get("more")
    return f"</ul><details><summary>and {more} more</summary><ul>\n<li>" if more else "<li>"


def _end_of_list(_: RendererHTML, tokens: Sequence[Token], at: int, *__: object) -> str:
    return "</ul></details>\n" if tokens[at].meta.get("is_folded") else "</ul>\n"


def _cell(_: RendererHTML, tokens: Sequence[Token], at: int, *__: object) -> str:
    kind = "figure" if tokens[at].attrs else "text"  # figures are aligned to the right
    return f'<{tokens[at].tag} class="{kind}">'


def _drawn(
    _: RendererHTML, tokens: Sequence[Token], at: int, options: object, env: dict[str, Any]
) -> str:
    """Return the next plot, in the place of the one that is drawn in characters."""
    plots: Iterator[Element] = env["plots"]
    return f"{next(plots)}\n"


_RULES: Final[dict[str, Callable[..., str]]] = {
    "bullet_list_close": _end_of_list,
    "fence": _drawn,
    "list_item_open": _item,
    "table_close": lambda *_: "</table></div>\n",
    "table_open": lambda *_: '<div class="wide"><table>\n',
    "td_open": _cell,
    "th_open": _cell,
}
