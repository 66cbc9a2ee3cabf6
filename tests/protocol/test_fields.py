"""A dataclass's annotations define the map that it is encoded as."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import pytest

from protocol.codecs import single_line
from protocol.encoding import Value
from protocol.errors import Rejected
from protocol.fields import OPTIONAL, UNWRITTEN, Digest, Identifier, Items, Mapped, Named, Natural

A_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf(Mapped):
    """A map inside a map."""

    word: Identifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree(Mapped):
    """One field of each sort."""

    kind: ClassVar = "tree"
    size_bytes: Annotated[Natural, Named("size")]
    old: Digest | None
    leaves: Annotated[tuple[Leaf, ...], Items(1, 2)]
    pair: tuple[Identifier, Digest]
    way: Literal["up", "down"]
    is_old: bool
    note: Annotated[str | None, single_line(1, 4), OPTIONAL] = None
    seen: Annotated[int | None, UNWRITTEN] = None


TREE = Tree(
    size_bytes=1, old=None, leaves=(Leaf(word="a"),), pair=("b", A_DIGEST), way="up", is_old=True
)
MAP: dict[str, Value] = {
    "size": 1,
    "old": None,
    "leaves": [{"word": "a"}],
    "pair": ["b", A_DIGEST],
    "way": "up",
    "is_old": True,
}


def test_a_value_is_written_as_its_annotations_say_and_read_again() -> None:
    assert TREE.to_value() == MAP
    assert list(MAP) == list(TREE.to_value())
    assert Tree.from_value(MAP) == TREE
    assert {*MAP, "note"} == Tree.NAMES


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("size", -1, f"size: -1 is not in 0 … {2**53 - 1}"),
        ("old", b"", "old: 0 bytes where 32 … 32 are allowed"),
        ("leaves", [], "leaves: 0 items where 1 … 2 are allowed"),
        ("leaves", [{"word": 1}], "leaves: [0]: word: not text"),
        ("pair", ["b"], "pair: not a pair"),
        ("way", "left", "way: not one of up, down"),
        ("is_old", 1, "is_old: not a bool"),
        ("note", None, "note: not text"),
        ("note", "12345", "note: 5 characters where 1 … 4 are allowed"),
    ],
)
def test_the_first_field_that_breaks_its_limit_is_named(
    field: str, value: Value, reason: str
) -> None:
    assert Tree.from_value({**MAP, field: value}) == Rejected(reason)


def test_only_an_optional_field_may_be_left_out() -> None:
    for field in MAP:
        rest = {name: value for name, value in MAP.items() if name != field}
        assert Tree.from_value(rest) == Rejected(f"{field}: missing")


def test_a_class_that_goes_on_from_another_has_the_fields_of_both() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Fruit(Leaf):
        count: Natural

    assert Fruit.from_value({"word": "a", "count": 2}) == Fruit(word="a", count=2)
    assert {"word"} == Leaf.NAMES


@pytest.mark.parametrize("kind", [str, bytes, tuple[int, ...], dict[str, int], "Leaf"])
def test_a_field_without_a_codec_is_refused_where_its_class_is_made(kind: object) -> None:
    with pytest.raises(TypeError, match="no codec is known"):
        type("Odd", (Mapped,), {"__annotations__": {"field": kind}})
