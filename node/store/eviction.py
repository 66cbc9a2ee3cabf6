"""Removal of blobs: unreferenced ones, and the least recently used ones to free disk space.

A blob is needed if a record, job, line or import names it, or names a tree that contains it. Other
blobs were left by a process that died between writing a source and recording it.

To free space, the least recently used blobs are removed first, a whole tree at a time. A blob is
never removed if this node's own records, jobs, lines or imports name it, or name a tree that
contains it. Adopted trees and the sources of tasks are removed last. They are not fully protected,
because any peer may name them. A tree's list is deleted before its files. So if the process is
killed, every tree whose list exists is still complete.
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
    """Numbers of removed blobs, bytes and announced ideas, and of records out of quarantine."""

    blobs: int
    bytes: int
    intents: int
    released: int


def collect(home: Home, progress: Progress) -> Collected:
    """Remove unneeded blobs and old intents. The caller must hold the home's lock."""
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
            progress("looking for blobs in use", number / total)
        named.update(digests_in(value))
    files = {file for tree in named if blobs.has(tree) for file in _files_of(blobs, tree)}
    return named | files


def _files_of(blobs: Blobs, tree: bytes) -> Iterator[bytes]:
    """Yield the blobs that a tree's listing names; nothing if it is not a listing."""
    try:
        listing = decode(blobs.get(tree), limit_bytes=BLOB_LIMIT_BYTES)
    except ArnodeError:
        return  # damaged: `fsck` reports it, and its files are not known
    if isinstance(listing, list):
        yield from digests_in(listing)


def digests_in(value: Value) -> Iterator[bytes]:
    """Yield all byte strings in a value that may be the name of a blob."""
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
    """Ids of blobs and trees: those in `own` are never removed, those in `adopted` last."""

    own: frozenset[bytes]
    adopted: frozenset[bytes]


def claims_of(store: Store) -> Claims:
    """Return the blobs and trees that always stay, and those that are removed last."""
    return Claims(
        own=frozenset(found for value in store.values(is_own=True) for found in digests_in(value)),
        adopted=frozenset(found for value in store.adopted_values() for found in digests_in(value)),
    )


def make_room(blobs: Blobs, claims: Claims, *, to_bytes: int) -> int:
    """Remove blobs until at most `to_bytes` are used, or only protected blobs are left.

    Return the bytes still used. This function does not read the store, so it may run while other
    threads use it. Blobs that they use in the meantime stay.
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
        # A tree's age is that of its list, because trees of any age share files.
        return name in claims.adopted, files[name].st_mtime_ns

    for name in sorted(units, key=order):
        if left_bytes <= to_bytes:
            break
        # An untrusted list may name another list as a file, which may be deleted already. The
        # files of that other list still exist.
        if name in files and _used_ns(blobs, name) != files[name].st_mtime_ns:
            continue
        holders.subtract(trees.get(name, ()))
        for blob in units[name]:
            if blob in files and (blob == name or not (holders[blob] or blob in kept)):
                blobs.path(blob).unlink(missing_ok=True)
                left_bytes -= files.pop(blob).st_size
    return left_bytes


def _trees(blobs: Blobs, files: dict[bytes, stat_result]) -> dict[bytes, frozenset[bytes]]:
    """Return the blobs that are lists of files, each with the blobs that it names."""
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
