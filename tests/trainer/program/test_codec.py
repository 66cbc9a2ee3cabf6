"""Instances and answers as bytes: they round-trip, and untrusted bytes are checked."""

import json
import math
from pathlib import PurePosixPath
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from scipy import sparse

from trainer.program.harness.codec import Undecodable, decode, encode

names = st.from_regex(r"[a-c](/[a-c]){0,2}", fullmatch=True)
finite = st.floats(allow_nan=False, allow_infinity=False)
complex_numbers = st.complex_numbers(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
FINITE = {"allow_nan": False, "allow_infinity": False}
KINDS = ("?", "u1", "i2", "<i4", ">i8", "f4", ">f8", "c8", "c16", "S3", "U2")
an_array = st.sampled_from(KINDS).flatmap(
    lambda kind: arrays_of.arrays(
        np.dtype(kind),
        arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
        elements=FINITE if np.dtype(kind).kind in "fc" else None,
    )
)
keys = st.integers() | texts | st.binary(max_size=4) | st.tuples(st.integers(), texts)
everything = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | texts | st.binary() | complex_numbers,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Return True if equal and of the same types at all levels: True is not 1, and -0.0 not 0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        both = zip(one.items(), other.items(), strict=True)
        return all(same(a, b) for a, b in both)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


@given(st.binary())
def test_bytes_stay_what_they_are(data: bytes) -> None:
    assert decode(encode(bytearray(data), "bytes"), "bytes") == data


@given(plain)
def test_plain_values_come_back_from_json(value: Any) -> None:
    assert same(decode(encode(value, "json"), "json"), value)


@given(everything)
def test_values_come_back_from_arrays(value: Any) -> None:
    assert same(decode(encode(value, "arrays"), "arrays"), value)


@given(an_array)
def test_arrays_come_back_with_shape_and_kind(array: np.ndarray[Any, Any]) -> None:
    (back,) = decode(encode([array], "arrays"), "arrays")
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable


@pytest.mark.parametrize(
    "scalar",
    [
        np.float64(0.1),
        np.float32(-0.0),
        np.int8(-3),
        np.bool_(True),
        np.complex64(1j),
        np.str_("é"),
    ],
)
def test_a_single_number_of_numpy_stays_one(scalar: np.generic) -> None:
    back = decode(encode(scalar, "arrays"), "arrays")
    assert type(back) is type(scalar)
    assert back == scalar


def test_arrays_are_lists_in_json() -> None:
    value = {"points": np.arange(4).reshape(2, 2), "best": np.float64(0.5)}
    assert decode(encode(value, "json"), "json") == {"points": [[0, 1], [2, 3]], "best": 0.5}


@pytest.mark.parametrize("value", [3**900, -(3**900), 1 << 64, -(1 << 63) - 1])
def test_big_numbers_come_back(value: int) -> None:
    assert decode(encode({value: [value]}, "arrays"), "arrays") == {value: [value]}


class Lazy(dict[str, int]):
    """An object that would behave differently when a judge looks at it."""

    def __getitem__(self, key: str) -> int:
        raise AssertionError("looked at")


@pytest.mark.parametrize("encoding", ["json", "arrays"])
def test_nothing_but_plain_values_arrives(encoding: str) -> None:
    back = decode(encode([Lazy(a=1)], encoding), encoding)
    assert type(back[0]) is dict
    assert back == [{"a": 1}]


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        ("text", "bytes"),
        (object(), "json"),
        ({1, 2}, "json"),
        (b"bytes", "json"),
        (math.nan, "json"),
        (math.inf, "json"),
        (object(), "arrays"),
        (np.array([object()]), "arrays"),
        (np.zeros(2, dtype="f8,i4"), "arrays"),
        (np.array(["2026-01-01"], dtype="M8[D]"), "arrays"),
    ],
)
def test_what_has_no_bytes_is_not_sent(value: object, encoding: str) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode(value, encoding)


