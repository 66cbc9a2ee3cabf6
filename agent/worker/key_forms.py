"""The encodings of a secret to look for, and the forms of a text to search.

The secret is encoded once, in a few ways. Texts are never decoded piece by piece, because a piece
of a secret in base64 is always a piece of one of three base64 encodings of the whole secret.
Secrets and texts are reduced to letters and digits, in lower case. So blanks, quotes, plus signs,
line ends, invisible characters and other punctuation between pieces make no difference.
"""

import base64
import codecs
import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

OWN_CHARS: Final = 16  # shorter ones are words or placeholders, which honest answers contain
# The bits that consecutive characters of a secret must carry, so that by chance alone they occur …
RUN_BITS: Final = 40  # … hardly ever in all answers that a node receives
SUM_BITS: Final = 30  # … so rarely that over all answers they never add up to half of a secret
PIECE_BITS: Final = 20  # … so rarely that in one answer they never add up to most of a secret
LOOSE_CHARS: Final = 2  # extra length of a run whose letters are not adjacent in the text
_LONGEST_STRIDE: Final = 4
_LISTED_CHARS: Final = 8_000  # in longer texts, listing pieces is slower than searching
_MAX_PREFIX: Final = 20
# Common prefixes of a provider's keys, such as `sk-proj-`, `gsk_`, `AIza`.
_PREFIX: Final = re.compile(r"(bearer\s+)?(AIza(Sy)?|([A-Za-z]{1,8}\d{0,2}[-_])+)?", re.IGNORECASE)
_NOT_KEPT: Final = re.compile(r"[^a-z0-9]+")
_ESCAPE: Final = re.compile(
    r"(?:%|\\x|\\u\{?0{0,4}|U\+00|0x|&#x0{0,2})([0-7][0-9a-f])(?![0-9a-f])[};]?|&#0{0,2}(\d{2,3});",
    re.IGNORECASE,
)
_LITERAL: Final = re.compile(r"\"([^\"\n]{1,400})\"|'([^'\n]{1,400})'|`([^`\n]{1,400})`")
_DECIMAL: Final = re.compile(r"(?<![\d.])(\d{2,3})(?![\d.])")


@dataclass(frozen=True, slots=True)
class SecretForm:
    """One encoding of a secret. `is_plain`: it consists of the secret's own characters.

    `run`, `part` and `piece` are lengths: the numbers of consecutive characters that carry
    `RUN_BITS`, `SUM_BITS` and `PIECE_BITS`.
    """

    text: str
    run: int
    part: int
    piece: int
    is_plain: bool


@dataclass(frozen=True, slots=True)
class SearchedText:
    """One form of a text to search. `is_loose`: its letters are not adjacent in the text."""

    text: str
    is_loose: bool = False
    _pieces: dict[int, frozenset[str]] = field(default_factory=dict, compare=False, repr=False)

    def holds(self, piece: str) -> bool:
        """Return whether the text contains a piece. Fast for many pieces of one length."""
        if len(self.text) > _LISTED_CHARS:
            return piece in self.text
        length = len(piece)
        if length not in self._pieces:
            text, count = self.text, len(self.text) - length + 1
            self._pieces[length] = frozenset(text[at : at + length] for at in range(count))
        return piece in self._pieces[length]


def fold(text: str) -> str:
    """Return the ASCII letters and digits of a text, in lower case."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _NOT_KEPT.sub("", plain.lower())


def own_part(secret: str) -> str:
    """Return a secret without the prefix that all keys of its provider share."""
    found = _PREFIX.match(secret)
    end = found.end() if found is not None else 0
    own = secret[end:] if end <= _MAX_PREFIX else secret
    return own if len(fold(own)) >= OWN_CHARS else secret


def is_guarded(secret: str) -> bool:
    """Return whether texts are searched for pieces of a secret.

    Words and placeholders such as `EMPTY`, and secrets that are too short, are not searched for.
    """
    own = fold(own_part(secret))
    return len(own) >= OWN_CHARS and any(map(str.isdigit, own))


def is_plain_word(secret: str) -> bool:
    """Return whether a secret is a word, as used for servers without keys (`none`, `ollama`)."""
    return len(secret) < OWN_CHARS and not any(map(str.isdigit, secret))


def forms_of(secret: str) -> list[SecretForm]:
    """Return the encodings of a guarded secret."""
    own = own_part(secret)
    data, plain = own.encode("utf-8"), fold(own)
    bits = _bits(plain)
    written = [(plain, 1.0), (plain[::-1], 1.0), (fold(codecs.encode(own, "rot13")), 1.0)]
    written += [(data.hex(), 2.0), (data[::-1].hex(), 2.0)]
    written += [(_base64(data, shift), 4 / 3) for shift in range(3)]
    written += [(_base32(data, shift), 8 / 5) for shift in range(5)]
    return [_form(text, bits, ratio) for text, ratio in written]


def readings_of(text: str) -> Iterator[SearchedText]:
    """Yield the forms of a text to search: at most a dozen, none longer than the text."""
    whole = fold(text)
    yield SearchedText(whole)
    if (unescaped := _unescaped(text)) != text:
        yield SearchedText(fold(unescaped))
    literals = "".join("".join(found.groups("")) for found in _LITERAL.finditer(text))
    if literals:
        yield SearchedText(fold(_unescaped(literals)))
    numbers = [int(found[1]) for found in _DECIMAL.finditer(text)]
    yield SearchedText(fold("".join(map(chr, (one for one in numbers if 32 < one < 127)))))
    for stride in range(2, _LONGEST_STRIDE + 1):
        for start in range(stride):
            yield SearchedText(whole[start::stride], True)


def _bits(text: str) -> float:
    """Return the most bits that one character of a secret carries, given its alphabet."""
    if text.isdigit():
        return math.log2(10)
    return math.log2(16 if set(text) <= set("0123456789abcdef") else 36)


def _form(text: str, bits: float, ratio: float) -> SecretForm:
    def chars(worth: int) -> int:
        return math.ceil(math.ceil(worth / bits) * ratio)

    return SecretForm(
        text, chars(RUN_BITS), chars(SUM_BITS), chars(PIECE_BITS), is_plain=ratio == 1.0
    )


def _base64(data: bytes, shift: int) -> str:
    """Return data in base64 as it appears at offset `shift` in other data.

    Characters that also depend on the neighbouring data are left out.
    """
    text = base64.b64encode(bytes(shift) + data).decode("ascii").rstrip("=")
    return fold(text[math.ceil(shift * 4 / 3) : -1])


def _base32(data: bytes, shift: int) -> str:
    text = base64.b32encode(bytes(shift) + data).decode("ascii").rstrip("=")
    return fold(text[math.ceil(shift * 8 / 5) : -1])


def _unescaped(text: str) -> str:
    def letter(found: re.Match[str]) -> str:
        number = int(found[1], 16) if found[1] else int(found[2])
        return chr(number) if 32 < number < 127 else found[0]

    return _ESCAPE.sub(letter, text)
