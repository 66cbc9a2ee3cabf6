"""Constants in a source text: found if assigned once, and changed without any other change."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.constants import constants_of, sizes_between, with_constants
from protocol.source import Source

SCRIPT = b"""import torch

LAYERS = 2  # blocks
WIDTH = 64
NAME = "a"
TWICE = 1
TWICE = 2

def f():
    INNER = 3
    return LAYERS == 2
"""


def of(text: bytes) -> Source:
    return Source.of({"train.py": text})


def test_constants_are_lines_of_their_own_that_assign_once() -> None:
    names = {name: value for (_, name), value in constants_of(of(SCRIPT)).items()}
    assert names == {"LAYERS": b"2", "WIDTH": b"64", "NAME": b'"a"'}


def test_a_value_is_set_and_its_comment_stays() -> None:
    changed = with_constants(of(SCRIPT), {("train.py", "LAYERS"): b"4"})
    assert changed["train.py"] == SCRIPT.replace(b"LAYERS = 2  #", b"LAYERS = 4  #")


@pytest.mark.parametrize(
    "constant", [("train.py", "TWICE"), ("train.py", "HEADS"), ("other.py", "LAYERS")]
)
def test_what_is_not_there_once_is_left_alone(constant: tuple[str, str]) -> None:
    assert with_constants(of(SCRIPT), {constant: b"9"}).tree == of(SCRIPT).tree


def test_sizes_are_what_two_baselines_differ_in() -> None:
    above = of(SCRIPT.replace(b"WIDTH = 64", b"WIDTH = 96").replace(b'NAME = "a"\n', b""))
    assert sizes_between(of(SCRIPT), above) == {("train.py", "WIDTH"): b"96"}


@pytest.mark.parametrize(
    "line", [b'A = "x # y"', b"A =  ", b"A = # nothing", b"a = 1", b"A_ b = 1"]
)
def test_what_a_line_cannot_be_read_of_is_no_constant(line: bytes) -> None:
    assert constants_of(of(line)) == {}


@given(st.binary(max_size=400))
def test_any_bytes_are_read_and_setting_what_is_there_changes_nothing(data: bytes) -> None:
    source = of(data)
    assert with_constants(source, constants_of(source)).tree == source.tree


@given(st.integers(-1000, 1000), st.integers(-1000, 1000))
def test_what_was_set_reads_as_what_was_set(one: int, other: int) -> None:
    text = f"A = {one}\nB = {one}  # stays\n".encode()
    changed = with_constants(of(text), {("train.py", "B"): str(other).encode()})
    values = [ast.literal_eval(value.decode()) for value in constants_of(changed).values()]
    assert values == [one, other]
