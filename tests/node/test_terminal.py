"""JSON is ASCII with its version first, and colour is for people."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest
from rich.live import Live
from rich.table import Table
from rich.text import Text

from node.terminal.terminal import NO_BREAK, console, print_json, say, to_json, wants_color


def test_json_begins_with_its_version_and_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"title": "é\u202e", "body": to_json({"id": b"\x01", "list": [b"", 1, None]})})
    out = capsys.readouterr().out
    assert out.isascii()
    document = json.loads(out)
    assert next(iter(document)) == "v"
    assert document["body"] == {"id": "01", "list": ["", 1, None]}


@pytest.mark.parametrize(
    ("env", "terminal", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": ""}, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], terminal: bool, wanted: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert wants_color(env) is wanted


def table() -> Table:
    """Two columns: a long title that must not wrap, a short word."""
    made = Table(box=None, pad_edge=False)
    made.add_column("title", no_wrap=True)
    made.add_column("word", no_wrap=True)
    made.add_row("t" * 300, "kept")
    made.add_row("short", "failed")
    return made


@pytest.mark.parametrize("variable", ["NO_COLOR", "FORCE_COLOR"])
def test_nothing_is_cut_or_filled_up_where_nobody_looks(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "1")
    console().print(table())
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert [line.split() for line in lines[1:]] == [["t" * 300, "kept"], ["short", "failed"]]
    assert lines[1].index("kept") == lines[2].index("failed")
    assert all(line == line.rstrip() for line in lines)


def test_what_a_terminal_cuts_ends_in_an_ellipsis(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    console().print(table())
    lines = capsys.readouterr().out.splitlines()
    assert "tt… " in lines[1]
    assert max(map(len, lines)) <= 40


@pytest.mark.parametrize(("terminal", "is_redrawn"), [("xterm", True), ("dumb", False)])
def test_without_colours_a_picture_is_drawn_again_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: str,
    is_redrawn: bool,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", terminal)
    with Live(Text("before", "red"), console=console(), auto_refresh=False) as live:
        live.update(Text("after", "red"), refresh=True)
    shown = capsys.readouterr().out
    assert "after" in shown
    assert ("before" in shown) == is_redrawn
    assert not re.search(r"\x1b\[[0-9;]*m", shown)


def shown_by(
    monkeypatch: pytest.MonkeyPatch, width: int, words: str, hang: int | None = None
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    say(words, hang=hang)


def test_a_long_line_wraps_between_words_and_is_indented(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown_by(monkeypatch, 20, "  ok    a b c d e f g h i j", hang=8)
    assert capsys.readouterr().out == "  ok    a b c d e f\n        g h i j\n"


def test_a_command_and_a_word_are_never_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown_by(monkeypatch, 20, "to go on: `arnode start --task a`")
    shown_by(monkeypatch, 20, f"  {'f' * 64}")
    shown_by(monkeypatch, 20, f"name a  author{NO_BREAK}51cbd13cbcec", hang=0)
    assert capsys.readouterr().out.splitlines() == [
        *("to go on:", "  `arnode start --task a`"),
        f"  {'f' * 64}",
        *("name a", "author 51cbd13cbcec"),
    ]


def test_a_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say("a word → " * 100)
    assert capsys.readouterr().out == "a word → " * 100 + "\n"


@pytest.mark.parametrize(
    ("locale", "wanted"),
    [("C", "0.1 -> 0.2 =- \\xe9 ..."), ("C.UTF-8", "0.1 → 0.2 ━─ é …")],
)
def test_a_terminal_without_utf_8_gets_ascii(locale: str, wanted: str) -> None:
    ours, theirs = pty.openpty()
    program = (
        "import node.commands.cli as cli; from node.terminal.terminal import say;"
        "cli._open_missing_streams(); say('0.1 → 0.2 ━─ é …')"
    )
    env = {**os.environ, "LC_ALL": locale, "COLUMNS": "80"}
    subprocess.run([sys.executable, "-c", program], env=env, stdout=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 1000).decode()
    os.close(ours)
    assert shown.rstrip() == wanted
