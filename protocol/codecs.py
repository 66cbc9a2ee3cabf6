"""Codecs that read, check and write single values of records, and rules for text.

Reading invalid input returns a `Rejected` with the reason. Limits of text count code points.
Anything accepted once must be accepted for ever.
"""

import itertools
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from protocol.encoding import MAX_INT, Value
from protocol.errors import Rejected

S = TypeVar("S")
T = TypeVar("T")

CLASS_PATTERN: Final = r"[a-z0-9_-]{1,48}"  # `_` occurs in cpu-x86_64
NAME_PATTERN: Final = r"[a-z0-9-]{1,48}"  # tasks and networks; used as folder names too
FLAG_PATTERN: Final = r"[a-z0-9_-]{1,32}"
IDENTIFIER_PATTERN: Final = FLAG_PATTERN  # statuses, verdicts, stages; later versions may add words
# Relative, with forward slashes; no component is hidden, "." or "..".
_COMPONENT = r"[A-Za-z0-9_][A-Za-z0-9._+-]*"
_PATH = re.compile(rf"{_COMPONENT}(/{_COMPONENT})*")
_IN_PATH = re.compile(r"[A-Za-z0-9._+/-]")
_MAX_PATH = 128
# Unicode's category Cc, which never changes: without, then with tab and newline.
_CONTROL_BUT_BREAKS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
_CONTROL = "\t\n" + _CONTROL_BUT_BREAKS
# Characters that are invisible, reverse text, end a line or are for private use. They are listed
# explicitly so that no version of Unicode changes the set. The joiners U+200C and U+200D and the
# variation selectors U+180B-180F and U+FE00-FE0F are allowed, because some languages and emoji need
# them.
_HIDDEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ue000-\uf8ff\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffc\ufffe\uffff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff"
) + "".join(chr(plane << 16 | last) for plane in range(1, 14) for last in (0xFFFE, 0xFFFF))
_NOT_IN_LINES = re.compile(f"[{_CONTROL}{_HIDDEN}]")
_NOT_IN_TEXT = re.compile(f"[{_CONTROL_BUT_BREAKS}{_HIDDEN}]")
_IS_HIDDEN = re.compile(f"[{_HIDDEN}]")
_PRINTED_LINES = 40  # shown at most of a failed program's output
# Controls, formatting (bidi overrides), surrogates, private use, and line separators.
_UNSAFE_TO_PRINT = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """A pair of functions that read (and check) and write one field's value."""

    read: Callable[[Value], T | Rejected]
    write: Callable[[T], Value]


def _same(value: Any) -> Value:
    return value  # type: ignore[no-any-return]


def integer(low: int = -MAX_INT, high: int = MAX_INT) -> Codec[int]:
    """Return a codec for an int from `low` to `high`; it rejects bools."""

    def read(value: Value) -> int | Rejected:
        if type(value) is not int:
            return Rejected("not an int")
        return value if low <= value <= high else Rejected(f"{value} is not in {low} … {high}")

    return Codec(read, _same)


def boolean() -> Codec[bool]:
    """Return a codec for a bool; it rejects 0 and 1."""
    return Codec(lambda value: value if type(value) is bool else Rejected("not a bool"), _same)


def binary(low: int, high: int) -> Codec[bytes]:
    """Return a codec for a byte string with a length of `low` to `high` bytes."""

    def read(value: Value) -> bytes | Rejected:
        if type(value) is not bytes:
            return Rejected("not bytes")
        if low <= len(value) <= high:
            return value
        return Rejected(f"{len(value)} bytes where {low} … {high} are allowed")

    return Codec(read, _same)


def digest() -> Codec[bytes]:
    """Return a codec for 32 bytes: a sha256, a key or an id."""
    return binary(32, 32)


def single_line(low: int, high: int) -> Codec[str]:
    """Return a codec for one line of `low` to `high` code points.

    Control and hidden characters are not allowed.
    """
    return _text(low, high, forbidden=_NOT_IN_LINES)


def long_text(high: int) -> Codec[str]:
    """Return a codec for text of at most `high` code points.

    Newline and tab are allowed, other control and hidden characters are not.
    """
    return _text(0, high, forbidden=_NOT_IN_TEXT)


def _text(low: int, high: int, *, forbidden: re.Pattern[str]) -> Codec[str]:
    def read(value: Value) -> str | Rejected:
        if type(value) is not str:
            return Rejected("not text")
        if not low <= len(value) <= high:
            return Rejected(f"{len(value)} characters where {low} … {high} are allowed")
        found = forbidden.search(value)
        if found is None:
            return value
        if _IS_HIDDEN.match(found[0]):
            return Rejected(f"the hidden character U+{ord(found[0]):04X}")
        return Rejected("a control character")

    return Codec(read, _same)


def utf8(high: int) -> Codec[str]:
    """Return a codec for text of at most `high` bytes in UTF-8. Surrogates are written as `?`."""

    def read(value: Value) -> str | Rejected:
        if type(value) is not bytes:
            return Rejected("not bytes")
        if len(value) > high:
            return Rejected(f"{len(value)} bytes where {high} are allowed")
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return Rejected("not UTF-8")

    return Codec(read, lambda item: item.encode("utf-8", "replace"))


