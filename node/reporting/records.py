"""Records as JSON: one with all facts about it, its diff, and lists of records."""

from dataclasses import asdict
from typing import TypedDict, cast

from agent.source.capabilities import CapabilityFinding
from agent.source.imported_reach import What
from node.exchange.bundle import Subject, trees_of
from node.reporting.open_home import OpenHome
from node.reporting.published import text_of
from node.reporting.queries import OfId, OfRecords
from node.reporting.timeline import TimelineDocument, timeline_document
from node.source_review.adoption import marks_of
from node.store.blobs import Blobs
from node.store.store import Store
from node.terminal.terminal import to_json
from protocol.encoding import Value
from protocol.errors import ArnodeError, Rejected, UsageError
from protocol.patches import unified_diff, unpack_diff
from protocol.record_kinds import AdoptBody, PatchBody, ResultBody
from protocol.records import Record
from protocol.remarks import ReportBody, RetractBody
from protocol.rerun import RerunBody


class MarkDocument(TypedDict):
    """Code that does something beyond plain computation, with its file, line and kind."""

    path: str
    line: int
    what: What
    text: str


class RecordDocument(TypedDict):
    """One record with all facts about it.

    `level` is `here` for this node's own records, else `claimed`. `marks` is null if the record
    names no source or this node does not have it. `text` is a report's text, null if this node does
    not have it.
    """

    id: str
    kind: str
    author: str
    seq: int
    ts: int
    body: dict[str, object]
    signature_ok: bool
    level: str
    retracted: str | None
    related: list[str]
    marks: list[MarkDocument] | None
    timeline: list[TimelineDocument]
    text: str | None


class RecordRow(TypedDict):
    """The envelope of a record."""

    id: str
    kind: str
    author: str
    seq: int
    ts: int
    own: bool


class RecordsDocument(TypedDict):
    """Some records; `total` counts all that match."""

    total: int
    offset: int
    records: list[RecordRow]


class DiffDocument(TypedDict):
    """The diff of a record."""

    id: str
    diff: str


def record_document(store: Store, blobs: Blobs, record: Record) -> RecordDocument:
    """Return a record as JSON."""
    marks = _marks(store, blobs, record)
    shown = None if marks is None else [cast("MarkDocument", asdict(mark)) for mark in marks]
    return {
        "id": record.id.hex(),
        "kind": record.kind,
        "author": record.author.hex(),
        "seq": record.seq,
        "ts": record.ts_ms,
        "body": cast("dict[str, object]", to_json(record.body.to_value())),
        "signature_ok": True,  # the store returns no record with a wrong signature
        "level": "here" if store.records.is_own(record.id) else "claimed",
        "retracted": _retraction_reason(store, record),
        "related": [item.hex() for item in _related(store, record)],
        "marks": shown,
        "timeline": timeline_document(store, record),
        "text": text_of(blobs, record.body) if isinstance(record.body, ReportBody) else None,
    }


def record_page(at: OpenHome, query: OfId) -> RecordDocument:
    """Return all facts about the record that a query names."""
    return record_document(at.store, at.blobs, at.store.records.find(query.id))


def diff_document(at: OpenHome, query: OfId) -> DiffDocument:
    """Return the diff of the record that a query names."""
    record = at.store.records.find(query.id)
    return {"id": record.id.hex(), "diff": diff_of(at.store, at.blobs, record)}


def records_page(at: OpenHome, query: OfRecords) -> RecordsDocument:
    """Return the envelopes of the records that a query selects, newest first."""
    records = at.store.records
    author = None if query.author is None else records.find_author(query.author)
    total, rows = records.page(query.kind, author, offset=query.offset, limit=query.limit)
    return {
        "total": total,
        "offset": query.offset,
        "records": [
            {
                "id": row.id.hex(),
                "kind": row.kind,
                "author": row.author.hex(),
                "seq": row.seq,
                "ts": row.ts_ms,
                "own": row.own,
            }
            for row in rows
        ],
    }


def diff_of(store: Store, blobs: Blobs, record: Record) -> str:
    """Return the unified diff that a record is about.

    Raises UsageError if the record has no patch, ArnodeError if its files cannot be read.
    """
    body = record.body
    if isinstance(body, AdoptBody):
        return unified_diff(blobs.get_source(body.from_tree), blobs.get_source(body.to_tree))
    if isinstance(body, ResultBody | RerunBody):
        patch = (
            store.records.patch(body.patch) if isinstance(body, ResultBody) and body.patch else None
        )
        if patch is None and body.base != body.tree:  # this node may lack the author's patch
            return unified_diff(blobs.get_source(body.base), blobs.get_source(body.tree))
        body = patch or body
    if isinstance(body, ResultBody) and body.stage == "baseline":
        raise UsageError(
            f"{record.id.hex()[:12]} is a baseline, which changes nothing",
            "give the id of an experiment with a patch: see `arnode log`",
        )
    if not isinstance(body, PatchBody):
        raise UsageError(
            f"{record.id.hex()[:12]} is a {record.kind} without a patch",
            "give the id of an experiment: see `arnode log`",
        )
    text = patch_diff(blobs, body)
    if isinstance(text, Rejected):
        raise ArnodeError(f"the diff is invalid: {text.reason}", "see `arnode show`")
    return text


def patch_diff(blobs: Blobs, patch: PatchBody) -> str | Rejected:
    """Return the unified diff of a patch. Raises ArnodeError if its file is missing."""
    packed = blobs.get(patch.diff.blob) if patch.diff.blob else patch.diff.zlib or b""
    text = unpack_diff(packed)
    if isinstance(text, Rejected):
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _marks(store: Store, blobs: Blobs, record: Record) -> tuple[CapabilityFinding, ...] | None:
    """Return the lint's findings in the record's tree.

    Return None if the record has no tree, or if this node does not have the tree.
    """
    if not isinstance(record.body, Subject):
        return None
    return marks_of(store, blobs, record.body.task, trees_of(record.body)[1])


def _retraction_reason(store: Store, record: Record) -> str | None:
    """Return the reason a record was retracted; None if it was not."""
    retraction = store.records.retraction(record.id)
    if retraction is None or not isinstance(retraction.body, RetractBody):
        return None
    return retraction.body.reason or "no reason given"


def _related(store: Store, record: Record) -> list[bytes]:
    """Return the known records that a record names, then those that name this record."""
    named = [*record.refs, *_digests(record.body.to_value())]
    candidates = dict.fromkeys([*named, *store.records.naming(record.id)])
    return [item for item in candidates if item != record.id and store.records.has(item)]


def _digests(value: Value) -> list[bytes]:
    if isinstance(value, bytes):
        return [value] if len(value) == 32 else []
    if isinstance(value, list):
        return [digest for item in value for digest in _digests(item)]
    if isinstance(value, dict):
        return [digest for item in value.values() for digest in _digests(item)]
    return []
