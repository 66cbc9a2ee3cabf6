"""Only plain data is passed on; the place of anything else is named."""

import collections
from typing import Any

import numpy as np
import pytest

from trainer.program.harness.crossing import NotPlain, not_finite, packed, plain, unpacked


class Text(str):
    __slots__ = ()


class Table(dict[str, int]):
    pass


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (Text("a"), "a"),
        (Table(a=1), {"a": 1}),
        (collections.Counter("aa"), {"a": 2}),
        (bytearray(b"x"), b"x"),
        ([(True, None)], [(True, None)]),
    ],
)
def test_a_subclass_becomes_the_plain_type(value: Any, same: Any) -> None:
    given = unpacked(packed(plain(value, "it")))
    assert given == same
    assert type(given) is type(same)


def test_an_array_of_torch_becomes_one_of_numpy() -> None:
    torch = pytest.importorskip("torch")
    given = unpacked(packed(plain([torch.arange(3)], "it")))
    assert type(given[0]) is np.ndarray
    assert given[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [1, {2}]}, "it['a'][1] is a set"),
        ([{"x" * 99: print}], f"it[0]['{'x' * 39}…] is a builtin_function_or_method"),
        ({(1, object()): 1}, "a key of it[1] is an object"),
        (np.array([None]), "it is an array of object"),
        (np.array([(1, 2)], dtype="i4,i4"), "it is an array of [('f0', '<i4'), ('f1', '<i4')]"),
        (ValueError("x"), "it is a ValueError"),
        (ValueError, "it is the class ValueError"),
    ],
)
def test_what_is_not_plain_is_named(value: object, said: str) -> None:
    with pytest.raises(NotPlain) as caught:
        plain(value, "it")
    assert str(caught.value) == f"{said}: pass only plain data"


def test_what_is_nested_too_deeply_is_refused() -> None:
    value: list[Any] = []
    for _ in range(60):
        value = [value]
    with pytest.raises(NotPlain, match="is nested more than 48 deep"):
        plain(value, "it")


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ([1.0, {"a": float("nan")}], "it[1]['a']"),
        ((1, np.array([np.inf])), "it[1]"),
        (complex(0, float("inf")), "it"),
        ([1.0, 10**400, "nan"], None),
    ],
)
def test_a_number_that_is_not_finite_is_found(value: object, where: str | None) -> None:
    assert not_finite(value, "it") == where


def test_an_evaluator_may_send_what_is_not_finite() -> None:
    sent = packed([float("inf"), np.array([np.nan])])
    assert unpacked(sent, is_finite=False)[0] == float("inf")
    with pytest.raises(ValueError, match="not finite"):
        unpacked(sent)
