"""`make bench [PART=decisions|swarm|…]`: run benchmarks against the alternatives.

Each part's figures replace its previous ones in docs/bench.json.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from tools.bench.counting import run_counting
from tools.bench.crowding import run_crowding
from tools.bench.decisions import run_decisions
from tools.bench.exploring import run_explore
from tools.bench.instances import run_instances
from tools.bench.ladder import run_ladder
from tools.bench.lanes import run_lanes
from tools.bench.loads import run_loads
from tools.bench.looping import run_looping
from tools.bench.network import FIGURES, run_network
from tools.bench.peers import run_peers
from tools.bench.pipeline import run_pipeline
from tools.bench.programs import run_programs
from tools.bench.prompts import run_prompts
from tools.bench.proposers import run_proposers
from tools.bench.records import run_records
from tools.bench.repeats import run_repeats
from tools.bench.rerunning import run_rerunning
from tools.bench.stopping import run_stopping
from tools.bench.swarm import run_overlap, run_swarm
from tools.bench.syncing import run_syncing
from tools.bench.timing import run_timing
from tools.figures import provenance
from tools.paths import ROOT

KEPT = ROOT / "build" / "bench"  # files that take minutes to make
PARTS: dict[str, Callable[[Path], dict[str, object]]] = {
    "decisions": run_decisions,
    "programs": run_programs,
    "instances": run_instances,
    "timing": run_timing,
    "counting": run_counting,
    "rerunning": run_rerunning,
    "swarm": run_swarm,
    "overlap": run_overlap,
    "ladder": run_ladder,
    "stopping": run_stopping,
    "explore": run_explore,
    "repeats": run_repeats,
    "loads": run_loads,
    "looping": run_looping,
    "lanes": run_lanes,
    "pipeline": run_pipeline,
    "records": run_records,
    "syncing": run_syncing,
    "peers": run_peers,
    "crowding": run_crowding,
    "network": run_network,
    "prompts": run_prompts,
    "proposers": run_proposers,
}


def main() -> None:
    """Run the parts and print each one's figures as JSON."""
    parser = argparse.ArgumentParser(prog="make bench PART=")
    parser.add_argument("parts", nargs="*", metavar="|".join(PARTS))
    parts: list[str] = parser.parse_args().parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    KEPT.mkdir(parents=True, exist_ok=True)
    for part in parts:
        figures = PARTS[part](KEPT)
        _keep(part, figures)
        print(json.dumps({part: figures}, indent=2), flush=True)


def _keep(part: str, figures: dict[str, object]) -> None:
    kept = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    kept[part] = {**provenance(), "figures": figures}
    FIGURES.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
