"""Records: what is accepted is exactly what its author signed."""

import hashlib
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.encoding import LIMIT_BYTES, EncodingError, decode, encode
from protocol.errors import Rejected
from protocol.keys import ID_CONTEXT, SIGNATURE_CONTEXT
from protocol.record_kinds import AdoptBody, Diff, TaskBody, UnknownBody
from protocol.records import MAIN_NET, Record, parse_record, payload_id, record_id, sign_record
from tests.protocol.examples import (
    ADOPT,
    AUTHOR,
    BODIES,
    GOOD_RUN,
    PATCH,
    PROFILE,
    RESULT,
    START_MS,
    TRANSPORT,
)


def _signed(body: Any = ADOPT, **changes: Any) -> Record:
    arguments: Any = {"net": MAIN_NET, "seq": 0, "prev": None, "ts_ms": START_MS, **changes}
    return sign_record(AUTHOR, body=body, **arguments)


def _resigned(**changes: Any) -> Record | Rejected:
    """Return the answer to the adopt example's payload with entries added or replaced."""
    payload = decode(_signed().payload_bytes)
    assert isinstance(payload, dict)
    encoded = encode({**payload, **changes})
    return parse_record(encode([encoded, AUTHOR.sign(SIGNATURE_CONTEXT + encoded)]))


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_each_kind_survives_the_wire(body: Any) -> None:
    record = _signed(body, seq=7, prev=bytes(32), refs=(b"\1" * 32,))
    assert parse_record(record.wire) == record
    assert (record.kind, record.body, record.author) == (body.kind, body, AUTHOR.public)
    assert (record.seq, record.prev, record.refs) == (7, bytes(32), (b"\1" * 32,))
    assert (record.net, record.ts_ms, record.crit) == (MAIN_NET, START_MS, ())


def test_id_and_wire_are_what_the_format_says() -> None:
    record = _signed()
    assert record.wire == msgpack.packb([record.payload_bytes, record.signature])
    assert record.id == hashlib.sha256(ID_CONTEXT + record.payload_bytes).digest()
    assert payload_id(record.wire) == (record.id, record.payload_bytes, record.signature)
    assert record_id(record.payload_bytes) == record.id


@given(st.data())
def test_any_changed_byte_is_rejected(data: Any) -> None:
    wire = bytearray(data.draw(st.sampled_from(WIRES)))
    index = data.draw(st.integers(0, len(wire) - 1))
    wire[index] ^= data.draw(st.integers(1, 255))
    assert isinstance(parse_record(bytes(wire)), Rejected)


