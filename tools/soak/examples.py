"""A short night of each example: a node works for 20 minutes without a model, then `compare`.

It holds if `compare` confirms the verified head on fresh seeds, the store and the journal are
intact, and the gap to the best known value is smaller than before.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from protocol.units import NANO
from tools.dying import dying
from trainer.task_kinds import load_task

_PAIRS: Final = 29

Figures = Mapping[str, object]


EXAMPLES: Final = (
    "ab-test", "bin-packing", "circles", "circles-26", "digits", "parse", "parse-c", "routing",
    "search", "sql", "support-routing",
)  # fmt: skip


def run_example(home: Path, name: str, *, minutes: float = 20, lanes: str = "auto") -> Figures:
    """Let a new node work on an example, and measure its result on fresh seeds."""
    root = home / name
    root.mkdir(parents=True, exist_ok=True)
    task = load_task(name, data_dir=root)
    began_s = time.monotonic()
    for_s = f"{round(minutes * 60)}s"
    node = [sys.executable, "-m", "node", "start", "--task", name, "--for", for_s]
    subprocess.run(dying([*node, "--lanes", lanes]), env=_environment(root), check=True)
    worked_s = time.monotonic() - began_s
    line = _run_json(root, "status")["lines"][0]
    found = {
        which: _compared(root, name, which)
        for which in ("head", "working")
        if line[which]["tree"] != task.source.tree.hex()
    }
    program = task.manifest.program
    assert program is not None  # one of `EXAMPLES`
    bound = None if program.best_known is None else program.best_known / NANO
    head = found.get("head")
    gap = None if head is None or bound is None else _gap(bound, head)
    return {
        "holds": bool(
            head is not None
            and head["verdict"] == "confirmed"
            and _run_json(root, "home", "fsck")["ok"]
            and (gap is None or gap["after"] < gap["before"])
        ),
        "task": name,
        "minutes": round(worked_s / 60, 1),
        "lanes": lanes,
        "experiments": line["experiments"],
        "checkpoints": line["verification"],
        "metric": f"{task.manifest.metric.name} ({task.manifest.metric.direction})",
        **found,
        "bound": bound,
        "gap": gap,
    }


def _compared(root: Path, task: str, name: str) -> dict[str, Any]:
    """Return the means of fresh pairs with the baseline, on secret instances, and the verdict."""
    document = _run_json(root, "compare", "--task", task, "--pairs", str(_PAIRS), "baseline", name)
    pairs = document["pairs"]
    return {
        "baseline": round(fmean(pair["base"] for pair in pairs), 6),
        name: round(fmean(pair["candidate"] for pair in pairs), 6),
        **{key: document[key] for key in ("gain", "lower", "upper", "verdict")},
        "pairs": len(pairs),
    }


def _gap(bound: float, head: Mapping[str, Any]) -> dict[str, float]:
    before, after = (abs(bound - head[name]) for name in ("baseline", "head"))
    return {"before": round(before, 6), "after": round(after, 6)}


def _run_json(root: Path, *words: str) -> dict[str, Any]:
    """Return the JSON output of a command, whatever its exit code."""
    command = [sys.executable, "-m", "node", *words, "--json"]
    said = subprocess.run(command, env=_environment(root), stdout=subprocess.PIPE, check=False)
    if not said.stdout:
        raise subprocess.CalledProcessError(said.returncode, command)
    document: dict[str, Any] = json.loads(said.stdout)
    return document


def _environment(root: Path) -> dict[str, str]:
    return {**os.environ, "ARNODE_HOME": str(root), "NO_COLOR": "1"}
