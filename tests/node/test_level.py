"""The level of the working line: its own runs first, then what was tried on it."""

import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.line.level import LATEST, level_of

metrics = st.floats(-5, 5)


def test_without_trials_it_is_what_the_reference_runs_say() -> None:
    assert level_of([1.0, 3.0], [], 1.0) == pytest.approx(2.0)


@given(st.lists(metrics, min_size=1, max_size=3), st.lists(metrics, max_size=40))
def test_it_moves_with_the_metrics_and_their_unit(
    reference_runs: list[float], screened: list[float]
) -> None:
    level = level_of(reference_runs, screened, 1.0)
    assert abs(level - fmean(reference_runs)) <= 3
    moved = level_of([x + 7 for x in reference_runs], [x + 7 for x in screened], 1.0)
    assert moved == pytest.approx(level + 7, abs=1e-6)
    scaled = level_of([2 * x for x in reference_runs], [2 * x for x in screened], 2.0)
    assert scaled == pytest.approx(2 * level, abs=1e-6)


def test_of_the_trials_the_latest_count() -> None:
    latest = [0.5] * LATEST
    assert level_of([0.0], [-2.0] * 20 + latest, 1.0) == level_of([0.0], latest, 1.0)


@pytest.mark.parametrize("harm", [0.0, 2.0, 10.0])
def test_a_lucky_run_of_the_line_is_seen_for_what_it_is(harm: float) -> None:
    """The reference runs are two sd below the line's level; a dozen proposals correct that."""
    chance, off = random.Random(f"level {harm}"), []
    for _ in range(200):
        screened = [
            chance.gauss(0, 1) + (chance.uniform(0, harm) if chance.random() < 0.4 else 0.0)
            for _ in range(12)
        ]
        off.append(level_of([-2.0], screened, 1.0))
    assert -1 < fmean(off) < 0.75


def test_proposals_that_all_harm_do_not_drag_it_along() -> None:
    chance = random.Random("harm")
    levels = [
        level_of(
            [chance.gauss(0, 1)],
            [chance.gauss(0, 1) + chance.uniform(1, 9) for _ in range(20)],
            1.0,
        )
        for _ in range(200)
    ]
    assert abs(fmean(levels)) < 2.5  # half of what they harm on average
