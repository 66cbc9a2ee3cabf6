"""Patches as text and bytes: unified diffs, a strict function to apply them, bounded compression.

The tree hash and the full blobs are authoritative. A diff is for people, agents and transport.
Diffs are applied in memory, and only if every line matches exactly: no fuzz, no offset, no renames,
no modes (`git apply` and `patch` may apply at the wrong place and create links). Nothing here runs
or parses sources; `protocol.hygiene` checks what an untrusted source may contain.
"""

import difflib
import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from protocol.codecs import relative_path
from protocol.errors import ArnodeError, Rejected
from protocol.record_kinds import FileChange
from protocol.source import Source, split_lines

_CONTEXT_LINES = 3
_MAX_DIFF_BYTES = 4 << 20  # uncompressed: eight files of the largest size, removed and added
_NO_FILE = b"/dev/null"
_NO_NEWLINE = b"\\ No newline at end of file\n"
_HUNK = re.compile(rb"@@ -(\d{1,7})(?:,(\d{1,7}))? \+(\d{1,7})(?:,(\d{1,7}))? @@\n")


@dataclass(frozen=True, slots=True)
class _Hunk:
    """The old and the new lines of a hunk, with their line ends; starts count from 1."""

    old_start: int
    old: list[bytes]
    new_start: int
    new: list[bytes]


@dataclass(frozen=True, slots=True)
class _FilePatch:
    path: str
    creates: bool
    deletes: bool
    hunks: list[_Hunk]


def unified_diff(old: Source, new: Source) -> str:
    """Return the diff with which `apply_diff` turns `old` into `new`."""
    before, after = dict(old.files), dict(new.files)
    pieces = [
        piece
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
        for piece in _file_diff(name, before.get(name), after.get(name))
    ]
    # A file that is not UTF-8 cannot be published, but its diff must still be exact.
    return b"".join(pieces).decode("utf-8", "surrogateescape")


def apply_diff(base: Source, diff: str) -> Source | Rejected:
    """Return `base` with the diff applied, or the reason it does not apply exactly."""
    try:
        data = diff.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return Rejected("the diff is not text")
    patches = _parse(split_lines(data))
    if isinstance(patches, Rejected):
        return patches
    files = dict(base.files)
    for patch in patches:
        if (patch.path in files) == patch.creates:
            state = "is there already" if patch.creates else "is not there"
            return Rejected(f"{patch.path} {state}")
        result = _apply(split_lines(files.get(patch.path, b"")), patch.hunks)
        if isinstance(result, Rejected):
            return Rejected(f"{patch.path}: {result.reason}")
        if patch.deletes:
            if result:
                return Rejected(f"{patch.path}: deleted, but lines remain")
            del files[patch.path]
        else:
            files[patch.path] = b"".join(result)
    return Source.of(files)


def file_changes(old: Source, new: Source) -> tuple[FileChange, ...]:
    """Return the changed and new files with their blob hashes, as a patch record lists them.

    Raises:
        ArnodeError: `new` lacks a file of `old`.
    """
    before, after = dict(old.files), dict(new.files)
    missing = sorted(before.keys() - after.keys())
    if missing:
        raise ArnodeError(
            f"a patch cannot delete {missing[0]}",
            "a task's files are fixed by its manifest; empty the file instead",
        )
    return tuple(
        FileChange(
            path=name,
            old=hashlib.sha256(before[name]).digest() if name in before else None,
            new=hashlib.sha256(data).digest(),
            size_bytes=len(data),
        )
        for name, data in new.files
        if before.get(name) != data
    )


def unpack_diff(packed: bytes) -> str | Rejected:
    """Return the decompressed diff of a patch, as `apply_diff` takes it."""
    data = decompress_bounded(packed, _MAX_DIFF_BYTES)
    return data if isinstance(data, Rejected) else data.decode("utf-8", "surrogateescape")


def apply_packed(base: Source, packed: bytes) -> Source | Rejected:
    """Return `base` with a patch's compressed diff applied, or the reason it does not apply."""
    diff = unpack_diff(packed)
    return diff if isinstance(diff, Rejected) else apply_diff(base, diff)


