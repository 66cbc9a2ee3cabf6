"""A bundle: one file with everything about one record, which anybody can check offline.

It is an ordinary zip file: `manifest.json`, `records/ID` (wire forms), `blobs/HASH`. Each ID or
HASH is the hash of the entry's bytes, and the same content always gives the same bundle. Bundles
are untrusted: reading is limited in size, and everything is checked. Any fault raises a
`SafetyError`.
"""

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, TypeAlias

from node.home.faults import explaining_faults
from node.home.files import write_file
from node.store.blobs import BLOB_LIMIT_BYTES
from protocol.encoding import LIMIT_BYTES, decode
from protocol.errors import Rejected, SafetyError, UsageError
from protocol.record_kinds import AdoptBody, PatchBody, ResultBody
from protocol.records import Record, parse_record
from protocol.rerun import RerunBody
from protocol.source import Source

# The records that a bundle can be about: those that name a source.
Subject: TypeAlias = ResultBody | RerunBody | AdoptBody | PatchBody

FORMAT: Final = "arnode-bundle/1"
_MAX_FILE_BYTES = 64 << 20
_MAX_CONTENT_BYTES = 128 << 20
_MAX_ENTRIES = 4_096
_MANIFEST = "manifest.json"
_NAME = re.compile("(records|blobs)/[0-9a-f]{64}")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip can hold
_HINT = (
    "`arnode export bundle ID` makes one, at its author; `arnode try` measures a source of your own"
)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Valid records and intact blobs, by hash; `about` is the id of the record it was made for."""

    about: bytes
    records: Mapping[bytes, Record]
    blobs: Mapping[bytes, bytes]

    @cached_property
    def subject(self) -> Record:
        """The record that the bundle is about."""
        return self.records[self.about]

    def source(self, tree: bytes) -> Source | None:
        """Return the source with this tree id; None if the bundle lacks one of its files."""
        listing = self.blobs.get(tree)
        entries = None if listing is None else decode(listing, limit_bytes=BLOB_LIMIT_BYTES)
        if not isinstance(entries, list):
            return None
        files: dict[str, bytes] = {}
        for entry in entries:
            match entry:
                case [str() as path, bytes() as digest] if digest in self.blobs:
                    files[path] = self.blobs[digest]
                case _:
                    return None
        source = Source.of(files)
        return source if source.tree == tree else None


def trees_of(body: Subject) -> tuple[bytes, bytes]:
    """Return the tree that a record starts from and the tree that it is about."""
    if isinstance(body, AdoptBody):
        return body.from_tree, body.to_tree
    return body.base, body.tree


def write_bundle(path: Path, bundle: Bundle) -> int:
    """Write the whole file or nothing; return its size. Raises UsageError for a bad path."""
    manifest = {
        "v": 1,
        "format": FORMAT,
        "about": bundle.about.hex(),
        "kind": bundle.subject.kind,
        "records": sorted(one.hex() for one in bundle.records),
        "blobs": sorted(one.hex() for one in bundle.blobs),
    }
    entries = {_MANIFEST: json.dumps(manifest, indent=1).encode() + b"\n"}
    entries |= {f"records/{one.hex()}": bundle.records[one].wire for one in sorted(bundle.records)}
    entries |= {f"blobs/{one.hex()}": bundle.blobs[one] for one in sorted(bundle.blobs)}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
    with explaining_faults(path):
        if path.is_dir() or not path.parent.is_dir():
            raise UsageError(f"cannot write {path}", "name a file in an existing folder")
        write_file(path, packed.getvalue(), mode=0o644)
    return packed.tell()


def read_bundle(path: Path) -> Bundle:
    """Return the bundle in a file. Raises SafetyError if anything in it is invalid."""
    with explaining_faults(path):
        if not path.is_file():
            raise UsageError(f"{path} is not a file", "give the path of a bundle")
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise _refusal(path, f"it is larger than {_MAX_FILE_BYTES >> 20} MB")
        try:
            with zipfile.ZipFile(path) as archive:
                entries = _entries(path, archive)
        # zipfile raises the last two for unsupported compression or encryption.
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as bad:
            raise _refusal(path, f"it is not a readable zip file: {bad}") from bad
    records: dict[bytes, Record] = {}
    blobs: dict[bytes, bytes] = {}
    for name, data in entries.items():
        folder, _, digits = name.partition("/")
        if folder == "records":
            record = parse_record(data)
            if isinstance(record, Rejected):
                raise _refusal(path, f"record {digits[:12]}: {record.reason}")
            if record.id.hex() != digits:
                raise _refusal(path, f"record {digits[:12]} has another id")
            records[record.id] = record
        elif folder == "blobs":
            if hashlib.sha256(data).hexdigest() != digits:
                raise _refusal(path, f"blob {digits[:12]} has another hash")
            blobs[bytes.fromhex(digits)] = data
    about = _about(path, entries)
    if about not in records:
        raise _refusal(path, "the record that it is about is missing")
    return Bundle(about=about, records=records, blobs=blobs)


def _entries(path: Path, archive: zipfile.ZipFile) -> dict[str, bytes]:
    """Return the entries' contents by name. Size limits do not rely on the headers."""
    infos = archive.infolist()
    if len(infos) > _MAX_ENTRIES:
        raise _refusal(path, f"it has more than {_MAX_ENTRIES} entries")
    entries: dict[str, bytes] = {}
    left = _MAX_CONTENT_BYTES
    for info in infos:
        if info.filename != _MANIFEST and not _NAME.fullmatch(info.filename):
            raise _refusal(path, f"it has an unexpected entry {info.filename!r:.80}")
        if info.filename in entries:
            raise _refusal(path, f"it has two entries {info.filename:.80}")
        limit = LIMIT_BYTES if info.filename.startswith("records/") else BLOB_LIMIT_BYTES
        with archive.open(info) as stream:
            data = stream.read(limit + 1)
        left -= len(data)
        if len(data) > limit or left < 0:
            raise _refusal(path, f"{info.filename:.80} is larger than allowed")
        entries[info.filename] = data
    return entries


def _about(path: Path, entries: Mapping[str, bytes]) -> bytes:
    try:
        manifest = json.loads(entries.get(_MANIFEST, b""))
    except (ValueError, RecursionError) as bad:
        raise _refusal(path, f"{_MANIFEST} is missing or not JSON") from bad
    match manifest:
        case {"format": str() as form, "about": str() as about} if form == FORMAT:
            if re.fullmatch("[0-9a-f]{64}", about):
                return bytes.fromhex(about)
    raise _refusal(path, f"{_MANIFEST} is not a bundle manifest ({FORMAT})")


def _refusal(path: Path, what: str) -> SafetyError:
    return SafetyError(f"{path} is not a bundle: {what}", _HINT)
