"""The index against a plain sorted list, with any order of additions and removals."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Rejected
from protocol.record_index import RecordIndex, decode_varint, encode_varint, key_of


def key(number: int) -> bytes:
    """Return the key for a number; many keys have the same time."""
    return key_of(number // 7, hashlib.sha256(number.to_bytes(4, "big")).digest())


NUMBERS = st.integers(0, 400)


@given(st.sets(NUMBERS), st.lists(st.tuples(st.booleans(), NUMBERS), max_size=300))
def test_it_is_a_sorted_set(loaded: set[int], changes: list[tuple[bool, int]]) -> None:
    index = RecordIndex(sorted(key(number) for number in loaded))
    expected = {key(number) for number in loaded}
    for adds, number in changes:
        wanted = key(number)
        assert (wanted in index) == (wanted in expected)
        if adds:
            assert index.add(wanted) == (wanted not in expected)
            expected.add(wanted)
        else:
            assert index.discard(wanted) == (wanted in expected)
            expected.discard(wanted)
    ordered = sorted(expected)
    assert len(index) == len(ordered)
    assert [index.key(position) for position in range(len(ordered))] == ordered
    assert list(index.ids(0, len(ordered))) == [item[8:] for item in ordered]


@given(st.sets(NUMBERS, max_size=300), NUMBERS, NUMBERS, st.integers(0, 40))
def test_positions_ids_and_fingerprints_of_a_stretch(
    numbers: set[int], first: int, second: int, length: int
) -> None:
    ordered = sorted(key(number) for number in numbers)
    index = RecordIndex()
    for number in numbers:
        index.add(key(number))
    bound = key(first)[:length]
    assert index.position(bound) == sum(item < bound for item in ordered)
    start, stop = sorted(index.position(key(number)) for number in (first, second))
    part = [item[8:] for item in ordered[start:stop]]
    assert list(index.ids(start, stop)) == part
    total = sum(int.from_bytes(item, "little") for item in part) % 2**256
    summed = total.to_bytes(32, "little") + encode_varint(stop - start)
    assert index.fingerprint(start, stop) == hashlib.sha256(summed).digest()[:16]


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_varints_survive(number: int, rest: bytes) -> None:
    encoded = encode_varint(number)
    assert decode_varint(encoded + rest, 0) == (number, len(encoded))
    assert isinstance(decode_varint(encoded[:-1], 0), Rejected)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 10 + b"\x7f", b"\xff" * 9 + b"\x7f\x80"])
def test_a_varint_that_does_not_end_is_rejected(data: bytes) -> None:
    assert isinstance(decode_varint(data, 0), Rejected)


def test_varints_are_written_as_negentropy_does() -> None:
    assert [encode_varint(number).hex() for number in (0, 127, 128, 300)] == [
        "00",
        "7f",
        "8100",
        "822c",
    ]


@given(st.sets(NUMBERS), st.sets(NUMBERS))
def test_a_copy_stays_as_it_was_and_a_digest_is_of_the_set_alone(
    first: set[int], later: set[int]
) -> None:
    index = RecordIndex(sorted(key(number) for number in first))
    copied = index.copy()
    for number in later:
        index.add(key(number))
    ids = [key(number)[8:] for number in first]
    summed = sum(int.from_bytes(one, "little") for one in ids) % 2**256
    assert copied.digest() == (len(ids), summed.to_bytes(32, "little"))
    assert list(copied.ids(0, len(copied))) == [item[8:] for item in sorted(map(key, first))]
    for number in later - first:
        index.discard(key(number))
    assert index.digest() == copied.digest()
