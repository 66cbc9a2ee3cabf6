"""The picture of the packages agrees with the code: rooms, floors, and both ways through them."""

from pydoc import locate

import pytest

from docs.house import TARGET, WAYS, floors_of, picture


@pytest.mark.always
def test_the_picture_is_what_the_code_says() -> None:
    assert TARGET.read_text() == picture(), "run `python docs/house.py`"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.always
def test_every_stop_of_a_way_exists(way: str) -> None:
    assert [stop for stop in WAYS[way] if locate(stop) is None] == []


@pytest.mark.always
def test_rooms_stand_above_what_they_import() -> None:
    assert floors_of({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": 3, "b": 2, "c": 1}


@pytest.mark.always
def test_rooms_that_import_each_other_have_no_floor() -> None:
    with pytest.raises(ValueError, match="a → b → a"):
        floors_of({"a": {"b"}, "b": {"a"}})
