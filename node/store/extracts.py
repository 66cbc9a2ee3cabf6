"""What a store keeps of a record beside its bytes: all that follows from the record alone.

To read a record and verify it takes longer than to store it, and neither needs the other: a process
beside may read (`node.peering.reading`), and hands over what this module makes of the bytes.
"""

from typing import Literal, NamedTuple, TypeAlias

from protocol.errors import Rejected
from protocol.kinds import IntentBody, PatchBody, ResultBody, UnknownBody
from protocol.records import Record, parse_record
from protocol.topics import topics_of

Sort: TypeAlias = Literal["news", "bulk", "intent", "unknown"]


class Extract(NamedTuple):
    """A valid record as its store's tables have it.

    `sort` is what it counts as: news is what boards and everybody's nodes read. `topics` are those
    that it belongs to by itself (protocol/topics.py); `patch` is the one that a result names.
    """

    id: bytes
    wire: bytes
    net: str
    kind: str
    author: bytes
    seq: int
    ts_ms: int
    sort: Sort
    topics: tuple[str, ...]
    is_patch: bool
    patch: bytes | None


def extract(wire: bytes) -> Extract | Rejected:
    """Return what is kept of the record that `wire` is, or why it is none."""
    record = parse_record(wire)
    return record if isinstance(record, Rejected) else extract_of(record)


def extract_of(record: Record) -> Extract:
    """Return what is kept of a record."""
    body = record.body
    return Extract(
        id=record.id,
        wire=record.wire,
        net=record.net,
        kind=record.kind,
        author=record.author,
        seq=record.seq,
        ts_ms=record.ts_ms,
        sort=_sort_of(record),
        topics=topics_of(record),
        is_patch=isinstance(body, PatchBody),
        patch=body.patch if isinstance(body, ResultBody) else None,
    )


def _sort_of(record: Record) -> Sort:
    match record.body:
        case UnknownBody():
            return "unknown"
        case IntentBody():
            return "intent"
        case PatchBody():
            return "bulk"
        case ResultBody(stage=stage) if stage != "confirm":
            return "bulk"
        case _:
            return "news"
