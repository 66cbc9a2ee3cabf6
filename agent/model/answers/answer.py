"""The reader for a model's answer: a title, a reason, and changes in one of four formats.

The formats are SEARCH/REPLACE blocks (which the prompt asks for), whole files, unified diffs, and
patches in Codex's format. Each format has a module next to this one. Chatter, fences, decoration
and CRLF are ignored. The reader never guesses: a mistake, or a change in another format, becomes a
`Slip` with a message for the model. `agent.model.matching` then checks whether the change fits.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from agent.model.answers import diffs, marked, patches
from agent.model.answers.draft import (
    MAX_ANSWER,
    MAX_ANSWER_LINES,
    MAX_BLOCKS,
    ParsedAnswer,
    Slip,
    WholeFile,
)
from agent.model.answers.names import editable_path, path_in_comment
from agent.model.answers.reading import AnswerReader, CodeFence
from agent.model.quoting import MAX_WHY, one_line

_MARKED: Final = (marked, patches)  # formats that have begin and end marks
_FIRSTS: Final = ("<", "-", "*")
_EDGES: Final = " \t\r\n*_`\"'"  # stripped around a reason
# Tags around the reasoning before an answer; some servers omit the opening one.
_THOUGHTS: Final = ("think", "thinking", "reasoning", "thought")
_STRAY_MARKS: Final = ("<<<<<", ">>>>>", "*** ")
_STRAY = re.compile(
    r"[\s>|+-]{0,40}(?:<{5,9} ?(?:SEARCH|ORIGINAL)\b|>{5,9} ?(?:REPLACE|UPDATED)\b"
    r"|\*\*\* (?:Begin Patch|End Patch|Update File)\b)",
    re.IGNORECASE,
)
# Unsupported formats. They are detected, so that no change is lost next to a readable one.
_UNREAD_FIRSTS: Final = ("{", "[", "<")
_UNREAD = re.compile(
    r"</?(?:old|new|original|updated|search|find|before)(?:_(?:str|string|code|text))?>"
    r"|<(?:file_)?content>|<parameter\b"
    r"|\"(?:search|find|before|original|old(?:_(?:str|string|code|text))?|(?:new_)?contents?|edits"
    r"|changes|files|diff|patch)\"\s?:",
    re.IGNORECASE,
)
_UNREAD_PAIR = re.compile(
    r"(?:please )?(?:replace|change(?: from)?|find)"
    r"(?: (?:this|these|the|following|code|block|lines?|old|existing))*(?: in \S{1,200})?",
    re.IGNORECASE,
)
_DECORATION: Final = " \t*_#>:`"


def parse_answer(text: str, editable: Sequence[str]) -> ParsedAnswer | Slip:
    """Return the parsed answer, or the mistake in it."""
    if len(text) > MAX_ANSWER:
        return Slip(message=f"Your answer is longer than {MAX_ANSWER} characters.")
    said = without_thoughts(text)
    if not said.strip() and text.strip():
        return Slip(message="Your answer ends inside its reasoning: answer after it.")
    lines = said.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(lines) > MAX_ANSWER_LINES:
        return Slip(message=f"Your answer has more than {MAX_ANSWER_LINES} lines.")
    reading = AnswerReader(lines=lines, editable=editable)
    opened = [row for row in range(len(lines)) if _opens(lines, row)]
    while reading.at < len(lines):
        found = _read_marked(reading, opened)
        if found is False:
            found = _read_prose(reading) or True
        if isinstance(found, Slip):
            return found
    if not (reading.blocks or reading.files):
        return Slip(
            message="Your answer contains no change: no line `<<<<<<< SEARCH` with its "
            "`=======` and `>>>>>>> REPLACE`."
        )
    return ParsedAnswer(
        title=reading.title,
        why=reading.why,
        blocks=tuple(reading.blocks),
        files=tuple(reading.files),
    )


def without_thoughts(text: str) -> str:
    """Return an answer without the reasoning at its start, or "" if nothing follows it."""
    begun = text.lstrip()[:20].lower()
    for name in _THOUGHTS:
        _, end, said = text.rpartition(f"</{name}>")
        if end and (begun.startswith(f"<{name}>") or name == _THOUGHTS[0]):
            return said
        if begun.startswith(f"<{name}>"):
            return ""
    return text


def labelled(text: str, word: str) -> str | None:
    """Return the sanitized text after the last label of an answer, or None if there is no label.

    A label is a word at the beginning of a line, such as `WHY:`.
    """
    said = without_thoughts(text)
    label = rf"^[\s*_#>`-]{{0,8}}{word}[*_`]{{0,3}}\s?:"
    ends = [found.end() for found in re.finditer(label, said, re.IGNORECASE | re.MULTILINE)]
    return tidied(said[ends[-1] :]) if ends else None


def tidied(text: str) -> str:
    """Return a model's reason, sanitized and shortened, without decoration around it."""
    return one_line(text, MAX_WHY).strip(_EDGES)


