"""A kept gain of a self-scored program is shown with a warning if it looks made up."""

import asyncio

import pytest

from node.home.home import Home
from node.line.implausible import why_implausible
from node.loop.session_plan import Goal
from node.store.store import Store
from protocol.manifest import TaskManifest
from protocol.styles import RUNS, Style
from tests.node.scripted import Bench, better

EXACT = Style(name="exact")
NANO = 10**9


@pytest.mark.parametrize(
    ("metrics_nano", "gain_sd", "style", "why"),
    [
        ((3 * NANO, 4 * NANO), 19.0, RUNS, None),
        ((3 * NANO, 4 * NANO), 21.0, RUNS, "it gained 21 sd in one step"),
        ((3 * NANO, 3 * NANO), 2.0, RUNS, "runs with different seeds gave exactly the same score"),
        ((3 * NANO, 0), 2.0, RUNS, "its score is exactly 0"),
        ((0,), 2.0, EXACT, "its score is exactly 0"),
        ((4 * NANO,), 1000.0, EXACT, None),
        ((2 * NANO,), 1000.0, EXACT, "its score went from 5 to 2 in one step"),
        ((8 * NANO,), 1000.0, EXACT, "its score went from 5 to 8 in one step"),
    ],
)
def test_a_gain_looks_made_up_if_it_is_huge_constant_or_exactly_zero(
    metrics_nano: tuple[int, ...], gain_sd: float, style: Style, why: str | None
) -> None:
    assert why_implausible(metrics_nano, 5 * NANO, gain_sd=gain_sd, style=style) == why


@pytest.mark.parametrize("scoring", ["self", "judged"])
def test_only_a_self_scored_program_is_warned_about(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch, scoring: str
) -> None:
    monkeypatch.setattr(TaskManifest, "scoring", property(lambda _: scoring))
    bench = Bench(home=home, store=store)
    bench.runner.outcomes = dict([better("0.201", gain_nano=10**9)])
    bench.goal = Goal(max_experiments=3)
    asyncio.run(bench.research().run())
    (kept,) = [entry for entry in store.experiments.listed() if entry.decision == "kept"]
    warnings = [line for line in bench.said if line.startswith("self-scored: ")]
    assert len(warnings) == (scoring == "self")
    for warning in warnings:
        assert f"arnode show {kept.id.hex()[:12]}; drop the patch: arnode head --drop" in warning
