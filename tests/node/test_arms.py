"""Slots are drawn by success: the better proposer more often, each sometimes, repeatably."""

import random
from collections import Counter

from node.loop.arms import FLOOR, ArmTally, next_arm


def draws(tallies: dict[str, ArmTally], *, count: int = 2_000) -> Counter[str]:
    ready = sorted(tallies)
    return Counter(next_arm(ready, tallies, random.Random(seed)) for seed in range(count))


def known(*, keeps: int, slots: int, gain_sd: float = 1.5, hours: float = 0.1) -> ArmTally:
    tally = ArmTally()
    for number in range(slots):
        tally = tally.after(gain_sd if number < keeps else 0.0, hours)
    return tally


def test_who_had_more_kept_has_more_slots_and_nobody_has_none() -> None:
    found = draws({"good": known(keeps=20, slots=100), "poor": known(keeps=2, slots=100)})
    assert found["good"] > 0.9 * found.total()
    assert found["poor"] > 0.5 * FLOOR * found.total()


def test_a_gain_that_took_longer_counts_for_less() -> None:
    slow = known(keeps=10, slots=100, hours=1.0)
    assert draws({"quick": known(keeps=10, slots=100), "slow": slow})["quick"] > 1_700


def test_while_nothing_was_kept_all_have_the_same() -> None:
    found = draws({"one": known(keeps=0, slots=50), "other": ArmTally()})
    assert 0.45 < found["one"] / found.total() < 0.55


def test_a_newcomer_is_tried_as_often_as_what_is_known_of_all_lets_expect() -> None:
    found = draws({"known": known(keeps=5, slots=100), "new": ArmTally()})
    assert 0.2 < found["new"] / found.total() < 0.6


def test_little_that_is_known_decides_little() -> None:
    few = draws({"one": known(keeps=1, slots=10), "other": known(keeps=0, slots=10)})
    many = draws({"one": known(keeps=20, slots=200), "other": known(keeps=0, slots=200)})
    assert 1_000 < few["one"] < many["one"]


def test_of_many_the_floor_leaves_half_to_what_is_known() -> None:
    tallies = {"good": known(keeps=50, slots=100)}
    tallies |= {f"poor {number}": known(keeps=0, slots=100) for number in range(30)}
    assert draws(tallies)["good"] > 900


def test_who_is_not_ready_is_not_drawn_and_one_alone_is() -> None:
    tallies = {"good": known(keeps=20, slots=100), "poor": known(keeps=0, slots=100)}
    assert next_arm(["poor"], tallies, random.Random(1)) == "poor"


def test_the_same_seed_draws_the_same() -> None:
    tallies = {"one": known(keeps=3, slots=30), "other": known(keeps=2, slots=30)}
    assert draws(tallies, count=50) == draws(tallies, count=50)
