"""A search for 64-byte windows of a text that occur in files which sandboxes show.

A text that also occurs in, say, a package's documentation cannot be a secret split. Prose and code
share phrases with the files of an interpreter and its packages, such as an import line or a
sentence of a licence. So a row that overlaps a shared window is never scored, and no scored text is
readable in a sandbox. If sandboxes show a large part of a text, the whole text is rejected.

The method: a shared window of 64 bytes contains a block of 32 bytes that begins at a multiple of 32
in the file. Every such block of the files is looked up by hash among the text's windows of 32 bytes
at any offset. Matches are compared byte by byte. The search takes one pass over the files, uses
numpy and needs no index on disk. A text that consists of whole files is rejected earlier
(`refuse_installed`): files of the same size are compared.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocol.errors import SafetyError
from trainer.language_model.text.token_cache import cached_tokens
from trainer.language_model.text.vocabulary import RowMarks, TokenRows, Vocabulary
from trainer.measuring.kind import Progress
from trainer.sandbox.visible import visible_tree

WINDOW_BYTES: Final = 64
MAX_HITS: Final = 100  # enough to name the files
MAX_SEEN_SHARE: Final = 0.2  # above it, the text counts as part of the installation
_MOST_HITS = 1_000_000

# Blanks, dashes, zeros and the like are everywhere, and a model predicts them without having seen
# the file. So blocks with fewer distinct bytes do not count.
MIN_DISTINCT_BYTES: Final = 8

_BLOCK = 32
_PIECE_BYTES = 16 << 20
_FILE_FILTER_BITS = 27  # 128 MiB of booleans; 20 MB of text leave 14 % of them true
_TEXT_FILTER_BITS = 26
_TEXT_CHUNK = 1 << 20
# Odd constants without structure, one for each 64-bit word of a block; the first also mixes.
_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)

Bytes = NDArray[np.uint8]  # [length of a text]
Hashes = NDArray[np.uint64]  # [blocks], or [windows] of a text
Numbers = NDArray[np.int64]  # [blocks]: which of them


@dataclass(frozen=True, slots=True)
class SharedWindow:
    """A window that both the text and a file contain. `offset` is its byte offset in the text."""

    path: Path
    offset: int


class _Blocks(NamedTuple):
    """Blocks of the files that may occur in the text: hash, file number and offset of each."""

    hashes: Hashes
    files: Numbers
    places: Numbers  # in bytes


def shared_windows(
    text: bytes,
    roots: Sequence[Path],
    *,
    window: int = WINDOW_BYTES,
    at_most: int = MAX_HITS,
    progress: Progress = lambda _what, _share: None,
) -> list[SharedWindow]:
    """Return windows of the text that occur in files below `roots`, each with one of these files.

    The list has at most `at_most` windows, in the order of the text. A long passage gives one
    window for each aligned block of the file. Unreadable files are skipped, since a sandbox cannot
    read them either. Needs about 0.5 GB of memory for 20 MB of text. Raises ValueError for a window
    too short to contain an aligned block.
    """
    if window < 2 * _BLOCK:
        raise ValueError(f"a window of {window} bytes need not contain an aligned block")
    if len(text) < window:
        return []
    letters = np.frombuffer(text, dtype=np.uint8)
    files = [(path, size) for path, size in _readable_files(roots) if size >= window]
    blocks = _scan_files(letters, files, progress)
    return list(islice(_verified(text, letters, files, blocks, window), at_most))


def without_seen(
    groups: Sequence[TokenRows],
    vocabulary: Vocabulary,
    *,
    what: str,
    cache: Path,
    visible: Sequence[Path] | None,
    progress: Progress,
) -> list[TokenRows]:
    """Return the rows of each group that no visible file contains.

    A group is a split's rows of tokens. `what` names the text in errors. `visible` are the files to
    search (default: all that sandboxes show). The search takes seconds, so its result is kept in
    `cache` for this text and installation. Raises SafetyError if more than `MAX_SEEN_SHARE` of the
    rows would be removed.
    """
    rows = np.concatenate(groups)
    installed = repr((visible, visible_tree(), version("torch"), version("numpy")))
    key = hashlib.sha256(rows.tobytes() + installed.encode()).hexdigest()[:16]
    seen = cached_tokens(
        cache / f"seen-{key}.npy",
        lambda: _seen(rows, vocabulary, visible, progress).astype(np.uint16),
    ).astype(np.bool_)
    if seen.mean() > MAX_SEEN_SHARE:
        raise SafetyError(
            f"{what}: {seen.mean():.0%} of it lies in files that every sandbox can read",
            "use another text: this one could not be kept secret",
        )
    bounds = np.cumsum([len(group) for group in groups[:-1]])
    pairs = zip(groups, np.split(seen, bounds), strict=True)
    return [group[~seen_of_group] for group, seen_of_group in pairs]


def refuse_installed(what: Path, texts: Sequence[tuple[str, bytes]]) -> None:
    """Raise SafetyError if a sandbox could read more than `MAX_SEEN_SHARE` of the texts' bytes.

    `texts` are pairs of a relative path and its content, as `splits.read_texts` returns them. A
    text counts only if it equals, byte for byte, a whole file that sandboxes show. `what` is the
    file or folder that the user named.
    """
    copies = installed_copies((text for _, text in texts), visible_tree().host_files())
    total = sum(len(text) for _, text in texts)
    share = sum(len(text) for _, text in texts if text in copies) / max(1, total)
    if share <= MAX_SEEN_SHARE:
        return
    where = next(copies[text] for _, text in texts if text in copies)
    raise SafetyError(
        f"{what}: {share:.0%} of it lies in files that every sandbox can read, such as {where}",
        "use a text of your own: files of the interpreter and of packages cannot be kept secret",
    )


def installed_copies(texts: Iterable[bytes], files: Iterable[Path]) -> Mapping[bytes, Path]:
    """Return the texts that equal a file byte for byte, each with the path of this file."""
    by_size: dict[int, set[bytes]] = defaultdict(set)
    for text in filter(None, texts):
        by_size[len(text)].add(text)
    copies: dict[bytes, Path] = {}
    for file in files:
        alike = by_size.get(file.stat().st_size)
        if alike and (content := file.read_bytes()) in alike:
            copies.setdefault(content, file)
    return copies


def _seen(
    rows: TokenRows, vocabulary: Vocabulary, visible: Sequence[Path] | None, progress: Progress
) -> RowMarks:
    contents = [vocabulary.decode(row) for row in rows]
    starts = np.cumsum([0, *(len(content) for content in contents[:-1])])
    files = visible_tree().host_files() if visible is None else visible
    hits = shared_windows(b"".join(contents), files, at_most=_MOST_HITS, progress=progress)
    seen = np.zeros(len(rows), dtype=np.bool_)
    for hit in hits:
        first = np.searchsorted(starts, hit.offset, side="right") - 1
        last = np.searchsorted(starts, hit.offset + WINDOW_BYTES - 1, side="right") - 1
        seen[first : last + 1] = True
    return seen


def _readable_files(roots: Sequence[Path]) -> list[tuple[Path, int]]:
    """Return the readable regular files with their sizes, each inode once."""
    files: dict[tuple[int, int], tuple[Path, int]] = {}
    for root in roots:
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            if path.is_file() and os.access(path, os.R_OK):
                status = path.stat()
                files.setdefault((status.st_dev, status.st_ino), (path, status.st_size))
    return list(files.values())


def _scan_files(letters: Bytes, files: list[tuple[Path, int]], progress: Progress) -> _Blocks:
    """Return the blocks whose hash agrees in 27 bits with some window's, sorted by hash."""
    may_occur = np.zeros(1 << _FILE_FILTER_BITS, dtype=np.bool_)
    for _, hashes in _text_hashes(letters):
        may_occur[_top_bits(hashes, _FILE_FILTER_BITS)] = True
    found = [_Blocks(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64))]
    total, done = max(1, sum(size for _, size in files)), 0
    for pieces in _batches(files):
        hashes = _block_hashes([content for _, _, content in pieces])
        counts = [len(content) // _BLOCK for _, _, content in pieces]
        numbers = np.repeat([number for number, _, _ in pieces], counts)
        places = np.concatenate(
            [np.arange(start, start + len(content), _BLOCK) for _, start, content in pieces]
        )
        kept = np.flatnonzero(may_occur[_top_bits(hashes, _FILE_FILTER_BITS)])
        found.append(_Blocks(hashes[kept], numbers[kept], places[kept]))
        done += sum(counts) * _BLOCK
        progress("comparing the text with what a sandbox can read", min(1.0, done / total))
    hashes, numbers, places = map(np.concatenate, zip(*found, strict=True))
    order = np.argsort(hashes, kind="stable")
    return _Blocks(hashes[order], numbers[order], places[order])


def _batches(files: list[tuple[Path, int]]) -> Iterator[list[tuple[int, int, bytes]]]:
    """Yield batches of pieces (file, start, content), about 16 MiB each.

    A numpy call for each small file would cost more than the file itself.
    """
    batch: list[tuple[int, int, bytes]] = []
    size = 0
    for number, (path, _) in enumerate(files):
        for start, content in _contents(path):
            batch.append((number, start, content))
            size += len(content)
            if size >= _PIECE_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _contents(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield a file in pieces (start, content) of whole blocks, without an incomplete last block."""
    start = 0
    with path.open("rb") as file:
        while content := file.read(_PIECE_BYTES):
            yield start, content[: len(content) // _BLOCK * _BLOCK]
            start += len(content)


def _block_hashes(contents: list[bytes]) -> Hashes:
    words = np.frombuffer(b"".join(contents), dtype="<u8").reshape(-1, 4)
    return _mixed([words[:, 0], words[:, 1], words[:, 2], words[:, 3]])


def _text_hashes(letters: Bytes) -> Iterator[tuple[int, Hashes]]:
    """Yield (offset, hashes of the 32-byte windows from this offset on), one chunk at a time."""
    last = len(letters) - _BLOCK + 1
    for start in range(0, last, _TEXT_CHUNK):
        count = min(_TEXT_CHUNK, last - start)
        part = letters[start : start + count + _BLOCK - 1]
        words = np.empty(len(part) - 7, dtype=np.uint64)  # the 8 bytes at every offset
        for shift in range(8):
            whole = (len(part) - shift) // 8 * 8
            words[shift::8] = np.frombuffer(part[shift : shift + whole].tobytes(), dtype="<u8")
        yield start, _mixed([words[at : at + count] for at in (0, 8, 16, 24)])


def _mixed(words: list[Hashes]) -> Hashes:
    """Return one 64-bit hash for each group of four words; overflow is intended."""
    hashes = words[0] * np.uint64(_MULTIPLIERS[0])
    for word, multiplier in zip(words[1:], _MULTIPLIERS[1:], strict=True):
        hashes ^= hashes >> np.uint64(29)
        hashes += word
        hashes *= np.uint64(multiplier)
    hashes ^= hashes >> np.uint64(32)
    hashes *= np.uint64(_MULTIPLIERS[0])
    return hashes


def _top_bits(hashes: Hashes, bits: int) -> Numbers:
    return (hashes >> np.uint64(64 - bits)).astype(np.int64)


def _low_bits(hashes: Hashes, bits: int) -> Numbers:
    """Return the low bits of hashes, for a second filter: the first one uses the top bits."""
    return (hashes & np.uint64((1 << bits) - 1)).astype(np.int64)


def _verified(
    text: bytes, letters: Bytes, files: list[tuple[Path, int]], blocks: _Blocks, window: int
) -> Iterator[SharedWindow]:
    """Yield the windows of the text that contain a matching block and lie wholly in its file."""
    for offset, low, high in _agreeing(letters, blocks.hashes):
        for number, place in zip(blocks.files[low:high], blocks.places[low:high], strict=True):
            path = files[number][0]
            before = _shared_before(text, offset, path, int(place), window)
            if before is not None:
                yield SharedWindow(path, offset - before)
                break


def _agreeing(letters: Bytes, hashes: Hashes) -> Iterator[tuple[int, int, int]]:
    """Yield (offset, low, high) for each window of the text whose hash is also a block's hash.

    `hashes` are the sorted hashes of the blocks. `hashes[low:high]` are all equal to the hash of
    the window at `offset`. Windows with few distinct bytes are skipped.
    """
    may_agree = np.zeros(1 << _TEXT_FILTER_BITS, dtype=np.bool_)
    may_agree[_low_bits(hashes, _TEXT_FILTER_BITS)] = True
    for start, text_hashes in _text_hashes(letters):
        offsets = np.flatnonzero(may_agree[_low_bits(text_hashes, _TEXT_FILTER_BITS)])
        low = np.searchsorted(hashes, text_hashes[offsets], side="left")
        high = np.searchsorted(hashes, text_hashes[offsets], side="right")
        for at in np.flatnonzero(high > low).tolist():
            offset = start + int(offsets[at])
            if len(np.unique(letters[offset : offset + _BLOCK])) >= MIN_DISTINCT_BYTES:
                yield offset, int(low[at]), int(high[at])


def _shared_before(text: bytes, offset: int, path: Path, position: int, window: int) -> int | None:
    """Return how many bytes before `offset` the passage begins that the text shares with the file.

    Return None if the passage is shorter than a window.
    """
    reach = window - _BLOCK
    back = min(reach, offset, position)
    with path.open("rb") as file:
        file.seek(position - back)
        theirs = file.read(back + _BLOCK + reach)
    ours = text[offset - back : offset + _BLOCK + reach]
    if ours[back : back + _BLOCK] != theirs[back : back + _BLOCK]:
        return None  # two different blocks with the same hash
    before = after = 0
    while before < back and ours[back - before - 1] == theirs[back - before - 1]:
        before += 1
    end = back + _BLOCK
    while end + after < min(len(ours), len(theirs)) and ours[end + after] == theirs[end + after]:
        after += 1
    return before if before + _BLOCK + after >= window else None
