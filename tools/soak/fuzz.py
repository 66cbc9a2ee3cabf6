"""Fuzzing with frames that no honest node sends.

A million go to the real handlers over in-memory streams. 20,000 go to a node with its network
process over real connections, at every layer. It holds if only faults of peers occur, neither
process ends or grows, the log stays short, and an honest peer still gets its answers, during the
fuzzing and afterwards.
"""

import json
from pathlib import Path
from typing import Final

from tools.soak.connections import fuzz_connections
from tools.soak.frames import fuzz_frames

FRAMES: Final = 1_000_000
WRITTEN: Final = 20_000
_SEED: Final = "fuzz 1"


def run_fuzz(home: Path) -> dict[str, object]:
    """Run the fuzzing. Frames that were handled on this home before are not repeated."""
    kept = home / "connections.json"
    if not kept.exists():
        kept.write_text(json.dumps(fuzz_connections(home / "nodes", WRITTEN, seed=_SEED)))
    connections = json.loads(kept.read_text())
    frames = fuzz_frames(home / "frames.json", FRAMES, seed=_SEED)
    return {
        "frames": frames,
        "connections": connections,
        "holds": frames["holds"] and connections["holds"] and connections["connections"] >= 200,
    }
