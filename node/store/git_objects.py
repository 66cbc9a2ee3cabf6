"""Git objects as bytes and hashes, computed without git.

The journal's commits depend only on the records, so this module can compute them. Comparing them
with the journal shows whether somebody edited it, and whether a rebuilt journal is identical.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from protocol.source import Source

ObjectKind = Literal["blob", "tree", "commit"]
_FILE_MODE = b"100644"
_FOLDER_MODE = b"40000"


@dataclass(frozen=True, slots=True)
class GitObject:
    """A git object: the bytes that git compresses and stores, and their hash in hex."""

    framed: bytes
    name: str

    @classmethod
    def of(cls, kind: ObjectKind, data: bytes) -> "GitObject":
        """Return the object with this content."""
        framed = b"%b %d\0%b" % (kind.encode(), len(data), data)
        return cls(framed, hashlib.sha1(framed, usedforsecurity=False).hexdigest())


def source_objects(source: Source) -> list[GitObject]:
    """Return the blobs and trees of a source, its root tree last."""
    return _folder_objects([(path.split("/"), data) for path, data in source.files])


def commit_object(
    *, tree: str, parents: Sequence[str], author: str, committer: str, ts_s: int, message: str
) -> GitObject:
    """Return a commit object; `author` and `committer` have the form `name <address>`."""
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {author} {ts_s} +0000", f"committer {committer} {ts_s} +0000"]
    return GitObject.of("commit", ("\n".join(lines) + f"\n\n{message}").encode())


def _folder_objects(files: Sequence[tuple[Sequence[str], bytes]]) -> list[GitObject]:
    objects: list[GitObject] = []
    entries: list[tuple[bytes, bytes, bytes, str]] = []
    folders: dict[str, list[tuple[Sequence[str], bytes]]] = {}
    for parts, data in files:
        if len(parts) > 1:
            folders.setdefault(parts[0], []).append((parts[1:], data))
            continue
        blob = GitObject.of("blob", data)
        objects.append(blob)
        entries.append((parts[0].encode(), _FILE_MODE, parts[0].encode(), blob.name))
    for folder, inside in folders.items():
        objects += _folder_objects(inside)
        # Git sorts a folder as if its name ended in a slash.
        name = folder.encode()
        entries.append((name + b"/", _FOLDER_MODE, name, objects[-1].name))
    lines = (
        mode + b" " + name + b"\0" + bytes.fromhex(target)
        for _, mode, name, target in sorted(entries)
    )
    return [*objects, GitObject.of("tree", b"".join(lines))]
