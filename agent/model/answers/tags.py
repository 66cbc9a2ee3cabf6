"""Old and new text between tags, like `<old_str>…</old_str>` and `<new_str>…</new_str>`.

The first tag begins a line, others that say which file may be around it. Between tags text stands
as it is, without the escapes of XML.
"""

import re
from collections.abc import Sequence
from typing import Final

from agent.model.answers.draft import Slip, Style
from agent.model.answers.marked import unfenced
from agent.model.answers.names import path_in
from agent.model.answers.reading import Reading

STYLE: Style = "tags"
_OLD: Final = "old_str|old_string|old_code|old_text|old|original|search|find|before"
_NEW: Final = "new_str|new_string|new_code|new_text|new|updated|replacement|replace|after"
_PARAMETER: Final = r"(parameter(?: name)?=\"?)?"  # as a call of a tool that is not there
_OPENS = re.compile(
    rf"\s{{0,20}}<{_PARAMETER}({_OLD}|content|file_content|file_text)\"?>", re.IGNORECASE
)
_OPENS_NEW = re.compile(rf"\s{{0,200}}<{_PARAMETER}({_NEW})\"?>", re.IGNORECASE)
_ONLY_ENDS = re.compile(r"(?:\s{0,20}</[\w:.-]{1,40}>){0,8}\s*")
_LAST_INDENT = re.compile(r"\n[ \t]{0,40}\Z")
_MAX_REST: Final = 400
_FILE_TAGS: Final = ("content", "file_content", "file_text")


def begins(lines: Sequence[str], at: int) -> bool:
    """Say whether a line opens an old text, or a whole file that the line before names."""
    opened = _OPENS.match(lines[at])
    is_file = opened is not None and opened[2].lower() in _FILE_TAGS
    return opened is not None and not (is_file and not (at and path_in(lines[at - 1])))


def read(reading: Reading) -> Slip | None:
    """Take in the texts whose first tag is at hand, or say what is wrong with them."""
    text = "\n".join(reading.lines[reading.at :])
    opened = _OPENS.match(text)
    if opened is None:
        return None
    found = _inside(text, opened)
    if isinstance(found, Slip):
        return found
    old, end = found
    if opened[2].lower() in _FILE_TAGS:
        reading.at += text.count("\n", 0, end) + 1
        return reading.add_file(reading.named or reading.heading, "\n".join([*old, ""]))
    opened_new = _OPENS_NEW.match(text, end)
    if opened_new is None:
        return Slip(
            message=f"`{_closing(opened)}` is not followed by the new text in a tag of its own."
        )
    found = _inside(text, opened_new)
    if isinstance(found, Slip):
        return found
    new, end = found
    rest = text[end : end + _MAX_REST].partition("\n")[0]
    if not _ONLY_ENDS.fullmatch(rest):
        return Slip(
            message=f"Behind `{_closing(opened_new)}` there is more: begin a new line there."
        )
    reading.at += text.count("\n", 0, end) + 1
    search, replace = unfenced(old, new)
    return reading.add(STYLE, search, replace)


def _closing(opened: re.Match[str]) -> str:
    return "</parameter>" if opened[1] else f"</{opened[2]}>"


def _inside(text: str, opened: re.Match[str]) -> tuple[list[str], int] | Slip:
    """Return the lines between a tag and its end, less the line breaks beside them."""
    closing = _closing(opened)
    end = text.find(closing, opened.end())
    if end < 0:
        return Slip(message=f"`<{opened[2]}>` has no end `{closing}`.")
    inner = text[opened.end() : end]
    is_empty = not inner.strip() and inner.count("\n") <= 1
    lines = _LAST_INDENT.sub("", inner.removeprefix("\n")).split("\n")
    return ([] if is_empty else lines), end + len(closing)
