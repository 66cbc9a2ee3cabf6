"""The words of the page are those of the terminal, and its bundle is what a browser may load."""

import json
import re
from pathlib import Path

import node.web
from node.terminal.vocabulary import WORDINGS

PAGE = Path(node.web.__file__).parent / "page"
MODULES = sorted(path for path in PAGE.rglob("*.js") if "vendor" not in path.parts)
MOST_LINES = 300


def test_outcomes_are_reported_in_the_same_words() -> None:
    text = (PAGE / "words.js").read_text(encoding="utf-8")
    table = json.loads(text.partition("WORDINGS = ")[2].partition(";\n\n")[0])
    reported = {outcome: (word, meaning) for outcome, (word, meaning, _) in table.items()}
    assert reported == {outcome: (one.word, one.meaning) for outcome, one in WORDINGS.items()}


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"\bstyle=|<style|\son\w+=|https?:", page) == []


def test_modules_make_no_markup_of_words_and_are_of_a_size_to_be_read() -> None:
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text
        ), path
        assert text.count("\n") <= MOST_LINES, path


def test_what_is_loaded_first_is_named_in_the_page() -> None:
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    named = {PAGE / name for name in re.findall(r'modulepreload" href="([^"]+)"', page)}
    assert needed_by("app.js") <= named <= needed_by("app.js") | needed_by("parts/overview.js")


def needed_by(name: str) -> set[Path]:
    """Return the modules that one cannot do without, itself among them."""
    needed, left = set[Path](), [PAGE / name]
    while left:
        path = left.pop()
        if path in needed:
            continue
        needed.add(path)
        text = path.read_text(encoding="utf-8")
        named = re.findall(r' from "(\.[^"]+)"', text)
        left += [(path.parent / one).resolve() for one in named]
    return needed
