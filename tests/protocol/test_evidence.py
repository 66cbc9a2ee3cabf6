"""Evidence from pairs in whole numbers, against the e-process in floats and by simulation."""

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

from protocol.differences import DifferenceEvidence, critical_ratio
from protocol.evidence import (
    CRITICAL,
    CRITICAL_DIFFERENCES,
    FEWEST_DIFFERENCES,
    FEWEST_PAIRS,
    Evidence,
)
from protocol.gains import MILLION, Pair
from protocol.runs import MAX_RUNS
from protocol.statistics import log_e_value
from protocol.styles import Style
from tests.protocol.instances import NULLS, mean_of
from tests.protocol.scatter import normal, skewed, student
from tests.protocol.test_rule import upper_end

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "evidence.json").read_text()
)
SD = 10_000_000


def critical(pairs: int) -> int:
    """Return the table's entry by its definition: where ln E reaches ln 20, found by bisection."""
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
    assert Evidence.of([(10**12, 0)] * 2, 1).supported_verdict(0) is None


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
    assert shown.supported_verdict(vector["least"]) == vector["verdict"]


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
    """This holds for any alpha of the author of a re-run, and without a noise floor."""
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
    assert upper_end(false, count) <= 0.06  # `make bench` has the narrow interval


# Programs: pairs with the same instances

DRAWN, EXACT = Style.drawing(64), Style(name="exact")
drawn_pairs = st.lists(
    st.tuples(*[st.integers(-(10**9), 10**9)] * 2), min_size=FEWEST_DIFFERENCES, max_size=32
)


def test_the_table_of_differences_is_where_their_evidence_reaches_one_in_twenty() -> None:
    numbers = range(FEWEST_DIFFERENCES, MAX_RUNS // 2 + 1)
    ratios = [critical_ratio(number, math.log(20)) for number in numbers]
    assert [math.ceil(MILLION * ratio) for ratio in ratios] == list(CRITICAL_DIFFERENCES)


@given(drawn_pairs, st.integers(0, 10**9), st.integers(0, 10**8))
def test_readers_see_in_differences_what_a_node_sees(
    pairs: list[Pair], least: int, noise: int
) -> None:
    shown = Evidence.of(pairs, noise, DRAWN)
    gains = tuple(float(base - candidate) for base, candidate in pairs)
    node = DifferenceEvidence(gains, floor=float(noise))
    assert shown.noise_nano == pytest.approx(node.sd, rel=1e-6, abs=2)
    for is_shown, log_e in (
        (shown.is_above(0), node.log_e),
        (shown.is_below(least), node.log_e_absent(float(least))),
    ):
        if abs(log_e - math.log(20)) > 1e-4:
            assert is_shown == (log_e > math.log(20))
    gain = shown.gain
    assert gain is not None
    assert gain.lower_nano() == pytest.approx(node.interval()[0], rel=1e-5, abs=100)
    assert gain.estimate / MILLION == pytest.approx(node.estimate, rel=1e-5, abs=100)


@given(drawn_pairs)
def test_what_lies_beyond_the_bounds_of_differences_is_shown(pairs: list[Pair]) -> None:
    shown = Evidence.of(pairs, SD, DRAWN)
    assert shown.gain is not None
    assert shown.is_above(shown.gain.lower_nano())
    assert not shown.is_above(shown.gain.lower_nano() + 2)
    assert shown.is_below(shown.gain.upper_nano + 1)
    assert not shown.is_below(shown.gain.upper_nano - 1)


def test_only_the_difference_of_a_pair_counts_where_instances_are_drawn() -> None:
    hard = [(10**9 * n, 10**9 * n - 100 - n % 3) for n in range(12)]
    assert Evidence.of(hard, 1, DRAWN).supported_verdict(0) == "confirmed"
    assert Evidence.of(hard, 1).supported_verdict(0) is None


def test_too_few_differences_and_ties_bear_nothing_out() -> None:
    same = [(100, 0)]
    assert Evidence.of(same * (FEWEST_DIFFERENCES - 1), 0, DRAWN).supported_verdict(0) is None
    assert Evidence.of(same * FEWEST_DIFFERENCES, 0, DRAWN).supported_verdict(0) == "confirmed"
    assert Evidence.of(same * 28, 0, Style.drawing(1)).supported_verdict(0) is None
    assert Evidence.of(same * 29, 0, Style.drawing(1)).supported_verdict(0) == "confirmed"
    for count in range(33):
        assert Evidence.of([(7, 7)] * count, 0, DRAWN).supported_verdict(0) is None


def test_pairs_that_all_differ_by_the_same_keep_an_interval() -> None:
    gain = Evidence.of([(1200, 0)] * 12, 0, DRAWN).gain
    assert gain is not None
    assert 900 < gain.lower_nano() < 1050
    assert 1350 < gain.upper_nano < 1500


@pytest.mark.parametrize(
    ("gain", "least", "verdict"),
    [(5, 0, "confirmed"), (5, 5, "confirmed"), (5, 6, "smaller"), (0, 5, "refuted"), (0, 0, None)],
)
def test_one_exact_pair_says_all(gain: int, least: int, verdict: str | None) -> None:
    shown = Evidence.of([(100, 100 - gain)], 3, EXACT)
    assert shown.supported_verdict(least) == verdict
    assert shown.noise_nano == 0
    reported = shown.gain
    assert reported is not None
    assert (reported.lower_nano(), reported.value_nano, reported.upper_nano) == (gain, gain, gain)


def test_exact_pairs_that_contradict_one_another_show_what_both_do() -> None:
    reported = Evidence.of([(100, 98), (100, 97)], 0, EXACT).gain
    assert reported is not None
    assert (reported.pairs, reported.lower_nano(), reported.upper_nano) == (2, 1, 3)
    assert Evidence.of([(100, 99), (100, 97)], 0, EXACT).supported_verdict(0) is None
    assert Evidence.of([], 0, EXACT).supported_verdict(0) is None
    assert Evidence.of([], 0, EXACT).gain is None


@pytest.mark.parametrize("name", ["ties_90_lossy", "lognormal_down", "heavy_tails_t2"])
def test_nulls_of_programs_are_rarely_borne_out(name: str) -> None:
    noise, chance, count = mean_of(NULLS[name], 16), random.Random(name), 300
    false = 0
    for _ in range(count):
        pairs = [(round(noise(chance) * SD), 0) for _ in range(32)]
        looks = range(FEWEST_DIFFERENCES, 33)
        false += any(Evidence.of(pairs[:n], 0, DRAWN).is_above(0) for n in looks)
    assert upper_end(false, count) <= 0.075  # `make bench` has the narrow interval
