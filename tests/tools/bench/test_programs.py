"""The short form of `make bench PART=programs`: what is promised of programs that are no better."""

import random
from dataclasses import replace
from statistics import fmean

import pytest

from protocol.rule import DEFAULT, POWER, trial_alpha
from protocol.styles import MOST_PAIRS, Style
from tests.protocol.instances import mean_of
from tests.protocol.scatter import normal
from tools.bench.programs import BOTH, LINES, adopts, decide, highest

STYLE = Style.drawing(16)


@pytest.mark.soak
@pytest.mark.parametrize("name", LINES)
def test_lines_on_which_nothing_is_a_gain_hardly_ever_adopt(name: str) -> None:
    chance, noise = random.Random(name), mean_of(BOTH[name], 16)
    assert sum(adopts(noise, STYLE, chance) for _ in range(12)) <= 2


def test_without_an_unseen_pair_lossy_nulls_pass_far_too_often() -> None:
    chance, noise = random.Random(1), mean_of(BOTH["rare_losses_2"], 16)
    seen = [highest(noise, STYLE, chance) for _ in range(150)]
    ruled, plain = (sum(one[way][-1] >= 3 for one in seen) for way in (0, 1))
    assert plain >= 0.2 * 150
    assert ruled <= 0.5 * plain


def test_evidence_is_reported_after_each_pair_and_never_falls() -> None:
    ruled, plain = highest(normal, STYLE, random.Random(2), gain=1.0)
    assert (len(ruled), len(plain)) == (MOST_PAIRS, MOST_PAIRS)
    assert ruled == sorted(ruled)


def test_gains_of_two_deviations_pass_in_a_dozen_pairs() -> None:
    chance, first = random.Random(3), replace(DEFAULT, alpha=trial_alpha(1))
    for policy, pairs in ((first, 16), (POWER, 14)):
        judged = [decide(lambda one: one.gauss(2, 1), STYLE, policy, chance) for _ in range(100)]
        assert sum(one.is_gain for one in judged) >= 95
        assert fmean(one.evidence.pairs for one in judged) <= pairs
