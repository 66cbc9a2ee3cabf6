"""Extracts: the fields of a record that the store keeps next to its bytes.

An extract depends on the record alone, apart from `fact`. Parsing and verifying a record takes
longer than storing it, so another process may do it (`node.peering.record_reader`) and hand over
the extracts.
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
    """The fields of a valid record that the store's tables need.

    `sort` is the quota category. The category "news" has the records that all nodes and the
    leaderboards read. `topics` are the topics that follow from the record alone
    (protocol/topics.py). `patch` is the patch that a result names. `about` is the record that a
    re-run, adoption or retraction names. For a transfer, `about` is the original patch, or the
    first one if several were transferred as one patch. `board` is the task and hardware class of
    the leaderboard to which the record belongs. `fact` is the data that this leaderboard uses
    (`node.store.facts`), None if the record has none, or if its task was unknown when the record
    was parsed.
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
    """Check a record's form and signature. Return its extract, or the reason it is invalid."""
    record = parse_record(wire)
    return record if isinstance(record, Rejected) else extract_of(record, manifest_of)


def extract_of(record: Record, manifest_of: ManifestOf) -> Extract:
    """Return the extract of a parsed record."""
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
