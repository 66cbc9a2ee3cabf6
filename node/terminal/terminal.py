"""The output of commands: data on stdout, untrusted text escaped, coloured only for people.

A title or a log message can contain escape sequences that rewrite the screen or the clipboard. So
every text from elsewhere goes through `protocol.codecs.plain`.

In a terminal, text wraps between words, and a command in backticks stays on one line. If the locale
is not UTF-8, such as `LC_ALL=C`, a terminal gets ASCII only. Files and pipes get whole lines in
UTF-8.
"""

import io
import json
import locale
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Final, TextIO, cast

from protocol.codecs import plain
from protocol.encoding import Value

if TYPE_CHECKING:
    from rich.console import Console

# Spaces at the end of a line of text, before its final colour codes.
_PADDING = re.compile(r" +((?:\x1b\[[0-9;]*m)*)$", re.MULTILINE)
_ENDLESS = 100_000  # characters: wider than any table
_BACKTICKED = re.compile(r"`[^`\n]*`")
NO_BREAK: Final = "\xa0"
_FIGURES = dict(zip("─━│┃┤█▶●·–┐└┘┌┓┗┛┏╭╮╰╯", "-=|#||>*.-" + 12 * "+", strict=True))
_ASCII: Final = str.maketrans({**_FIGURES, "→": "->", "…": "...", "×": "x"})


class AsciiStream(io.TextIOWrapper):
    """A terminal's stream that spells every character in ASCII.

    In text that was already laid out, such as the live view, an ellipsis keeps its width.
    """

    def write(self, text: str) -> int:
        super().write(spelt_in_ascii(text.replace("…", "~")))
        return len(text)


def spelt_in_ascii(text: str) -> str:
    """Return text in ASCII: arnode's own symbols by similar ones, other characters as escapes."""
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")


def is_ascii_terminal(stream: TextIO) -> bool:
    """Return True if this stream is a terminal in a locale without UTF-8.

    Python writes UTF-8 in the C locale, too. So the stream's own encoding is no answer.
    """
    return stream.isatty() and locale.getencoding().lower().replace("-", "") != "utf8"


def seen(text: str) -> str:
    """Return untrusted text as stdout can show it, before its width is measured."""
    stream = getattr(sys.stdout, "rich_proxied_file", sys.stdout)  # in a live view
    return spelt_in_ascii(plain(text)) if isinstance(stream, AsciiStream) else plain(text)


def say(text: str = "", *, err: bool = False, hang: int | None = None) -> None:
    """Print lines of text that is safe to print. In a terminal, long lines wrap between words.

    Further lines of a wrapped line are indented by `hang` columns, by default two more than its
    first line. A no-break space keeps two words on one line.
    """
    stream = sys.stderr if err else sys.stdout
    if isinstance(stream, AsciiStream):
        text = NO_BREAK.join(map(spelt_in_ascii, text.split(NO_BREAK)))
    if stream.isatty():
        width = shutil.get_terminal_size().columns
        text = "\n".join(_wrapped(line, width, hang) for line in text.split("\n"))
    print(text.replace(NO_BREAK, " "), file=stream, flush=True)


def ask_at_terminal(lines: list[str], question: str) -> bool:
    """Show the lines and ask on stderr. The default answer is no."""
    import click

    for line in lines:
        say(line, err=True)
    return click.confirm(question, default=False, err=True)


def _wrapped(line: str, width: int, hang: int | None) -> str:
    """Return a line in several lines of at most `width` columns; a longer word is not broken."""
    if len(line) <= width or " " not in line.strip():
        return line
    indent = len(line) - len(line.lstrip()) + 2 if hang is None else hang
    return "\n".join(
        textwrap.wrap(
            _BACKTICKED.sub(lambda found: found[0].replace(" ", NO_BREAK), line),
            width,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
            expand_tabs=False,
            replace_whitespace=False,
        )
    )


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
