"""The cost of a network of 1,000 and of 10,000 nodes for one node, by model and by simulation.

Needs the figures of the parts `syncing` and `peers` in docs/bench.json. Writes the tables of
docs/network-costs.md.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tools.bench.costs import Assumptions, Units, day, traffic
from tools.bench.simulation import simulate
from tools.paths import ROOT

FIGURES: Final = ROOT / "docs" / "bench.json"
PAGE: Final = ROOT / "docs" / "network-costs.md"
SIZES: Final = (1_000, 10_000)
# Experiments per day: five-minute runs on one card, and a network that works on `tiny` only.
PACES: Final = {"runs of five minutes": 288.0, "task tiny, on two cores": 24 * 295.0}
_SIMULATED = 1_000
_SECONDS = 300.0
_SETTLING_S = 120.0
_MARKS = ("<!-- made by make bench PART=network -->\n", "<!-- end -->\n")


def run_network(_kept: Path) -> dict[str, object]:
    """Compute the figures, write the page's tables and return the figures."""
    if not FIGURES.exists() or not {"syncing", "peers"} <= json.loads(FIGURES.read_text()).keys():
        sys.exit("run `make bench PART=syncing` and `make bench PART=peers` first")
    units = Units.of(json.loads(FIGURES.read_text()))
    figures: dict[str, object] = {
        "days": {
            pace: {str(nodes): _rounded(day(_assumed(nodes, rate), units)) for nodes in SIZES}
            for pace, rate in PACES.items()
        },
        "simulation": compared(_SIMULATED, units, seconds=_SECONDS, settling_s=_SETTLING_S),
    }
    before, after = PAGE.read_text().split(_MARKS[0])[0], PAGE.read_text().split(_MARKS[1])[1]
    PAGE.write_text(before + _MARKS[0] + tables(figures) + _MARKS[1] + after)
    return figures


def compared(
    nodes: int,
    units: Units,
    *,
    seconds: float,
    settling_s: float,
    experiments: float = PACES["runs of five minutes"],
) -> dict[str, Any]:
    """Simulate a network; return a node's simulated cost next to the model's."""
    found = simulate(nodes, experiments_per_day=experiments, seconds=seconds, settling_s=settling_s)
    said = traffic(_assumed(nodes, experiments), units, seconds)
    spent = found.spent
    simulated = {
        "records": spent["records"],
        "gossip": spent["gossip in"],
        "gossip_bytes": spent["gossip bytes in"],
        "hellos": spent["hellos"],
        "hello_bytes": spent["hello bytes"],
        "sync_bytes": spent["sync bytes"],
    }
    return {
        "nodes": nodes,
        "seconds": seconds,
        "published": found.published,
        "peers": round(found.peers, 1),
        "mesh": round(found.mesh, 1),
        "fetched_by_sync": round(spent.get("fetched", 0.0), 2),
        "fetched_in_vain": round(spent.get("fetched in vain", 0.0), 2),
        "lacking_something_in_the_end": found.lacking,
        "a_node": {
            name: {
                "model": round(said[name], 1),
                "simulation": round(value, 1),
                "times": round(value / said[name], 2),
            }
            for name, value in simulated.items()
        },
    }


def tables(figures: Mapping[str, Any]) -> str:
    """Return the tables of the page for these figures."""
    lines = [
        _row("a node's day", "nodes", "records", "traffic, both ways", "of a core", "disk"),
        "|---|---|---|---|---|---|",
    ]
    for pace, sizes in figures["days"].items():
        for nodes, costs in sizes.items():
            rate = costs["traffic_bytes"] * 8 / 86_400 / 1_000
            cells = (
                pace,
                f"{int(nodes):,}",
                f"{costs['records']:,.0f}",
                f"{_bytes(costs['traffic_bytes'])} ({rate:,.0f} kbit/s)",
                f"{costs['share_of_a_core']:.1%}",
                _bytes(costs["disk_bytes"]),
            )
            lines.append(_row(*cells))
    found = figures["simulation"]
    lines += [
        "",
        _row(f"{found['seconds'] / 60:.0f} minutes", "model", "simulation", "times"),
        "|---|---|---|---|",
    ]
    for name, row in found["a_node"].items():
        values = [f"{row[side]:,.0f}" for side in ("model", "simulation")]
        lines.append(_row(name.replace("_", " "), *values, f"{row['times']:.2f}"))
    return "\n".join(["", *lines, "", ""])


def _assumed(nodes: int, experiments: float) -> Assumptions:
    return Assumptions(nodes=nodes, experiments=experiments)


def _rounded(costs: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.3g}") for name, value in costs.items()}


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _bytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"
