"""Plateaus and branches as pure decisions: what counts as standing still, and when to come back."""

import random

import pytest

from node.line.plateaus import (
    BranchProgress,
    Event,
    Trend,
    aim_of,
    next_of_branch,
    since_rise,
    trend_of,
)

RISING = BranchProgress(experiments=10, since_rise=5, lead_sd=-5.0, has_gains=True)


def branch_progress(lead_sd: float | None, **changes: int) -> BranchProgress:
    return BranchProgress(
        experiments=changes.get("experiments", 10),
        since_rise=changes.get("since_rise", 5),
        lead_sd=lead_sd,
        has_gains=changes.get("has_gains", 1) == 1,
    )


def test_where_nothing_is_ever_kept_a_line_stands_still_after_120_experiments() -> None:
    assert not trend_of(["in_vain"] * 115).is_plateau
    assert trend_of(["in_vain"] * 125).is_plateau


def test_three_stacks_missed_in_a_row_are_a_plateau_though_as_much_was_kept_as_luck_keeps() -> None:
    stack: list[Event] = [*["in_vain"] * 30, "kept"] * 2  # type: ignore[list-item]
    assert not trend_of([*stack, "missed"] * 2).is_plateau
    assert trend_of([*stack, "missed"] * 3).is_plateau


@pytest.mark.parametrize(
    ("kept", "missed", "low", "high"),
    [(0.071, 0.17, 0.0, 0.1), (0.027, 1.0, 0.95, 1.0), (0.012, 1.0, 1.0, 1.0)],
)
def test_a_line_that_gets_on_is_seldom_taken_for_one_that_does_not(
    kept: float, missed: float, low: float, high: float
) -> None:
    """The shares are those of simulated lines: with good patches, with none, with only bad ones."""
    stopped = [_stops(random.Random(seed), kept, missed, experiments=400) for seed in range(100)]
    assert low <= sum(stopped) / 100 <= high


def _stops(chance: random.Random, kept: float, missed: float, *, experiments: int) -> bool:
    trend = Trend()
    for number in range(1, experiments + 1):
        trend = trend.after("kept" if chance.random() < kept else "in_vain")
        if number % 80 == 0:
            # What passes moves the head, and the evidence is counted from zero.
            trend = trend.after("missed") if chance.random() < missed else Trend()
        if trend.is_plateau:
            return True
    return False


def test_a_keep_counts_against_a_plateau_but_saves_nothing_up() -> None:
    assert trend_of(["in_vain"] * 50 + ["kept"]).evidence < trend_of(["in_vain"] * 50).evidence
    assert trend_of(["kept"] * 50).evidence == 0


def test_what_happens_on_a_branch_says_nothing_of_the_head() -> None:
    before = trend_of(["in_vain"] * 50)
    away = before.after("left").after("kept").after("in_vain").after("missed")
    assert away.evidence == before.evidence
    back = away.after("returned")
    assert not back.is_plateau
    assert not back.is_away
    assert trend_of([]).evidence < back.evidence  # another branch is due sooner than the first was


def test_the_reason_is_reported_in_plain_words() -> None:
    assert trend_of(["in_vain"] * 120).reason == "nothing was kept in the last 120 experiments"
    kept: list[Event] = ["kept", "missed"]
    assert trend_of(kept).reason == "the last stack failed its promotion trial"
    assert trend_of(kept * 3).reason == "the last 3 stacks failed their promotion trials"


def test_a_branch_that_leads_is_judged() -> None:
    assert next_of_branch(branch_progress(2.1), is_asked=False) == "judge"
    assert next_of_branch(branch_progress(1.0), is_asked=False) == "climb"


def test_a_confirmation_is_not_spent_on_a_branch_below_the_head() -> None:
    assert next_of_branch(branch_progress(-0.1), is_asked=True) == "climb"
    assert next_of_branch(branch_progress(0.1), is_asked=True) == "judge"


def test_a_tree_of_ones_own_is_not_judged_as_it_was_when_it_began() -> None:
    assert next_of_branch(branch_progress(3.0, has_gains=0), is_asked=True) == "climb"


def test_a_branch_whose_reference_runs_are_not_measured_goes_on() -> None:
    assert next_of_branch(branch_progress(None, since_rise=500), is_asked=True) == "climb"


@pytest.mark.parametrize("stuck", [{"since_rise": 100}, {"experiments": 250}])
def test_a_branch_that_is_stuck_goes_back_unless_it_is_level_with_the_head(
    stuck: dict[str, int],
) -> None:
    assert next_of_branch(branch_progress(-1.0, **stuck), is_asked=False) == "return"
    assert next_of_branch(branch_progress(0.5, **stuck), is_asked=False) == "judge"


def test_a_branch_rises_when_it_is_noticeably_higher_than_ever() -> None:
    assert since_rise([]) == 0
    assert since_rise([0.0] * 5) == 5
    assert since_rise([0.0, 0.0, 1.1, 1.1]) == 2
    assert since_rise([0.0, 0.9, 0.0, 0.9]) == 4
    assert since_rise([3.0, 0.0, 1.5]) == 3


def test_proposers_aim_elsewhere_where_the_same_got_nowhere() -> None:
    assert aim_of(Trend(), is_on_branch=False) == "improve"
    assert aim_of(Trend(), is_on_branch=True) == "elsewhere"
    stuck = [trend_of(["in_vain"] * count) for count in range(160, 164)]
    aims = [aim_of(trend, is_on_branch=False) for trend in stuck]
    assert sorted(aims) == ["combine", "elsewhere", "elsewhere", "simplify"]
