"""The simulation of several proposers: the better one has more of the runs, and more in the end."""

from statistics import fmean

import pytest

from tools.bench.proposers import WORTHS, alone, line


def first_share(shares: tuple[float, ...], slots: int) -> float:
    taken = [line(shares, slots, WORTHS["keeps"], number) for number in range(20)]
    return fmean(one[0] / sum(one) for one in taken)


@pytest.mark.soak
def test_who_has_more_good_ideas_gains_more_alone_and_has_more_of_the_runs() -> None:
    assert alone(0.5) > 2 * alone(0.1)
    assert 0.55 < first_share((0.5, 0.1), 50) < first_share((0.5, 0.1), 300)


def test_equals_have_equal_shares() -> None:
    assert 0.35 < first_share((0.3, 0.3), 100) < 0.65


def test_a_line_can_be_simulated_again() -> None:
    worth = WORTHS["keeps"]
    assert line((0.2, 0.1), 50, worth, 3) == line((0.2, 0.1), 50, worth, 3)
