"""Sanitizers for untrusted text before a model reads it: cleaned, cut and fenced.

Text by a peer, a run or a model enters a prompt only on marked lines inside a fence. Its author
cannot guess the mark. The sanitized text contains nothing that chat templates or the answer format
read as markup.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from protocol.hygiene import is_hidden

MAX_TITLE: Final = 120
MAX_WHY: Final = 600
MAX_DIFF_LINES: Final = 120
MAX_LOG_LINES: Final = 50
MAX_LINE: Final = 200

# Input characters read for each character of the limit, because hidden ones are dropped first.
_SLACK = 4
_WORD = re.compile(r"[^\W\d_]+")
# `<|im_start|>`, `</s>`, `<<SYS>>`, `[INST]`: what a server may read as the start of a turn.
_TAG = re.compile(r"<(?=<?[|/!?A-Za-z_])|\|(?=>)|\[(?=/?g?[A-Z_]{3,}\])|`(?=``)")
_RUN = re.compile(r"([<=>])\1{2,}")  # of conflict markers, and of our answer format
_BLANKS = re.compile(r"\s+")
_MARKUP = frozenset("<>|[]`{}=")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteFence:
    """The borders of quotes in one prompt. Nobody can guess `nonce` in advance."""

    nonce: str

    @property
    def mark(self) -> str:
        """The prefix of every quoted line."""
        return f"{self.nonce[:4]}| "

    def quote(self, label: str, lines: Iterable[str]) -> str:
        """Return the lines, marked, inside borders with a trusted `label`."""
        return self.around(label, self.marked(lines))

    def marked(self, lines: Iterable[str]) -> list[str]:
        """Return the lines, each with the mark, without borders."""
        return [f"{self.mark}{_defused(line)}" for text in lines for line in text.split("\n")]

    def around(self, label: str, marked: Iterable[str]) -> str:
        """Return marked lines between borders with a trusted `label`."""
        return "\n".join([self._edge(f"quoted: {label}"), *marked, self._edge("end")])

    def source(self, path: str, text: str) -> str:
        """Return a file between two borders, unmarked, so that it can be copied exactly."""
        body = text if text.endswith("\n") else f"{text}\n"
        return f"{self._edge(f'source: {path}')}\n{body}{self._edge('end')}"

    def _edge(self, label: str) -> str:
        return f"--- {self.nonce} {label} ---"


def fence_for(secret: bytes, content: str) -> QuoteFence:
    """Return the fence of a prompt. The same `content` and `secret` give the same fence.

    Peers cannot guess it without `secret`, at least 16 bytes that only this node knows.
    """
    if len(secret) < 16:
        raise ValueError("the secret of a fence must have at least 16 bytes")
    data = content.encode("utf-8", "backslashreplace")
    return QuoteFence(nonce=hashlib.blake2b(data, key=secret[:64], digest_size=8).hexdigest())


def one_line(text: str, limit: int) -> str:
    """Return prose as one line of at most `limit` characters, none of them hidden."""
    shown = _visible(_BLANKS.sub(" ", text[: _SLACK * limit]))
    styled = {one: _spelt(one) for one in set(shown) if _is_styled(one)}
    plain = "".join(styled.get(one, one) for one in shown) if styled else shown
    spelt = _WORD.sub(lambda word: _spelt_if_mixed(word[0]), plain)
    return _cut(_BLANKS.sub(" ", spelt).strip(), limit)


def code_line(text: str, limit: int = MAX_LINE) -> str:
    """Return a line of untrusted code, with escapes for all letters that are not ASCII."""
    shown = _visible(text[: _SLACK * limit].replace("\n", " ").rstrip())
    return _cut("".join(_spelt(one) if _is_letter(one) else one for one in shown), limit)


def diff_lines(diff: str, most: int = MAX_DIFF_LINES) -> tuple[str, ...]:
    """Return the first lines of a unified diff, and a line with the number of further lines."""
    whole = diff.removesuffix("\n")
    shown = whole[: 2 * _SLACK * most * MAX_LINE].split("\n", most)[:most]
    more = whole.count("\n") + 1 - len(shown)
    return (*map(code_line, shown), *([f"… {more} more lines"] if more else []))


def log_lines(log: str, most: int = MAX_LOG_LINES) -> tuple[str, ...]:
    """Return the last lines of a program's output, with carriage returns applied."""
    tail = log[-2 * _SLACK * most * MAX_LINE :].replace("\r\n", "\n").rstrip("\n")
    lines = tail.rsplit("\n", most)[-most:]
    return tuple(code_line(line.rstrip("\r").rsplit("\r", 1)[-1]) for line in lines)


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    hidden = {one for one in set(text) if is_hidden(one)}
    shown = "".join(one for one in text if one not in hidden) if hidden else text
    return unicodedata.normalize("NFC", shown)


def _is_styled(character: str) -> bool:
    """Return whether a character is a styled variant of an ASCII one, such as full width."""
    if character.isascii():
        return False
    plain = unicodedata.normalize("NFKC", character)
    return any(one in _MARKUP or (one.isascii() and one.isalpha()) for one in plain)


def _is_letter(character: str) -> bool:
    if character.isascii():
        return False
    return unicodedata.category(character)[0] in "LMN" or _is_styled(character)


def _spelt_if_mixed(word: str) -> str:
    """Escape letters of other scripts among ASCII letters; a wholly Greek word is unchanged."""
    if word.isascii() or not any(one.isascii() for one in word):
        return word
    return "".join(_spelt(one) if _is_of_another_script(one) else one for one in word)


def _is_of_another_script(character: str) -> bool:
    is_latin = character.isascii() or unicodedata.name(character, "").startswith("LATIN ")
    return unicodedata.category(character)[0] == "L" and not is_latin


def _spelt(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _defused(line: str) -> str:
    """Return a line with a space inside every start of a tag or marker."""
    return _TAG.sub(lambda found: f"{found[0]} ", _RUN.sub(r"\1\1", _visible(line)))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
