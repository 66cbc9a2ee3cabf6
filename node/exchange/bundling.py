"""Functions that make a bundle (a record, its evidence, all sources) or import one."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from node.exchange.bundle import Bundle, Subject, read_bundle, trees_of
from node.home.clock import clock_ms
from node.store.blobs import Blobs
from node.store.boards import BoardKey
from node.store.intake import IntakeReport
from node.store.store import Store
from protocol.errors import ArnodeError, UsageError
from protocol.record_kinds import AdoptBody, PatchBody, ResultBody
from protocol.records import Record
from protocol.rerun import RerunBody


def take_in(store: Store, blobs: Blobs, bundle: Bundle, *, net: str) -> IntakeReport:
    """Store a bundle's sources and records. Its results remain claims of their authors."""
    for data in bundle.blobs.values():
        blobs.put(data)
    wires = [record.wire for record in bundle.records.values()]
    return store.intake.ingest(wires, now_ms=clock_ms(), net=net)


def bundle_of(store: Store, blobs: Blobs, wanted: str) -> Bundle:
    """Return the bundle in a file, or the bundle about the record with this id.

    Its consistency is not checked. Raises UsageError if there is no such file or record.
    """
    path = Path(wanted)
    if path.is_file():
        return read_bundle(path)
    if "/" in wanted or "." in wanted:
        raise UsageError(f"there is no file {wanted}", "give a bundle's path or a record's id")
    return gather(store, blobs, store.records.find(wanted))


def gather(store: Store, blobs: Blobs, record: Record) -> Bundle:
    """Return the bundle about a result, re-run, adoption or patch. Raises UsageError for others."""
    body = record.body
    if not isinstance(body, Subject):
        raise UsageError(
            f"a {record.kind} record cannot be bundled",
            "give the id of an experiment, re-run, adoption or patch: see `arnode log`",
        )
    records: dict[bytes, Record] = {one.id: one for one in _records(store, record)}
    found: dict[bytes, bytes] = {}
    for tree in _trees(store, body):
        found[tree] = blobs.get(tree)
        for _, data in blobs.get_source(tree).files:
            found[hashlib.sha256(data).digest()] = data
    manifest = store.records.manifest(body.task)
    if manifest is not None and manifest.program is not None:
        found |= {blob: blobs.get(blob) for blob in manifest.program.blobs}
    if isinstance(body, ResultBody):
        found |= {blob: blobs.get(blob) for blob in body.answers if blobs.has(blob)}
    for one in records.values():
        if isinstance(one.body, PatchBody) and one.body.diff.blob is not None:
            found[one.body.diff.blob] = blobs.get(one.body.diff.blob)
    return Bundle(about=record.id, records=records, blobs=found)


def _records(store: Store, record: Record) -> Iterator[Record]:
    """Yield the record, the records that it names, authors' profiles, and re-runs of its tree."""
    pending: list[bytes] = [record.id]
    seen: set[bytes] = set()
    authors = {record.author}
    while pending:
        wanted = pending.pop()
        if wanted in seen or not store.records.has(wanted):
            continue
        seen.add(wanted)
        one = store.records.get(wanted)
        authors.add(one.author)
        yield one
        pending += _named(store, one)
    for author in authors:
        yield from store.records.listed("profile", author, newest_first=True, limit=1)


def _named(store: Store, record: Record) -> Iterator[bytes]:
    body = record.body
    if isinstance(body, Subject):
        announcement = store.records.task_record(body.task)
        if announcement is not None:
            yield announcement
    match body:
        case ResultBody(patch=patch):
            if patch is not None:
                yield patch
            key = BoardKey(net=record.net, task=body.task, hardware_class=body.hardware_class)
            yield from store.boards.votes(key, body.tree)
            if retraction := store.records.retraction(record.id):
                yield retraction.id
        case RerunBody(target=target) if target is not None:
            yield target
        case AdoptBody(evidence=evidence) if evidence is not None:
            yield evidence


def _trees(store: Store, body: Subject) -> Iterator[bytes]:
    """Yield the tree that a record starts from, the tree that it is about, and the baseline."""
    manifest = store.records.manifest(body.task)
    if manifest is None:
        raise ArnodeError("the record's task record is missing", "run `arnode home fsck`")
    yield from dict.fromkeys((*trees_of(body), manifest.baseline_tree))
