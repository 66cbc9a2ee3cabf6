"""The output of commands: data on stdout, untrusted text escaped, coloured only for people.

A title or a log message can contain escape sequences that rewrite the screen or the clipboard. So
every text from elsewhere goes through `protocol.codecs.plain`.
"""

import io
import json
import os
import re
import sys
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, cast

from protocol.encoding import Value

if TYPE_CHECKING:
    from rich.console import Console

# Spaces at the end of a line of text, before its final colour codes.
_PADDING = re.compile(r" +((?:\x1b\[[0-9;]*m)*)$", re.MULTILINE)
_ENDLESS = 100_000  # characters: wider than any table


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON document with its version first."""
    json.dump({"v": 1, **document}, sys.stdout, indent=2, ensure_ascii=True)
    sys.stdout.write("\n")


def to_json(value: Value) -> object:
    """Return a record's value for JSON, with bytes as hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {name: to_json(item) for name, item in value.items()}
    return value


def wants_color(env: Mapping[str, str]) -> bool:
    """Return True if stdout should be coloured, by `NO_COLOR`, `FORCE_COLOR` and the terminal.

    Either variable has no effect if empty (https://no-color.org, https://force-color.org).
    """
    if env.get("NO_COLOR"):
        return False
    return bool(env.get("FORCE_COLOR")) or (sys.stdout.isatty() and env.get("TERM") != "dumb")


class _Unpadded(io.TextIOBase):
    """Standard output without the trailing spaces that tables add."""

    def write(self, text: str) -> int:
        sys.stdout.write(_PADDING.sub(r"\1", text))
        return len(text)

    def flush(self) -> None:
        sys.stdout.flush()


def console() -> "Console":
    """Return a rich console for stdout; if that is no terminal, without padding or line wrapping.

    The live view works without colours, too.
    """
    from rich.console import Console

    coloured, is_seen = wants_color(os.environ), sys.stdout.isatty()
    is_terminal = is_seen and os.environ.get("TERM") != "dumb"
    return Console(
        file=None if is_seen else cast("IO[str]", _Unpadded()),
        force_terminal=coloured or is_terminal,
        no_color=not coloured,
        color_system="auto" if coloured else None,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not is_seen,
        width=None if is_seen else _ENDLESS,
    )
