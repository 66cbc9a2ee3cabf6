"""How sure figures are: their intervals against those known in closed form."""

import random

import pytest

from tools.bench.shares import mean_of, quantile_of, ratio_of, share_of


@pytest.fixture(scope="module")
def drawn() -> list[float]:
    chance = random.Random(7)
    return [chance.gauss(10, 2) for _ in range(400)]


def test_a_mean_s_interval_is_that_of_its_standard_error(drawn: list[float]) -> None:
    found = mean_of(drawn)
    assert found["mean"] == pytest.approx(sum(drawn) / 400, abs=1e-3)
    assert found["to"] - found["from"] == pytest.approx(2 * 1.96 * 2 / 20, rel=0.15)


def test_a_ratio_of_the_same_streams_is_surer_than_of_others(drawn: list[float]) -> None:
    twice = ratio_of([2 * one for one in drawn], drawn)
    assert twice == {"ratio": 2.0, "from": 2.0, "to": 2.0}
    others = ratio_of(drawn, drawn[::-1])
    assert others["from"] < 1 < others["to"]


def test_a_quantile_lies_where_so_many_do_not_exceed_it(drawn: list[float]) -> None:
    found = quantile_of(drawn, 0.9)
    assert sum(one <= found["quantile"] for one in drawn) == 361
    assert found["from"] <= found["quantile"] <= found["to"]
    assert quantile_of([1.0], 0.9) == {"quantile": 1.0, "from": 1.0, "to": 1.0}


def test_a_share_s_interval_is_wilson_s() -> None:
    assert share_of(5, 100) == {"share": 0.05, "from": 0.0215, "to": 0.1118, "of": 100}
    assert share_of(0, 0) == {"share": None, "from": 0.0, "to": 1.0, "of": 0}
