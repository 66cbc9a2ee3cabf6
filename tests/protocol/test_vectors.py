"""The golden vectors: bytes written once stay valid, and mean the same, for ever.

Checked against the committed file with hashlib, msgpack and cryptography alone where that is
possible, so that a fault shared by encoder and decoder shows too. Nothing here writes the file.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgpack
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol.encoding import Value, decode, encode
from protocol.errors import Rejected
from protocol.manifest import TaskManifest
from protocol.records import Record, parse_record, payload_id
from protocol.source import Source
from tests.protocol.examples import BODIES, MANIFEST, PROGRAM_MANIFEST
from tests.protocol.examples import VARIANTS as VARIANT_BODIES
from tests.vectors import make

VECTORS: Any = json.loads((Path(make.__file__).parent / "records.json").read_text("utf-8"))
RECORDS: Any = VECTORS["records"]
VARIANTS: Any = VECTORS["variants"]
REJECTS: Any = VECTORS["rejects"]


def _from_json(value: Any) -> Value:
    if isinstance(value, dict) and set(value) == {"hex"}:
        return bytes.fromhex(value["hex"])
    if isinstance(value, dict):
        return {key: _from_json(item) for key, item in value.items()}
    return [_from_json(item) for item in value] if isinstance(value, list) else value


def test_there_is_a_vector_for_each_kind() -> None:
    assert [entry["kind"] for entry in RECORDS] == list(BODIES)
    assert len(REJECTS) >= 90


@pytest.mark.parametrize("entry", RECORDS, ids=lambda entry: entry["kind"])
def test_a_record_is_what_the_format_says_without_our_code(entry: Any) -> None:
    payload, signature = bytes.fromhex(entry["payload"]), bytes.fromhex(entry["signature"])
    assert msgpack.unpackb(bytes.fromhex(entry["wire"])) == [payload, signature]
    assert hashlib.sha256(b"arnode/id/1\0" + payload).hexdigest() == entry["id"]
    author = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTORS["author_seed"]))
    assert author.sign(b"arnode/sig/1\0" + payload) == signature
    value = msgpack.unpackb(payload)
    assert value == _from_json(entry["value"])
    assert value["author"] == author.public_key().public_bytes_raw()


@pytest.mark.parametrize("entry", RECORDS, ids=lambda entry: entry["kind"])
def test_a_record_is_parsed_as_it_was_written(entry: Any) -> None:
    record = parse_record(bytes.fromhex(entry["wire"]))
    assert isinstance(record, Record)
    assert record.body == BODIES[entry["kind"]]
    assert (record.id.hex(), record.signature.hex()) == (entry["id"], entry["signature"])
    assert encode(_from_json(entry["value"])).hex() == entry["payload"]


@pytest.mark.parametrize("entry", VARIANTS, ids=lambda entry: entry["variant"])
def test_what_is_optional_or_of_later_is_a_record(entry: Any) -> None:
    record = parse_record(bytes.fromhex(entry["wire"]))
    assert isinstance(record, Record)
    assert record.body == VARIANT_BODIES[entry["variant"]]
    assert record.id.hex() == entry["id"]
    assert encode(_from_json(entry["value"])).hex() == entry["payload"]


def test_the_records_form_a_chain() -> None:
    values: Any = [_from_json(entry["value"]) for entry in RECORDS]
    assert [value["seq"] for value in values] == list(range(len(BODIES)))
    assert [value["prev"] for value in values[1:]] == [
        bytes.fromhex(entry["id"]) for entry in RECORDS[:-1]
    ]


def test_the_profile_binds_its_transport_key() -> None:
    value: Any = _from_json(RECORDS[0]["value"])
    transport = Ed25519PublicKey.from_public_bytes(value["body"]["transport"])
    transport.verify(value["body"]["binding"], b"arnode/bind/1\0" + value["author"])


def test_an_older_key_names_the_author_that_follows_it() -> None:
    (entry,) = (one for one in VARIANTS if "older key" in one["variant"])
    value: Any = _from_json(entry["value"])
    formerly = value["body"]["formerly"]
    older = Ed25519PublicKey.from_public_bytes(formerly["author"])
    older.verify(formerly["signature"], b"arnode/next/1\0" + value["author"])


def test_the_rerun_draws_its_seeds_from_its_proof() -> None:
    (value,) = (_from_json(one["value"]) for one in RECORDS if one["kind"] == "rerun")
    body: Any = value["body"]  # type: ignore[index,call-overload]
    author = Ed25519PublicKey.from_public_bytes(value["author"])  # type: ignore[index,call-overload]
    author.verify(body["proof"], b"arnode/seed/1\0" + body["target"])
    drawn = [
        hashlib.sha256(b"arnode/seed/1\0" + body["proof"] + bytes([0, 0, 0, pair])).digest()
        for pair in (0, 0, 1, 1)
    ]
    expected = [int.from_bytes(digest[:4], "big") >> 1 for digest in drawn]
    assert [run["seed"] for run in body["runs"]] == expected


@pytest.mark.parametrize("entry", REJECTS, ids=lambda entry: entry["fault"])
def test_a_reject_is_rejected_for_its_reason(entry: Any) -> None:
    assert parse_record(bytes.fromhex(entry["wire"])) == Rejected(entry["reason"])


def test_most_rejects_are_signed_so_that_only_the_named_fault_can_be_why() -> None:
    unsigned = []
    author = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTORS["author_seed"]))
    for entry in REJECTS:
        head = payload_id(bytes.fromhex(entry["wire"]))
        if isinstance(head, Rejected) or author.sign(b"arnode/sig/1\0" + head[1]) != head[2]:
            unsigned.append(entry["fault"])
    assert unsigned == list(make.rejects())[:10]


@pytest.mark.parametrize(
    ("entry", "manifest"), list(zip(VECTORS["tasks"], [MANIFEST, PROGRAM_MANIFEST], strict=True))
)
def test_a_task_id_is_the_hash_of_its_manifest(entry: Any, manifest: TaskManifest) -> None:
    encoded = bytes.fromhex(entry["encoded"])
    assert hashlib.sha256(encoded).hexdigest() == entry["id"] == manifest.id.hex()
    assert msgpack.unpackb(encoded) == _from_json(entry["manifest"])
    value = decode(encoded)
    assert not isinstance(value, Rejected)
    assert TaskManifest.from_value(value) == manifest
    assert manifest.baseline_tree.hex() == entry["baseline_tree"]


@pytest.mark.parametrize("entry", VECTORS["trees"])
def test_a_tree_is_the_hash_of_sorted_paths_and_blobs(entry: Any) -> None:
    files = {path: bytes.fromhex(data) for path, data in entry["files"].items()}
    blobs = [[path, hashlib.sha256(files[path]).digest()] for path in sorted(files)]
    assert hashlib.sha256(msgpack.packb(blobs)).hexdigest() == entry["tree"]
    assert Source.of(files).tree.hex() == entry["tree"]


def test_the_file_is_what_the_code_would_write_today() -> None:
    assert make.vectors() == VECTORS
