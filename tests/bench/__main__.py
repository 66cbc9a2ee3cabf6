"""`make bench [PART=decisions|swarm|…]`: beside the alternative, in one run.

Each part's figures replace its last ones in docs/bench.json.
"""

import argparse
import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.decisions import run_decisions
from tests.bench.network import FIGURES, ROOT, run_network
from tests.bench.peers import run_peers
from tests.bench.pipeline import run_pipeline
from tests.bench.records import run_records
from tests.bench.swarm import run_swarm
from tests.bench.syncing import run_syncing

KEPT = ROOT / "build" / "bench"  # what takes minutes to make
PARTS: dict[str, Callable[[Path], dict[str, object]]] = {
    "decisions": run_decisions,
    "swarm": run_swarm,
    "pipeline": run_pipeline,
    "records": run_records,
    "syncing": run_syncing,
    "peers": run_peers,
    "network": run_network,
}


def main() -> None:
    """Print a JSON document of each part's figures."""
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
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kept[part] = {"date": now, "commit": commit, "figures": figures}
    FIGURES.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
