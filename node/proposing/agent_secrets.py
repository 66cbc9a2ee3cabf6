"""A check whether a coding agent wrote its secrets (a log-in or a key) into a proposal.

A proposal is published, and a peer's text may have talked the agent into adding a secret. So a
proposal must not contain long words from the files and variables that the agent was given. Words
that look random must not appear in pieces or encoded either (`agent.worker.key_watch`). The check
misses an encrypted secret. It is a last precaution, not a security boundary.
"""

import re
from collections.abc import Iterable
from itertools import islice, pairwise
from pathlib import Path
from typing import Final

from agent.worker.key_watch import KeyWatch
from protocol.source import Source

_WORD = re.compile(rb"[A-Za-z0-9_\-./+=]{16,}")
_MOST_BYTES = 256 * 1024
_MOST_FILES = 200  # directly in a folder, not below
# Total length of the words that are searched in pieces. With more, pieces would match by chance.
_MOST_CHARS: Final = 32_768
_LONGEST_WORD: Final = 4_096
_LEAST_WORD: Final = 20
_LEAST_CHANGES: Final = 0.25  # changes of kind a letter: random text 0.4 and more, names 0.1
_KINDS: Final = (str.isdigit, str.islower, str.isupper)


def long_words(paths: Iterable[Path], values: Iterable[str]) -> frozenset[bytes]:
    """Return the long words of files, of the files in folders, and of variables' values."""
    texts = [value.encode("utf-8", "surrogateescape") for value in values]
    texts += [_text(file) for path in paths for file in _files(path)]
    return frozenset(word for text in texts for word in _WORD.findall(text))


def leaking_file(
    source: Source, *, base: Source, note: bytes, secrets: frozenset[bytes]
) -> str | None:
    """Return the name of a file with a secret that is not in the base; None without such a file."""
    known = b"\n".join(data for _, data in base.files)
    new = frozenset(secret for secret in secrets if secret not in known)
    texts = (*source.files, ("the title", note))
    whole = (name for name, data in texts if any(secret in data for secret in new))
    if (name := next(whole, None)) is not None:
        return name
    watch, lines = _watch_over(new), set(known.splitlines())
    for name, data in texts:  # one watch for all files, as a secret may be spread over them
        added = b"\n".join(line for line in data.splitlines() if line not in lines)
        if watch.reveals(added.decode("utf-8", "replace")):
            return name
    return None


def shows_secret(text: str, secrets: frozenset[bytes]) -> bool:
    """Return True if an agent's output reveals a secret that looks random.

    Other secrets are names and paths, which occur in any program's output.
    """
    return _watch_over(secrets).reveals(text)


def _watch_over(secrets: frozenset[bytes]) -> KeyWatch:
    """Return a detector of the secrets that look random.

    The shortest are added first, up to a limit of characters in total.
    """
    words: list[str] = []
    room = _MOST_CHARS
    for word in sorted((one.decode("ascii") for one in secrets), key=lambda one: (len(one), one)):
        if _looks_random(word) and room >= len(word):
            words.append(word)
            room -= len(word)
    return KeyWatch(words)


def _looks_random(word: str) -> bool:
    """Return True if digits, lower case and upper case alternate as often as in a key."""
    kinds = [kind for letter in word for kind in _KINDS if kind(letter)]
    if len(kinds) < _LEAST_WORD or len(word) > _LONGEST_WORD:
        return False
    changes = sum(one is not other for one, other in pairwise(kinds))
    return changes >= _LEAST_CHANGES * len(kinds)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        return list(islice(path.iterdir(), _MOST_FILES))
    except OSError:  # the agent cannot list it either
        return []


def _text(path: Path) -> bytes:
    """Return the beginning of a regular file; empty bytes for anything else or after an error."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return b""
