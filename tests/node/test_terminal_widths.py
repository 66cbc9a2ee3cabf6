"""The commands that show results read well in a terminal of 60, 80 or 120 columns."""

import re
import sys
from collections.abc import Sequence

import pytest

from node.home.home import Home
from tests.node.examples import HARDWARE_CLASS
from tests.node.night import Night
from tests.node.test_commands import arnode

WIDTHS = (60, 80, 120)
COMMANDS: dict[str, Sequence[str]] = {
    "status": ("status",),
    "log": ("log",),
    "show": ("show", "ID"),
    "show --raw": ("show", "ID", "--raw"),
    "leaderboard": ("leaderboard", "--class", HARDWARE_CLASS),
    "report": ("report", "--since", "2000-01-01"),
}


@pytest.fixture
def kept(night: Night, home: Home, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a kept experiment in the user's home."""
    monkeypatch.setenv("ARNODE_HOME", str(home.root))
    monkeypatch.setenv("NO_COLOR", "1")
    entries = night.store.experiments.listed(night.line_writer.key)
    return next(entry.id.hex() for entry in entries if entry.decision == "kept")


def in_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)


def words_of(shown: str) -> list[str]:
    """Return the words of what a command printed, without the punctuation of a layout."""
    return [word for word in re.split(r"[\s:;]+", shown) if word]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_is_too_long_and_none_is_cut(
    command: str,
    width: int,
    kept: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [kept[:12] if word == "ID" else word for word in COMMANDS[command]]
    whole = arnode(capsys, *given)
    in_terminal(monkeypatch, width)
    shown = arnode(capsys, *given)
    # A terminal breaks an id of 64 digits, and a line of a diff.
    prose = [line for line in shown.splitlines() if len(line.split()) > 1 and line[:1] not in "+-"]
    assert [line for line in prose if len(line) > width] == []
    assert "…" not in shown
    if command == "report":  # a pipe gets Markdown
        return
    shown_words = words_of(shown)
    missing = {word for word in words_of(whole) if word not in shown_words}
    assert missing <= {"title"}  # the title of an experiment is below its row, without a name


@pytest.mark.parametrize("width", WIDTHS)
def test_an_error_and_its_hint_wrap_between_words(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("start", "--task", "a", "--task", "b", "--max-experiments", "3")
    whole = arnode(capsys, *words, code=2)
    in_terminal(monkeypatch, width)
    shown = arnode(capsys, *words, code=2)
    assert max(map(len, shown.splitlines())) <= width
    assert shown.split() == whole.split()
    assert "\x1b" not in shown
