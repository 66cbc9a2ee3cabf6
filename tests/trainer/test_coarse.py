"""The part of an exact number that leaves the stages that have seen secret text."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.runs import Audit
from protocol.units import NANO
from trainer.language_model.evaluator import AuditStatistics, Tolerance
from trainer.language_model.secret_splits import coarse_audit, coarse_metric, grain_nano

FLOOR_NANO = 10_400_000  # tiny's
WORST_NANO = 6_400_000_000
TAU_NANO = 100_000


@given(st.integers(-(10**9), 10**10), st.sampled_from([0, 3, 2_000_000, FLOOR_NANO]))
def test_a_metric_is_the_nearest_multiple_of_an_eighth_of_the_noise(nano: int, floor: int) -> None:
    reported = coarse_metric(nano, noise_floor_nano=floor, most_nano=10**10)
    assert reported % grain_nano(floor) == 0
    assert 2 * abs(reported - nano) <= grain_nano(floor)


@given(st.integers(0, 10**300))
def test_no_claim_makes_a_metric_that_a_record_cannot_hold(nano: int) -> None:
    reported = coarse_metric(nano, noise_floor_nano=FLOOR_NANO, most_nano=WORST_NANO)
    assert reported <= WORST_NANO + FLOOR_NANO


def audited(mean: float, error: float, largest: float) -> Audit:
    """Return the published audit for these statistics, in nats."""
    statistics = AuditStatistics(
        k=256, mean=mean, standard_error=error, largest=largest, outliers=0
    )
    return coarse_audit(statistics, Tolerance(mean=1e-6, tau=TAU_NANO / NANO))


@given(st.floats(-0.4e-4, 0.4e-4), st.floats(1e-9, 6e-6), st.floats(5e-5, 1e-4))
def test_audits_that_pass_all_say_the_same(mean: float, error: float, largest: float) -> None:
    """This holds for any claims of a script that an audit accepts."""
    assert audited(mean, error, largest) == audited(0.0, 1e-7, 6e-5)


def test_an_audit_is_reported_no_better_than_it_was() -> None:
    reported = audited(2e-5, 3e-6, 8e-5)
    assert (reported.k, reported.mean_nano, reported.se_nano, reported.max_nano) == (
        256,
        0,
        TAU_NANO,
        TAU_NANO,
    )
