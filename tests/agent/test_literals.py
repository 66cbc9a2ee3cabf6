"""Constants that are hyperparameters, their ranges, and how values are written."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.source.literals import (
    Hyperparameter,
    axis_of,
    find_hyperparameters,
    hyperparameter_values,
)
from protocol.ideas import HyperparameterSpec
from protocol.source import Source

# Constants as in autoresearch's train.py, and some that must be left alone.
TEXT = """\
'''Größe: a docstring with letters of two bytes.'''
import math

ASPECT_RATIO = 64
WINDOW_PATTERN = "SSSL"
TOTAL_BATCH_SIZE = 2**19  # µ tokens
EMBEDDING_LR = 0.6
ADAM_BETAS = (0.8,
              0.95)
WARMUP = 0.0
DEPTH: int = 8; Größe = 1
USE_ROPE = True
OFFSET = -0.5
SEED = 42
IGNORE = -1
DERIVED = ASPECT_RATIO * 2
TWICE = 1
TWICE = 2
lower = 3
MIXED = ("a", True, None)
if USE_ROPE:
    INNER = 5
"""


def hyperparameters(text: str = TEXT, *specs: HyperparameterSpec) -> dict[str, Hyperparameter]:
    found = find_hyperparameters(Source.of({"train.py": text.encode()}), ("train.py",), specs)
    return {hyperparameter.name: hyperparameter for hyperparameter in found}


def test_module_level_uppercase_literals_are_hyperparameters_and_nothing_else() -> None:
    assert {name: hyperparameter.value for name, hyperparameter in hyperparameters().items()} == {
        "ASPECT_RATIO": 64,
        "TOTAL_BATCH_SIZE": 2**19,
        "EMBEDDING_LR": 0.6,
        "ADAM_BETAS[0]": 0.8,
        "ADAM_BETAS[1]": 0.95,
        "WARMUP": 0.0,
        "DEPTH": 8,
        "USE_ROPE": True,
        "OFFSET": -0.5,
    }


def test_a_hyperparameter_knows_its_exact_span() -> None:
    found = hyperparameters()
    assert {
        name: TEXT[hyperparameter.start : hyperparameter.end]
        for name, hyperparameter in found.items()
    } == {name: hyperparameter.text for name, hyperparameter in found.items()}
    assert found["TOTAL_BATCH_SIZE"].text == "2**19"
    assert found["ADAM_BETAS[1]"].text == "0.95"
    assert found["OFFSET"].text == "-0.5"


def test_only_editable_python_files_have_hyperparameters() -> None:
    source = Source.of({"a.py": b"X = 1\n", "b.py": b"Y = 1\n", "c.txt": b"Z = 1\n"})
    assert [
        hyperparameter.name
        for hyperparameter in find_hyperparameters(source, ("b.py", "c.txt"), ())
    ] == ["Y"]
    broken = Source.of({"a.py": b"X = (\n", "b.py": b"Y = 1\r\n", "c.py": b"Z = '\xff'\n"})
    assert find_hyperparameters(broken, ("a.py", "b.py", "c.py"), ()) == ()


def test_a_listed_choice_makes_a_text_a_hyperparameter() -> None:
    spec = HyperparameterSpec(name="WINDOW_PATTERN", type="choice", choices=("SSSL", "L", "SL"))
    assert hyperparameters(TEXT, spec)["WINDOW_PATTERN"].choices == ("L", "SL")
    assert hyperparameters()["USE_ROPE"].choices == (False,)


def test_inferred_ranges_reach_a_factor_of_four_each_way() -> None:
    found = hyperparameters()

    def reach(name: str) -> tuple[float, float]:
        axis = axis_of(found[name])
        assert axis is not None
        return axis.value(axis.low), axis.value(axis.high)

    assert reach("EMBEDDING_LR") == (0.15, 2.4)
    assert reach("TOTAL_BATCH_SIZE") == (2**17, 2**21)
    assert reach("DEPTH") == (2, 32)
    assert reach("ADAM_BETAS[1]") == pytest.approx((0.8, 0.9875), abs=1e-3)
    assert reach("WARMUP") == (0.0, 0.5)
    assert reach("OFFSET") == (-0.125, -2.0)
    small = axis_of(hyperparameters("LAYERS = 3\n")["LAYERS"])
    assert small is not None
    assert (small.value(small.low), small.value(small.high)) == (1, 5)


def test_listed_ranges_hold_whatever_the_coordinate() -> None:
    spec = HyperparameterSpec(name="EMBEDDING_LR", type="float", low=0.1, high=0.7, scale="log")
    axis = axis_of(hyperparameters(TEXT, spec)["EMBEDDING_LR"])
    assert axis is not None
    assert (axis.value(-1e9), axis.value(1e9)) == (0.1, 0.7)
    whole = HyperparameterSpec(name="DEPTH", type="int", low=2, high=12, scale="linear")
    steps = axis_of(hyperparameters(TEXT, whole)["DEPTH"])
    assert steps is not None
    assert [steps.value(at) for at in (-1, 2.4, 7.6, 99)] == [2, 2, 8, 12]


def test_an_axis_holds_the_numbers_of_its_kind_inside_its_range() -> None:
    spec = HyperparameterSpec(name="EMBEDDING_LR", type="float", low=0.1, high=0.7, scale="log")
    found = hyperparameters(TEXT, spec)

    def held(name: str, *values: float) -> list[float]:
        axis = axis_of(found[name])
        assert axis is not None
        return [value for value in values if axis.holds(value)]

    assert held("EMBEDDING_LR", 0.1, 0.123456789, 0.7, 0.0999, 0.71, 0, -0.3) == [
        0.1,
        0.123456789,
        0.7,
    ]
    assert held("TOTAL_BATCH_SIZE", 2**17, 2**18 + 1, 2**21, 2**22, 0, -8) == [2**17, 2**21]
    assert held("ADAM_BETAS[1]", 0.8, 0.98, 0.99, 1.0, 2.0) == [0.8, 0.98]
    assert held("OFFSET", -0.5, -2.0, 0.5, 0) == [-0.5, -2.0]
    assert held("WARMUP", 0.0, 0.5, 0.6, -0.1) == [0.0, 0.5]


def test_values_are_listed_by_name_in_the_order_of_the_text() -> None:
    source = Source.of({"train.py": TEXT.encode()})
    values = hyperparameter_values(source, ("train.py",), ())
    assert values[:3] == (("ASPECT_RATIO", 64), ("TOTAL_BATCH_SIZE", 2**19), ("EMBEDDING_LR", 0.6))
    assert [name for name, _ in values] == list(hyperparameters())
    assert hyperparameter_values(source, (), ()) == ()


@pytest.mark.parametrize(
    ("name", "value", "literal"),
    [
        ("EMBEDDING_LR", 0.00123, "0.00123"),
        ("EMBEDDING_LR", 1e-05, "1e-5"),
        ("EMBEDDING_LR", 3.0, "3.0"),
        ("EMBEDDING_LR", 1e16, "1e16"),
        ("TOTAL_BATCH_SIZE", 2**17, "2**17"),
        ("TOTAL_BATCH_SIZE", 3 * 2**17, "393216"),
        ("ASPECT_RATIO", 32, "32"),
        ("USE_ROPE", False, "False"),
        ("WINDOW_PATTERN", "L", '"L"'),
        ("WINDOW_PATTERN", 'a"b', "'a\"b'"),
    ],
)
def test_values_are_written_tidily_in_the_present_manner(
    name: str, value: float | str, literal: str
) -> None:
    spec = HyperparameterSpec(name="WINDOW_PATTERN", type="choice", choices=("SSSL", "L"))
    assert hyperparameters(TEXT, spec)[name].render(value) == literal


@given(
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60),
    st.floats(-50, 50),
)
def test_any_number_moves_to_a_literal_of_its_own_type(value: float, coordinate: float) -> None:
    found = hyperparameters(f"X = {value!r}\n")
    if "X" not in found:
        assert abs(value) >= 2**53 or value < 0
        return
    axis = axis_of(found["X"])
    assert axis is not None
    moved = axis.value(coordinate)
    assert type(moved) is type(value)
    assert ast.literal_eval(found["X"].render(moved)) == moved
