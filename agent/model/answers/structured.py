"""Edits and files as JSON, bare or in a fence, with the keys that editors' tools made usual.

    {"title": …, "edits": [{"path": …, "search": …, "replace": …}]}
    {"file": …, "content": …}

What is JSON but no edit is an example, and nobody's business here.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent.model.answers import diffs, patches
from agent.model.answers.draft import MAX_BLOCKS, Slip, Style
from agent.model.answers.names import path_in
from agent.model.answers.reading import Reading

STYLE: Style = "JSON"
_PATHS: Final = ("path", "file", "filename", "file_path", "filepath", "file_name")
_OLD: Final = (
    *("search", "old_string", "old_str", "old_text", "old_code", "find", "old", "original"),
    "before",
)
_NEW: Final = (
    *("replace", "new_string", "new_str", "new_text", "new_code", "replacement", "new"),
    *("updated", "after", "replace_with"),
)
_CONTENTS: Final = ("content", "contents", "new_content", "code", "source")
_LISTS: Final = (
    *("edits", "changes", "files", "blocks", "replacements", "patches", "modifications"),
    "operations",
)
_CALLS: Final = ("arguments", "input", "parameters")  # of a tool that is not there
_DIFFS: Final = ("diff", "patch")
_WHYS: Final = ("why", "reason", "rationale", "explanation", "description")
_MOST_DEPTH: Final = 4
_MAX_REST: Final = 400


class _TwiceError(ValueError):
    """A key comes twice in one object. `key` is which."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def may_begin(line: str) -> bool:
    """Say whether a line, or a whole text, looks like the beginning of JSON."""
    return line.lstrip()[:1] in ("{", "[")


def read(reading: Reading) -> Slip | bool:
    """Take in the JSON at hand and say whether there is any, or what is wrong with it."""
    text = "\n".join(reading.lines[reading.at :])
    try:
        value, end = _DECODER.raw_decode(text, len(text) - len(text.lstrip()))
    except _TwiceError as error:
        return _twice(error)
    except (ValueError, RecursionError) as error:
        paragraph = text.partition("\n\n")[0]
        return _unreadable(error) if _looks_like_edits(paragraph) else False
    taken = _take(reading, value, "", _MOST_DEPTH)
    if taken is True:
        if text[end : end + _MAX_REST].partition("\n")[0].strip(" \t,;`"):
            return Slip(message="Behind your JSON there is more: begin a new line there.")
        reading.at += text.count("\n", 0, end) + 1
    return taken


def read_text(reading: Reading, text: str) -> Slip | bool:
    """Take in a text that is nothing but JSON, as in a fence, and say whether it is of edits."""
    values: list[tuple[str, Any]] = []
    rest = text.strip()
    try:
        while rest and len(values) <= MAX_BLOCKS:
            value, end = _DECODER.raw_decode(rest)
            values.append(("", value))
            rest = rest[end:].lstrip()
    except _TwiceError as error:
        return _twice(error)
    except (ValueError, RecursionError) as error:
        return _unreadable(error) if _looks_like_edits(text) else False
    if rest:
        return Slip(message=f"There are more than {MAX_BLOCKS} texts of JSON: make them one.")
    return _take_all(reading, values, _MOST_DEPTH + 1)


def _take(reading: Reading, value: Any, path: str, depth: int) -> Slip | bool:
    """Take in what a value says, and say whether it says anything."""
    if depth and isinstance(value, list):
        return _take_all(reading, [(path, one) for one in value], depth)
    if not (depth and isinstance(value, dict)):
        return False
    path = _text(value, _PATHS) or path
    old, new = _text(value, _OLD), _text(value, _NEW)
    content, diff = _text(value, _CONTENTS), _text(value, _DIFFS)
    parts = _parts(value, path)
    is_edit, is_file = old is not None and new is not None, content is not None and bool(path)
    ways = (is_edit, is_file, diff is not None, bool(parts))
    if sum(ways) > 1 or (any(ways) and _is_said_twice(value)):
        return Slip(message="One object in your JSON says its change in two ways: give one.")
    if old is not None and new is not None:
        return _add(reading, old, new, path) or True
    if is_file and content is not None:
        return reading.add_file(path, _ended(content)) or True
    if diff is not None:
        return _take_diff(reading, diff, path)
    taken = _take_all(reading, parts, depth) if parts else False
    if taken is True:
        reading.title = reading.title or _text(value, ("title",)) or ""
        reading.why = reading.why or _text(value, _WHYS) or ""
    elif not parts and any(value.get(key) == [] for key in _LISTS):
        return Slip(message="Your JSON has no edit in it.")
    return taken


