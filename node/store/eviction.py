"""Makes room among the blobs: what was used longest ago goes first, a whole tree at a time.

What this node's own records, jobs, lines and imports name stays, with the files of such trees.
Of the rest, what somebody adopted and what tasks begin with goes last: anybody may say so. A
tree's list goes before its files, so that one that is still there is whole whatever killed this.
"""

from collections import Counter
from dataclasses import dataclass
from os import stat_result

from node.store.blobs import Blobs
from node.store.garbage import digests_in
from node.store.listings import listing_of
from node.store.store import Store
from protocol.encoding import LIMIT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Whose absence would matter: blobs and trees, by how much."""

    own: frozenset[bytes]
    adopted: frozenset[bytes]


def claims_of(store: Store) -> Claims:
    """Return what is to stay, and what is to go last."""
    return Claims(
        own=frozenset(found for value in store.own_values() for found in digests_in(value)),
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
        listing = listing_of(blobs, name) if file.st_size <= LIMIT_BYTES else None
        if listing is not None:
            found[name] = frozenset(blob for _, blob in listing) - {name}
    return found


def _used_ns(blobs: Blobs, blob: bytes) -> int | None:
    try:
        return blobs.path(blob).stat().st_mtime_ns
    except FileNotFoundError:
        return None
