"""Removes blobs: what nothing here names any more, and others to make room.

A blob is named by a record, job, line or import, or is a file of a tree that one of them names; the
rest was left by a process that died between writing a source and recording it. To make room, what
was used longest ago goes first, a whole tree at a time. What this node's own records, jobs, lines
and imports name stays, with the files of such trees. Of the rest, what somebody adopted and what
tasks begin with goes last: anybody may say so. A tree's list goes before its files, so that one
that is still there is whole whatever killed this.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from os import stat_result

from node.home.clock import clock_ms
from node.home.home import Home
from node.store.blobs import BLOB_LIMIT_BYTES, Blobs
from node.store.store import Store
from node.terminal.progress import Progress
from protocol.encoding import LIMIT_BYTES, Value, decode
from protocol.errors import ArnodeError

_DIGEST_BYTES = 32
_SHOWN_EVERY = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What was removed, and what came out of quarantine on the way."""

    blobs: int
    bytes: int
    intents: int
    released: int


def collect(home: Home, progress: Progress) -> Collected:
    """Remove what nobody needs. The caller holds the home's lock."""
    blobs = Blobs(home.blobs)
    blobs.remove_leftovers()
    with Store.open(home) as store:
        intents, report = store.intake.settle(now_ms=clock_ms())
        needed = _needed(store, blobs, progress)
    unneeded = [digest for digest in blobs.names() if digest not in needed]
    size = sum(blobs.path(digest).stat().st_size for digest in unneeded)
    for digest in unneeded:
        blobs.path(digest).unlink()
    return Collected(blobs=len(unneeded), bytes=size, intents=intents, released=len(report.new))


def _needed(store: Store, blobs: Blobs, progress: Progress) -> set[bytes]:
    named: set[bytes] = set()
    total = store.records.count() + 1
    for number, value in enumerate(store.values()):
        if number % _SHOWN_EVERY == 0:
            progress("looking for what is needed", number / total)
        named.update(digests_in(value))
    files = {file for tree in named if blobs.has(tree) for file in _files_of(blobs, tree)}
    return named | files


def _files_of(blobs: Blobs, tree: bytes) -> Iterator[bytes]:
    """Yield the blobs that a tree's listing names; nothing if it is no listing."""
    try:
        listing = decode(blobs.get(tree), limit_bytes=BLOB_LIMIT_BYTES)
    except ArnodeError:
        return  # damaged: `fsck` says so, and what it named is not known
    if isinstance(listing, list):
        yield from digests_in(listing)


def digests_in(value: Value) -> Iterator[bytes]:
    """Yield all in a value that may be the name of a blob."""
    if isinstance(value, bytes):
        if len(value) == _DIGEST_BYTES:
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from digests_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from digests_in(item)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Whose absence would matter: blobs and trees, by how much."""

    own: frozenset[bytes]
    adopted: frozenset[bytes]


def claims_of(store: Store) -> Claims:
    """Return what is to stay, and what is to go last."""
    return Claims(
        own=frozenset(found for value in store.values(is_own=True) for found in digests_in(value)),
        adopted=frozenset(found for value in store.vouched_values() for found in digests_in(value)),
    )


def make_room(blobs: Blobs, claims: Claims, *, to_bytes: int) -> int:
    """Remove blobs until the rest takes `to_bytes` or has to stay; return what that takes.

    Reads files only, so that it may run beside whatever uses the store. What is used meanwhile
    stays.
    """
    files = {name: blobs.path(name).stat() for name in blobs.names()}
    left_bytes = sum(file.st_size for file in files.values())
    if left_bytes <= to_bytes:
        return left_bytes
    trees = _trees(blobs, files)
    kept = claims.own | {blob for tree in claims.own for blob in trees.get(tree, ())}
    holders = Counter(blob for held in trees.values() for blob in held)
    units = {tree: (tree, *held) for tree, held in trees.items() if tree not in kept}
    units |= {blob: (blob,) for blob in files.keys() - trees.keys() - kept if not holders[blob]}

    def order(name: bytes) -> tuple[bool, int]:
        # A tree's list alone: files are shared by trees of any age.
        return name in claims.adopted, files[name].st_mtime_ns

    for name in sorted(units, key=order):
        if left_bytes <= to_bytes:
            break
        # A list that a stranger's list named as a file may be gone; its own files are not.
        if name in files and _used_ns(blobs, name) != files[name].st_mtime_ns:
            continue
        holders.subtract(trees.get(name, ()))
        for blob in units[name]:
            if blob in files and (blob == name or not (holders[blob] or blob in kept)):
                blobs.path(blob).unlink(missing_ok=True)
                left_bytes -= files.pop(blob).st_size
    return left_bytes


def _trees(blobs: Blobs, files: dict[bytes, stat_result]) -> dict[bytes, frozenset[bytes]]:
    """Return the lists of files among the blobs, each with what it names."""
    found: dict[bytes, frozenset[bytes]] = {}
    for name, file in files.items():
        listing = blobs.listing(name) if file.st_size <= LIMIT_BYTES else None
        if listing is not None:
            found[name] = frozenset(blob for _, blob in listing) - {name}
    return found


def _used_ns(blobs: Blobs, blob: bytes) -> int | None:
    try:
        return blobs.path(blob).stat().st_mtime_ns
    except FileNotFoundError:
        return None
