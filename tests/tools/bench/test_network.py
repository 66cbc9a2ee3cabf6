"""The model of a network's costs agrees with a simulation, and its page with its figures."""

import json

import pytest

from tools.bench.costs import Units
from tools.bench.network import FIGURES, PAGE, compared, tables
from tools.bench.simulation import simulate

BENCH = json.loads(FIGURES.read_text(encoding="utf-8"))


def test_the_model_agrees_with_a_small_network() -> None:
    figures = compared(32, Units.of(BENCH), seconds=60.0, settling_s=0.0, experiments=5_000.0)
    times = {name: row["times"] for name, row in figures["a_node"].items()}
    assert times["records"] == pytest.approx(1.0, abs=0.25)
    assert times["gossip"] == pytest.approx(1.0, abs=0.4)
    assert times["gossip_bytes"] == pytest.approx(1.0, abs=0.4)
    assert times["hellos"] == pytest.approx(1.0, abs=0.4), "in so small a network few have 16 peers"
    assert figures["fetched_in_vain"] == 0


def test_what_gossip_loses_reconciliation_brings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.bench.simulation.LOSS", 0.5)
    found = simulate(12, experiments_per_day=5_000, seconds=40, settling_s=1_000)
    assert found.lacking == 0
    assert found.spent["fetched"] > 0


def test_the_page_shows_the_figures() -> None:
    assert tables(BENCH["network"]["figures"]) in PAGE.read_text(encoding="utf-8")
