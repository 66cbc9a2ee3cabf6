"""The whole-number formulas against their definitions, and against floats where those suffice."""

import math
from dataclasses import replace
from fractions import Fraction
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.encoding import MAX_INT
from protocol.gains import LUCK, MILLION, T95, TRIES, FigureScale, Pair, gain_of, luck, pairs_of
from protocol.statistics import student_t_quantile
from tests.protocol.examples import FAILED_RUN, MANIFEST, PROGRAM_MANIFEST
from tests.protocol.worlds import run

METRICS = st.integers(-MAX_INT, MAX_INT)


def test_the_tables_are_the_quantiles_rounded_up() -> None:
    assert [math.ceil(MILLION * student_t_quantile(0.95, nu)) for nu in range(1, 32)] == list(T95)
    assert len(TRIES) == len(LUCK)
    for tries, allowance in zip(TRIES, LUCK, strict=True):
        assert allowance == math.ceil(MILLION * math.sqrt(2 * math.log(tries)))


@given(st.integers(0, 2**20))
def test_luck_is_never_underestimated(tries: int) -> None:
    assert luck(tries) >= MILLION * math.sqrt(2 * math.log(max(2, tries))) - 1
    assert luck(tries) <= luck(tries + 1)


def test_beyond_the_table_luck_stays() -> None:
    assert luck(10**12) == LUCK[-1]


def test_the_worked_example() -> None:
    # docs/protocol.md: four pairs, a noise floor of 0.0104, 5 tries.
    gain = gain_of([31_000_000, 28_000_000, 35_000_000, 30_000_000], 10_400_000)
    assert gain is not None
    assert (gain.pairs, gain.mean) == (4, 31_000_000_000_000)
    assert gain.reach == 17_306_428_287_204
    assert (gain.value_nano, gain.upper_nano) == (31_000_000, 48_306_428)
    assert gain.lower_nano() == 13_693_571
    assert gain.lower_nano(10_400_000 * luck(5)) == -5_993_826


@given(st.lists(st.integers(-(10**9), 10**9), min_size=4, max_size=32), st.integers(0, 10**8))
def test_it_is_the_t_interval_of_the_pairs(pairs: list[int], noise: int) -> None:
    gain = gain_of(pairs, noise)
    assert gain is not None
    sd = max(stdev(pairs), math.sqrt(2) * noise)
    reach = student_t_quantile(0.95, len(pairs) - 1) * sd / math.sqrt(len(pairs))
    assert gain.value_nano == math.floor(Fraction(sum(pairs), len(pairs)))
    assert gain.reach / MILLION == pytest.approx(reach, rel=2e-6, abs=1e-3)
    assert gain.upper_nano == pytest.approx(mean(pairs) + reach, rel=1e-5, abs=2e3)


@given(st.lists(st.integers(-2 * MAX_INT, 2 * MAX_INT), min_size=4, max_size=32), METRICS.map(abs))
def test_absurd_claims_stay_within_what_a_record_can_say(pairs: list[int], noise: int) -> None:
    gain = gain_of(pairs, noise)
    assert gain is not None
    bounds = (gain.lower_nano(noise * luck(10**6)), gain.value_nano, gain.upper_nano)
    assert all(-MAX_INT <= bound <= MAX_INT for bound in bounds)
    assert bounds == tuple(sorted(bounds))


@given(st.permutations([5, -3, 12, 7, 0, 900]))
def test_the_order_of_pairs_does_not_matter(pairs: list[int]) -> None:
    assert gain_of(pairs, 3) == gain_of(sorted(pairs), 3)


@pytest.mark.parametrize("count", range(4))
def test_fewer_than_four_pairs_show_no_gain(count: int) -> None:
    assert gain_of([10**9] * count, 0) is None


def test_pairs_are_of_one_seed_and_both_ok() -> None:
    runs = [
        run(1, "base", 100),
        run(1, "candidate", 90),
        run(2, "base", 100),  # its candidate failed
        replace(FAILED_RUN, seed=2, role="candidate"),
        run(3, "candidate", 80),  # has no base
        run(4, "base", 0),  # a crash recorded as 0
        run(4, "candidate", 95),
        run(5, "candidate", 99),
        run(5, "base", 101),
        run(5, "base", 500),  # repeated: the first counts
        run(1, "anchor", 200),
    ]
    bits, upwards = FigureScale.of(MANIFEST), FigureScale(maximised=True, zero_fails=False)
    assert pairs_of(runs, "base", bits, secret=False) == ((100, 90), (101, 99))
    assert gains(pairs_of(runs, "base", upwards, secret=False)) == [-10, 95, -2]
    assert gains(pairs_of(runs, "anchor", bits, secret=False)) == [110]


def test_zero_is_a_failure_of_language_models_and_a_figure_of_programs() -> None:
    runs = [
        run(seed, role, nano, secret=nano)
        for seed in range(2)
        for role, nano in (("base", 5), ("candidate", 0))  # such as the number of failing tests
    ]  # type: ignore[list-item]
    assert pairs_of(runs, "base", FigureScale.of(MANIFEST), secret=True) == ()
    assert pairs_of(runs, "base", FigureScale.of(PROGRAM_MANIFEST), secret=True) == ((5, 0), (5, 0))


def test_zero_is_a_figure_where_higher_is_better() -> None:
    share = replace(MANIFEST.metric, name="accuracy", direction="max")
    scale = FigureScale.of(replace(MANIFEST, metric=share, evaluator="lm-share/1"))
    runs = [run(1, "base", 5), run(1, "candidate", 0), run(2, "base", 0), run(2, "candidate", 7)]
    assert pairs_of(runs, "base", scale, secret=False) == ((-5, 0), (0, -7))


def test_what_fails_at_zero_follows_from_the_manifest_whatever_evaluator_it_names() -> None:
    assert FigureScale.of(MANIFEST) == FigureScale.of(replace(MANIFEST, evaluator="lm-nats/7"))


def gains(pairs: tuple[Pair, ...]) -> list[int]:
    """Return the gain of each pair."""
    return [against - candidate for against, candidate in pairs]
