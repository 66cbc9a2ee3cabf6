"""Finders for the path that a line, a fence, a tag or a comment names.

A line names a path if it contains hardly anything else, or if it ends with a colon and mentions
exactly one editable file. No name is guessed.
"""

import re
from collections.abc import Sequence
from typing import Final

from agent.model.answers.draft import Slip

_MAX_LINE: Final = 400
_PATH = re.compile(r"(?:[\w.+-]{0,80}/){0,8}[\w+-][\w.+-]{0,80}\.[A-Za-z]\w{0,7}", re.ASCII)
_LABEL = re.compile(
    r"(?:\d{1,3}[.)] )?"
    r"(?:(?:in|edit|update|updated|modify|modified|new|full|complete|the|changes? (?:to|in)) ){0,3}"
    r"(?:(?:file ?name|file_?path|file|path)\b ?:? ?)?",
    re.IGNORECASE,
)
_REMARK = re.compile(r" ?\((?:updated|modified|changed|new|full|complete|whole)[^()]{0,40}\)?")
_TAGGED = re.compile(
    r"\s{0,20}<(?:file|path|file_?path|file_?name)>"
    r"([^<>]{1,200})</\w{1,20}>\s*"
)
_ATTRIBUTE = re.compile(
    r"\s{0,20}<\w{1,40}(?: [^<>]{0,80})? ?\b(?:path|file|file_?name|file_?path|name)="
    r"[\"']([^\"'<>]{1,200})[\"'][^<>]{0,80}>\s*"
)
_COMMENT = re.compile(r"\s{0,8}(?:#|//|--|;|/\*|<!--)\s?(.{1,200}?)\s{0,8}(?:\*/|-->)?\s*")
_DECORATION: Final = "*`#:\"'[]()<> \t"


def path_in(line: str, editable: Sequence[str] = ()) -> str:
    """Return the path that a line names, or "" if it names none."""
    if len(line) > _MAX_LINE or not any(path in line for path in (".", *editable)):
        return ""
    tagged = _TAGGED.fullmatch(line) or _ATTRIBUTE.fullmatch(line)
    if tagged is not None:
        return _bare(tagged[1], editable)
    named = _bare(line, editable)
    if named or not line.rstrip(" \t*_").endswith(":"):
        return named
    words = {word.strip(_DECORATION + ",.;") for word in line.split()}
    spoken_of = [path for path in editable if path in words]
    return spoken_of[0] if len(spoken_of) == 1 else ""


def path_in_info(info: str, editable: Sequence[str] = ()) -> str:
    """Return the path in the info string of a fence, such as `python title="train.py"`."""
    words = re.split(r"[\s:={}]+", info.strip())
    return next((path for word in reversed(words) if (path := _bare(word, editable))), "")


def path_in_comment(line: str, editable: Sequence[str] = ()) -> str:
    """Return the path in a comment that contains nothing else, such as `# train.py`, or ""."""
    comment = _COMMENT.fullmatch(line) if len(line) <= _MAX_LINE else None
    return "" if comment is None else _bare(comment[1], editable)


def editable_path(named: str, editable: Sequence[str]) -> str | Slip:
    """Return the editable file with this name. The name may have extra folders before it."""
    if not named and len(editable) == 1:
        return editable[0]
    listed = ", ".join(editable)
    if not named:
        return Slip(message=f"Name the file on the line before each block: {listed}.")
    meant = [path for path in editable if named == path or named.endswith(f"/{path}")]
    if not meant:
        return Slip(message=f"You may not change {named}: only {listed}.")
    return max(meant, key=len)


def _bare(text: str, editable: Sequence[str]) -> str:
    inner = _LABEL.sub("", text.strip(_DECORATION), count=1).strip(_DECORATION)
    inner = _REMARK.sub("", inner, count=1).strip(_DECORATION)
    return inner if inner in editable or _PATH.fullmatch(inner) else ""
