"""The cost of the baseline, by the other load on the machine when it was timed."""

from dataclasses import replace

import pytest

from trainer.measuring.cost import Pace, StageCosts

COST = StageCosts(train_s=4.0, first_score_s=0.1, score_s=1.0, first_audit_s=0.1, audit_s=0.3)


def paced(share: float) -> Pace:
    return Pace(COST, share, has_token_budget=True, by_clock=False)


def test_a_ceiling_follows_from_the_most_that_was_measured_in_no_greater_crowd() -> None:
    pace = paced(0.0)
    pace.learn_training(0.6, 5.0)
    pace.learn_training(0.3, 6.0)  # chance: more load does not cost less
    pace.learn_serving(0.6, replace(COST, score_s=1.4, train_s=0.0))
    assert [pace.at(share).train_s for share in (0.0, 0.1, 0.3, 0.6, 0.9)] == [4, 4, 6, 6, 6]
    assert [pace.at(share).score_s for share in (0.1, 0.3, 0.6, 0.9)] == [1.0, 1.0, 1.4, 1.4]
    assert pace.ceiling(0.6).train_s == pytest.approx(1.5 * 6 + 0.25)


def test_a_degree_of_crowd_is_timed_once() -> None:
    pace = paced(0.0)
    assert pace.knows_training(0.05)
    assert not pace.knows_training(0.3)
    pace.learn_training(0.51, 5.0)  # one busy program on two processors
    assert pace.knows_training(0.45)
    assert pace.knows_training(0.55)
    assert not pace.knows_training(0.3)
    assert not pace.knows_training(0.7)
    assert not pace.knows_serving(0.51)


def test_a_timing_that_failed_three_is_taken_again_and_the_longest_of_the_latest_counts() -> None:
    """Otherwise a short lull would fail everything near the ceiling for the rest of a session."""
    pace = paced(0.0)
    pace.learn_training(0.5, 4.2)
    for _ in range(3):
        assert pace.knows_training(0.5)
        pace.took_too_long(0.5)
    assert not pace.knows_training(0.5)
    assert pace.knows_training(0.0)
    pace.learn_training(0.0, 4.0, wanted=0.5)  # the load was gone by then; still an attempt
    assert pace.knows_training(0.5)
    for train_s, longest_s in [(6.0, 6.0), (5.0, 6.0), (4.5, 6.0), (4.4, 5.0)]:
        pace.learn_training(0.5, train_s)
        assert pace.at(0.5).train_s == longest_s


def test_a_machine_quieter_than_any_so_far_is_taken_for_the_quietest() -> None:
    pace = paced(0.8)
    assert pace.at(0.0) == COST
    pace.learn_serving(0.0, replace(COST, score_s=0.7))
    assert (pace.at(0.0).score_s, pace.at(0.0).train_s) == (0.7, 4.0)


def test_what_is_timed_in_a_greater_crowd_is_known_of_the_one_it_was_wanted_for() -> None:
    """The load of lanes differs at every look, and must not cause one timing after the other."""
    pace, dear = paced(0.0), replace(COST, score_s=1.4)
    pace.learn_serving(0.6, dear, wanted=0.3)
    assert pace.knows_serving(0.3)
    assert pace.at(0.3).score_s == 1.4
    pace.learn_serving(0.0, replace(COST, score_s=0.5), wanted=0.9)  # the load was gone by then
    assert not pace.knows_serving(0.9)
    pace.learn_serving(0.9, replace(COST, score_s=2.0), wanted=0.3)
    assert pace.at(0.3).score_s == 1.4  # a timing at this load is not replaced


def test_a_crowd_that_is_gone_whenever_it_is_looked_at_is_given_up() -> None:
    pace = paced(0.0)
    for _ in range(3):
        assert not pace.knows_serving(0.9)
        pace.learn_serving(0.5, COST, wanted=0.9)
    assert pace.knows_serving(0.9)
    assert not pace.knows_serving(0.3)
