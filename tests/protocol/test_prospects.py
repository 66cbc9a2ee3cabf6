"""The value of a claim before a re-run, and the effect of an author's earlier claims."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.prospects import (
    NEWCOMERS_SHARE,
    AuthorRate,
    audit_order,
    expected_gain_sd,
    is_stack_due,
    least_lead_sd,
    may_catch_up,
    stack_outcome,
    together,
    trial_outcome,
    turns,
)


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


def test_what_cannot_be_reported_costs_little() -> None:
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
        (True, 5.0, 0.8, "unconfirmed"),  # kept by luck, which does not prove such a claim
        (False, 2.0, 0.0, "unconfirmed"),
        (False, 5.0, 0.5, "refuted"),
        (False, 19.0, 10.0, "unconfirmed"),  # on another tree, the sum of gains is smaller
    ],
)
def test_a_trial_counts_by_what_was_claimed(
    is_kept: bool, claim_sd: float, gain_sd: float, outcome: str
) -> None:
    assert trial_outcome(is_kept=is_kept, claim_sd=claim_sd, gain_sd=gain_sd) == outcome


@pytest.mark.parametrize(
    ("is_kept", "claim_sd", "gain_sd", "outcome"),
    [
        (True, 12.0, 10.0, "confirmed"),
        (True, 12.0, 4.0, "unconfirmed"),  # one of three may have lied, so none is trusted
        (False, 12.0, 0.0, None),
    ],
)
def test_a_stack_that_fails_says_nothing_of_its_parts(
    is_kept: bool, claim_sd: float, gain_sd: float, outcome: str | None
) -> None:
    said = stack_outcome(is_kept=is_kept, claim_sd=claim_sd, gain_sd=gain_sd, claims=3)
    assert said == outcome


def test_a_stack_of_one_is_a_patch() -> None:
    for gain_sd in (0.8, 4.0):
        stack = stack_outcome(is_kept=True, claim_sd=5.0, gain_sd=gain_sd, claims=1)
        assert stack == trial_outcome(is_kept=True, claim_sd=5.0, gain_sd=gain_sd)


def test_authors_are_trusted_by_what_came_of_their_claims() -> None:
    newcomer = AuthorRate()
    proven, liar = newcomer.after("confirmed"), newcomer.after("refuted")
    assert [rate.status for rate in (newcomer, proven, liar)] == ["open", "trusted", "doubted"]
    assert proven.after("refuted").status == "doubted", "one lie outweighs one gain"
    assert liar.after("confirmed").after("confirmed").status == "trusted"
    assert [may_catch_up(rate, is_due=True) for rate in (newcomer, proven, liar)] == [
        True,
        True,
        False,
    ]
    assert not may_catch_up(newcomer, is_due=False)
    assert may_catch_up(proven, is_due=False)


def test_who_claims_time_and_again_what_pairs_do_not_show_loses_trust() -> None:
    author = AuthorRate()
    standings = [(author := author.after("not_reproduced")).status for _ in range(4)]
    assert standings == ["open", "open", "open", "doubted"]
    assert author.after("confirmed").status != "doubted", "one that holds makes up for them"
    mixed = AuthorRate()
    for _ in range(50):
        mixed = mixed.after("not_reproduced").after("not_reproduced").after("confirmed")
    assert mixed.status == "trusted"


def test_audits_are_drawn_by_what_came_of_an_author_and_not_by_how_much_it_claims() -> None:
    liar, rates = b"liar", {b"liar": AuthorRate()}
    for _ in range(20):
        rates[liar] = rates[liar].after("not_reproduced")
    chance, authors = random.Random(1), [liar] * 200 + [b"a", b"b", b"c"]
    drawn = [audit_order(authors, rates, chance) for _ in range(1000)]
    assert all(sorted(one) == [b"a", b"b", b"c", liar] for one in drawn)
    first = sum(one[0] == liar for one in drawn)
    assert 0 < first < 150, "it may still prove itself"


def test_nobody_loses_trust_for_gains_that_trials_did_not_show_again() -> None:
    unlucky = AuthorRate()
    for _ in range(100):
        unlucky = unlucky.after("unconfirmed")
    assert unlucky.status == "open"
    assert unlucky.chance < AuthorRate().chance, "others come first"
    assert AuthorRate().after("refuted").status == "doubted"


def test_what_is_small_waits_for_the_promotion_trial() -> None:
    assert is_stack_due(0.5, is_promotion_trial_next=True)
    assert not is_stack_due(0.5, is_promotion_trial_next=False)
    assert is_stack_due(20.0, is_promotion_trial_next=False)
    assert least_lead_sd(has_own=False) < least_lead_sd(has_own=True)


def test_newcomers_have_their_share_of_the_slots() -> None:
    firsts = [turns(number / 100)[0] for number in range(100)]
    assert firsts.count("newcomer") == 100 * NEWCOMERS_SHARE
    assert all(turns(number / 100)[-1] == "single" for number in range(100))


@given(st.sets(st.integers(0, 7)), st.integers(1, 8))
def test_a_stack_is_bisected_to_all_that_holds(bad: set[int], count: int) -> None:
    waiting, kept, trials = list(range(count)), set[int](), 0
    tried: set[frozenset[int]] = set()

    def untried(part: Sequence[int]) -> Sequence[int] | None:
        return None if frozenset(part) in tried else part

    while waiting and (part := together(waiting, untried)):
        trials += 1
        tried.add(frozenset(part))
        if not bad & set(part):
            kept.update(part)
        if not bad & set(part) or len(part) == 1:
            waiting = [one for one in waiting if one not in part]
    assert kept == set(range(count)) - bad
    assert trials <= max(1, 2 * count - 1) + count
