"""`make bench [PART=decisions|swarm|…]`: beside the alternative, in one run."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from tests.bench.decisions import run_decisions
from tests.bench.pipeline import run_pipeline
from tests.bench.records import run_records
from tests.bench.swarm import run_swarm
from tests.bench.syncing import run_syncing

KEPT = Path(__file__).parents[2] / "build" / "bench"  # what takes minutes to make
PARTS: dict[str, Callable[[Path], dict[str, object]]] = {
    "decisions": run_decisions,
    "swarm": run_swarm,
    "pipeline": run_pipeline,
    "records": run_records,
    "syncing": run_syncing,
}


def main() -> None:
    """Print one JSON document of figures."""
    parser = argparse.ArgumentParser(prog="make bench PART=")
    parser.add_argument("parts", nargs="*", metavar="|".join(PARTS))
    parts: list[str] = parser.parse_args().parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    KEPT.mkdir(parents=True, exist_ok=True)
    print(json.dumps({part: PARTS[part](KEPT) for part in parts}, indent=2))


if __name__ == "__main__":
    main()
