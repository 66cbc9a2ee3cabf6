"""Checks that a source is plain, small, readable text before it is run or shown.

Every source is checked before it runs, this node's own included, but not when a record arrives. The
security boundary is the sandbox, not these checks. A separate check, the capability lint, finds
sources that do more than arithmetic. Nothing is parsed here, and an ASCII source is not even
tokenised.
"""

import io
import re
import tokenize
import unicodedata
import zlib
from collections.abc import Collection
from dataclasses import dataclass

from protocol.errors import Rejected
from protocol.manifest import MAX_FILES, TaskManifest
from protocol.regions import check_regions
from protocol.source import Source, check_words

MAX_FILE_BYTES = 256 * 1024
MAX_LINES = 4_000

# Totals of docs/threat-model.md. LEAK_BITS_PER_RUN: how much a scored run can leak about its text.
# SIDE_CHANNEL_BITS: how much later runs of the same sources can learn from it, through the kernel's
# counters and timing.
LEAK_BITS_PER_RUN = 20
SIDE_CHANNEL_BITS = 64

# Characters in categories of letters, marks and symbols that are drawn as nothing: Hangul fillers,
# Khmer inherent vowels, the Braille blank, the grapheme joiner and the variation selectors.
_BLANK_ORDINALS = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0}
    | set(range(0x180B, 0x1810))
    | set(range(0xFE00, 0xFE10))
    | set(range(0xE0100, 0xE01F0))
)
# Controls, formats (bidi, zero width, the BOM), surrogates, private use, unassigned, separators.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
_COOKIE = re.compile(r"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.ASCII)
# Tokens that may contain non-ASCII letters. From Python 3.12 on, an f-string is several tokens.
_FREE_TEXT = frozenset(
    number
    for number, name in tokenize.tok_name.items()
    if name in {"COMMENT", "STRING", "FSTRING_MIDDLE", "TSTRING_MIDDLE"}
)


def check_for_task(source: Source, manifest: TaskManifest, *, baseline: Source) -> Rejected | None:
    """Return why this source may not run for a task, or None; `baseline` is the task's own."""
    fault = check_source(
        source,
        editable=[path for path, _ in manifest.files],
        baseline=baseline,
        max_growth_bytes=manifest.limits.max_source_growth_bytes,
    )
    if fault is not None or manifest.program is None:
        return fault
    fault = check_words(source, manifest.program.forbid or ())
    return fault or check_regions(source, manifest.program.regions or (), baseline=baseline)


def check_source(
    source: Source, *, editable: Collection[str], baseline: Source, max_growth_bytes: int
) -> Rejected | None:
    """Return why this source may not run, or None.

    Growth over the task's `baseline` is measured on compressed sources. Memorised text or weights
    add much to that size; comments and blank lines add little.
    """
    paths = [name for name, _ in source.files]
    unlisted = [name for name in paths if name not in editable]
    missing = [name for name, _ in baseline.files if name not in paths]
    if unlisted:
        return Rejected(f"{unlisted[0]!r} is not one of the task's editable files")
    if missing:
        return Rejected(f"{missing[0]} is missing")
    if len(paths) > MAX_FILES:
        return Rejected(f"{len(paths)} files, more than {MAX_FILES}")
    for name, data in source.files:
        fault = _file_fault(name, data)
        if fault is not None:
            return Rejected(f"{name}: {fault}")
    growth_bytes = compressed_size_bytes(source) - compressed_size_bytes(baseline)
    if growth_bytes > max_growth_bytes:
        return Rejected(
            f"the compressed source grew by {growth_bytes} bytes, more than {max_growth_bytes}"
        )
    return None


def compress(data: bytes) -> bytes:
    """Return `data` compressed with zlib at level 9."""
    return zlib.compress(data, 9)


def compressed_size_bytes(source: Source) -> int:
    """Return the compressed size of the whole source."""
    return len(compress(b"".join(data for _, data in source.files)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The text of a secret split, and how much of it a candidate could know.

    `bytes` is the amount that is scored. `pool_bytes` is the size of the pool that it is drawn
    from; None if every split is newly generated. `is_public`: anyone can get the pool.
    `prior_runs` is the number of earlier runs scored on text of the pool, which may leak.
    """

    bytes: int
    pool_bytes: int | None
    is_public: bool
    prior_runs: int


def memorised(base: Source, candidate: Source, scored: Scored) -> float:
    """Return the most that a candidate could gain over its base by knowing the text, in bits/byte.

    A split is drawn after the source is fixed, so the source can only contain knowledge of the
    pool. By the minimum-description-length bound that is at most its compressed growth over the
    base. For a private pool it is also at most what earlier runs have leaked. One bit about the
    pool is worth one bit divided by the pool's bytes, whichever part of the pool is drawn. The
    base's own growth was charged to the base. A source knows nothing about newly generated text.
    The runs of one trial can pass information to each other (`SIDE_CHANNEL_BITS`) without the
    source, so that is charged to all text, generated text too.
    """
    known = 0.0
    if scored.pool_bytes is not None:
        grown_bits = 8 * max(0, compressed_size_bytes(candidate) - compressed_size_bytes(base))
        leaked_bits = grown_bits if scored.is_public else LEAK_BITS_PER_RUN * scored.prior_runs
        known = min(grown_bits, leaked_bits) / scored.pool_bytes
    return known + SIDE_CHANNEL_BITS / scored.bytes


def is_hidden(character: str) -> bool:
    """Return True if a character is invisible or disguises text; space, LF and tab are allowed."""
    if character in " \n\t":
        return False
    category = unicodedata.category(character)
    return category in _HIDDEN_CATEGORIES or ord(character) in _BLANK_ORDINALS


def _file_fault(name: str, data: bytes) -> str | None:
    if len(data) > MAX_FILE_BYTES:
        return f"{len(data)} bytes, more than {MAX_FILE_BYTES}"
    lines = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    if lines > MAX_LINES:
        return f"{lines} lines, more than {MAX_LINES}"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start}"
    hidden = sorted(character for character in set(text) if is_hidden(character))
    if hidden:
        line = text.count("\n", 0, text.index(hidden[0])) + 1
        return f"a hidden character, U+{ord(hidden[0]):04X}, in line {line}"
    return _python_fault(text) if name.endswith(".py") else None


def _python_fault(text: str) -> str | None:
    # If another encoding were declared, Python would read different text than this check does.
    for line in text.split("\n", 2)[:2]:
        cookie = _COOKIE.match(line)
        if cookie and cookie[1].lower().replace("_", "-") not in {"utf-8", "utf8"}:
            return f"declares the encoding {cookie[1]}"
    if text.isascii():
        return None
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if not token.string.isascii() and not _is_free_text(token):
                return (
                    f"non-ASCII letters outside of strings and comments, in line {token.start[0]}"
                )
    except (tokenize.TokenError, SyntaxError):
        return "invalid Python with non-ASCII letters"
    return None


def _is_free_text(token: tokenize.TokenInfo) -> bool:
    if token.type not in _FREE_TEXT:
        return False
    return token.type != tokenize.STRING or not _has_non_ascii_field(token.string)


def _has_non_ascii_field(literal: str) -> bool:
    """Return True if a one-token string has a replacement field that contains non-ASCII.

    Before Python 3.12 an f-string is one token. A quote inside a field may hide the field's end,
    so everything after it counts as inside.
    """
    if "f" not in re.split("['\"]", literal, maxsplit=1)[0].lower():
        return False
    depth = at = 0
    while at < len(literal):
        character = literal[at]
        if depth == 0 and literal[at : at + 2] in ("{{", "}}"):
            at += 2
            continue
        if depth > 0 and character in "'\"":
            return not literal[at:].isascii()
        if depth > 0 and not character.isascii():
            return True
        depth = max(0, depth + (character == "{") - (character == "}"))
        at += 1
    return False
