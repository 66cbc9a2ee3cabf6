"""Canonical encoding: each value has one encoding, and untrusted bytes never raise."""

import unicodedata
from enum import IntEnum
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.encoding import (
    LIMIT_BYTES,
    MAX_DEPTH,
    MAX_INT,
    MAX_ITEMS,
    EncodingError,
    Value,
    decode,
    encode,
    is_normal,
)
from protocol.errors import Rejected

NORMAL_TEXT = st.text(max_size=40).map(lambda text: unicodedata.normalize("NFC", text))
KEYS = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=24)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INT, MAX_INT)
    | NORMAL_TEXT
    | st.binary(max_size=40)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
).filter(lambda value: _depth(value) <= MAX_DEPTH)


class Colour(IntEnum):
    RED = 1


class Name(str):
    __slots__ = ()


def _depth(value: Value) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _nested(depth: int) -> Value:
    value: Value = []
    for _ in range(depth - 1):
        value = [value]
    return value


@given(VALUES)
def test_what_is_encoded_decodes_to_the_same(value: Value) -> None:
    assert decode(encode(value)) == value


@given(st.dictionaries(KEYS, SCALARS, min_size=2, max_size=6), st.randoms())
def test_the_order_in_which_a_map_was_made_does_not_matter(entries: Any, random: Any) -> None:
    shuffled = list(entries.items())
    random.shuffle(shuffled)
    assert encode(dict(shuffled)) == encode(entries)


@given(st.binary(max_size=60))
@example(b"")
@example(b"\xc1")
@example(b"\xd7\xff" + b"\xff" * 8)
@example(b"\x81\x90\x01")
@example(b"\x81\x81\x01\x01\x01")
def test_untrusted_bytes_never_raise_and_decode_only_if_canonical(data: bytes) -> None:
    value = decode(data)
    assert isinstance(value, Rejected) or encode(value) == data


@given(VALUES, st.data())
def test_no_other_bytes_mean_the_same(value: Value, data: Any) -> None:
    encoded = bytearray(encode(value))
    index = data.draw(st.integers(0, len(encoded) - 1))
    encoded[index] ^= data.draw(st.integers(1, 255))
    changed = decode(bytes(encoded))
    assert isinstance(changed, Rejected) or encode(changed) == encoded != encode(value)


def test_known_spellings() -> None:
    assert encode({"b": [1, -1, 255], "a": None}).hex() == "82a161c0a1629301ffccff"
    assert (
        encode([True, False, "é", b"\0", MAX_INT]).hex() == "95c3c2a2c3a9c40100cf001fffffffffffff"
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x82\xa1a\x01\xa1a\x01", "not in canonical form"),  # a key twice
        (b"\x82\xa1b\x01\xa1a\x01", "not in canonical form"),  # unsorted
        (b"\xcc\x01", "not in canonical form"),
        (b"\xd0\x01", "not in canonical form"),  # int8 for a value that fits a fixint
        (b"\xd2\xff\xff\xff\xff", "not in canonical form"),
        (b"\xd9\x01a", "not in canonical form"),
        (b"\xc5\x00\x01a", "not in canonical form"),
        (b"\xdc\x00\x00", "not in canonical form"),
        (b"\xde\x00\x00", "not in canonical form"),
        (b"\xca\x00\x00\x00\x00", "a value of type float"),
        (b"\xcb" + bytes(8), "a value of type float"),
        (b"\xd4\x05x", "a value of type ExtType"),
        (b"\xd6\xff\x00\x00\x00\x00", "a value of type Timestamp"),
        (b"\x01\x01", "not msgpack within the limits"),  # a byte left over
        (b"\x92\x01", "not msgpack within the limits"),  # cut short
        (b"\x91" * 16_000, "not msgpack within the limits"),  # a depth bomb
        (b"\x91" * 900 + b"\x90", "nested deeper than 6"),
        (b"\xdd\xff\xff\xff\xff", "not msgpack within the limits"),  # a width bomb
        (b"\xdf\xff\xff\xff\xff", "not msgpack within the limits"),
        (b"\xc6\xff\xff\xff\xff", "not msgpack within the limits"),
        (b"\xa3\xed\xa0\x80", "not msgpack within the limits"),  # a surrogate
        (b"\xa3e\xcc\x81", "text that is not NFC"),
        (b"\x81\xa1A\x01", "a map key that is not [a-z0-9_]{1,24}"),
        (b"\x81\xc4\x01a\x01", "a map key that is not [a-z0-9_]{1,24}"),
        (b"\x81\xa2a\n\x01", "a map key that is not [a-z0-9_]{1,24}"),
        (b"\xcf\x00\x20" + bytes(6), "a number of 2^53 or more"),
        (b"\xcf" + b"\xff" * 8, "a number of 2^53 or more"),
        (bytes(LIMIT_BYTES + 1), "16385 bytes, more than 16384"),
    ],
)
def test_other_spellings_are_rejected(data: bytes, reason: str) -> None:
    assert decode(data) == Rejected(reason)


@pytest.mark.parametrize(
    ("fits", "exceeds"),
    [
        (_nested(MAX_DEPTH), _nested(MAX_DEPTH + 1)),
        ([0] * MAX_ITEMS, [0] * (MAX_ITEMS + 1)),
        ({f"k{i}": 0 for i in range(MAX_ITEMS)}, {f"k{i}": 0 for i in range(MAX_ITEMS + 1)}),
        ({"k" * 24: 0}, {"k" * 25: 0}),
        (MAX_INT, MAX_INT + 1),
        (-MAX_INT, -MAX_INT - 1),
    ],
)
def test_each_limit_is_met_and_not_passed(fits: Value, exceeds: Value) -> None:
    assert decode(encode(fits)) == fits
    with pytest.raises(EncodingError):
        encode(exceeds)
    assert isinstance(decode(msgpack.packb(exceeds)), Rejected)


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        (1, 2),
        {1: 2},
        Colour.RED,
        Name("x"),
        bytearray(b"x"),
        "\ud800",
        "e\u0301",
    ],
)
def test_own_values_without_a_canonical_form_raise(value: Any) -> None:
    with pytest.raises(EncodingError) as caught:
        encode([value])
    assert caught.value.hint


def test_true_is_not_one() -> None:
    assert encode(True) != encode(1)
    assert decode(encode(True)) is True
    assert decode(encode(1)) is not True


def test_a_limit_of_ones_own_is_kept() -> None:
    assert decode(encode(bytes(20_000)), limit_bytes=30_000) == bytes(20_000)
    assert isinstance(decode(encode(bytes(100)), limit_bytes=100), Rejected)


def test_marks_that_came_after_unicode_3_2_do_not_decide_validity() -> None:
    # Unicode 6.1 added U+08E4. A Python that knows it would reorder the marks, and an older one
    # would not. The two would have different sets of valid records.
    text = "a\u08e4\u0323"
    assert not unicodedata.is_normalized("NFC", text)
    assert is_normal(text)
    assert decode(encode(text)) == text
    assert not is_normal("a\u0301\u0323")


@given(st.text())
def test_text_normalised_by_this_python_is_always_accepted(text: str) -> None:
    assert is_normal(unicodedata.normalize("NFC", text))
