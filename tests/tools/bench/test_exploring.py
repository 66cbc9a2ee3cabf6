"""The short form of `make bench PART=explore`: local optima are left, progress is not disturbed."""

import pytest

from tools.bench.exploring import PROPOSERS, best_curve, stream, until_plateau
from tools.bench.landscapes import START, Ways

LAND = 3  # its first line ends on a way that soon ends


def test_a_way_that_was_gone_has_closed_the_others() -> None:
    land = Ways(LAND)
    first = next(place for place in land.open_from(START) if len(place[0]) == 1)
    assert {place[0] for place in land.open_from(first)} == {first[0]}
    assert land.best() > land.worth(first)


def test_a_local_optimum_is_left_from_an_earlier_head() -> None:
    early, late = best_curve(LAND, (1_000, 3_000), explores=False)
    assert early == late, "it is one: without leaving it, nothing comes any more"
    assert best_curve(LAND, (3_000,), explores=True)[0] > late + 4


def test_where_good_patches_come_few_weeks_are_disturbed() -> None:
    weeks = [[stream(seed, (672,), explores=on) for on in (True, False)] for seed in range(6)]
    assert sum(left != stayed for left, stayed in weeks) <= 2  # 3 of 16


@pytest.mark.parametrize("name", ["none good", "most harm"])
def test_a_plateau_is_seen_within_days(name: str) -> None:
    seen = [until_plateau(PROPOSERS[name], seed, 400) for seed in range(5)]
    assert max(seen) < 400
