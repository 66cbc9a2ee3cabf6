"""What nobody needs any more: blobs that no record, job, line or import names; old intents.

A blob is kept if anything in the store names it, or if it is a file of a tree that something
names. The rest was left by a process that died between writing a source and recording it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from node.home.clock import clock_ms
from node.home.home import Home
from node.store.blobs import BLOB_LIMIT_BYTES, Blobs
from node.store.store import Store
from node.terminal.progress import Progress
from protocol.encoding import Value, decode
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
    for number, value in enumerate(store.everything()):
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
