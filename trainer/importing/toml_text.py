"""Writes the subset of TOML for task folders: texts, numbers, booleans, lists and tables."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, Union

Scalar: TypeAlias = str | bool | int | float
Value: TypeAlias = Union[Scalar, Sequence[Scalar], Mapping[str, "Value"]]  # noqa: UP007 -- recursive

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_INLINE: Final = ("guards",)  # tables whose subtables are written inline


def toml_text(table: Mapping[str, Value], comments: Mapping[str, str] | None = None) -> str:
    """Return a TOML document. `comments` are placed after the fields with these dotted names."""
    return "\n".join(_section(table, "", comments or {})).lstrip("\n") + "\n"


def quoted(text: str) -> str:
    """Return a text as a TOML string, in quotes."""
    escaped = "".join(_ESCAPES.get(letter, letter) for letter in text)
    # TOML refuses other control characters unless they are escaped.
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\u{ord(m[0]):04x}", escaped) + '"'


def _section(table: Mapping[str, Value], prefix: str, comments: Mapping[str, str]) -> list[str]:
    is_flat = prefix in _INLINE
    lines: list[str] = []
    for name, value in table.items():
        if isinstance(value, Mapping) and not is_flat:
            continue
        comment = comments.get(f"{prefix}.{name}" if prefix else name)
        line = f"{_key(name)} = {_inline(value)}"
        lines.append(f"{line}  # {comment}" if comment else line)
    for name, value in table.items():
        if isinstance(value, Mapping) and not is_flat:
            inner = f"{prefix}.{_key(name)}" if prefix else _key(name)
            lines += ["", f"[{inner}]", *_section(value, inner, comments)]
    return lines


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else quoted(name)


def _inline(value: Value) -> str:
    match value:
        case str():
            return quoted(value)
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{value} is not a finite number")
            return repr(value)
        case Mapping():
            inner = ", ".join(f"{_key(name)} = {_inline(item)}" for name, item in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case _:
            return f"[{', '.join(_inline(item) for item in value)}]"
