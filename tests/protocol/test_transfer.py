"""Slopes: planted ones are found, little data gives large uncertainty, and all are finite."""

import math
import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.transfer import UNKNOWN, ObservedTransfer, overall, slopes

NOISE = 0.01
FINITE = st.floats(-10, 10)


def planted(slope: float, *, count: int, seed: int, scatter: float = 0.2) -> list[ObservedTransfer]:
    """Return changes that gain on the lower rung and, on average, this share of it on the upper."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        true = chance.uniform(0.02, 0.1)
        own = slope + chance.gauss(0, scatter)
        found.append(
            ObservedTransfer(
                below=true + chance.gauss(0, NOISE),
                below_error=NOISE,
                above=own * true + chance.gauss(0, NOISE),
                above_error=NOISE,
            )
        )
    return found


@pytest.mark.parametrize("slope", [0.0, 0.3, 0.6, 0.9])
def test_a_planted_slope_lies_in_its_interval_about_as_often_as_that_says(slope: float) -> None:
    held = []
    for seed in range(200):
        found = overall(planted(slope, count=20, seed=seed))
        low, high = found.interval
        held.append(low <= slope <= high)
    assert fmean(held) >= 0.9


def test_more_changes_make_it_surer() -> None:
    few, many = (overall(planted(0.6, count=count, seed=1)) for count in (3, 60))
    assert many.sd < few.sd < UNKNOWN.sd
    assert few.count <= 3 < many.count <= 60


def test_nothing_known_is_the_prior() -> None:
    assert overall([]) == UNKNOWN
    assert slopes({"a": []})["a"].mean == UNKNOWN.mean


def test_a_pair_with_few_changes_is_drawn_to_the_others() -> None:
    one = [ObservedTransfer(below=0.05, below_error=NOISE, above=-0.05, above_error=NOISE)]
    alone = slopes({"new": one})["new"].mean
    with_known = slopes({"known": planted(0.8, count=60, seed=2, scatter=0.1), "new": one})[
        "new"
    ].mean
    assert alone < with_known < 0.8


def test_a_gain_that_is_lost_in_noise_says_nothing() -> None:
    nothing = ObservedTransfer(below=0.001, below_error=0.01, above=0.5, above_error=0.01)
    worse = ObservedTransfer(below=-0.05, below_error=0.01, above=0.5, above_error=0.01)
    assert overall([nothing, worse]) == UNKNOWN


def test_what_is_expected_is_less_sure_than_the_slope() -> None:
    slope = overall(planted(0.6, count=20, seed=3))
    gain, spread = slope.expected(0.1)
    assert gain == pytest.approx(0.1 * slope.mean)
    assert spread > 0.1 * slope.sd


@given(
    st.lists(
        st.builds(
            ObservedTransfer,
            below=FINITE,
            below_error=st.floats(0, 10),
            above=FINITE,
            above_error=st.floats(0, 10),
        ),
        max_size=8,
    )
)
def test_whatever_it_is_given_a_slope_is_a_number(expected: list[ObservedTransfer]) -> None:
    found = overall(expected)
    assert all(map(math.isfinite, (found.mean, found.sd, found.scatter)))
    assert 0 < found.sd <= UNKNOWN.sd