def _opens(lines: Sequence[str], row: int) -> bool:
    is_mark = lines[row].lstrip()[:1] in _FIRSTS
    return is_mark and any(one.begins(lines, row) for one in _MARKED)


def _read_marked(reading: AnswerReader, opened: Sequence[int]) -> Slip | bool:
    """Read the change, in any format, that begins at the current line.

    Return True if it was read, its mistake if it has one, or False if no change begins there.
    """
    if reading.ends_wrap(reading.at):
        reading.wrap = None
        reading.at += 1
        return True
    if _opens(reading.lines, reading.at):
        begun = next(one for one in _MARKED if one.begins(reading.lines, reading.at))
        return begun.read(reading) or True
    fence = reading.fence_at(reading.at)
    if fence is not None:
        return _read_fence(reading, fence, opened) or True
    if diffs.begins(reading.lines, reading.at):
        return diffs.read(reading) or True
    return False


def _read_fence(reading: AnswerReader, fence: CodeFence, opened: Sequence[int]) -> Slip | None:
    label, reading.label = reading.label.strip(_DECORATION), ""
    reading.name_by_fence(fence)
    inside = bisect_left(opened, fence.start)
    has_marks = inside < len(opened) and opened[inside] < fence.end
    if has_marks or _has_words(reading, fence):
        reading.wrap = reading.wrap or fence
        reading.at = fence.start
        return None
    is_diff = diffs.is_diff(reading, fence)
    body = reading.body(fence)
    text = "\n".join(body)
    reading.at = fence.after
    if is_diff:
        return diffs.read_lines(reading, body)
    if not reading.named and _is_unread(text):
        return _unread("A change in JSON or tags")
    if _UNREAD_PAIR.fullmatch(label):
        return _unread(f"The text below `{label}`")
    if fence.is_open and any(block.style == diffs.STYLE for block in reading.blocks):
        return Slip(message="A fence has no closing mark, or your diff contains a fence mark.")
    return _add_code(reading, body) if text.strip() else None


def _has_words(reading: AnswerReader, fence: CodeFence) -> bool:
    """Return whether a fence encloses a whole answer."""
    rows = range(fence.start, min(fence.end, fence.start + 4))
    first = next((reading.lines[row] for row in rows if reading.lines[row].strip()), "")
    return reading.is_heading(first)


def _add_code(reading: AnswerReader, body: Sequence[str]) -> Slip | None:
    """Store fenced code. A later comparison with the source decides if it is a whole file."""
    path = ""
    if reading.named:
        meant = editable_path(reading.named, reading.editable)
        if isinstance(meant, Slip):
            return meant
        path = meant
    elif commented := path_in_comment(body[0], reading.editable):
        meant = editable_path(commented, reading.editable)
        if isinstance(meant, Slip):
            return None  # an example from another file
        path = meant
    elif len(reading.editable) == 1:
        path = reading.editable[0]
    elif isinstance(meant := editable_path(reading.heading, reading.editable), str):
        path = meant
    reading.named = ""
    if len(reading.files) >= MAX_BLOCKS:
        return Slip(
            message=f"There are more than {MAX_BLOCKS} fenced blocks: give only the change."
        )
    if path:
        text = "\n".join([*body, ""])
        reading.files.append(WholeFile(path=path, text=text))
    return None


def _read_prose(reading: AnswerReader) -> Slip | None:
    line = reading.line
    if any(mark in line for mark in _STRAY_MARKS) and _STRAY.match(line):
        return Slip(
            message=f"`{line.strip()[:80]}` is not at the beginning of a line, or its block lacks "
            "a mark: begin each mark at the beginning of a line, and give all three."
        )
    if _is_unread(line, firsts=(*_UNREAD_FIRSTS, '"')):
        return _unread("A change in JSON or tags")
    reading.take_words()
    return None


def _is_unread(text: str, *, firsts: Sequence[str] = _UNREAD_FIRSTS) -> bool:
    return text.lstrip()[:1] in firsts and _UNREAD.search(text) is not None


def _unread(what: str) -> Slip:
    return Slip(
        message=f"{what} is not read: use SEARCH/REPLACE blocks, each with lines "
        "`<<<<<<< SEARCH`, `=======` and `>>>>>>> REPLACE`."
    )
