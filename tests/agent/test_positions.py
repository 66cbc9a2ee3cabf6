"""Hyperparameters as points: a range has length one, and a step gives another value in it."""

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.hyperparameters.positions import Cube
from agent.source.literals import Scalar, axis_of, find_hyperparameters
from protocol.ideas import HyperparameterSpec
from protocol.source import Source

TEXT = """\
RATE = 0.01
BETA = 0.95
DEPTH = 4
BATCH = 64
WIDTH = 64
USE_BIAS = True
PATTERN = "SL"
"""
SPECS = (
    HyperparameterSpec(name="RATE", type="float", low=1e-4, high=1.0, scale="log"),
    HyperparameterSpec(name="WIDTH", type="choice", choices=(32, 64, 128, 512)),
    HyperparameterSpec(name="PATTERN", type="choice", choices=("SL", "L", "S")),
)
SEARCH = find_hyperparameters(Source.of({"train.py": TEXT.encode()}), ("train.py",), SPECS)
CUBE = Cube(SEARCH)


def test_a_range_is_a_unit_and_what_is_not_named_is_as_it_is() -> None:
    assert CUBE.position({})[0] == pytest.approx(0.5)
    assert CUBE.position({"RATE": 1e-4})[0] == 0.0
    assert CUBE.position({"RATE": 1.0})[0] == 1.0
    assert CUBE.position({"RATE": 17.0, "GONE": 3}) == CUBE.position({"RATE": 1.0})
    assert CUBE.position({"BETA": 1.0})[1] == 1.0
    assert CUBE.position({"BATCH": 0})[3] == 0.0


def test_listed_numbers_lie_in_equal_steps() -> None:
    places = [CUBE.position({"WIDTH": width})[4] for width in (32, 64, 128, 512)]
    assert places == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert CUBE.position({"WIDTH": 1024})[4] == 1.0


def test_unordered_choices_are_as_far_apart_as_the_ends_of_a_range() -> None:
    for name, options in (("PATTERN", ("SL", "L", "S")), ("USE_BIAS", (True, False))):
        for one, other in combinations(options, 2):
            ends = zip(CUBE.position({name: one}), CUBE.position({name: other}), strict=True)
            assert sum((a - b) ** 2 for a, b in ends) == pytest.approx(1)


def test_a_value_of_another_kind_says_nothing() -> None:
    strange = {"RATE": "fast", "WIDTH": "wide", "DEPTH": True}
    assert CUBE.position(strange) == CUBE.position({})


@given(st.sampled_from(SEARCH), st.floats(0.01, 3), st.integers(0, 2**32))
def test_steps_lead_to_values_that_the_hyperparameter_may_have(
    hyperparameter: object, reach: float, seed: int
) -> None:
    chosen = next(one for one in SEARCH if one is hyperparameter)
    chance, value = random.Random(seed), chosen.value
    axis = axis_of(chosen)
    for _ in range(5):
        value = CUBE.stepped(chosen.name, value, reach, chance)
        assert type(value) is type(chosen.value)
        if axis is None:
            assert value in (chosen.value, *chosen.choices)
        else:
            assert not isinstance(value, bool | str)
            assert axis.low - 1e-9 <= axis.coordinate(value) <= axis.high + 1e-9


def test_a_longer_reach_steps_further() -> None:
    def mean_distance(name: str, value: Scalar, reach: float) -> float:
        chance = random.Random(5)
        base = CUBE.position({name: value})
        places = [
            CUBE.position({name: CUBE.stepped(name, value, reach, chance)}) for _ in range(80)
        ]
        return sum(abs(a - b) for place in places for a, b in zip(place, base, strict=True)) / 80

    for name, value in (("RATE", 0.01), ("DEPTH", 4), ("WIDTH", 64)):
        assert mean_distance(name, value, 0.6) > 1.2 * mean_distance(name, value, 0.1)