def identifier(pattern: str) -> Codec[str]:
    """Return a codec for text that matches the whole pattern."""
    expression = re.compile(pattern)

    def read(value: Value) -> str | Rejected:
        if type(value) is not str:
            return Rejected("not text")
        return value if expression.fullmatch(value) else Rejected(f"does not match {pattern}")

    return Codec(read, _same)


def choice(*words: str) -> Codec[str]:
    """Return a codec for one of these words."""

    def read(value: Value) -> str | Rejected:
        if type(value) is not str or value not in words:
            return Rejected("not one of " + ", ".join(words))
        return value

    return Codec(read, _same)


def relative_path() -> Codec[str]:
    """Return a codec for a relative path that is valid on every system.

    No component may be hidden, "." or "..".
    """

    def read(value: Value) -> str | Rejected:
        if type(value) is str and path_fault(value) is None:
            return value
        return Rejected("not a plain relative path")

    return Codec(read, _same)


def path_fault(path: str) -> str | None:
    """Return the reason why a path is not a plain relative path; None if it is one.

    The reason names the first character that is not allowed. Such characters differ between
    systems, or would end a file name inside a patch.
    """
    if len(path) <= _MAX_PATH and _PATH.fullmatch(path):
        return None
    if len(path) > _MAX_PATH:
        return f"it has more than {_MAX_PATH} characters"
    begins = "each part of it must begin with a letter, a digit or an underscore"
    return odd_character(path) or begins


def odd_character(path: str) -> str | None:
    """Return a sentence on the first forbidden character of a path; None if there is none."""
    odd = next((one for one in path if not _IN_PATH.fullmatch(one)), None)
    if odd is None:
        return None
    named = "a space" if odd == " " else f"{odd!r} (U+{ord(odd):04X})"
    return f"it has {named}; only ASCII letters, digits and . _ + - are allowed in names in patches"


def any_map() -> Codec[Value]:
    """Return a codec for any map; its content is not checked."""
    return Codec(lambda value: value if type(value) is dict else Rejected("not a map"), _same)


def nullable(codec: Codec[T]) -> Codec[T | None]:
    """Return a codec that also accepts nil."""

    def read(value: Value) -> T | Rejected | None:
        return None if value is None else codec.read(value)

    return Codec(read, lambda item: None if item is None else codec.write(item))


def listing(codec: Codec[T], *, low: int = 0, high: int) -> Codec[tuple[T, ...]]:
    """Return a codec for a list of `low` to `high` items, read as a tuple."""

    def read(value: Value) -> tuple[T, ...] | Rejected:
        if type(value) is not list:
            return Rejected("not a list")
        if not low <= len(value) <= high:
            return Rejected(f"{len(value)} items where {low} … {high} are allowed")
        items: list[T] = []
        for index, entry in enumerate(value):
            item = codec.read(entry)
            if isinstance(item, Rejected):
                return Rejected(f"[{index}]: {item.reason}")
            items.append(item)
        return tuple(items)

    return Codec(read, lambda items: [codec.write(item) for item in items])


def pair(first: Codec[S], second: Codec[T]) -> Codec[tuple[S, T]]:
    """Return a codec for a list of two items, such as a name and a digest."""

    def read(value: Value) -> tuple[S, T] | Rejected:
        if type(value) is not list or len(value) != 2:
            return Rejected("not a pair")
        left, right = first.read(value[0]), second.read(value[1])
        if isinstance(left, Rejected):
            return left
        return right if isinstance(right, Rejected) else (left, right)

    return Codec(read, lambda item: [first.write(item[0]), second.write(item[1])])


def strictly_rising(names: list[str]) -> bool:
    """Return True if the names are sorted and none occurs twice."""
    return all(left < right for left, right in itertools.pairwise(names))


def fit_line(raw: str, limit: int) -> str:
    """Return `raw` as `single_line` accepts it: NFC, on one line, cut to `limit`."""
    return fit_text(" ".join(raw.split()), limit)


def fit_text(raw: str, limit: int) -> str:
    """Return `raw` as `long_text` accepts it: NFC, bad characters replaced, cut to `limit`.

    Cutting comes last, because any prefix of NFC text is NFC.
    """
    encodable = raw.encode("utf-8", "replace").decode("utf-8")
    shown = _NOT_IN_TEXT.sub("\ufffd", encodable)
    return unicodedata.normalize("NFC", shown)[:limit]


def printed_lines(text: str) -> list[str]:
    """Return the last lines that a program printed, in the form shown to users.

    Each line starts with "| ", so that it cannot pass for arnode's own output.
    """
    lines = [line for line in plain(text, lines=True).split("\n") if line.strip()]
    return [f"| {line}" for line in lines[-_PRINTED_LINES:]]


def plain(text: str, *, lines: bool = False) -> str:
    """Return text that is safe to print, with escapes for invisible characters.

    `lines` keeps newlines and tabs. Use this for display only: which characters are visible
    depends on Python's version of Unicode.
    """
    if text.isascii() and text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(
        spelt(character)
        if unicodedata.category(character) in _UNSAFE_TO_PRINT and character not in kept
        else character
        for character in text
    )


def spelt(character: str) -> str:
    """Return the Python escape of a character, such as \\x1b or \\u202e."""
    return character.encode("unicode_escape").decode("ascii")
