"""Student's t against published and high-precision values, and the e-value against a table."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ArnodeError
from protocol.rule import POWER, judge
from protocol.statistics import (
    NoiseEstimate,
    PairedEvidence,
    log_e_value,
    student_t_cdf,
    student_t_quantile,
)

# From mpmath's incomplete beta function, with 20 digits.
CDF_VALUES = [
    (-2.5, 7.0, 0.020496109292876448445),
    (1.3, 31.0, 0.89840781843170612555),
    (-4.0, 4.5, 0.0063822447328120230521),
    (2.75, 69.0, 0.99619854683999444981),
]
# The usual table, with digits from mpmath.
QUANTILES = [
    (0.975, 1.0, 12.706204736174704646),
    (0.975, 4.0, 2.7764451051977943578),
    (0.975, 10.0, 2.2281388519862747484),
    (0.95, 10.0, 1.8124611228116764136),
    (0.995, 5.0, 4.0321429835552280784),
    (0.975, 30.0, 2.04227245630123831),
    (1e-9, 7.0, -38.705980643231613936),
]
# (Z, h, SS, nu) → ln E.
GOLDEN_LOG_E = [
    ((0.0, 1.0, 20.0, 20.0), -0.804719),
    ((1.0, 1.0, 20.0, 20.0), 0.090367),
    ((2.0, 1.0, 20.0, 20.0), 1.346689),
    ((3.0, 1.0, 20.0, 20.0), 2.877185),
    ((2.0, 2.0, 20.0, 20.0), 2.663768),
    ((-1.0, 2.0, 20.0, 20.0), -1.881752),
    ((1.0, 4.0, 30.0, 30.0), 1.065804),
]
metrics = st.floats(-100, 100)


@pytest.mark.parametrize(("x", "nu", "expected"), CDF_VALUES)
def test_cdf_agrees_with_high_precision_values(x: float, nu: float, expected: float) -> None:
    assert student_t_cdf(x, nu) == pytest.approx(expected, rel=1e-12)


@given(st.floats(-50, 50))
def test_cdf_has_its_closed_forms_for_one_two_and_four_degrees(x: float) -> None:
    root = math.sqrt(4 + x * x)
    assert student_t_cdf(x, 1) == pytest.approx(0.5 + math.atan(x) / math.pi, abs=1e-12)
    assert student_t_cdf(x, 2) == pytest.approx(0.5 + x / (2 * math.sqrt(2 + x * x)), abs=1e-12)
    assert student_t_cdf(x, 4) == pytest.approx(
        0.5 + 0.375 * (2 * x / root) * (1 - (x / root) ** 2 / 3), abs=1e-12
    )


@pytest.mark.parametrize(("p", "nu", "expected"), QUANTILES)
def test_quantile_agrees_with_the_published_table(p: float, nu: float, expected: float) -> None:
    assert student_t_quantile(p, nu) == pytest.approx(expected, rel=1e-12)


@given(st.floats(1e-6, 1 - 1e-6), st.floats(1, 100))
def test_quantile_inverts_the_cdf(p: float, nu: float) -> None:
    assert student_t_cdf(student_t_quantile(p, nu), nu) == pytest.approx(p, rel=1e-10)


@pytest.mark.parametrize("p", [0.0, 1.0, -0.5, math.nan])
def test_there_is_no_quantile_outside_the_open_interval(p: float) -> None:
    with pytest.raises(ValueError, match="quantile"):
        student_t_quantile(p, 5)


@pytest.mark.parametrize(("arguments", "expected"), GOLDEN_LOG_E)
def test_log_e_value_has_its_golden_values(
    arguments: tuple[float, float, float, float], expected: float
) -> None:
    assert log_e_value(*arguments) == pytest.approx(expected, abs=1e-6)


def test_log_e_value_is_finite_and_rises_with_the_difference() -> None:
    values = [log_e_value(z / 10, 10, 30, 68) for z in range(-400, 401)]
    assert all(math.isfinite(value) for value in values)
    assert all(low < high for low, high in pairwise(values))


def test_noise_starts_from_the_class_with_four_degrees_of_freedom() -> None:
    noise = NoiseEstimate.from_class(0.5)
    assert (noise.ss, noise.nu, noise.sd) == (1.0, 4.0, 0.5)


def test_groups_add_only_the_spread_within_them() -> None:
    groups = [[1.0, 3.0], [100.0, 102.0, 104.0], [7.0], []]
    noise = NoiseEstimate.from_class(1.0).with_groups(groups)
    assert noise == NoiseEstimate(4 + 2 + 8, 4 + 1 + 2)


def test_over_the_cap_the_variance_stays_and_its_weight_is_thirty_degrees() -> None:
    group = [float(i % 7) for i in range(50)]
    mean = sum(group) / len(group)
    ss = 4 + sum((value - mean) ** 2 for value in group)
    noise = NoiseEstimate.from_class(1.0).with_groups([group])
    assert noise.nu == 30
    assert noise.sd**2 == pytest.approx(ss / 53)


@pytest.mark.parametrize(("ss", "nu"), [(0.0, 4.0), (1.0, 0.0), (math.nan, 4.0), (math.inf, 4.0)])
def test_a_noise_estimate_without_noise_is_refused(ss: float, nu: float) -> None:
    with pytest.raises(ArnodeError):
        NoiseEstimate(ss, nu)


def evidence(base: list[float], candidate: list[float], ss: float = 20.0) -> PairedEvidence:
    return PairedEvidence(NoiseEstimate(ss, 20.0), tuple(base), tuple(candidate))


def test_one_pair_is_worth_half_a_run_and_uses_only_earlier_noise() -> None:
    one = evidence([3.0], [1.0])
    assert one.gain == 2.0
    assert one.sd == 1.0
    assert one.log_e == pytest.approx(log_e_value(2.0, 0.5, 20.0, 20.0))


def test_pairs_add_their_own_spread_and_two_degrees_each() -> None:
    two = evidence([3.0, 5.0], [1.5, 2.5])
    # The candidate's spread is below the base's: r = 1, so two pairs are worth one run.
    assert two.log_e == pytest.approx(log_e_value(2.0, 1.0, 20 + 2 + 0.5, 22.0))
    assert two.sd == pytest.approx(math.sqrt(22.5 / 22))


def test_a_noisier_candidate_makes_the_pairs_worth_less() -> None:
    noisy = evidence([0.0, 0.0], [-10.0, 10.0], ss=2.0)
    variance = (2.0 + 200.0) / 22
    ratio = (200.0 + variance) / (2 * variance)
    assert ratio > 1
    assert noisy.log_e == pytest.approx(log_e_value(0.0, 2 / (1 + ratio), 202.0, 22.0))


def test_worse_and_absent_are_the_same_evidence_turned_round() -> None:
    pairs = evidence([1.0, 1.5, 2.0], [0.5, 1.5, 0.0])
    turned = evidence([-1.0, -1.5, -2.0], [-0.5, -1.5, -0.0])
    assert pairs.log_e_worse == pytest.approx(turned.log_e)
    assert pairs.log_e_absent(0.0) == pytest.approx(pairs.log_e_worse)
    assert pairs.log_e_absent(5.0) > pairs.log_e_absent(3.0) > pairs.log_e_worse


def test_the_posterior_agrees_with_integrating_likelihood_and_prior() -> None:
    z, h, ss, nu = 1.2, 1.0, 22.5, 22.0
    pairs = evidence([3.0, 5.0], [2.3, 3.3])
    weights = []
    for step in range(-4000, 4001):
        gain = step / 400
        # s² is integrated out under the prior 1/s². What remains is a power of the total sum of
        # squares.
        weights.append((gain, (ss + h * (z - gain) ** 2 + gain * gain / 4) ** (-(nu + 2) / 2)))
    expected = sum(w for gain, w in weights if gain > 0.75) / sum(w for _, w in weights)
    assert pairs.posterior_above(0.75) == pytest.approx(expected, abs=1e-3)


def test_before_the_first_pair_nothing_is_known() -> None:
    nothing = evidence([], [])
    assert (nothing.pairs, nothing.gain, nothing.log_e) == (0, 0.0, 0.0)
    assert nothing.interval() == (-math.inf, math.inf)
    assert nothing.posterior_above(0.0) == 0.5


@given(st.lists(st.tuples(metrics, metrics), min_size=2, max_size=20), st.floats(-3, 3))
def test_what_lies_beyond_the_interval_is_refuted_and_nothing_else(
    pairs: list[tuple[float, float]], gain: float
) -> None:
    shown = evidence([base for base, _ in pairs], [candidate for _, candidate in pairs])
    lower, upper = shown.interval(0.95)
    moved = evidence([base - gain for base, _ in pairs], [candidate for _, candidate in pairs])
    reach = upper - lower
    if math.isfinite(reach) and min(abs(gain - lower), abs(gain - upper)) > 1e-6 * reach:
        assert (gain < lower) == (moved.log_e > math.log(20))
        assert (gain > upper) == (moved.log_e_worse > math.log(20))


def test_too_few_pairs_leave_the_interval_open() -> None:
    one = PairedEvidence(NoiseEstimate(1.0, 1.0), (1.0,), (-50.0,))
    assert one.interval() == (-math.inf, math.inf)


@pytest.mark.parametrize("gain", [0.0, 0.5, 2.0])
def test_the_interval_is_true_wherever_the_rule_stops(gain: float) -> None:
    """In a quarter of the confirmed trials, a t interval covers a true gain of half a deviation."""
    chance = random.Random(f"interval {gain}")
    missed = below = count = 0
    for _ in range(400):
        noise = NoiseEstimate(sum(chance.gauss(0, 1) ** 2 for _ in range(20)), 20.0)
        base: list[float] = []
        candidate: list[float] = []
        while True:
            base.append(chance.gauss(0, 1))
            candidate.append(chance.gauss(-gain, 1))
            shown = PairedEvidence(noise, tuple(base), tuple(candidate))
            if judge(shown, POWER).verdict is not None:
                break
        lower, upper = shown.interval()
        count += 1
        missed += gain < lower
        below += gain > upper
    assert missed / count <= 0.05
    assert below / count <= 0.05


@given(st.lists(st.tuples(metrics, metrics), max_size=20), st.floats(0.01, 100))
def test_evidence_does_not_depend_on_the_unit(
    pairs: list[tuple[float, float]], unit: float
) -> None:
    base, candidate = [p[0] for p in pairs], [p[1] for p in pairs]
    plain = evidence(base, candidate)
    scaled = evidence([v * unit for v in base], [v * unit for v in candidate], ss=20 * unit * unit)
    assert scaled.log_e == pytest.approx(plain.log_e, rel=1e-6, abs=1e-6)
    assert scaled.posterior_above(0.5 * unit) == pytest.approx(plain.posterior_above(0.5), abs=1e-6)


def test_unpaired_runs_are_no_evidence() -> None:
    with pytest.raises(ValueError, match="as many base runs as candidate runs"):
        evidence([1.0, 2.0], [1.0])
