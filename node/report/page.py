"""A report as one HTML file: nothing is fetched, no script runs, every text is escaped.

Its styles follow the reader's choice of light or dark, and the width of a phone.
"""

from typing import Final

from node.report.blocks import (
    Block,
    Bullets,
    Document,
    Paragraph,
    Plot,
    Quoted,
    Section,
    Table,
    Words,
)
from node.report.markup import Element, element, together
from node.report.plot import progress_plot

_SHOWN: Final = 20  # of a list, before the reader asks for the rest
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE: Final = Element("""
:root { color-scheme: light dark; --ink: #1d2330; --paper: #fff; --soft: #5d6678; --rule: #dfe3ea;
  --code: #f2f4f8; --head: #12813f; --working: #1b76b8; --bad: #a3560b; --worse: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8f0; --paper: #14171d; --soft: #9aa4b8;
  --rule: #2c323d; --code: #1f242d; --head: #4fca7f; --working: #63b3ec; --bad: #e3a24f;
  --worse: #f2827b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.3rem; margin-top: 2.5rem; }
h3 { font-size: 1.05rem; margin-top: 1.8rem; }
code { background: var(--code); border-radius: .25rem; padding: .05rem .25rem; font-size: .9em; }
ul { padding-left: 1.2rem; } li { margin: .25rem 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { border-bottom: 1px solid var(--rule); padding: .3rem .6rem; text-align: left;
  vertical-align: top; overflow-wrap: normal; }
th.figure, td.figure { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 0; } figcaption { color: var(--soft); font-size: .85rem; }
.plot { width: 100%; min-width: 32rem; height: auto; display: block; }
.plot .label { font-size: 12px; fill: var(--soft); text-anchor: end; dominant-baseline: middle; }
.plot .grid { stroke: var(--rule); } .line { fill: none; stroke-width: 2; }
.line.head { stroke: var(--head); stroke-width: 2.6; }
.line.working { stroke: var(--working); stroke-dasharray: 5 3; }
.mark path { fill: var(--paper); stroke: var(--soft); stroke-width: 1.2; }
.mark .interval { stroke-width: .8; opacity: .55; }
.mark.kept path, .mark.passed path { fill: var(--head); stroke: var(--head); }
.mark.missed path, .mark.unrunnable path { stroke: var(--working); stroke-width: 1.6; }
.mark.failed path { stroke: var(--bad); stroke-width: 1.8; }
.mark.rejected path { stroke: var(--worse); stroke-width: 1.8; }
.mark.baseline path { fill: var(--soft); }
.legend { color: var(--soft); font-size: .85rem; display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
.sample { width: 16px; height: 14px; vertical-align: -2px; margin-right: .3rem; }
""")


def as_page(document: Document) -> str:
    """Return the document as a page that ends with a newline."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"arnode: {document.title}"),
        element("style", _STYLE),
    )
    body = element(
        "body",
        element("main", element("h1", document.title), *map(_section, document.sections)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _section(section: Section) -> Element:
    heading = element(f"h{section.level}", section.title)
    return element("section", heading, *map(_block, section.blocks))


def _block(block: Block) -> Element:
    match block:
        case Paragraph():
            return element("p", _words(block.words))
        case Bullets():
            return _bullets(block)
        case Table():
            return _table(block)
        case Plot():
            plot = progress_plot(block.points, block.unit)
            return element("figure", plot, element("figcaption", block.caption))


def _bullets(block: Bullets) -> Element:
    items = [element("li", _words(item)) for item in block.items]
    shown = element("ul", *items[:_SHOWN])
    if not items[_SHOWN:]:
        return shown
    rest = element("summary", f"and {len(items) - _SHOWN} more")
    return together([shown, element("details", rest, element("ul", *items[_SHOWN:]))])


def _table(block: Table) -> Element:
    def cell(name: str, column: int, content: str) -> Element:
        return element(name, content, class_="text" if column < block.texts else "figure")

    head = element("tr", *(cell("th", number, word) for number, word in enumerate(block.head)))
    rows = [
        element("tr", *(cell("td", number, _words(words)) for number, words in enumerate(row)))
        for row in block.rows
    ]
    table = element("table", element("thead", head), element("tbody", *rows))
    return element("div", table, class_="wide")


def _words(words: Words) -> Element:
    return together(
        [element("code", one.text) if isinstance(one, Quoted) else one for one in words]
    )
