"""What pairs bear out in whole numbers: against the e-process in floats, and by simulation."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.evidence import CRITICAL, FEWEST_PAIRS, Evidence
from protocol.gains import MILLION, Pair
from protocol.runs import MAX_RUNS
from protocol.statistics import log_e_value
from tests.protocol.scatter import normal, skewed, student
from tests.protocol.test_rule import upper_end

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "evidence.json").read_text()
)
SD = 10_000_000


def critical(pairs: int) -> int:
    """Return the table's entry by its definition: where ln E reaches ln 20, by bisection."""
    h, nu = pairs / 2, 2 * (pairs - 1)
    low, high = 0.0, 100.0
    for _ in range(100):
        middle = (low + high) / 2
        is_enough = log_e_value(math.sqrt(middle / h), h, 1.0, nu) >= math.log(20)
        low, high = (low, middle) if is_enough else (middle, high)
    return math.ceil(MILLION * high)


def test_the_table_is_where_the_e_process_reaches_one_in_twenty_rounded_up() -> None:
    numbers = range(FEWEST_PAIRS, MAX_RUNS // 2 + 1)
    assert [critical(number) for number in numbers] == list(CRITICAL)


def test_two_pairs_can_show_nothing_whatever_they_measure() -> None:
    assert log_e_value(1e9, 1.0, 1.0, 2.0) < math.log(20)
    assert Evidence.of([(10**12, 0)] * 2, 1).bears_out(0) is None


@given(
    st.lists(st.tuples(*[st.integers(-(10**9), 10**9)] * 2), min_size=3, max_size=32),
    st.integers(0, 10**9),
)
def test_it_is_the_e_process_of_the_runs(pairs: list[Pair], least: int) -> None:
    n, shown = len(pairs), Evidence.of(pairs, SD)
    sides = [[float(side[i]) for side in pairs] for i in range(2)]
    gains = [base - candidate for base, candidate in pairs]
    ss = max(squares(sides[0]) + squares(sides[1]), squares(gains), 2 * (n - 1) * SD**2)
    assert shown.scatter / n == pytest.approx(ss, rel=1e-9)
    for gain, is_shown, sign in ((0, shown.is_above(0), 1), (least, shown.is_below(least), -1)):
        log_e = log_e_value(sign * (fmean(gains) - gain), n / 2, ss, 2 * (n - 1))
        if abs(log_e - math.log(20)) > 1e-4:
            assert is_shown == (log_e > math.log(20))


@given(
    st.lists(st.tuples(*[st.integers(-(10**9), 10**9)] * 2), min_size=3, max_size=32),
    st.integers(0, 2),
)
def test_what_lies_beyond_its_bounds_is_shown_and_nothing_else(pairs: list[Pair], far: int) -> None:
    shown = Evidence.of(pairs, SD)
    gain = shown.gain
    assert gain is not None
    assert shown.is_above(gain.lower_nano() - far)
    assert not shown.is_above(gain.lower_nano() + 2 + far)
    assert shown.is_below(gain.upper_nano + 1 + far)
    assert not shown.is_below(gain.upper_nano - 1 - far)
    assert abs(gain.estimate) <= abs(gain.mean)
    assert abs(gain.mean - gain.estimate) <= MILLION * (shown.noise_nano // 2) // len(pairs) + 1
    assert shown.noise_nano >= SD - 1


def test_two_pairs_have_no_bounds() -> None:
    assert Evidence.of([(10**9, 0)] * 2, SD).gain is None


def squares(values: list[float] | list[int]) -> float:
    """Return the sum of squares about the mean."""
    mean = fmean(values)
    return sum((value - mean) ** 2 for value in values)


@given(st.permutations([(5 * SD, SD), (4 * SD, 0), (6 * SD, 2 * SD), (5 * SD, -SD)]))
def test_the_order_of_pairs_does_not_matter(pairs: list[Pair]) -> None:
    assert Evidence.of(pairs, SD) == Evidence.of(sorted(pairs), SD)


@pytest.mark.parametrize("vector", VECTORS["cases"], ids=lambda one: one["name"])
def test_the_golden_vectors(vector: dict[str, Any]) -> None:
    shown = Evidence.of([(base, candidate) for base, candidate in vector["pairs"]], vector["noise"])
    assert (shown.pairs, shown.total) == (len(vector["pairs"]), int(vector["total"]))
    assert shown.scatter == int(vector["scatter"])
    assert shown.bears_out(vector["least"]) == vector["verdict"]


def test_the_golden_vectors_hold_every_verdict_and_the_table() -> None:
    assert VECTORS["critical"] == list(CRITICAL)
    assert {one["verdict"] for one in VECTORS["cases"]} == {"confirmed", "smaller", "refuted", None}


NOISES: dict[str, tuple[Callable[[random.Random], float], float, float]] = {
    "normal": (normal, 1.0, 0.0),
    "heavy_tails_t3": (student(3), 1.0, 0.0),
    "skewed_up": (skewed(1), 1.0, 0.0),
    "skewed_down": (skewed(-1), 1.0, 0.0),
    "candidate_twice_as_noisy": (normal, 2.0, 0.0),
    "negatively_correlated_pairs": (normal, 1.0, -0.5),
}


@pytest.mark.parametrize("name", NOISES)
def test_nulls_looked_at_after_each_of_32_pairs_are_rarely_borne_out(name: str) -> None:
    """Whatever alpha their attester took, and with no noise floor to help."""
    noise, scale, correlation = NOISES[name]
    chance, count = random.Random(name), 1000
    false = 0
    for _ in range(count):
        pairs: list[Pair] = []
        for _ in range(32):
            first, second = noise(chance), noise(chance)
            second = correlation * first + math.sqrt(1 - correlation**2) * second
            pairs.append((round(first * SD), round(scale * second * SD)))
        false += any(Evidence.of(pairs[:n], 0).is_above(0) for n in range(3, 33))
    assert upper_end(false, count) <= 0.06  # the bench has the narrow interval
