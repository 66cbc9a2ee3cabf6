"""Text installed on a machine that no sandbox shows: manuals, headers, packages.

Files are assigned to splits by the hash of their names. A repeated paragraph counts once. A piece
is not scored if it shares 64 bytes with a file that sandboxes show, or a long line with the
training text. This module knows no tokens.
"""

import gzip
import hashlib
import os
import sys
import sysconfig
import zlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import Final

from protocol.errors import ArnodeError
from tools.paths import ROOT
from trainer.language_model.text.windows import WINDOW_BYTES, shared_windows

_SYSTEM: Final = (
    "/usr/share/doc", "/usr/share/man", "/usr/share/info", "/usr/share/perl", "/usr/share/perl5",
    "/usr/share/common-licenses", "/usr/include", "/usr/src", "/usr/lib/python3", "/usr/local/lib",
    "/usr/local/include", "/usr/local/share",
)  # fmt: skip
_FILE_BYTES: Final = (1 << 10, 1 << 20)  # larger files are more often tables than text
_LEAST_KEPT: Final = 512  # of a file, after repeated paragraphs are removed
_FREQUENT: Final = " etaoinsrhl"
_WORDY: Final = 0.4  # with a smaller share of these letters it is a table, not text
_PIECE: Final = 8 << 10  # of text that may be scored
_HELD_BACK: Final = 0.25  # share of the files that may be scored
_MOST_HITS: Final = 1_000_000
_PASSED_OVER: Final = (".", "__pycache__", "build")  # made from other files
_LIBRARIES: Final = (".so", ".a", ".pyc")  # their text, if any, is also in sources


