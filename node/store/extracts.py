"""What a store keeps of a record beside its bytes: all that follows from the record alone.

To read a record and verify it takes longer than to store it, and neither needs the other: a process
beside may read (`node.peering.record_reader`), and hands over what this module makes of the bytes.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, get_args

from node.store.facts import to_text
from protocol.board_facts import read_by, read_fact
from protocol.body import Sort
from protocol.errors import Rejected
from protocol.manifest import TaskManifest
from protocol.record_kinds import PatchBody, ResultBody
from protocol.records import Record, parse_record
from protocol.topics import topics_of

SORTS: Final[tuple[Sort, ...]] = get_args(Sort)
ManifestOf = Callable[[bytes], TaskManifest | None]


class Extract(NamedTuple):
    """A valid record as its store's tables have it.

    `sort` is what it counts as: news is what boards and everybody's nodes read. `topics` are those
    that it belongs to by itself (protocol/topics.py); `patch` is the one that a result names,
    `about` the record that an attestation, adoption or retraction names, or that a patch was found
    as before it was carried to another task; of several that were carried as one, the first.
    `board` is the task and hardware class whose board reads it; `fact` what that board reads
    (`node.store.facts`), None as well if whoever read the record did not know the task.
    """

    id: bytes
    net: str
    kind: str
    author: bytes
    seq: int
    ts_ms: int
    sort: Sort
    topics: tuple[str, ...]
    is_patch: bool
    patch: bytes | None
    about: bytes | None
    board: tuple[bytes, str] | None
    fact: str | None
    wire: bytes


def extract(wire: bytes, manifest_of: ManifestOf) -> Extract | Rejected:
    """Check a record's form and signature; return what is kept of it, or why it is none."""
    record = parse_record(wire)
    return record if isinstance(record, Rejected) else extract_of(record, manifest_of)


def extract_of(record: Record, manifest_of: ManifestOf) -> Extract:
    """Return what is kept of a record."""
    body = record.body
    board = read_by(record)
    manifest = manifest_of(board[0]) if board else None
    fact = read_fact(record, manifest, board[1]) if board and manifest else None
    return Extract(
        id=record.id,
        net=record.net,
        kind=record.kind,
        author=record.author,
        seq=record.seq,
        ts_ms=record.ts_ms,
        sort=body.sort,
        topics=topics_of(record),
        is_patch=isinstance(body, PatchBody),
        patch=body.patch if isinstance(body, ResultBody) else None,
        about=body.about,
        board=board,
        fact=None if fact is None else to_text(fact),
        wire=record.wire,
    )