def _parts(value: Mapping[str, Any], path: str) -> list[tuple[str, Any]]:
    """Return the objects in one that have edits or files, each with the path that is said of it."""
    parts: list[tuple[str, Any]] = []
    by_path = [value]
    parts += [(path, value[key]) for key in _CALLS if isinstance(value.get(key), dict)]
    for key in _LISTS:
        match value.get(key):
            case list() as inner:
                parts += [(path, one) for one in inner if isinstance(one, dict)]
            case dict() as inner:
                by_path.append(inner)
    for files in by_path:
        for key, one in files.items():
            if path_in(key):
                parts.append((key, {"content": one} if isinstance(one, str) else one))
    return parts


def _take_all(reading: Reading, values: Sequence[tuple[str, Any]], depth: int) -> Slip | bool:
    taken: set[bool] = set()
    for path, value in values:
        found = _take(reading, value, path, depth - 1)
        if isinstance(found, Slip):
            return found
        taken.add(found)
    if taken == {True, False}:
        return Slip(
            message="An edit in your JSON is not complete: each needs the file, the old text and "
            "the new text (`path`, `search`, `replace`)."
        )
    return True in taken


def _is_said_twice(value: Mapping[str, Any]) -> bool:
    """Say whether an object has two keys that mean the same."""
    return any(
        sum(isinstance(value.get(key), str) for key in keys) > 1
        for keys in (_PATHS, _OLD, _NEW, _CONTENTS, _DIFFS)
    )


def _take_diff(reading: Reading, text: str, path: str) -> Slip | bool:
    lines = text.split("\n")
    inner = Reading(lines=lines, editable=reading.editable, named=path, blocks=reading.blocks)
    if patches.begins(lines, 0):
        return patches.read(inner) or True
    return diffs.read_lines(inner, lines) or True


def _add(reading: Reading, old: str, new: str, path: str) -> Slip | None:
    """Take in a string and the one that replaces it: whole lines, or a part of one."""
    if not old.endswith("\n"):
        return reading.add(STYLE, old.split("\n"), new.split("\n") if new else (), path=path)
    if new and not new.endswith("\n"):
        return Slip(
            message="In your JSON an old text ends with the end of a line and the new one does "
            "not: end both alike."
        )
    search, replace = old.split("\n")[:-1], new.split("\n")[:-1]
    return reading.add(STYLE, search, replace, path=path)


def _text(value: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """Return the text under the first of the keys that has one; lists of lines are joined."""
    for key in keys:
        match value.get(key):
            case str() as text:
                return text
            case [str(), *_] as lines if all(isinstance(line, str) for line in lines):
                return "\n".join(lines)
    return None


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def _looks_like_edits(text: str) -> bool:
    return any(f'"{key}"' in text for key in (*_OLD, *_CONTENTS)) and ":" in text


def _twice(error: _TwiceError) -> Slip:
    return Slip(message=f"In your JSON one object has the key `{error.key[:40]}` twice.")


def _unreadable(error: ValueError | RecursionError) -> Slip:
    where = (
        f" at line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else ""
    )
    return Slip(
        message=f"Your JSON cannot be read{where}. Quotes, backslashes and line ends of code are "
        "escaped there; SEARCH/REPLACE blocks need none of that."
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise _TwiceError(key)
        made[key] = value
    return made


# Models put line ends into strings as they are.
_DECODER: Final = json.JSONDecoder(strict=False, object_pairs_hook=_object)
