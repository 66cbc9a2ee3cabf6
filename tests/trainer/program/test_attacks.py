"""Variants of honest answers: values of any shape, in any form."""

import json
import math

import numpy as np
import pytest

from trainer.program.answers import (
    Raw,
    Unreadable,
    all_and_last,
    float_groups,
    forms_of,
    halved,
    increased,
    lists_in,
    numbers_in,
    put,
    single_numbers,
    with_numbers,
)
from trainer.program.attacking import is_harvested
from trainer.program.attacks import ATTACKS, Honest
from trainer.program.harness.codec import encode

VALUE = {"order": [2, 0, 1], "parts": [[0.5, 1.5], [0.25, 2.0]], "sure": True, "name": "x"}


FORGERIES = {forgery.what: forgery for attack in ATTACKS for forgery in attack.forgeries}


def made_by(what: str, value: object, **more: object) -> list[object]:
    data = json.dumps(value).encode()
    return list(FORGERIES[what].make(Honest(value=value, data=data, metric="left", **more)))  # type: ignore[arg-type]


def test_numbers_are_found_wherever_they_are_and_no_bool_is_one() -> None:
    found = dict(numbers_in(VALUE))
    assert found[("order", 1)] == 0
    assert found[("parts", 1, 1)] == 2.0
    assert len(found) == 7
    arrays = {"at": np.array([[1.0, 2.0]]), "text": np.array(["a"])}
    assert dict(numbers_in(arrays)) == {("at", 0, 0): 1.0, ("at", 0, 1): 2.0}


def test_a_changed_value_leaves_the_honest_one_as_it_was() -> None:
    before = json.dumps(VALUE)
    doubled = with_numbers(VALUE, lambda _at, number: 2 * number)
    assert doubled["parts"] == [[1.0, 3.0], [0.5, 4.0]]
    assert (doubled["sure"], doubled["name"]) == (True, "x")
    for forgery in FORGERIES.values():
        list(forgery.make(Honest(value=VALUE, data=before.encode(), metric="left")))
    assert json.dumps(VALUE) == before


def test_an_array_stays_one_as_long_as_it_can() -> None:
    array = np.array([1.0, 2.0])
    one, last = all_and_last(array, lambda _number: math.nan)
    assert np.isnan(one).all()
    assert list(np.isnan(last)) == [False, True]
    _, ragged = all_and_last(array, lambda number: [number])
    assert ragged == [1.0, [2.0]]


def test_lists_are_cut_in_their_places() -> None:
    assert halved(VALUE) == {"order": [2], "parts": [[0.5, 1.5]], "sure": True, "name": ""}
    assert [put([]) for _, put in lists_in(VALUE)] == [VALUE | {"order": []}, VALUE | {"parts": []}]


@pytest.mark.parametrize(
    ("encoding", "data", "form"),
    [
        ("json", b'{"a":[1,2.5]}', "json"),
        ("arrays", encode({"a": np.arange(3.0)}, "arrays"), "arrays"),
        ("bytes", b'{"a": 1}', "json"),
        ("bytes", b'{"a":1}\n{"a":2.5}\n', "lines of json"),
        ("bytes", b"total 12\n-0.5 7\n", "text"),
    ],
)
def test_an_answer_reads_as_a_value_and_writes_as_the_same(
    encoding: str, data: bytes, form: str
) -> None:
    for one in forms_of(encoding):
        try:
            value = one.read(data)
        except Unreadable:
            continue
        assert one.name == form
        assert one.write(one.read(one.write(value))) == one.write(value)
        return
    raise AssertionError("nothing reads it")


def test_what_is_no_number_is_written_all_the_same() -> None:
    (form,) = forms_of("json")
    assert form.write([math.nan, math.inf, 10**400])[:16] == b"[NaN,Infinity,10"
    with pytest.raises(Unreadable):
        form.write(object())


def test_each_forgery_has_answers_for_a_table_and_for_a_number() -> None:
    more = {"claims": (0.0,), "others": ({"order": []},), "earlier": ({"order": []},)}
    assert all(made_by(what, VALUE, **more) for what in FORGERIES)
    assert made_by("numbers as text", 3)[:1] == ["3"]
    assert made_by("true and false in place of numbers", 1)[:1] == [True]
    assert Raw(data=b"") in made_by("an empty answer", 3)
    assert made_by("an answer in reverse order", 3) == []


def test_there_are_nine_kinds_of_attack_and_no_forgery_twice() -> None:
    names = [attack.name for attack in ATTACKS]
    assert len({*names, "tolerance", "transcript"}) == len(names) + 2 == 9
    assert len(FORGERIES) == sum(len(attack.forgeries) for attack in ATTACKS)


def test_columns_keys_and_single_floats_are_increased() -> None:
    names = [place.name for place in float_groups(VALUE, 0.25)]
    assert names[:2] == ["all numbers", "'parts'"]
    assert {"0 of each part", "1 of each part", "parts.0.0", "parts.1.0", "parts.1.1"} < set(names)
    assert float_groups({"order": [2, 0, 1]}, 0.0) == []  # whole numbers have no fractions
    (column,) = [place for place in float_groups(VALUE, 9.0) if place.name == "1 of each part"]
    assert increased(VALUE, column, 0.5)["parts"] == [[0.5, 2.25], [0.25, 3.0]]


def test_a_figure_may_be_reported_in_any_named_place() -> None:
    reported = {"left": 1.5, "values": [1, 2, 3]}
    assert [place.name for place in single_numbers(reported)] == ["left", "values.0", "values.2"]
    assert put(reported, single_numbers(reported)[0], -4.0) == {"left": -4.0, "values": [1, 2, 3]}


@pytest.mark.parametrize(
    ("gains", "harvested"),
    [
        ([0.0, 1e-9, 1e-7, 1e-6, None], True),  # pays until it is rejected
        ([None], False),  # rejected at once
        ([0.0, 0.0, 0.0, 0.0], False),  # repaired
        ([0.0, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3], False),  # honestly better
        ([0.0, 1e-9, 1e-7, 0.0, None], False),  # tolerance that is used up, then repaired
    ],
)
def test_a_tolerance_pays_up_to_where_it_refuses(
    gains: list[float | None], harvested: bool
) -> None:
    assert is_harvested(gains, rounding=2e-9) is harvested