def test_every_flipped_bit_of_one_record_is_rejected() -> None:
    wire = WIRES[-1]
    for position in range(len(wire) * 8):
        changed = bytearray(wire)
        changed[position // 8] ^= 1 << position % 8
        assert isinstance(parse_record(bytes(changed)), Rejected), position


@given(st.data())
def test_a_record_cut_or_lengthened_is_rejected(data: Any) -> None:
    wire = data.draw(st.sampled_from(WIRES))
    cut = data.draw(st.integers(0, len(wire) - 1))
    assert isinstance(parse_record(wire[:cut]), Rejected)
    assert isinstance(parse_record(wire + data.draw(st.binary(min_size=1, max_size=9))), Rejected)


@given(st.binary(max_size=200))
def test_untrusted_bytes_never_raise(data: bytes) -> None:
    assert isinstance(parse_record(data), Rejected)
    payload = data[:150]
    wire = encode([payload, AUTHOR.sign(SIGNATURE_CONTEXT + payload)])
    assert payload_id(wire) == (record_id(payload), payload, wire[-64:])
    assert isinstance(parse_record(wire), Rejected)


@pytest.mark.parametrize("size", [0, 1, 254, 255, 256, 257, LIMIT_BYTES - 70])
def test_the_shape_has_one_spelling_at_every_size(size: int) -> None:
    wire = msgpack.packb([bytes(size), bytes(64)])
    assert payload_id(wire) == (record_id(bytes(size)), bytes(size), bytes(64))
    long = b"\x92\xc6" + size.to_bytes(4, "big") + bytes(size) + b"\xc4\x40" + bytes(64)
    assert isinstance(payload_id(long), Rejected)
    if size < 256:
        middle = b"\x92\xc5" + size.to_bytes(2, "big") + bytes(size) + b"\xc4\x40" + bytes(64)
        assert isinstance(payload_id(middle), Rejected)


def test_a_record_of_exactly_the_limit_fits_and_one_more_byte_does_not() -> None:
    def padded(size: int) -> bytes:
        payload = decode(_signed().payload_bytes)
        assert isinstance(payload, dict)
        encoded = encode({**payload, "x": {"a": bytes(size)}})
        return encode([encoded, AUTHOR.sign(SIGNATURE_CONTEXT + encoded)])

    room = LIMIT_BYTES - len(padded(1_000)) + 1_000
    assert isinstance(parse_record(padded(room)), Record)
    assert parse_record(padded(room + 1)) == Rejected("16385 bytes, more than 16384")


def test_one_authors_signature_is_not_anothers() -> None:
    record = _signed()
    stolen = encode(
        [record.payload_bytes, TRANSPORT.sign(SIGNATURE_CONTEXT + record.payload_bytes)]
    )
    assert parse_record(stolen) == Rejected("the signature does not verify")


def test_a_signature_without_its_context_is_worth_nothing() -> None:
    payload = _signed().payload_bytes
    for context in (b"", ID_CONTEXT):
        wire = encode([payload, AUTHOR.sign(context + payload)])
        assert parse_record(wire) == Rejected("the signature does not verify")


def test_a_forged_record_of_a_small_order_author_is_rejected() -> None:
    payload = decode(_signed().payload_bytes)
    assert isinstance(payload, dict)
    neutral = b"\1" + bytes(31)
    wire = encode([encode({**payload, "author": neutral}), neutral + bytes(32)])
    assert parse_record(wire) == Rejected("author: not a key of prime order")


def test_another_authors_profile_cannot_be_worn() -> None:
    with pytest.raises(EncodingError, match="does not vouch"):
        sign_record(TRANSPORT, net=MAIN_NET, seq=0, prev=None, ts_ms=0, body=PROFILE)


def test_unknown_fields_are_kept_in_the_payload_and_ignored() -> None:
    body = ADOPT.to_value()
    assert isinstance(body, dict)
    record = _resigned(later=1, x={"deep": [1]}, body={**body, "later": 2})
    assert isinstance(record, Record)
    assert record.body == ADOPT
    payload = decode(record.payload_bytes)
    assert isinstance(payload, dict)
    assert payload["later"] == 1
    assert payload["body"] == {**body, "later": 2}


def test_an_unknown_kind_is_valid_and_not_interpreted() -> None:
    record = _resigned(kind="prophecy", body={"text": "é"})
    assert isinstance(record, Record)
    assert record.body == UnknownBody(kind="prophecy", encoded=encode({"text": "é"}))
    again = sign_record(AUTHOR, net=MAIN_NET, seq=0, prev=None, ts_ms=START_MS, body=record.body)
    assert again == record


def test_a_body_is_not_interpreted_if_crit_names_something_unknown() -> None:
    body = ADOPT.to_value()
    assert isinstance(body, dict)
    record = _resigned(crit=["until"], body={**body, "until": 5})
    assert isinstance(record, Record)
    assert record.crit == ("until",)
    assert isinstance(record.body, UnknownBody)
    assert record.body.to_value() == {**body, "until": 5}


def test_crit_may_name_what_is_understood_but_not_the_open_field() -> None:
    understood = _resigned(crit=["evidence", "refs"])
    assert isinstance(understood, Record)
    assert isinstance(understood.body, AdoptBody)
    extended = _resigned(crit=["x"], x={"a": 1})
    assert isinstance(extended, Record)
    assert isinstance(extended.body, UnknownBody)


def test_a_task_of_a_later_version_keeps_its_id() -> None:
    manifest = BODIES["task"].to_value()
    assert isinstance(manifest, dict)
    record = _resigned(kind="task", body={**manifest, "later": 1})
    assert isinstance(record, Record)
    assert isinstance(record.body, TaskBody)
    expected = hashlib.sha256(encode({**manifest, "later": 1})).digest()
    assert record.body.manifest.id == expected


@pytest.mark.parametrize(
    ("body", "changes", "reason"),
    [
        (replace(ADOPT, hardware_class="My Card"), {}, "class: does not match"),
        (replace(PATCH, title="x" * 121), {}, "title: 121 characters"),
        (replace(RESULT, runs=(GOOD_RUN,) * 65), {}, "65 items"),
        (replace(RESULT, runs=(replace(GOOD_RUN, reason="x" * 200),) * 64), {}, "more than 16384"),
        (replace(PATCH, diff=Diff(zlib=bytes(8193))), {}, "8193 bytes"),
        (replace(PATCH, why="e\u0301"), {}, "not NFC"),
        (ADOPT, {"seq": -1}, "seq: -1"),
        (ADOPT, {"prev": b"short"}, "prev: 5 bytes"),
        (ADOPT, {"net": "Main"}, "net: does not match"),
        (ADOPT, {"refs": (bytes(32),) * 17}, "refs: 17 items"),
        (ADOPT, {"ts_ms": 1.5}, "type float"),
    ],
)
def test_what_others_would_reject_is_never_signed(body: Any, changes: Any, reason: str) -> None:
    with pytest.raises(EncodingError) as caught:
        _signed(body, **changes)
    assert reason in caught.value.message
    assert caught.value.hint


WIRES = [_signed(body).wire for body in BODIES.values()]
