"""The published error rates are those of the simulations named with them, as in docs/bench.json."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / name for name in ("leaderboards.md", "architecture.md")),
]
PUBLISHED = " ".join(" ".join(page.read_text(encoding="utf-8").split()) for page in PAGES)
BENCH = json.loads((ROOT / "docs" / "bench.json").read_text(encoding="utf-8"))


def figures(part: str) -> Any:
    return BENCH[part]["figures"]


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def test_lines_on_which_nothing_is_a_gain() -> None:
    nulls = figures("decisions")["null_streams_with_an_adoption"]
    few, many = nulls["1000 runs"], nulls["10000 runs"]
    assert few["of"] == many["of"] == 2_000
    said = f"In simulation {percent(few['share'])} of 2,000 lines of 1,000 runs did"
    assert said in PUBLISHED
    assert f"{percent(many['share'])} of 2,000 lines of 10,000 runs" in PUBLISHED
    assert all(one["to"] <= 0.05 for one in nulls.values()), "whatever the noise"


def test_intervals_hold_what_is_truly_there() -> None:
    reported = figures("decisions")["told_of_gains"]["first_trial"]
    least = min(one["intervals_that_hold"]["share"] for one in reported.values())
    small = reported["0.5"]["of_confirmed"]["share"]
    assert f"true gain in {percent(least)} of simulated trials or more" in PUBLISHED
    assert f"only {percent(small)} of those that pass with a true gain of half an sd" in PUBLISHED


def test_made_up_claims_are_refuted() -> None:
    claims = figures("rerunning")["claims"]
    assert "is refuted in nine re-runs of ten, of four and more in 98 of 100" in PUBLISHED
    assert claims["forged_three_sd"]["refuted"]["share"] >= 0.9
    larger = (claims[name]["refuted"]["share"] for name in ("forged_four_sd", "forged_six_sd"))
    assert min(larger) >= 0.98
