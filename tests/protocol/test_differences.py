"""One sample of differences: against its closed form, by forbidden behaviour, and by simulation."""

import math
import random
from statistics import fmean

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.differences import (
    CERTAIN,
    GAIN_OVER_SPREAD,
    UNSEEN,
    DifferenceEvidence,
    ExactEvidence,
    critical_ratio,
    log_e_of_differences,
)
from protocol.rule import trial_alpha
from protocol.statistics import log_e_value, sum_of_squares
from protocol.styles import MOST_PAIRS, Style
from protocol.units import NANO, to_nano
from tests.protocol.instances import NULLS, RARER, mean_of
from tests.protocol.scatter import Noise

differences = st.lists(st.floats(-100, 100).map(lambda one: round(one, 6)), max_size=29)
LN_20 = math.log(20)


def evidence(*gains: float, floor: float = 0.0) -> DifferenceEvidence:
    """Return evidence from pairs with these gains."""
    return DifferenceEvidence(gains, floor=floor)


# The closed form


@given(differences.filter(lambda gains: len(gains) > 1 and sum_of_squares(gains) > 1e-6))
def test_it_is_the_e_process_of_the_pairs_and_an_unseen_one(gains: list[float]) -> None:
    shown, n = evidence(*gains), len(gains)
    floor = 2 * (n - 1) * (fmean(gains) / GAIN_OVER_SPREAD) ** 2
    if sum_of_squares(gains) <= floor:
        return
    unseen = -UNSEEN * math.sqrt(sum(gain * gain for gain in gains) / n)
    all_of_them = [*gains, unseen]
    # A difference has the variance of two runs, so n differences are worth n / 2 runs.
    expected = log_e_value(
        fmean(all_of_them), (n + 1) / 2, sum_of_squares(all_of_them) / 2, float(n)
    )
    assert shown.log_e == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("mean", "ss", "pairs", "log_e"),
    [
        (0.0, 9.0, 10, -1.825065),
        (1.0, 9.0, 10, 0.830511),
        (2.0, 9.0, 10, 2.466148),
        (1.0, 19.0, 20, 3.639703),
        (-1.0, 9.0, 10, -2.768095),
    ],
)
def test_its_golden_values(mean: float, ss: float, pairs: int, log_e: float) -> None:
    assert log_e_of_differences(mean, ss, pairs) == pytest.approx(log_e, abs=1e-5)


@given(differences.filter(lambda gains: len(gains) > 1), st.floats(-50, 50))
def test_what_lies_beyond_the_interval_is_refuted_and_nothing_else(
    gains: list[float], gain: float
) -> None:
    shown = evidence(*gains)
    lower, upper = shown.interval(0.95)
    reach = upper - lower
    if math.isfinite(reach) and min(abs(gain - lower), abs(gain - upper)) > 1e-5 * reach:
        # The evidence that the gain is above a value is that of the same pairs with the sign
        # reversed.
        turned = evidence(*(-one for one in gains))
        assert (gain < lower) == (turned.log_e_absent(-gain) > LN_20)
        assert (gain > upper) == (shown.log_e_absent(gain) > LN_20)


@given(differences.filter(lambda gains: len(gains) > 1))
def test_its_lower_end_is_above_zero_exactly_if_it_shows_a_gain(gains: list[float]) -> None:
    shown = evidence(*gains)
    if abs(shown.log_e - LN_20) > 1e-6:
        assert (shown.interval()[0] > 0) == (shown.log_e > LN_20)


@pytest.mark.parametrize("pairs", [10, 12, 20, 29])
def test_the_critical_ratio_is_where_the_evidence_is_reached(pairs: int) -> None:
    ratio = critical_ratio(pairs, LN_20)
    at = log_e_of_differences(1.0, pairs / ratio, pairs)
    assert at == pytest.approx(LN_20, abs=1e-6)


# Forbidden behaviour


