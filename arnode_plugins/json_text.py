"""Reads JSON that somebody appended to, cut off or wrapped."""

import json
from typing import Final, cast

from node.store.foreign_rows import shown

SPACE: Final = " \t\r\n"


def is_json(data: bytes) -> bool:
    """Say whether a file begins as JSON does, and not as a table."""
    return data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def object_in(text: str) -> dict[str, object] | None:
    """Return the object that a text is, None if it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def after(text: str, at: int, skipped: str) -> int:
    """Return the first place from `at` on where none of these characters stands."""
    while at < len(text) and text[at] in skipped:
        at += 1
    return at


def shown_value(value: object) -> str:
    """Return what of a value is shown."""
    return shown(value if isinstance(value, str) else json.dumps(value))
