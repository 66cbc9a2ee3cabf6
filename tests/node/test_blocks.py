"""Blocks of a report: rendered four ways, and nothing that is quoted in them is more than text."""

import io
import json
import re
from html.parser import HTMLParser

import msgspec
import pytest
from rich.console import Console

from node.reporting.blocks import (
    Block,
    FileLink,
    QuotedLines,
    Styled,
    bullets,
    figures_column,
    heading,
    joined,
    paragraph,
    quoted,
    table,
    text,
    words_column,
)
from node.reporting.html import html_of
from node.reporting.markdown import code_span, markdown_of
from node.reporting.terminal import print_blocks
from tests.node.night import HOSTILE

STRANGE = [
    HOSTILE,
    "\x1b]0;a title\x07\x1b[2J",
    "\u202etxt.exe\u2066",
    "</code></td></table><script>alert(1)</script>",
    "`` ``` ` \\` end",
    "# a heading\n\n- an item\n\n---\n<b>",
    "[x](javascript:alert(1)) ![y](//evil.example/y.png) @you #1",
    "a|b|c",
    "[bold red]x[/]",
]


def blocks_with(words: str) -> list[Block]:
    """Return a block of each kind that holds text, with somebody's words in it."""
    said = quoted(words)
    return [
        heading(2, "Of ", said),
        paragraph("It is ", said, ".", soft=True),
        bullets([text(said, ": kept"), "own words"]),
        table([words_column(said), figures_column("gain")], [(said, "+1.0"), ("own", "+2.0")]),
        QuotedLines(text=words, language="diff"),
    ]


def printed(
    *blocks: Block,
    shown: int | None = None,
    width: int = 400,
) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, highlight=False, markup=False)
    print_blocks(console, *blocks, shown=shown)
    return file.getvalue()