@pytest.mark.parametrize("pairs", range(30))
def test_ties_never_pass_whatever_is_asked(pairs: int) -> None:
    shown = evidence(*[0.0] * pairs)
    assert shown.log_e <= 0
    assert shown.log_e_worse <= 0
    assert (shown.gain, shown.estimate, shown.sd) == (0.0, 0.0, 0.0)
    assert shown.posterior_above(0.0) <= 0.5


@given(differences)
def test_pairs_that_cancel_never_pass(gains: list[float]) -> None:
    assert evidence(*gains, *(-gain for gain in gains)).log_e <= 1e-9


@pytest.mark.parametrize("pairs", range(1, 10))
def test_few_pairs_that_differ_by_the_same_are_little_evidence(pairs: int) -> None:
    assert evidence(*[1.0] * pairs).log_e < LN_20


def test_pairs_that_all_differ_by_the_same_are_finite_evidence_and_no_exact_figure() -> None:
    shown = evidence(*[1.0] * 12)
    assert LN_20 < shown.log_e < 6
    lower, upper = shown.interval()
    assert 0.7 < lower < 0.9
    assert 1.1 < upper < 1.3


@given(differences, st.floats(0, 10))
def test_a_floor_only_ever_takes_evidence_away(gains: list[float], floor: float) -> None:
    plain, held = evidence(*gains), evidence(*gains, floor=floor)
    assert max(0.0, held.log_e) <= max(0.0, plain.log_e) + 1e-9


def test_below_its_least_pairs_nothing_is_shown() -> None:
    gains = tuple(5.0 + 0.1 * (n % 3) for n in range(20))
    assert DifferenceEvidence(gains).log_e > 5
    few = DifferenceEvidence(gains, least_pairs=21)
    assert (few.log_e, few.interval()) == (0.0, (-math.inf, math.inf))
    assert few.log_e_absent(100.0) == 0.0
    assert DifferenceEvidence(gains, least_pairs=20).log_e > 5


def test_before_the_first_pair_nothing_is_known() -> None:
    nothing = evidence()
    assert (nothing.pairs, nothing.gain, nothing.log_e, nothing.sd) == (0, 0.0, 0.0, 0.0)
    assert nothing.interval() == (-math.inf, math.inf)
    assert nothing.posterior_above(0.0) == 0.5


def test_each_tie_makes_a_gain_less_likely() -> None:
    hopes = [evidence(*[0.0] * pairs).posterior_above(0.0) for pairs in range(2, 6)]
    assert hopes == [0.25, 0.125, 0.0625, 0.03125]


# Invariances


@given(differences, st.floats(0.01, 100), st.randoms(use_true_random=False))
def test_neither_unit_nor_order_matters(
    gains: list[float], unit: float, chance: random.Random
) -> None:
    mixed = [unit * gain for gain in gains]
    chance.shuffle(mixed)
    plain, scaled = evidence(*gains), evidence(*mixed)
    assert scaled.log_e == pytest.approx(plain.log_e, rel=1e-6, abs=1e-6)
    assert scaled.gain == pytest.approx(unit * plain.gain, abs=1e-9)
    assert scaled.sd == pytest.approx(unit * plain.sd, abs=1e-9)


@given(differences)
def test_worse_is_the_same_evidence_turned_round(gains: list[float]) -> None:
    shown, turned = evidence(*gains), evidence(*(-gain for gain in gains))
    assert shown.log_e_worse == pytest.approx(turned.log_e, abs=1e-9)
    assert shown.log_e_absent(0.0) == pytest.approx(shown.log_e_worse, abs=1e-9)


@given(differences.filter(bool), st.floats(0, 50), st.floats(0, 50))
@example([0.0], 0.0, 1.726043977059797e-161)  # its square underflows
def test_the_larger_a_claim_the_more_speaks_against_it(
    gains: list[float], less: float, more: float
) -> None:
    shown = evidence(*gains)
    first, second = sorted((less, more))
    assert shown.log_e_absent(first) <= shown.log_e_absent(second) + 1e-9


