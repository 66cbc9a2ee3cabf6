"""`make soak PART=…`: run one soak test and append its figures to docs/soak.jsonl.

A test keeps its home under build/soak/, so that it can resume after an interruption. Tests on
planted patches keep their real runs in build/soak/kept/, which is not removed after a success.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tools.figures import provenance
from tools.paths import ROOT
from tools.soak.aa import run_aa
from tools.soak.examples import EXAMPLES, run_example
from tools.soak.first import run_first
from tools.soak.fleet import run_fleet
from tools.soak.forks import run_bits, run_forks
from tools.soak.fuzz import run_fuzz
from tools.soak.gossip import run_gossip
from tools.soak.hostile import run_hostile
from tools.soak.hyperparameters import run_hyperparameters
from tools.soak.imports import run_imports
from tools.soak.ingest import run_ingest
from tools.soak.kills import run_kills
from tools.soak.ladder import run_ladder
from tools.soak.liars import run_liars
from tools.soak.marked import run_marked
from tools.soak.model import run_model
from tools.soak.night import run_night
from tools.soak.page import run_page
from tools.soak.planted import run_planted
from tools.soak.programs import run_programs
from tools.soak.rendezvous import run_rendezvous
from tools.soak.several import run_several
from tools.soak.stopping import run_stopping
from tools.soak.together import run_together
from tools.soak.traffic import run_traffic
from tools.soak.try_ import run_try
from tools.soak.verify import run_verify
from tools.soak.watched import run_watched

FIGURES = ROOT / "docs" / "soak.jsonl"
HOMES = ROOT / "build" / "soak"

Figures = Mapping[str, object]
PARTS: dict[str, Callable[[Path], Figures]] = {
    "night": lambda home: run_night(home / "tiny", minutes=60),
    "text": lambda home: run_night(home, minutes=15, text=litellm_sources(home)),
    "aa": lambda home: run_aa(home / "home", 300),
    "kills": lambda home: run_kills(home / "home", 200, seed=3, longest_s=8.0, aim_every=10),
    "ingest": lambda home: run_ingest(home / "home", 200, seed=4),
    "imports": run_imports,
    "hostile": run_hostile,
    "forks": run_forks,
    "bits": run_bits,
    "fuzz": run_fuzz,
    "try": lambda home: run_try(home, 20),
    "verify": run_verify,
    "planted": run_planted,
    "liars": run_liars,
    "gossip": run_gossip,
    "traffic": run_traffic,
    "fleet": run_fleet,
    "together": run_together,
    "meeting": run_rendezvous,
    "search": run_hyperparameters,
    "model": run_model,
    "first": run_first,
    "programs": run_programs,
    "several": run_several,
    "page": run_page,
    "watched": run_watched,
    "stopping": run_stopping,
    "ladder": run_ladder,
    "tests": run_marked,
    **{f"example-{name}": partial(run_example, name=name) for name in EXAMPLES},
}


def litellm_sources(folder: Path) -> Path:
    """Concatenate the installed litellm's `.py` files, invisible to sandboxes, into one file."""
    import importlib.util

    spec = importlib.util.find_spec("litellm")
    if spec is None or spec.origin is None:
        sys.exit(
            "litellm is not installed here: `.venv/bin/pip install -c constraints.txt '.[llm]'`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    text = folder / "litellm.txt"
    if not text.exists():
        files = sorted(Path(spec.origin).parent.rglob("*.py"))
        text.write_text("\n\n".join(file.read_text(encoding="utf-8") for file in files))
    return text


def main() -> int:
    """Run the soak test that the command line names."""
    parser = argparse.ArgumentParser(prog="make soak PART=")
    parser.add_argument("part", choices=[*PARTS])
    part: str = parser.parse_args().part
    home = HOMES / part
    home.mkdir(parents=True, exist_ok=True)
    figures = {"part": part, **provenance(), **PARTS[part](home)}
    with FIGURES.open("a", encoding="utf-8") as file:
        file.write(json.dumps(figures) + "\n")
    print(json.dumps(figures, indent=2))
    if figures["holds"]:
        shutil.rmtree(home)  # after a failure the home is left for inspection
    return 0 if figures["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
