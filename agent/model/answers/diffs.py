"""Unified diffs, in a fence or bare, with or without headers.

Lines that name files are read; line numbers are ignored. If a diff is in prose, its end must be
clear: no later line may look like a line of the diff.
"""

import re
from collections.abc import Sequence
from itertools import takewhile

from agent.model.answers.draft import Slip, Style
from agent.model.answers.hunks import add_hunk, is_hunk_line, split_hunks
from agent.model.answers.names import editable_path, path_in
from agent.model.answers.reading import AnswerReader, CodeFence

STYLE: Style = "a diff"
_INFOS = ("diff", "patch", "udiff")
_GIT = re.compile(
    r"diff |index [0-9a-f]|(?:old|new|deleted file|new file) mode |(?:dis)?similarity "
    r"|rename |copy "
)
_OTHER_CHANGE = re.compile(r"(?:deleted file|new file) mode |(?:rename|copy) (?:from|to) ")
_NUMBERED = re.compile(r"@@ ?-\d{1,9}(?:,\d{1,9})? \+\d{1,9}(?:,\d{1,9})?\s*(?:@@.*)?")
_END_TAG = re.compile(r"</\w{1,20}>\s*")
_ANCHOR = re.compile(r"@@(?:[\s.…]*@@)?(.*?)(?:@@\s*)?")
_NO_FILE = "/dev/null"


def begins(lines: Sequence[str], at: int) -> bool:
    """Return whether the line at `at` begins a diff."""
    line = lines[at]
    return line.startswith(("diff --git ", "@@")) or _is_pair(lines, at)


def is_diff(reading: AnswerReader, fence: CodeFence) -> bool:
    """Return whether a fence contains a diff."""
    rows = range(fence.start, fence.end)
    first = next((row for row in rows if reading.lines[row].strip()), None)
    if first is None:
        return False
    if fence.info.lower().split(" ")[0] in _INFOS:
        return True
    is_code = bool(fence.info) and reading.lines[first].startswith("@@")
    return not is_code and begins(reading.lines, first)


def read(reading: AnswerReader) -> Slip | None:
    """Read a diff in prose; return its mistake, if any."""
    lines, start = reading.lines, reading.at
    end = start
    while end < len(lines) and (
        is_hunk_line(lines[end]) or _is_git(lines[end]) or lines[end].startswith("@@")
    ):
        end += 1
    reading.at = end
    rest = takewhile(lambda row: not begins(lines, row), range(end, len(lines)))
    is_ended = end == len(lines) or reading.ends_wrap(end) or _END_TAG.fullmatch(lines[end])
    is_cut_off = lines[end - 1].strip() and not is_ended
    if is_cut_off or any(lines[row].startswith(("+", "-")) for row in rest):
        return Slip(
            message="The end of your diff is unclear: put it into one fenced block, "
            "```diff, and put nothing else into that block."
        )
    return read_lines(reading, lines[start:end])


def read_lines(reading: AnswerReader, lines: Sequence[str]) -> Slip | None:
    """Read the hunks of a diff that consists of exactly these lines."""
    path, at, is_named = "", 0, False
    while at < len(lines):
        if _OTHER_CHANGE.match(lines[at]):
            return _no_other_change()
        if _is_git(lines[at]):
            is_named = False
            at += 1
            continue
        if not is_named and _is_pair(lines, at):
            named = _path(lines[at : at + 2], reading.editable)
            if isinstance(named, Slip):
                return named
            path, at, is_named = named, at + 2, True
            continue
        end = at
        while end < len(lines) and not (_is_git(lines[end]) or _is_next_file(lines, end)):
            end += 1
        for header, rows in split_hunks(lines[at:end]):
            slip = add_hunk(reading, STYLE, path, _anchors(header), rows)
            if slip is not None:
                return slip
        at, is_named = end, False
    return None


def _is_pair(lines: Sequence[str], at: int) -> bool:
    following = lines[at + 1] if at + 1 < len(lines) else ""
    return lines[at].startswith("--- ") and following.startswith("+++ ")


def _is_next_file(lines: Sequence[str], at: int) -> bool:
    """Return whether the lines `--- …` and `+++ …` after a hunk name the next file.

    Otherwise they remove one line and add another. They name a file if a hunk begins below them
    and their contents are paths.
    """
    if not _is_pair(lines, at) or not (at + 2 < len(lines) and lines[at + 2].startswith("@@")):
        return False
    return all(path_in(name) or name == _NO_FILE for name in _names(lines[at : at + 2]))


def _is_git(line: str) -> bool:
    return _GIT.match(line) is not None


def _path(lines: Sequence[str], editable: Sequence[str]) -> str | Slip:
    """Return the file that a pair of `---` and `+++` lines names, or "" if it names none."""
    old, new = _names(lines)
    if _NO_FILE in (old, new):
        return _no_other_change()
    if old.startswith("a/") and new.startswith("b/"):  # git's prefixes
        old, new = old[2:], new[2:]
    meant = [editable_path(path_in(name), editable) for name in (old, new) if path_in(name)]
    paths = {path for path in meant if isinstance(path, str)}
    if len(paths) > 1:
        return Slip(message=f"Your diff names two files, {old} and {new}: files keep their names.")
    return paths.pop() if paths else next(iter(meant), "")


def _names(lines: Sequence[str]) -> list[str]:
    return [line[4:].partition("\t")[0].strip().strip('"') for line in lines]


def _no_other_change() -> Slip:
    return Slip(message="You cannot add, remove or rename files: change the existing ones.")


def _anchors(header: str) -> tuple[str, ...]:
    """Return the source line that a hunk header without line numbers quotes.

    A header with line numbers quotes what git chose, often a function that ends before the hunk,
    so that quote is ignored.
    """
    if _NUMBERED.fullmatch(header):
        return ()
    anchor = _ANCHOR.fullmatch(header)
    text = anchor[1].strip() if anchor is not None else ""
    return (text,) if text.strip(".… ") else ()
