"""The list of a tree's files as a blob (`Blobs.put_source`), read with bounds.

A stranger may have written it: what hashes to a tree's id need be no list, nor a short one.
"""

from typing import TypeAlias

from node.store.blobs import Blobs
from protocol.codecs import digest, listing, pair, relative_path
from protocol.encoding import LIMIT_BYTES, Value, decode, encode
from protocol.errors import ArnodeError, Rejected
from protocol.kinds import PatchBody
from protocol.manifest import MAX_FILES
from protocol.source import tree_id

Listing: TypeAlias = tuple[tuple[str, bytes], ...]

_LISTING = listing(pair(relative_path(), digest()), low=1, high=MAX_FILES)


def listing_of(blobs: Blobs, tree: bytes) -> Listing | None:
    """Return the paths and blobs of a tree; None if they are not here or it is no tree."""
    if not blobs.has(tree):
        return None
    try:
        value = decode(blobs.get(tree), limit_bytes=LIMIT_BYTES)
    except ArnodeError:  # damaged: `arnode fsck` says so
        return None
    found = value if isinstance(value, Rejected) else _LISTING.read(value)
    return None if isinstance(found, Rejected) else found


def lacking(blobs: Blobs, tree: bytes) -> list[bytes] | None:
    """Return what is not here of a tree: its list, or some of its files; None if it is no tree."""
    if not blobs.has(tree):
        return [tree]
    listing = listing_of(blobs, tree)
    return None if listing is None else [blob for _, blob in listing if not blobs.has(blob)]


def changed_listing(blobs: Blobs, patch: PatchBody) -> Listing | None:
    """Return the list of a patch's tree if it follows from its base's, which must be here."""
    base = listing_of(blobs, patch.base)
    if base is None:
        return None
    files = dict(base) | {change.path: change.new for change in patch.files}
    found = tuple(sorted(files.items()))
    return found if tree_id([*found]) == patch.tree else None


def write_listing(blobs: Blobs, files: Listing) -> bytes:
    """Keep a list and return the id of its tree."""
    value: Value = [[path, blob] for path, blob in files]
    return blobs.put(encode(value))
