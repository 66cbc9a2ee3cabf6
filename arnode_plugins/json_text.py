"""Helpers to read JSON that may have been cut off, wrapped or appended to."""

import json
from typing import Final, cast

from node.store.imported_rows import shown

SPACE: Final = " \t\r\n"


def is_json(data: bytes) -> bool:
    """Return True if a file begins like JSON and not like a table."""
    return data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def object_in(text: str) -> dict[str, object] | None:
    """Return the JSON object in a text, or None if the text is not one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def after(text: str, at: int, skipped: str) -> int:
    """Return the first index from `at` on whose character is not in `skipped`."""
    while at < len(text) and text[at] in skipped:
        at += 1
    return at


def shown_value(value: object) -> str:
    """Return a value as text to show; values other than strings as JSON."""
    return shown(value if isinstance(value, str) else json.dumps(value))
