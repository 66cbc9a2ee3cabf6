"""The model of hyperparameters learns from differences between any bases, and knows its error."""

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from agent.hyperparameters.positions import Position
from agent.hyperparameters.surrogate import Surrogate, TrialDifference

SEARCH = 4
MIDDLE = (0.5,) * SEARCH


def bowl(at: Sequence[float]) -> float:
    """Return a loss that two of four values affect; the best is at (0.8, 0.3)."""
    return 60 * (at[0] - 0.8) ** 2 + 30 * (at[1] - 0.3) ** 2


def trials_of(
    bases: Sequence[Position], count: int, *, levels: Sequence[float] = (), seed: int = 1
) -> list[TrialDifference]:
    """Return noisy trials around bases in turn; `levels` are errors of their reference runs."""
    chance = random.Random(seed)
    seen = []
    for number in range(count):
        reference_group = number % len(bases)
        base = bases[reference_group]
        at = tuple(min(1.0, max(0.0, place + chance.gauss(0, 0.2))) for place in base)
        error = levels[reference_group] if levels else 0.0
        seen.append(
            TrialDifference(
                at, base, bowl(at) - bowl(base) + error + chance.gauss(0, 1), reference_group
            )
        )
    return seen


def losses(model: Surrogate, *at: Position) -> list[float]:
    return [float(mean) for mean in model.losses(at)[0]]


def test_it_finds_out_what_helps_and_what_does_nothing() -> None:
    model = Surrogate(trials_of([MIDDLE], 40), MIDDLE)
    better, worse, idle = losses(
        model, (0.75, 0.5, 0.5, 0.5), (0.25, 0.5, 0.5, 0.5), (0.5, 0.5, 0.65, 0.5)
    )
    assert better == pytest.approx(-5.25, abs=2)
    assert worse == pytest.approx(12.75, abs=4)
    assert abs(idle) < 1.5


def test_trials_that_came_to_the_same_may_be_reported_at_once() -> None:
    seen = trials_of([MIDDLE, (0.6, 0.5, 0.2, 0.5)], 20)
    each = Surrogate([*seen, *seen[:8], *seen[:3]], MIDDLE)
    counts = [3] * 3 + [2] * 5 + [1] * 12
    at_once = [replace(one, count=count) for one, count in zip(seen, counts, strict=True)]
    places = ((0.8, 0.3, 0.2, 0.9), (0.1, 0.1, 0.5, 0.5))
    means, deviations = Surrogate(at_once, MIDDLE).losses(places)
    for one, other in zip((means, deviations), each.losses(places), strict=True):
        assert list(one) == pytest.approx(list(other), rel=1e-6)


def test_the_expected_loss_is_a_sum_of_bumps() -> None:
    model = Surrogate(trials_of([MIDDLE, (0.6, 0.5, 0.2, 0.5)], 20), MIDDLE)
    bumps = model.bumps
    assert len(bumps.centres) == 22  # a base is one point, even if many trials began there

    def summed(at: Position) -> float:
        steps = (np.array(at) - bumps.centres) / bumps.reaches
        return float(bumps.heights @ np.exp(-0.5 * (steps**2).sum(axis=1)))

    places = ((0.8, 0.3, 0.2, 0.9), (0.1, 0.1, 0.5, 0.5))
    expected = [summed(at) - summed(MIDDLE) for at in places]
    assert losses(model, *places) == pytest.approx(expected, abs=1e-6)


def test_a_base_that_moved_on_and_its_level_cost_nothing() -> None:
    bases = [MIDDLE, (0.6, 0.5, 0.2, 0.5), (0.7, 0.4, 0.2, 0.9)]
    seen = trials_of(bases, 60, levels=(0.7, -0.7, 0.5))
    model = Surrogate(seen, bases[-1])
    ahead, back = losses(model, (0.8, 0.3, 0.2, 0.9), (0.5, 0.4, 0.2, 0.9))
    assert ahead == pytest.approx(bowl((0.8, 0.3)) - bowl((0.7, 0.4)), abs=1.5)
    assert back == pytest.approx(bowl((0.5, 0.4)) - bowl((0.7, 0.4)), abs=2.5)


def test_what_is_far_from_everything_seen_is_unsure_and_rather_bad() -> None:
    model = Surrogate(trials_of([MIDDLE], 25), MIDDLE)
    means, deviations = model.losses([(0.5, 0.5, 0.52, 0.5), (0.5, 0.5, 0.0, 1.0)])
    assert deviations[0] < 1 < deviations[1]
    assert means[1] > means[0]


def test_the_same_trials_say_the_same() -> None:
    seen = trials_of([MIDDLE], 30)
    at = [(0.1, 0.9, 0.5, 0.4), (0.7, 0.3, 0.5, 0.4)]
    assert losses(Surrogate(seen, MIDDLE), *at) == losses(Surrogate(list(seen), MIDDLE), *at)


def test_trials_that_contradict_each_other_or_are_all_one_are_noise() -> None:
    there = (0.9, 0.5, 0.5, 0.5)
    seen = [TrialDifference(there, MIDDLE, 5.0 * (-1) ** number, 0) for number in range(20)]
    mean, deviation = (float(one[0]) for one in Surrogate(seen, MIDDLE).losses([there]))
    assert abs(mean) < 2
    assert deviation < 2
    nowhere = [TrialDifference(MIDDLE, MIDDLE, 1.0, 0)] * 5
    assert losses(Surrogate(nowhere, MIDDLE), MIDDLE) == pytest.approx([0], abs=1e-6)