@dataclass(frozen=True, slots=True)
class Document:
    """The text of a file, and the place where it was found."""

    place: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The documents of each split, or pieces of them; no file is in two splits.

    `account` says how much text came from which place.
    """

    training: tuple[str, ...]
    public: tuple[str, ...]
    secret: tuple[str, ...]
    account: dict[str, object]


def places() -> list[Path]:
    """Return the folders to search for text: this repository, Python's, the system's."""
    found = [ROOT]
    found += [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")]
    found += [Path(place) for place in (*_SYSTEM, f"{sys.prefix}/share")]
    return list(dict.fromkeys(place.resolve() for place in found if place.is_dir()))


def candidates(
    roots: Sequence[Path], hidden_from: Iterable[Path], *, most: int
) -> list[tuple[Path, str, int]]:
    """Return files that may be text, each with its place and size, ordered by their names' hashes.

    At most `most` files per place are returned, and no files that sandboxes show (`hidden_from`).
    """
    known = {_identity(path.stat()) for path in hidden_from}
    found = [file for root in roots for file in islice(_files_below(root, known), most)]
    return sorted(found, key=lambda each: hashlib.sha256(os.fsencode(each[0])).digest())


def _files_below(root: Path, known: set[tuple[int, int]]) -> Iterator[tuple[Path, str, int]]:
    least, most = _FILE_BYTES
    folders = [str(root)]
    while folders:
        try:
            entries = sorted(os.scandir(folders.pop()), key=lambda entry: entry.name)
        except OSError:  # not readable
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(_PASSED_OVER):
                    folders.append(entry.path)
            elif entry.is_file(follow_symlinks=False) and not _is_library(entry.name):
                status = entry.stat()
                if least <= status.st_size <= most and _identity(status) not in known:
                    known.add(_identity(status))
                    yield Path(entry.path), str(root), status.st_size


def gather(
    files: Iterable[tuple[Path, str, int]],
    shown: Sequence[Path],
    *,
    size: int,
    least: int,
    scored: int,
) -> Texts:
    """Read about `size` bytes of text from the files and split it, with `scored` bytes to score.

    `shown` are the files that sandboxes show. Raises ArnodeError if there is less than `least`.
    """
    documents: list[Document] = []
    seen: set[bytes] = set()
    found = repeated = 0
    for path, place, _ in files:
        text = _read(path)
        if text is None:
            continue
        kept = _unrepeated(text, seen)
        repeated += len(text) - len(kept)
        if len(kept) < _LEAST_KEPT:
            continue
        documents.append(Document(place, kept))
        found += len(kept.encode())
        if found >= size:
            break
    if found < least:
        raise ArnodeError(
            f"{found / 1e6:.1f} MB of text are installed here that no sandbox shows; "
            f"{least / 1e6:.0f} are needed",
            "install manuals, headers or Python packages",
        )
    sources = [path for path in shown if not _is_library(path.name)]
    return _split(documents, sources, scored=scored, repeated=repeated)


def _split(
    documents: list[Document], shown: Sequence[Path], *, scored: int, repeated: int
) -> Texts:
    held_back = round(_HELD_BACK * len(documents))
    training = tuple(document.text for document in documents[held_back:])
    known = {line for text in training for line in _long_lines(text)}
    fresh: list[tuple[int, str]] = []
    size = 0
    for number, document in enumerate(documents[:held_back]):
        for piece in _pieces(document.text):
            if size < scored and known.isdisjoint(_long_lines(piece)):
                fresh.append((number, piece))
                size += len(piece.encode())
    clean = _without_shown(fresh, shown)
    parts = {
        "training": training,
        "public": tuple(piece for number, piece in clean if number % 2 == 0),
        "secret": tuple(piece for number, piece in clean if number % 2),
    }
    by_place: Counter[str] = Counter()
    for document in documents:
        by_place[document.place] += len(document.text.encode())
    account = {
        "files": len(documents),
        "found_mb": _megabytes(sum(by_place.values())),
        "repeated_mb": _megabytes(repeated),
        "compared_with_mb": _megabytes(sum(path.stat().st_size for path in shown)),
        "mb_by_place": {place: _megabytes(size) for place, size in by_place.most_common()},
        **{
            f"{name}_mb": _megabytes(sum(len(text.encode()) for text in part))
            for name, part in parts.items()
        },
    }
    return Texts(**parts, account=account)


def _without_shown(texts: list[tuple[int, str]], shown: Sequence[Path]) -> list[tuple[int, str]]:
    """Return the numbered texts that share no 64 bytes with a file that sandboxes show."""
    contents = [text.encode() for _, text in texts]
    ends = list(accumulate(map(len, contents)))
    hits = shared_windows(b"".join(contents), shown, at_most=_MOST_HITS)
    hit = {bisect_right(ends, each.offset) for each in hits}
    return [numbered for at, numbered in enumerate(texts) if at not in hit]


def _pieces(text: str) -> Iterator[str]:
    """Yield pieces of a text, cut between paragraphs: parts of a long one may occur elsewhere."""
    piece: list[str] = []
    size = 0
    for paragraph in text.split("\n\n"):
        piece.append(paragraph)
        size += len(paragraph)
        if size >= _PIECE:
            yield "\n\n".join(piece)
            piece, size = [], 0
    if size >= _LEAST_KEPT:
        yield "\n\n".join(piece)


def _read(path: Path) -> str | None:
    """Return a file's text; None if it is unreadable or not text."""
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        return None
    if "\0" in text or len(text) > _FILE_BYTES[1]:
        return None
    return text if sum(map(text.count, _FREQUENT)) > _WORDY * len(text) else None


def _unrepeated(text: str, seen: set[bytes]) -> str:
    """Return the paragraphs that are not in `seen`, and add them to it."""
    kept: list[str] = []
    for paragraph in text.split("\n\n"):
        digest = hashlib.blake2b(paragraph.strip().encode(), digest_size=8).digest()
        if digest not in seen:
            seen.add(digest)
            kept.append(paragraph)
    return "\n\n".join(kept)


def _long_lines(text: str) -> set[str]:
    return {line for line in map(str.strip, text.splitlines()) if len(line) >= WINDOW_BYTES}


def _is_library(name: str) -> bool:
    return name.endswith(_LIBRARIES) or ".so." in name


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino  # whatever links lead there


def _megabytes(size: int) -> float:
    return round(size / 1e6, 2)