NOT_FINITE: dict[str, tuple[bytes, str]] = {
    "a constant": (b"[NaN]", "json"),
    "infinity": (b'{"a": -Infinity}', "json"),
    "an overflow": (b"[1e999]", "json"),
    "a float": (msgpack.packb([math.nan]), "arrays"),
    "as a key": (msgpack.packb({math.inf: 1}), "arrays"),
    "within an array": (encode(np.array([1.0, math.nan]), "arrays"), "arrays"),
    "of a small kind": (encode(np.array([math.inf], dtype="f2"), "arrays"), "arrays"),
    "a single number": (encode(np.float32(math.inf), "arrays"), "arrays"),
    "within a complex array": (encode(np.array([complex(0, math.inf)]), "arrays"), "arrays"),
    "a complex number": (encode(complex(math.nan, 0), "arrays"), "arrays"),
    "within a tuple as a key": (encode({(1, math.nan): 2}, "arrays"), "arrays"),
}


@pytest.mark.parametrize("name", NOT_FINITE)
def test_no_number_that_is_not_finite_arrives(name: str) -> None:
    with pytest.raises(Undecodable, match=r"not a JSON number|not finite"):
        decode(*NOT_FINITE[name])


def nested(levels: int, *, kind: type) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if kind is dict else kind([value])
    return value


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_what_is_nested_deeply_is_refused(kind: type) -> None:
    assert same(decode(encode(nested(40, kind=kind), "arrays"), "arrays"), nested(40, kind=kind))
    with pytest.raises(Undecodable):
        decode(encode(nested(70, kind=kind), "arrays"), "arrays")


@pytest.mark.parametrize("levels", [70, 2_000, 500_000])
@pytest.mark.parametrize("ends", ["[]", '{"a":|}'])
def test_deep_json_is_refused_however_deep(levels: int, ends: str) -> None:
    begin, end = ends.split("|") if "|" in ends else ends
    with pytest.raises(Undecodable):
        decode((begin * levels + "1" + end * levels).encode(), "json")
    with pytest.raises(Undecodable):  # and if it is not closed
        decode((begin * levels).encode(), "json")


def extended(code: int, body: object) -> bytes:
    packed = body if isinstance(body, bytes) else msgpack.packb(body)
    return bytes(msgpack.packb(msgpack.ExtType(code, packed)))


FORGED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "json"),
    "no text": (b"\xff\xfe\xff", "json"),
    "more than one value": (b"1 2", "json"),
    "a million digits": (b"1" * 1_000_000, "json"),
    "no bytes at all": (b"", "arrays"),
    "cut": (msgpack.packb([1, 2])[:-1], "arrays"),
    "more after it": (msgpack.packb(1) * 2, "arrays"),
    "a list of four thousand millions": (b"\xdd\xff\xff\xff\xff", "arrays"),
    "a text of four thousand millions": (b"\xdb\xff\xff\xff\xff", "arrays"),
    "a type that is not known": (extended(77, b""), "arrays"),
    "a time": (b"\xd6\xff" + bytes(4), "arrays"),
    "an array of objects": (extended(1, ["|O", [1], bytes(8)]), "arrays"),
    "an array of records": (extended(1, ["f8,f8", [1], bytes(16)]), "arrays"),
    "an array of its own kind": (extended(1, [[["a", "O"]], [1], bytes(8)]), "arrays"),
    "an array of another size": (extended(1, ["<f8", [3], bytes(16)]), "arrays"),
    "an array of a huge shape": (extended(1, ["<f8", [1 << 62, 4], bytes(8)]), "arrays"),
    "an array with too few parts": (extended(1, ["<f8", [1]]), "arrays"),
    "an array of no kind": (extended(1, ["?!", [1], bytes(8)]), "arrays"),
    "a big number that is none": (extended(3, b"xyz"), "arrays"),
    "a complex number of three": (extended(4, [1.0, 2.0, 3.0]), "arrays"),
    "a map of single values": (extended(5, [1, 2]), "arrays"),
    "a map with a list as key": (extended(5, [[[1], 2]]), "arrays"),
    "a map with an array as key": (
        extended(5, [[msgpack.ExtType(1, msgpack.packb(["<f8", [1], bytes(8)])), 2]]),
        "arrays",
    ),
    "a tuple of nothing": (extended(2, b""), "arrays"),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_bytes_are_no_value(name: str) -> None:
    with pytest.raises(Undecodable):
        decode(*FORGED[name])


