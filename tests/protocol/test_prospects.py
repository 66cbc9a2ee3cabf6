"""What a claim is worth before anybody re-ran it, and what an author's record makes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.prospects import AuthorRate, expected_gain_sd, trial_outcome


@pytest.mark.parametrize(
    ("claim_sd", "worth_sd"), [(1, 0.12), (2, 0.32), (3, 0.78), (4, 1.5), (6, 2.5)]
)
def test_a_claim_is_worth_what_such_claims_have_held(claim_sd: float, worth_sd: float) -> None:
    assert expected_gain_sd(claim_sd) == pytest.approx(worth_sd, abs=0.12)


@given(st.floats(-1e6, 1e6), st.floats(0.1, 3))
def test_whatever_is_claimed_is_worth_something_finite(claim_sd: float, error_sd: float) -> None:
    assert 0 <= expected_gain_sd(claim_sd, standard_error_sd=error_sd) <= 3.0 + 1e-9


@given(st.floats(0, 8), st.floats(0, 8))
def test_a_larger_claim_is_worth_no_less(one_sd: float, other_sd: float) -> None:
    low, high = sorted((one_sd, other_sd))
    assert expected_gain_sd(low) <= expected_gain_sd(high) + 1e-9


def test_many_pairs_say_more_than_one() -> None:
    assert expected_gain_sd(2.5, standard_error_sd=0.4) > 2 * expected_gain_sd(2.5)


def test_a_lie_costs_three_honest_gains() -> None:
    author = AuthorRate()
    assert author.chance == 0.5
    for _ in range(3):
        author = author.after("confirmed")
    assert author.chance > 0.75
    assert author.after("refuted").chance == pytest.approx(0.5, abs=0.03)


def test_what_cannot_be_told_costs_little() -> None:
    author = AuthorRate().after("confirmed")
    assert author.chance - author.after("unconfirmed").chance < 0.1
    assert author.chance - author.after("refuted").chance > 0.3


def test_old_outcomes_fade() -> None:
    liar = AuthorRate()
    for _ in range(5):
        liar = liar.after("refuted")
    before = liar.chance
    for _ in range(200):
        liar = liar.after("confirmed")
    assert before < 0.1
    assert liar.chance > 0.9


def test_a_newcomers_large_claim_counts_as_a_small_one() -> None:
    newcomer, proven = AuthorRate(), AuthorRate().after("confirmed")
    assert newcomer.worth_sd(6) == newcomer.worth_sd(2)
    assert proven.worth_sd(6) > 5 * newcomer.worth_sd(6)
    assert newcomer.worth_sd(1) < newcomer.worth_sd(2)


@pytest.mark.parametrize(
    ("is_kept", "claim_sd", "gain_sd", "outcome"),
    [
        (True, 2.0, 1.5, "confirmed"),
        (True, 5.0, 0.8, "unconfirmed"),  # kept by luck, which proves no such claim
        (False, 2.0, 0.0, "unconfirmed"),
        (False, 5.0, 0.5, "refuted"),
    ],
)
def test_a_trial_counts_by_what_was_claimed(
    is_kept: bool, claim_sd: float, gain_sd: float, outcome: str
) -> None:
    assert trial_outcome(is_kept=is_kept, claim_sd=claim_sd, gain_sd=gain_sd) == outcome