def decompress_bounded(data: bytes, limit_bytes: int) -> bytes | Rejected:
    """Return `data` decompressed, or a rejection; never allocate more than the limit."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, limit_bytes + 1)
    except zlib.error as error:
        return Rejected(f"not zlib data: {error}")
    if len(plain) > limit_bytes:
        return Rejected(f"more than {limit_bytes} bytes when decompressed")
    if not stream.eof:
        return Rejected("incomplete zlib data")
    if stream.unused_data:
        return Rejected("bytes after the end of the zlib data")
    return plain


def _file_diff(name: str, old: bytes | None, new: bytes | None) -> Iterator[bytes]:
    before, after = split_lines(old or b""), split_lines(new or b"")
    yield b"--- " + (_NO_FILE if old is None else b"a/" + name.encode()) + b"\n"
    yield b"+++ " + (_NO_FILE if new is None else b"b/" + name.encode()) + b"\n"
    matcher = difflib.SequenceMatcher(None, before, after)
    for group in matcher.get_grouped_opcodes(_CONTEXT_LINES):
        old_range = _range(group[0][1], group[-1][2])
        new_range = _range(group[0][3], group[-1][4])
        yield b"@@ -" + old_range + b" +" + new_range + b" @@\n"
        for tag, old_low, old_high, new_low, new_high in group:
            if tag == "equal":
                yield from _marked(b" ", before[old_low:old_high])
            else:
                yield from _marked(b"-", before[old_low:old_high])
                yield from _marked(b"+", after[new_low:new_high])


def _range(low: int, high: int) -> bytes:
    """Return `start,count`; the start of an empty range is the line before it."""
    return b"%d,%d" % (low + 1 if high > low else low, high - low)


def _marked(mark: bytes, lines: list[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield mark + line
        if not line.endswith(b"\n"):
            yield b"\n" + _NO_NEWLINE


def _parse(lines: list[bytes]) -> list[_FilePatch] | Rejected:
    patches: list[_FilePatch] = []
    at = 0
    while at < len(lines):
        patch = _parse_header(lines[at : at + 2])
        if isinstance(patch, Rejected):
            return patch
        if any(patch.path == earlier.path for earlier in patches):
            return Rejected(f"{patch.path} appears twice")
        at += 2
        while at < len(lines) and lines[at].startswith(b"@@"):
            parsed = _parse_hunk(lines, at)
            if isinstance(parsed, Rejected):
                return Rejected(f"{patch.path}: {parsed.reason}")
            hunk, at = parsed
            patch.hunks.append(hunk)
        if not (patch.hunks or patch.creates or patch.deletes):
            return Rejected(f"{patch.path}: no change in the diff")
        patches.append(patch)
    return patches


def _parse_header(lines: list[bytes]) -> _FilePatch | Rejected:
    if (
        len(lines) < 2
        or not (lines[0].startswith(b"--- ") and lines[1].startswith(b"+++ "))
        or not (lines[0].endswith(b"\n") and lines[1].endswith(b"\n"))
    ):
        return Rejected("no `---` and `+++` lines where a file should begin")
    old, new = lines[0][4:-1], lines[1][4:-1]
    creates, deletes = old == _NO_FILE, new == _NO_FILE
    names = {name[2:] for name, absent in ((old, creates), (new, deletes)) if not absent}
    if not ((creates or old.startswith(b"a/")) and (deletes or new.startswith(b"b/"))):
        return Rejected("file names that do not begin with a/ and b/")
    if len(names) != 1:
        return Rejected("a diff that renames a file, or names none")
    name = relative_path().read(names.pop().decode("ascii", "replace"))
    if isinstance(name, Rejected):
        return name
    return _FilePatch(name, creates, deletes, [])


def _parse_hunk(lines: list[bytes], at: int) -> tuple[_Hunk, int] | Rejected:
    """Return the hunk that begins at line index `at`, and the index after it."""
    header = _HUNK.fullmatch(lines[at])
    if header is None:
        return Rejected("an invalid hunk header")
    old_start, old_count, new_start, new_count = (
        int(number) if number is not None else 1 for number in header.groups()
    )
    hunk = _Hunk(old_start, [], new_start, [])
    at += 1
    while len(hunk.old) < old_count or len(hunk.new) < new_count:
        if at >= len(lines) or not lines[at].endswith(b"\n"):
            return Rejected("an incomplete hunk")
        mark, line = lines[at][:1], lines[at][1:]
        if mark not in (b" ", b"-", b"+"):
            return Rejected("a hunk line that does not begin with a space, - or +")
        at += 1
        if at < len(lines) and lines[at] == _NO_NEWLINE:
            line, at = line[:-1], at + 1
        if mark != b"+":
            hunk.old.append(line)
        if mark != b"-":
            hunk.new.append(line)
    if len(hunk.old) != old_count or len(hunk.new) != new_count:
        return Rejected("a hunk whose lines do not match the counts in its header")
    return hunk, at


def _apply(old: list[bytes], hunks: list[_Hunk]) -> list[bytes] | Rejected:
    result: list[bytes] = []
    at = 0
    for hunk in hunks:
        start = hunk.old_start - 1 if hunk.old else hunk.old_start
        if not at <= start <= len(old):
            return Rejected(
                f"the hunk at line {hunk.old_start} overlaps another or is past the end"
            )
        result += old[at:start]
        at = start + len(hunk.old)
        if old[start:at] != hunk.old:
            return Rejected(f"the lines at {hunk.old_start} differ from those in the diff")
        if hunk.new_start != (len(result) + 1 if hunk.new else len(result)):
            return Rejected(f"the hunk at line {hunk.old_start} has a wrong new line number")
        result += hunk.new
    result += old[at:]
    if any(not line.endswith(b"\n") for line in result[:-1]):
        return Rejected("a line before the last one has no line end")
    return result