def test_nested_extensions_are_refused_before_they_are_read() -> None:
    body = msgpack.packb([1])
    for _ in range(200):
        body = msgpack.packb([msgpack.ExtType(2, body)])
    with pytest.raises(Undecodable, match="nested too deeply"):
        decode(extended(2, body), "arrays")


@given(st.dictionaries(names, st.binary(max_size=20), max_size=4))
def test_files_come_back_unless_one_is_in_a_folders_place(files: dict[str, bytes]) -> None:
    folders = {str(above) for path in files for above in PurePosixPath(path).parents}
    if folders & files.keys():
        with pytest.raises(Undecodable):
            encode(files, "files")
    else:
        assert decode(encode(files, "files"), "files") == files


@given(st.binary(max_size=60), st.sampled_from(["json", "arrays", "files"]))
def test_any_bytes_are_a_value_or_refused(data: bytes, encoding: str) -> None:
    try:
        value = decode(data, encoding)
    except Undecodable:
        return
    encode(value, encoding)


@given(plain)
def test_json_is_what_others_read(value: Any) -> None:
    assert same(json.loads(encode(value, "json")), value)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "csr_array", "csc_array"])
def test_sparse_matrices_come_back_as_they_were(kind: str) -> None:
    made = getattr(sparse, kind)(np.array([[0.0, 2.5, 0.0], [1.0, 0.0, -3.0]]))
    (back,) = decode(encode([made], "arrays"), "arrays")
    assert type(back) is type(made)
    assert back.shape == made.shape
    assert back.dtype == made.dtype
    for part in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(back, part), getattr(made, part))


def sparse_bytes(**changed: object) -> bytes:
    made = {
        "kind": "csr_matrix",
        "shape": [2, 3],
        "data": np.array([1.0, 2.0]),
        "indices": np.array([0, 2]),
        "indptr": np.array([0, 1, 2]),
    }
    parts = encode([*{**made, **changed}.values()], "arrays")
    return bytes(msgpack.packb(msgpack.ExtType(7, parts)))


def test_a_crafted_sparse_matrix_is_one_where_nothing_is_wrong() -> None:
    assert decode(sparse_bytes(), "arrays").toarray().tolist() == [[1, 0, 0], [0, 0, 2]]


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "dok_matrix"},
        {"kind": "load_npz"},
        {"kind": 7},
        {"shape": [2, 2]},
        {"shape": [2]},
        {"shape": [-2, 3]},
        {"shape": ["2", 3]},
        {"shape": [3, 3]},
        {"shape": 5},
        {"data": np.array([1.0])},
        {"data": np.array([1.0, math.nan])},
        {"data": np.array([[1.0], [2.0]])},
        {"data": np.array(["a", "b"])},
        {"data": [1.0, 2.0]},
        {"indices": np.array([0, -1])},
        {"indices": np.array([0, 1 << 40])},
        {"indices": np.array([0.0, 1.5])},
        {"indices": np.array([0])},
        {"indptr": np.array([0, 5, 2])},
        {"indptr": np.array([0, 1, 1 << 40])},
        {"indptr": np.array([-1, 1, 2])},
        {"indptr": np.array([0, 1])},
        # Each number is finite, but their sum is not.
        {
            "data": np.array([1e308, 1e308]),
            "indices": np.array([1, 1]),
            "indptr": np.array([0, 2, 2]),
        },
    ],
    ids=str,
)
def test_a_sparse_matrix_that_is_none_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(Undecodable):
        decode(sparse_bytes(**changed), "arrays")


def test_matrices_of_other_formats_cannot_be_sent() -> None:
    with pytest.raises(TypeError, match="a coo_matrix cannot be sent"):
        encode(sparse.coo_matrix((2, 2)), "arrays")
