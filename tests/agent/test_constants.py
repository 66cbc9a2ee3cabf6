"""Constants that a diff changes, and the numbers that they denote."""

import pytest

from agent.source.constants import changed_constants, number_in


@pytest.mark.parametrize(
    ("diff", "changed"),
    [
        ("-LR = 0.1\n+LR = 0.2\n", {"LR": ("0.1", "0.2")}),
        ("-LR = 0.1  # slow\n+LR = 0.2  # fast\n", {"LR": ("0.1", "0.2")}),
        ("-LR: float = 1e-3\n+LR: float = 2e-3\n", {"LR": ("1e-3", "2e-3")}),
        ("-const SIZE = 3;\n+const SIZE = 4; // more\n", {"SIZE": ("3", "4")}),
        ('-NAME = "a#b"\n+NAME = "c#d"\n', {"NAME": ('"a#b"', '"c#d"')}),
        ("-LR = 0.1\n+LR = 0.1  # a remark\n", {}),
        ("-LR = 0.1\n", {}),
        ("+LR = 0.1\n", {}),
        ("-LR = 1\n-LR = 2\n+LR = 3\n", {}),
        ("-lr = 1\n+lr = 2\n", {}),
        ("--- LR = 1\n+++ LR = 2\n", {}),
        (f"-LR = 1{' ' * 5000}x\n+LR = 2\n", {}),
    ],
)
def test_constants_are_read_off_a_diff_as_text(
    diff: str, changed: dict[str, tuple[str, str]]
) -> None:
    assert changed_constants(diff) == changed


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("0.1", 0.1),
        ("-3", -3.0),
        ("1e-3", 0.001),
        ("1_000", 1000.0),
        ("2**19", 524288.0),
        (".5", 0.5),
        ('"SSSL"', None),
        ("(0.9, 0.95)", None),
        ("True", None),
        ("1e9999", None),
        ("9" * 250 + "x", None),
    ],
)
def test_a_value_is_sorted_by_the_number_that_it_denotes(value: str, number: float | None) -> None:
    assert number_in(value) == number