class Elements(HTMLParser):
    """The elements and attributes of markup, and all of its text."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        pytest.fail(f"a comment: {data}")


@pytest.mark.parametrize("words", STRANGE)
def test_nothing_that_is_quoted_becomes_markup_in_html(words: str) -> None:
    strange, plain = (Elements(html_of(blocks_with(one))) for one in (words, "plain"))
    assert strange.elements == plain.elements
    assert quoted(words).text in strange.text


@pytest.mark.parametrize("words", STRANGE)
def test_nothing_that_is_quoted_stands_outside_of_code_in_markdown(words: str) -> None:
    outside, fence = [], ""
    for line in markdown_of(blocks_with(words)).splitlines():
        marker = re.match("`{3,}", line)
        if marker and not fence:
            fence = marker[0]
        elif fence and line == fence:
            fence = ""
        elif not fence:
            outside.append(re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "CODE", line))
    assert not fence
    assert outside == [
        *("## Of CODE", "", "It is CODE.", "", "- CODE: kept", "- own words", ""),
        *("| CODE | gain |", "| --- | --: |", "| CODE | +1.0 |", "| own | +2.0 |", ""),
    ]


@pytest.mark.parametrize("words", STRANGE)
def test_nothing_that_is_quoted_steers_a_terminal(words: str) -> None:
    shown = printed(*blocks_with(words))
    assert all(character.isprintable() for character in shown if character != "\n")
    own = printed(paragraph(words), paragraph(Styled(text=words, style="green")))
    assert all(character.isprintable() for character in own if character != "\n")
    assert f"Of {code_span(quoted(words))}" in shown  # else it could pass for our own words
    assert f"It is {code_span(quoted(words))}." in shown
    assert len(shown.splitlines()) == 8 + len(words.splitlines())


@pytest.mark.parametrize("words", STRANGE)
def test_what_is_quoted_is_marked_in_json(words: str) -> None:
    title, *_, lines = json.loads(msgspec.json.encode(blocks_with(words)))
    shown = quoted(words).text
    assert title == {
        "kind": "heading",
        "level": 2,
        "text": ["Of ", {"kind": "quoted", "text": shown}],
    }
    assert shown.isprintable()
    assert lines["kind"] == "lines"
    assert all(part.isprintable() for part in lines["text"].split("\n"))


def test_what_was_read_back_is_as_harmless_as_what_was_made() -> None:
    escape = "\x1b[2J"
    (read,) = msgspec.convert([{"kind": "lines", "text": escape}], list[QuotedLines])
    assert read.text == "\\x1b[2J"


def test_own_words_that_touch_are_one_span() -> None:
    assert text("a", ("b", quoted("x")), "", "c") == ("ab", quoted("x"), "c")
    assert joined(", ", [quoted("x"), ("y", " z")]) == (quoted("x"), ", y z")
    assert joined(", ", []) == ()


def test_a_long_list_says_how_much_is_left_out() -> None:
    long = bullets(f"item {number}" for number in range(5))
    assert printed(long, shown=2).splitlines() == [
        "- item 0",
        "- item 1",
        "- and 3 more: `arnode report --json` has all of them",
    ]
    assert len(printed(long).splitlines()) == 5
    assert html_of([long]).count("<li>") == 5


def test_figures_stand_on_the_right_and_words_wrap_where_they_may() -> None:
    wide = table(
        [words_column("title", wraps=True), figures_column("gain")],
        [(quoted("a word " * 9), "+1"), ("x", "+100")],
    )
    lines = printed(wide, width=40).splitlines()
    assert [line[-4:] for line in lines[:2]] == ["gain", "  +1"]
    assert len(lines) == 4


def test_columns_of_a_group_have_one_heading_in_html() -> None:
    columns = [
        words_column("id"),
        figures_column("gain", group="claimed"),
        words_column("by", group="claimed"),
    ]
    page = Elements(html_of([table(columns, [("a", "1", "b")])]))
    heads = [dict(attrs) for tag, attrs in page.elements if tag == "th"]
    assert heads[:2] == [
        {"class": "none", "colspan": "1"},
        {"class": "claimed", "colspan": "2"},
    ]
    assert [dict(attrs)["class"] for tag, attrs in page.elements if tag == "td"] == [
        "words",
        "claimed figure",
        "claimed words",
    ]


def test_a_link_leads_to_a_file_and_a_style_is_for_terminals() -> None:
    block = paragraph(FileLink(text="a<b", href='x".html'), " ", Styled(text="kept", style="green"))
    assert html_of([block]) == '<p><a href="x&quot;.html">a&lt;b</a> kept</p>'
    assert markdown_of([block]) == "[`a<b`](x%22.html) kept\n"
    assert printed(block) == "a<b kept\n"


def test_columns_that_do_not_fit_are_printed_below_their_row() -> None:
    columns = [
        words_column("id"),
        figures_column("gain"),
        figures_column("rerun"),
        words_column("here"),
        words_column("title", wraps=True),
    ]
    rows = [("a1b2", "+0.1", "", "confirmed", "a gain"), ("c3", "+10.2", "+1", "", "another gain")]

    def shown(width: int) -> list[str]:
        return [line.rstrip() for line in printed(table(columns, rows), width=width).splitlines()]

    assert shown(24) == [
        *("id     gain  rerun", "a1b2   +0.1", "  here: confirmed;", "  title: a gain"),
        *("c3    +10.2     +1", "  title: another gain"),
    ]
    assert shown(30) == [
        *("id     gain  rerun  here", "a1b2   +0.1         confirmed", "  a gain"),
        *("c3    +10.2     +1", "  another gain"),
    ]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_a_report_s_table_is_whole_at_any_width(width: int) -> None:
    columns = [
        words_column("claim", wraps=True),
        words_column("by"),
        figures_column("claimed"),
        words_column("here", wraps=True),
    ]
    row = ("a gain of somebody's", "51cbd13cbcec", "+0.001234", "confirmed in 5 pairs of 8 planned")
    shown = printed(table(columns, [row, row]), width=width)
    for word in " ".join(row).split():
        assert shown.count(word) >= 2
    assert max(map(len, shown.splitlines())) <= width
    assert (": +0.001234" in shown) is (width < 60)  # row by row where it does not fit side by side