# By simulation


@pytest.mark.parametrize("width", [16, 1])
@pytest.mark.parametrize("name", NULLS)
def test_no_kind_of_null_passes_more_often_than_one_in_twenty(name: str, width: int) -> None:
    count = 400
    passed = passed_of(NULLS[name], width, name=name, count=count)
    assert passed[0] <= 0.065 * count  # `make bench` has the narrow interval
    assert passed[1] <= 0.04 * count


@pytest.mark.parametrize("name", ["rare_losses_10", "rare_losses_5"])
def test_losses_that_runs_of_sixteen_meet_do_not_pass(name: str) -> None:
    assert passed_of(RARER[name], 16, name=name, count=400)[0] <= 0.065 * 400


@pytest.mark.parametrize(("gain", "least"), [(2.0, 0.98), (1.0, 0.8)])
def test_a_gain_of_two_deviations_passes_and_one_of_one_mostly(gain: float, least: float) -> None:
    # Of one instance; a mean over 16 has a quarter of this spread.
    passed = passed_of(lambda chance: chance.gauss(gain / 4, 1), 16, name="gain", count=200)
    assert passed[1] >= least * 200


def passed_of(noise: Noise, width: int, *, name: str, count: int) -> tuple[int, int]:
    """Return the number of trials that ever reach 1 in 20, and a line's first alpha.

    Each trial is evaluated after each pair.
    """
    chance, style = random.Random(f"{name} {width}"), Style.drawing(width)
    of_run = mean_of(noise, width)
    highest = []
    for _ in range(count):
        gains = tuple(of_run(chance) for _ in range(MOST_PAIRS))
        looks = range(max(2, style.least_pairs), MOST_PAIRS + 1)
        highest.append(max(DifferenceEvidence(gains[:look]).log_e for look in looks))
    levels = (LN_20, -math.log(trial_alpha(1)))
    at_five, at_first = (sum(one >= level for one in highest) for level in levels)
    return at_five, at_first


# Fixed instances


def exact(*gains: float) -> ExactEvidence:
    """Return evidence from pairs on fixed instances."""
    return ExactEvidence(tuple(map(to_nano, gains)))


def test_one_pair_says_all_where_it_is_exact() -> None:
    better, worse, tie = exact(1e-9), exact(-1e-9), exact(0.0)
    assert (better.log_e, better.log_e_worse) == (CERTAIN, -CERTAIN)
    assert (worse.log_e, worse.log_e_worse) == (-CERTAIN, CERTAIN)
    assert (tie.log_e, tie.log_e_worse) == (-CERTAIN, -CERTAIN)
    assert better.interval() == (1e-9, 1e-9)
    assert (better.gain, better.estimate, better.sd) == (1e-9, 1e-9, 0.0)
    assert (better.posterior_above(0.0), tie.posterior_above(0.0)) == (1.0, 0.0)


@given(st.integers(-(10**15), 10**15), st.integers(-(10**15), 10**15))
def test_floats_do_not_decide_whether_a_claim_is_met(base: int, candidate: int) -> None:
    shown = exact(base / NANO - candidate / NANO)
    assert shown.log_e_absent((base - candidate) / NANO) == -CERTAIN
    assert shown.log_e_absent((base - candidate + 1) / NANO) == CERTAIN


def test_pairs_that_contradict_one_another_are_not_exact() -> None:
    assert exact(1.0, 3.0).log_e == -CERTAIN
    assert exact(1.0, 3.0).interval() == (0.0, 4.0)
    assert exact(2.0, 3.0).log_e == CERTAIN
    assert exact(-2.0, -3.0).log_e_worse == CERTAIN


def test_before_the_first_exact_pair_nothing_is_known() -> None:
    nothing = ExactEvidence(())
    assert (nothing.pairs, nothing.gain, nothing.log_e) == (0, 0.0, 0.0)
    assert nothing.interval() == (-math.inf, math.inf)
    assert nothing.posterior_above(0.0) == 0.5
