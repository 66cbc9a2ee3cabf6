"""Content-addressed files: sources, runs' answers, texts of reports, long diffs.

The name of a blob is the SHA-256 of its bytes, which is checked on every read. A file that exists
is complete, because files are renamed into place after an fsync.
"""

import contextlib
import hashlib
import os
import re
from pathlib import Path
from typing import Annotated, TypeAlias

from node.home.faults import explaining_faults
from node.home.files import remove_temporaries, sync_folder, write_file
from protocol.encoding import LIMIT_BYTES, Value, decode, encode
from protocol.errors import ArnodeError, Rejected
from protocol.fields import Items, NamedDigest, codec_of
from protocol.manifest import MAX_FILES
from protocol.record_kinds import PatchBody
from protocol.source import Source, tree_id

Listing: TypeAlias = tuple[NamedDigest, ...]  # paths and blobs

BLOB_LIMIT_BYTES = 1 << 20  # what peers accept, docs/protocol.md
_LISTING = codec_of(Annotated[Listing, Items(1, MAX_FILES)])
_HINT = "run `arnode home fsck`; a later run or a peer with the blob restores it"


class Blobs:
    """The blobs under one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, data: bytes) -> bytes:
        """Store `data` and return its hash. If the stored file is damaged, this repairs it.

        Raises ArnodeError if `data` is larger than `BLOB_LIMIT_BYTES`.
        """
        if len(data) > BLOB_LIMIT_BYTES:
            raise ArnodeError(
                f"a blob of {len(data)} bytes is over the limit of {BLOB_LIMIT_BYTES}",
                "keep sources and logs below 1 MiB",
            )
        digest = hashlib.sha256(data).digest()
        path = self.path(digest)
        with explaining_faults(path):
            if path.exists() and path.read_bytes() == data:
                self.note_use(digest)
                return digest
            if not path.parent.exists():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                sync_folder(self._root)
            write_file(path, data)
        return digest

    def get(self, digest: bytes) -> bytes:
        """Return the bytes that hash to `digest`. Raises ArnodeError if missing or damaged."""
        path = self.path(digest)
        with explaining_faults(path):
            try:
                data = path.read_bytes()
            except FileNotFoundError as fault:
                raise ArnodeError(f"the blob {digest.hex()[:12]} is missing", _HINT) from fault
        if hashlib.sha256(data).digest() != digest:
            raise ArnodeError(f"the blob {digest.hex()[:12]} is damaged ({path})", _HINT)
        return data

    def put_source(self, source: Source) -> bytes:
        """Store every file of `source` and return its tree id.

        A tree id is the SHA-256 of the canonical list of paths and blobs. The list is stored as a
        blob too, so the tree id leads back to the files.
        """
        return self.put_listing(tuple((path, self.put(data)) for path, data in source.files))

    def put_listing(self, files: Listing) -> bytes:
        """Store the list of a tree's files and return the tree's id."""
        value: Value = [[path, blob] for path, blob in files]
        return self.put(encode(value))

    def listing(self, tree: bytes) -> Listing | None:
        """Return the paths and blobs of a tree; None if the list is missing or invalid.

        The blob is untrusted: it need not be a list, and it may be long.
        """
        if not self.has(tree):
            return None
        try:
            value = decode(self.get(tree), limit_bytes=LIMIT_BYTES)
        except ArnodeError:  # damaged: `arnode home fsck` reports it
            return None
        found = value if isinstance(value, Rejected) else _LISTING.read(value)
        return None if isinstance(found, Rejected) else found

    def lacking(self, tree: bytes) -> list[bytes] | None:
        """Return the missing blobs of a tree: its list or some files. None if it is not a tree."""
        if not self.has(tree):
            return [tree]
        listing = self.listing(tree)
        return None if listing is None else [blob for _, blob in listing if not self.has(blob)]

    def changed_listing(self, patch: PatchBody) -> Listing | None:
        """Return the list of a patch's tree, computed from its base's list.

        None if the base's list is missing, or the result does not have the patch's tree id.
        """
        base = self.listing(patch.base)
        if base is None:
            return None
        files = dict(base) | {change.path: change.new for change in patch.files}
        found = tuple(sorted(files.items()))
        return found if tree_id([*found]) == patch.tree else None

    def get_source(self, tree: bytes) -> Source:
        """Return the source with this tree id. Raises ArnodeError if no source has this id."""
        match decode(self.get(tree), limit_bytes=BLOB_LIMIT_BYTES):
            case list() as listing:
                files: dict[str, bytes] = {}
                for entry in listing:
                    match entry:
                        case [str() as path, bytes() as digest]:
                            files[path] = self.get(digest)
                source = Source.of(files)
                if source.tree == tree:
                    self.note_use(tree)
                    return source
        raise ArnodeError(f"the blob {tree.hex()[:12]} is not a source", "give the id of a tree")

    def note_use(self, digest: bytes) -> None:
        """Record that a blob was used now; for a tree, pass its id. `eviction` needs this time.

        The time is stored as the file's modification time, because some file systems keep no access
        time.
        """
        with contextlib.suppress(OSError):  # the home may be read-only
            os.utime(self.path(digest))

    def has(self, digest: bytes) -> bool:
        """Return True if the blob's file exists. Its contents are not checked."""
        return self.path(digest).exists()

    def path(self, digest: bytes) -> Path:
        """Return the path of a blob's file, which need not exist."""
        name = digest.hex()
        return self._root / name[:2] / name

    def damaged(self) -> list[bytes]:
        """Return the names of blobs whose contents do not match their name."""
        return [digest for digest in self.names() if not self._is_whole(digest)]

    def remove_leftovers(self) -> None:
        """Delete half-written files of a killed process. The caller must hold the home's lock."""
        for folder in self._root.glob("??"):
            remove_temporaries(folder)

    def names(self) -> list[bytes]:
        """Return the names of all stored blobs, intact or damaged."""
        names = (path.name for path in sorted(self._root.glob("??/*")))
        return [bytes.fromhex(name) for name in names if re.fullmatch("[0-9a-f]{64}", name)]

    def size_bytes(self) -> int:
        """Return the total size of all stored blobs."""
        return sum(path.stat().st_size for path in self._root.glob("??/*"))

    def _is_whole(self, digest: bytes) -> bool:
        try:
            return hashlib.sha256(self.path(digest).read_bytes()).digest() == digest
        except OSError:
            return False
