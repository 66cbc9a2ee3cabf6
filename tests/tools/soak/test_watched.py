"""The cost of a page is separated from a node's own growing work."""

import pytest

from tools.soak.watched import without_trend


def test_a_trend_is_no_cost_of_a_page() -> None:
    rising = {"-": [0.0, 3.0, 5.0, 6.0], "+": [1.0, 2.0, 4.0, 7.0]}  # in the order of the blocks
    more, error = without_trend(rising)
    assert more == pytest.approx(0.0, abs=1e-9)
    assert error == pytest.approx(0.0, abs=1e-9)


def test_a_cost_next_to_a_trend_is_found() -> None:
    costly = {"-": [0.0, 3.0, 5.0, 6.0], "+": [1.5, 2.5, 4.5, 7.5]}
    more, error = without_trend(costly)
    assert more == pytest.approx(0.5)
    assert error == pytest.approx(0.0, abs=1e-9)
